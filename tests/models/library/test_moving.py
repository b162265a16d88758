"""Moving a checkpoint: checked before the source goes, and whole wherever it is stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.library_samples import (
    REPOSITORY,
    content,
    entry_of,
    fetched,
    fetched_set,
    only_entry,
    other_drive,
    put,
    snapshot,
)
from models.errors import (
    ChecksumError,
    DiskError,
    DiskFullError,
    LibraryError,
    StoppedError,
)
from models.library.library import Library
from models.library.moving import MovePlan, move, plan_move
from models.library.verifying import verify
from models.library.volumes import Mount, Volumes
from models.transfer.part_file import part_path
from models.transfer.record import read_record, record_path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a second drive of Linux")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Path]:
    """An empty folder on another drive."""
    with other_drive(tmp_path) as folder:
        if folder is None:
            pytest.skip("one drive only")
        yield folder


def far_plan(root: Path, drive: Path) -> MovePlan:
    return plan_move(entry_of(root), drive, reserve_bytes=0)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- what works ----------------------------------------------------------------------------------


def test_between_drives_a_set_is_copied_checked_and_then_removed(root: Path, drive: Path) -> None:
    paths = fetched_set(root)
    readme = fetched(root, "README.md", b"# Model")
    before = entry_of(root)
    names = files_below(root)
    plan = far_plan(root, drive)
    assert not plan.is_rename
    assert plan.size_bytes == sum(path.stat().st_size for path in (*paths, readme))
    assert plan.work_bytes == 2 * plan.size_bytes
    modified = paths[0].stat().st_mtime_ns
    heard: list[int] = []
    moved = move(plan, listen=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == plan.work_bytes
    assert files_below(drive) == names
    assert list(root.iterdir()) == []
    assert [path.read_bytes() for path in moved.paths] == [content(n) for n in range(3)]
    assert (moved.root, moved.name) == (drive, before.name)
    after = entry_of(drive)
    assert after == moved
    assert (after.source, after.repository) == ("fathom", REPOSITORY)
    assert after.path.stat().st_mtime_ns == modified
    assert verify(after).is_good


def test_on_one_drive_files_are_renamed(root: Path, tmp_path: Path) -> None:
    paths = fetched_set(root)
    numbers = [path.stat().st_ino for path in paths]
    (tmp_path / "other").mkdir()
    plan = plan_move(entry_of(root), tmp_path / "other")
    assert (plan.is_rename, plan.work_bytes) == (True, 0)
    moved = move(plan)
    assert [path.stat().st_ino for path in moved.paths] == numbers
    assert list(root.iterdir()) == []
    assert entry_of(tmp_path / "other") == moved


def test_across_mounts_of_one_drive_nothing_is_renamed(root: Path, tmp_path: Path) -> None:
    fetched(root, "a.gguf", content(1))
    (tmp_path / "other").mkdir()
    mounts = [Mount("/"), Mount(str(tmp_path / "other"))]
    plan = plan_move(
        entry_of(root), tmp_path / "other", volumes=Volumes(lambda: mounts), reserve_bytes=0
    )
    assert not plan.is_rename
    assert move(plan).path.read_bytes() == content(1)


def test_a_file_that_was_added_alone_moves_without_a_record(root: Path, drive: Path) -> None:
    path = put(root / "a.gguf", content(1))
    beside = put(root / "b.gguf", content(2))
    entry = only_entry(Library([path], None))
    moved = move(plan_move(entry, drive, reserve_bytes=0))
    assert moved.path == drive / "a.gguf"
    assert files_below(drive) == ["a.gguf"]
    assert list(drive.iterdir()) == [drive / "a.gguf"]
    assert (path.exists(), beside.exists()) == (False, True)


def test_what_is_known_of_it_moves_along(root: Path, tmp_path: Path) -> None:
    put(root / "a.gguf", content(1))
    (tmp_path / "other").mkdir()
    library = Library([root, tmp_path / "other"], None)
    old = only_entry(library)
    library.note_used(old, 5.0)
    new = move(plan_move(old, tmp_path / "other"))
    library.note_moved(old, new)
    assert only_entry(library) == new
    assert only_entry(library).last_used_s == 5.0


# --- what is stopped or goes wrong --------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_a_stop_leaves_the_source_whole_and_nothing_elsewhere(
    root: Path, drive: Path, after: int
) -> None:
    fetched_set(root)
    plan = far_plan(root, drive)
    before = snapshot(root)
    steps = iter(range(1000))
    with pytest.raises(StoppedError):
        move(plan, stop=lambda: next(steps) >= after)
    assert snapshot(root) == before
    assert list(drive.iterdir()) == []


def test_a_damaged_source_is_not_moved(root: Path, drive: Path) -> None:
    paths = fetched_set(root)
    data = bytearray(paths[1].read_bytes())
    data[5000] ^= 1
    paths[1].write_bytes(data)
    before = snapshot(root)
    with pytest.raises(ChecksumError, match="is damaged") as caught:
        move(far_plan(root, drive))
    assert "repair" in caught.value.hint
    assert snapshot(root) == before
    assert list(drive.iterdir()) == []


def test_a_copy_that_the_drive_spoils_is_found(root: Path, drive: Path) -> None:
    paths = fetched_set(root)
    plan = far_plan(root, drive)
    before = snapshot(root)
    size_bytes = paths[0].stat().st_size

    def spoil(done_bytes: int) -> None:
        # The copy is complete and its check has not begun: a bit flips on the new drive.
        if done_bytes == size_bytes:
            (stage,) = drive.rglob("*.moving")
            data = bytearray(stage.read_bytes())
            data[100] ^= 1
            stage.write_bytes(data)

    with pytest.raises(ChecksumError, match="is not what was read"):
        move(plan, listen=spoil)
    assert snapshot(root) == before
    assert list(drive.iterdir()) == []


def test_when_one_file_cannot_get_its_name_none_has_it(root: Path, drive: Path) -> None:
    fetched_set(root)
    plan = far_plan(root, drive)
    before = snapshot(root)
    last = plan.files[-1].target

    def block(done_bytes: int) -> None:
        if done_bytes == plan.work_bytes:
            (last / "in the way").mkdir(parents=True)

    with pytest.raises(DiskError):
        move(plan, listen=block)
    assert snapshot(root) == before
    assert files_below(drive) == []


def test_when_one_file_cannot_be_renamed_all_go_back(root: Path, tmp_path: Path) -> None:
    fetched_set(root)
    before = files_below(root)
    (tmp_path / "other").mkdir()
    plan = plan_move(entry_of(root), tmp_path / "other")
    # A file where the folder of the records should be.
    put(plan.files[-1].target.parent / ".fathom", b"")
    with pytest.raises(DiskError):
        move(plan)
    assert files_below(root) == before
    assert len(files_below(tmp_path / "other")) == 1


def test_a_source_that_cannot_be_removed_is_said(root: Path, drive: Path) -> None:
    path = fetched(root, "a.gguf", content(1))
    plan = far_plan(root, drive)

    def swap(done_bytes: int) -> None:
        # What cannot be unlinked, also by root: a folder.
        if done_bytes == plan.work_bytes:
            path.unlink()
            path.mkdir()

    with pytest.raises(DiskError, match="cannot be removed") as caught:
        move(plan, listen=swap)
    assert str(path) in caught.value.details
    assert (drive / REPOSITORY / "a.gguf").read_bytes() == content(1)


# --- what is refused ----------------------------------------------------------------------------


def test_too_little_room_is_said_before(root: Path, drive: Path) -> None:
    fetched(root, "a.gguf", content(1))
    with pytest.raises(DiskFullError) as caught:
        plan_move(entry_of(root), drive, reserve_bytes=10**18)
    assert caught.value.missing_bytes > 10**17


def test_fat_cannot_hold_long_files(root: Path, drive: Path) -> None:
    # A sparse file: 4 GiB long, nothing on the disk.
    path = put(root / "long.gguf", b"")
    with path.open("r+b") as file:
        file.truncate(2**32)
    volumes = Volumes(lambda: [Mount("/"), Mount(str(drive), "vfat")])
    with pytest.raises(DiskError, match="cannot hold a file as large"):
        plan_move(entry_of(root), drive, volumes=volumes, reserve_bytes=0)


def test_what_is_in_the_way_is_not_written_over(root: Path, tmp_path: Path) -> None:
    fetched(root, "a.gguf", content(1))
    entry = entry_of(root)
    other = tmp_path / "other"
    there = put(other / REPOSITORY / "a.gguf", content(2))
    with pytest.raises(LibraryError, match="There is a file called"):
        plan_move(entry, other)
    there.unlink()
    plan = plan_move(entry, other)
    there.symlink_to(tmp_path / "nowhere")
    with pytest.raises(LibraryError, match="There is a file called"):
        move(plan)
    with pytest.raises(LibraryError, match="is there already"):
        plan_move(entry, root)
    assert entry.path.exists()


def test_a_link_does_not_lead_out_of_the_new_folder(root: Path, tmp_path: Path) -> None:
    fetched(root, "a.gguf", content(1))
    (tmp_path / "other").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "other" / "someone").symlink_to(tmp_path / "outside")
    with pytest.raises(LibraryError, match="leads out of"):
        plan_move(entry_of(root), tmp_path / "other")


def test_other_refusals(root: Path, tmp_path: Path) -> None:
    path = fetched(root, "M-00001-of-00002.gguf", content(1))
    entry = entry_of(root)
    with pytest.raises(DiskError, match="is not there"):
        plan_move(entry, tmp_path / "gone")
    with pytest.raises(LibraryError, match="Hugging Face"):
        plan_move(replace(entry, is_read_only=True, source="huggingface"), tmp_path)
    put(part_path(path.with_name("M-00002-of-00002.gguf")), b"half")
    with pytest.raises(LibraryError, match="not complete"):
        plan_move(entry, tmp_path)
    assert read_record(path) is not None
    assert record_path(path).exists()


def test_what_changed_since_the_plan_is_not_moved(root: Path, tmp_path: Path) -> None:
    path = put(root / "a.gguf", content(1))
    plan = plan_move(entry_of(root), tmp_path)
    path.write_bytes(b"longer" * 9999)
    with pytest.raises(LibraryError, match="has changed since"):
        move(plan)
    assert path.exists()
