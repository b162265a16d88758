"""``fathom bench``: a checkpoint beside its prediction, the calibration, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.fathom_process import fathom, one_object
from helpers.tiny_gguf import TinyModel, write_tiny

ROW = [
    "n_past",
    "prefill_tok_s",
    "decode_tok_s",
    "predicted_prefill_tok_s",
    "predicted_decode_tok_s",
    "bound_by",
    "prefill_bound_by",
]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", TinyModel("deepseek2", n_layer=5))


def _store(base_dir: Path) -> dict[str, object]:
    found = json.loads((base_dir / "data" / "calibration.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def _remarks(stderr: str) -> list[str]:
    """Return what was said beside that other programs (other tests) keep the machine busy."""
    return [line for line in stderr.splitlines() if "of this machine busy" not in line]


def test_a_checkpoint_is_measured_beside_its_prediction(base_dir: Path, tiny: Path) -> None:
    done = fathom("bench", tiny, "--depths", "0", "64", "--json", "--basedir", base_dir)
    assert done.returncode == 0
    assert _remarks(done.stderr) == []
    data = one_object(done.stdout)
    assert data["path"] == str(tiny)
    assert [row["n_past"] for row in data["results"]] == [0, 64]
    for row in data["results"]:
        assert list(row) == ROW
        for key in ("predicted_prefill_tok_s", "predicted_decode_tok_s"):
            assert 0 < row[key]["low"] <= row[key]["mid"] <= row[key]["high"]
        assert row["prefill_tok_s"] > 0
        assert row["decode_tok_s"] > 0


def test_the_table_names_what_binds(base_dir: Path, tiny: Path) -> None:
    done = fathom("bench", tiny, "--depths", "0", "--basedir", base_dir)
    assert done.returncode == 0
    head, *rows = done.stdout.splitlines()
    assert head.split()[0] == "context"
    assert [row.split()[:2] for row in rows] == [["0", "prompt"], ["0", "answer"]]


def test_a_calibration_with_a_checkpoint_is_kept_and_used(base_dir: Path, tiny: Path) -> None:
    done = fathom("bench", "--calibrate", tiny, "--json", "--basedir", base_dir)
    assert done.returncode == 0
    assert _remarks(done.stderr) == []
    measured = one_object(done.stdout)
    assert measured["cpu_decode_bytes_s"]
    assert list(_store(base_dir)["checkpoints"].values()) == [measured]  # type: ignore[attr-defined]
    assert list((base_dir / "cache").glob("calibration.*")) == []
    done = fathom("bench", tiny, "--depths", "0", "--json", "--basedir", base_dir)
    assert one_object(done.stdout)["calibrated_on"] == measured["measured_on"]


@pytest.mark.parametrize(
    "arguments",
    [(), ("nothing-is-called-so",), ("demo", "--depths", "-1"), ("--calibrate", "missing.gguf")],
)
def test_what_cannot_be_measured_is_bad_input(base_dir: Path, arguments: tuple[str, ...]) -> None:
    done = fathom("bench", *arguments, "--basedir", base_dir)
    assert done.returncode == 2
    assert len(_remarks(done.stderr)) == 1
