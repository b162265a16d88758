"""What was decided about checkpoints survives the program, and a broken file breaks nothing."""

from __future__ import annotations

from pathlib import Path

from models.checks.decisions import Choice, Decisions, FileStamp, stamp_of
from models.checks.findings import CheckFindings

ONE = CheckFindings("one", Path("/models/one.gguf"), (), template_sha256="1" * 64)
SAME = CheckFindings("same", Path("/models/same.gguf"), (), template_sha256="1" * 64)
OTHER = CheckFindings("other", Path("/models/other.gguf"), ())


def test_a_choice_belongs_to_the_template_and_is_kept(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path / "checks.json")
    assert decisions.choice(ONE) is None
    decisions.decide(ONE, Choice.OWN)
    decisions.decide(ONE, Choice.KNOWN)
    again = Decisions(tmp_path / "checks.json")
    assert again.choice(ONE) is Choice.KNOWN
    assert again.choice(SAME) is Choice.KNOWN
    assert again.choice(OTHER) is None


def test_a_file_is_clear_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"1")
    stamp = stamp_of(path)
    assert stamp is not None
    decisions = Decisions(tmp_path / "checks.json")
    decisions.note_clear(stamp)
    assert Decisions(tmp_path / "checks.json").is_clear(stamp)
    path.write_bytes(b"22")
    later = stamp_of(path)
    assert later is not None
    assert not decisions.is_clear(later)
    assert stamp_of(tmp_path / "none") is None


def test_files_that_cannot_be_read_or_written_are_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "checks.json"
    for damaged in (
        b"{",
        b"[]",
        b'{"version": 9}',
        b"\xff",
        b'{"version": 1, "choices": 3}',
        b'{"version": 1, "clear": {"/a": 5}}',
        b"[" * 100_000,
    ):
        path.write_bytes(damaged)
        decisions = Decisions(path)
        assert decisions.choice(ONE) is None
        decisions.decide(ONE, Choice.OWN)
        assert Decisions(path).choice(ONE) is Choice.OWN
    nowhere = Decisions(path / "checks.json")
    nowhere.decide(ONE, Choice.OWN)
    assert nowhere.choice(ONE) is Choice.OWN
    nowhere.note_clear(FileStamp("x", 1, 1))
    assert list(tmp_path.iterdir()) == [path]
