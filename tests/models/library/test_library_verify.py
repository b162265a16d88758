"""Verifying what lies on the disk, and what a repair asks for."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from helpers.library_samples import (
    BLOCK_BYTES,
    COMMIT,
    REPOSITORY,
    content,
    entry_of,
    fetched,
    fetched_set,
    only_entry,
    put,
    record_of,
    sha256,
)
from models.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    DiskError,
    LibraryError,
    StoppedError,
)
from models.hub.names import RepositoryPlace
from models.hub.pages import RepositoryPage
from models.hub.quants import RemoteFile
from models.library.library import Library
from models.library.verifying import repair_spec, take_down, verify
from models.stopping import Stop, never
from models.transfer.record import read_record, write_record


def flip(path: Path, *offsets: int) -> None:
    data = bytearray(path.read_bytes())
    for offset in offsets:
        data[offset] ^= 1
    path.write_bytes(data)


@dataclass
class Pages:
    """The part of a hub that a repair asks."""

    files: tuple[RemoteFile, ...] = ()
    endpoint: str = "http://hub.example"
    asked: list[RepositoryPlace] = field(default_factory=list)

    def page(self, place: RepositoryPlace, *, stop: Stop = never) -> RepositoryPage:
        self.asked.append(place)
        return RepositoryPage(
            place.repository, place.revision, place.revision, self.endpoint, self.files
        )


# --- verifying -------------------------------------------------------------------------------


def test_sound_files_are_good_and_their_records_say_when(tmp_path: Path) -> None:
    paths = fetched_set(tmp_path)
    for path in paths:
        record = read_record(path)
        assert record is not None
        write_record(path, replace(record, verified_s=1.0))
    entry = entry_of(tmp_path)
    assert entry.verified_s == 1.0
    heard: list[int] = []
    found = verify(entry, listen=heard.append)
    assert (found.is_good, found.has_reference, found.damaged, found.missing) == (
        True,
        True,
        {},
        (),
    )
    assert heard == sorted(heard)
    assert heard[-1] == entry.size_bytes
    assert entry_of(tmp_path).verified_s == pytest.approx(found.verified_s, abs=60)


def test_damaged_blocks_are_named_and_nothing_is_noted(tmp_path: Path) -> None:
    paths = fetched_set(tmp_path)
    flip(paths[1], 5, 2 * BLOCK_BYTES + 1)
    before = read_record(paths[1])
    found = verify(entry_of(tmp_path))
    assert (found.is_good, found.has_reference) == (False, True)
    assert found.damaged == {paths[1]: (0, 2)}
    assert found.files[1].block_bytes == BLOCK_BYTES
    assert read_record(paths[1]) == before


@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_a_file_of_another_length_is_damaged(tmp_path: Path, change: str) -> None:
    path = fetched(tmp_path, "a.gguf", content(1))
    data = content(1)
    path.write_bytes(data[:-1] if change == "shorter" else data + b"x")
    found = verify(entry_of(tmp_path))
    assert not found.is_good
    assert path in found.damaged


def test_a_missing_shard_is_no_good(tmp_path: Path) -> None:
    paths = fetched_set(tmp_path)
    paths[1].unlink()
    found = verify(entry_of(tmp_path))
    assert (found.is_good, found.damaged) == (False, {})
    assert found.missing == (paths[1].name,)


def test_without_a_reference_one_is_taken_down_for_the_next_time(tmp_path: Path) -> None:
    path = put(tmp_path / "models" / "a.gguf", content(1))
    library = Library([tmp_path / "models"], None, data_dir=tmp_path / "data")
    first = verify(only_entry(library), records=library.records)
    assert (first.is_good, first.has_reference) == (True, False)
    # Nothing is written into the user's folder.
    assert list(path.parent.iterdir()) == [path]
    again = Library([tmp_path / "models"], None, data_dir=tmp_path / "data")
    second = verify(only_entry(again), records=again.records)
    assert (second.is_good, second.has_reference) == (True, True)
    flip(path, 10)
    third = verify(only_entry(again), records=again.records)
    assert (third.is_good, third.has_reference) == (False, True)
    assert third.damaged == {path: (0,)}
    again.forget(only_entry(again))
    assert not verify(only_entry(again), records=again.records).has_reference


def test_without_records_nothing_is_kept(tmp_path: Path) -> None:
    put(tmp_path / "a.gguf", content(1))
    for _ in range(2):
        assert not verify(entry_of(tmp_path)).has_reference


def test_what_cannot_be_written_down_does_not_spoil_the_check(tmp_path: Path) -> None:
    put(tmp_path / "models" / "a.gguf", content(1))
    put(tmp_path / "data", b"a file where a folder should be")
    library = Library([tmp_path / "models"], None, data_dir=tmp_path / "data")
    assert verify(only_entry(library), records=library.records).is_good
    assert verify(only_entry(library), records=library.records).has_reference


def test_a_check_can_be_stopped(tmp_path: Path) -> None:
    fetched_set(tmp_path)
    steps = iter(range(1000))
    with pytest.raises(StoppedError):
        verify(entry_of(tmp_path), stop=lambda: next(steps) >= 2)


def test_a_file_that_is_gone_or_offline_is_an_error(tmp_path: Path) -> None:
    path = fetched(tmp_path, "a.gguf", content(1))
    entry = entry_of(tmp_path)
    path.unlink()
    with pytest.raises(DiskError):
        verify(entry)
    with pytest.raises(CheckpointNotFoundError):
        verify(replace(entry, is_offline=True))


# --- by digest -----------------------------------------------------------------------------------


def test_a_checkpoint_is_found_by_the_digests_of_its_files(tmp_path: Path) -> None:
    fetched_set(tmp_path, stem="Other-Q8_0", count=2)
    paths = fetched_set(tmp_path)
    library = Library([tmp_path], None)
    digests = [f"sha256:{sha256(content(number))}" for number in range(3)]
    sizes = [path.stat().st_size for path in paths]
    found = library.find_by_digest(digests, sizes)
    assert found is not None
    assert found.path == paths[0]
    assert library.find_by_digest([digest.upper() for digest in digests]) == found
    assert library.find_by_digest([digest.removeprefix("sha256:") for digest in digests]) == found
    for wrong in (digests[:2][::-1], digests[::-1], [], ["git-sha1:" + "0" * 40], ["sha256:"]):
        assert library.find_by_digest(wrong) is None
    assert library.find_by_digest(digests, [1, 2, 3]) is None
    paths[1].unlink()
    assert library.find_by_digest(digests, sizes) is None


def test_a_file_that_was_written_to_is_not_offered(tmp_path: Path) -> None:
    path = fetched(tmp_path, "a.gguf", content(1))
    record = read_record(path)
    assert record is not None
    write_record(path, replace(record, modified_ns=path.stat().st_mtime_ns))
    library = Library([tmp_path], None)
    digest = sha256(content(1))
    assert library.find_by_digest([digest]) is not None
    flip(path, 5)
    assert library.find_by_digest([digest]) is None


def test_what_nobody_knows_is_told_by_reading_it_once(tmp_path: Path) -> None:
    put(tmp_path / "a.gguf", content(1))
    library = Library([tmp_path], None)
    (candidate,) = library.find_by_size([len(content(1))])
    assert not take_down(candidate, [f"sha256:{'0' * 64}"], library.records)
    assert take_down(candidate, [f"sha256:{sha256(content(1))}"], library.records)
    assert library.find_by_digest([sha256(content(1))]) == candidate


# --- mending -------------------------------------------------------------------------------------


def test_a_repair_asks_for_just_these_files_at_their_commit(tmp_path: Path) -> None:
    paths = fetched_set(tmp_path)
    hub = Pages(endpoint="http://mirror.example")
    entry = entry_of(tmp_path)
    spec = repair_spec(entry, hub)
    assert hub.asked == []
    assert (spec.repository, spec.commit, spec.endpoint) == (REPOSITORY, COMMIT, hub.endpoint)
    assert (spec.root, spec.folder, spec.repairs) == (tmp_path, tmp_path / REPOSITORY, True)
    assert [spec.folder / file.target for file in spec.files] == list(paths)
    assert [file.path for file in spec.files] == [f"Q4_K_M/{path.name}" for path in paths]
    assert [file.digest_hex for file in spec.files] == [sha256(content(n)) for n in range(3)]
    assert (len(spec.job_id), spec.quant) == (32, "Q4_K_M")
    assert repair_spec(entry, hub).job_id != spec.job_id


def test_a_missing_shard_is_asked_for_at_the_commit_of_the_others(tmp_path: Path) -> None:
    paths = fetched_set(tmp_path)
    paths[1].unlink()
    path = f"Q4_K_M/{paths[1].name}"
    digest = f"sha256:{sha256(content(1))}"
    hub = Pages((RemoteFile(path, len(content(1)), digest),))
    spec = repair_spec(entry_of(tmp_path), hub)
    assert hub.asked == [RepositoryPlace(REPOSITORY, revision=COMMIT)]
    assert [spec.folder / file.target for file in spec.files] == list(paths)
    assert (spec.files[1].path, spec.files[1].digest) == (path, digest)
    for lacking in ((), (RemoteFile(path, 5),)):
        with pytest.raises(LibraryError, match="has no Q4_K_M/"):
            repair_spec(entry_of(tmp_path), Pages(lacking))


def test_a_checkpoint_in_another_folder_is_mended_there(tmp_path: Path) -> None:
    path = put(tmp_path / "deep" / "renamed.gguf", content(1))
    write_record(path, record_of(content(1), "original.gguf"))
    spec = repair_spec(entry_of(tmp_path), Pages())
    assert spec.folder == path.parent
    assert [(file.path, file.target) for file in spec.files] == [("original.gguf", "renamed.gguf")]


def test_what_nobody_knows_the_origin_of_cannot_be_mended(tmp_path: Path) -> None:
    put(tmp_path / "a.gguf", content(1))
    entry = entry_of(tmp_path)
    with pytest.raises(LibraryError, match="does not know where it is from"):
        repair_spec(entry, Pages())
    with pytest.raises(LibraryError, match="not Fathom's"):
        repair_spec(replace(entry, is_read_only=True), Pages())


def test_files_of_two_commits_are_no_set(tmp_path: Path) -> None:
    paths = fetched_set(tmp_path)
    record = read_record(paths[2])
    assert record is not None
    write_record(paths[2], replace(record, commit="cd" * 20))
    with pytest.raises(ChecksumError, match="different versions"):
        repair_spec(entry_of(tmp_path), Pages())


@pytest.mark.skipif(sys.platform == "win32", reason="names of POSIX")
def test_records_of_equal_names_in_different_folders_are_kept_apart(tmp_path: Path) -> None:
    one = put(tmp_path / "models" / "a" / "m.gguf", content(1))
    two = put(tmp_path / "models" / "b" / "m.gguf", content(2))
    library = Library([tmp_path / "models"], None, data_dir=tmp_path / "data")
    for entry in library.entries():
        verify(entry, records=library.records)
    assert library.records.digest_of(one) == f"sha256:{sha256(content(1))}"
    assert library.records.digest_of(two) == f"sha256:{sha256(content(2))}"
