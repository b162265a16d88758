"""Deleting: planned, shown, and nothing but what was shown; into the trash where there is one."""

from __future__ import annotations

import sys
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
from models.errors import DownloadBusyError, LibraryError, StoppedError
from models.library.deletion import delete, plan_deletion
from models.library.demo import find_demo
from models.library.library import Library
from models.library.trash import FreedesktopTrash
from models.stopping import never
from models.transfer.part_file import open_part, part_path
from models.transfer.record import record_path

pytestmark = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="the trash of freedesktop.org"
)


@pytest.fixture
def root(private_home: Path) -> Path:
    """A folder of the library on the drive of the home folder, and of its trash."""
    folder = private_home / "models"
    folder.mkdir()
    return folder


def trash_of(home: Path) -> Path:
    return home / ".local" / "share" / "Trash"


def test_a_set_goes_to_the_trash_as_planned(root: Path, private_home: Path) -> None:
    paths = fetched_set(root)
    plan = plan_deletion(entry_of(root))
    assert plan.goes_to_trash
    assert plan.files == paths
    assert set(plan.leftovers) == {record_path(path) for path in paths}
    assert plan.size_bytes >= sum(path.stat().st_size for path in paths)
    assert plan.warnings == ("The space becomes free when the trash is emptied.",)
    assert all(path.exists() for path in paths)
    result = delete(plan)
    assert (result.freed_bytes, result.went_to_trash) == (0, True)
    assert set(result.deleted) == {*paths, *plan.leftovers}
    # Nothing is left, not even the folders; the library's own folder stays.
    assert list(root.iterdir()) == []
    in_trash = sorted((trash_of(private_home) / "files").iterdir())
    assert [path.name for path in in_trash] == [path.name for path in paths]
    assert [path.read_bytes() for path in in_trash] == [content(n) for n in range(3)]
    notes = [path.read_text() for path in sorted((trash_of(private_home) / "info").iterdir())]
    assert all(note.startswith("[Trash Info]\nPath=/") for note in notes)
    assert all(f"{path}\n" in note for path, note in zip(paths, notes, strict=True))


def test_without_a_trash_it_is_said_before_and_the_room_is_free(
    root: Path, private_home: Path
) -> None:
    path = fetched(root, "a.gguf", content(1))
    # A plain file in the place of the trash, and no way to make one at the mount point.
    put(trash_of(private_home), b"")
    plan = plan_deletion(entry_of(root))
    if plan.goes_to_trash:
        assert isinstance(plan.trash, FreedesktopTrash)
        assert plan.trash.folder.parent != trash_of(private_home).parent
        plan = plan_deletion(entry_of(root), for_good=True)
        assert plan.warnings == ("The files are deleted for good.",)
    else:
        assert plan.warnings[0].startswith("There is no trash on this drive")
    assert plan.frees_bytes >= path.stat().st_size
    result = delete(plan)
    assert (result.went_to_trash, result.freed_bytes) == (False, plan.frees_bytes)
    assert list(root.iterdir()) == []


def test_on_another_drive_the_trash_is_that_drive_s(root: Path) -> None:
    with other_drive(root) as drive:
        if drive is None:
            pytest.skip("one drive only")
        fetched(drive, "a.gguf", content(1))
        plan = plan_deletion(entry_of(drive))
        # The top of the drive is not ours to write to, or it has a trash of its own.
        if isinstance(plan.trash, FreedesktopTrash):
            assert plan.trash.top is not None
            assert drive.is_relative_to(plan.trash.top)
        else:
            assert plan.trash is None
        delete(replace(plan, trash=None, goes_to_trash=False))


def test_texts_go_with_the_last_checkpoint_of_their_repository(root: Path) -> None:
    fetched(root, "Model-Q4_K_M.gguf", content(1))
    fetched(root, "Model-Q8_0.gguf", content(2))
    readme = fetched(root, "README.md", b"# Model")
    own = put(root / REPOSITORY / "notes.txt", b"mine")
    first, second = Library([root], None).entries()
    plan = plan_deletion(first, for_good=True)
    assert readme not in plan.files
    delete(plan)
    plan = plan_deletion(second, for_good=True)
    assert plan.files == (second.path, readme)
    delete(plan)
    # What the user put there stays, and so does its folder.
    assert [path for path in root.rglob("*") if path.is_file()] == [own]


def test_what_an_unfinished_download_left_goes_along(root: Path) -> None:
    paths = fetched_set(root)
    paths[2].unlink()
    part = put(part_path(paths[2]), b"half")
    sidecar = put(paths[2].with_name(paths[2].name + ".part.json"), b"{}")
    entry = entry_of(root)
    plan = plan_deletion(entry)
    assert {part, sidecar} < set(plan.leftovers)
    assert "What an unfinished download of it left is deleted for good." in plan.warnings
    held = open_part(paths[2], lock_s=0.0, stop=never)
    try:
        with pytest.raises(DownloadBusyError):
            plan_deletion(entry)
        with pytest.raises(DownloadBusyError):
            delete(plan)
    finally:
        held.close()
    delete(plan)
    assert list(root.iterdir()) == []


def test_an_added_file_warns_that_nobody_knows_where_it_is_from(root: Path) -> None:
    path = put(root / "a.gguf", content(1))
    path.with_name("b").hardlink_to(path)
    plan = plan_deletion(entry_of(root))
    assert any("does not know where it is from" in warning for warning in plan.warnings)
    assert any("another name" in warning for warning in plan.warnings)
    assert plan.frees_bytes == 0


def test_a_file_that_was_added_alone_can_be_deleted(root: Path) -> None:
    path = put(root / "a.gguf", content(1))
    beside = put(root / "b.gguf", content(2))
    library = Library([path], None)
    delete(plan_deletion(only_entry(library), for_good=True))
    assert library.entries() == ()
    assert beside.exists()


# --- what is refused ---------------------------------------------------------------------------


def test_links_are_left_alone(root: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "a.gguf", content(1))
    (root / "linked.gguf").symlink_to(outside)
    before = snapshot(tmp_path)
    with pytest.raises(LibraryError, match="is a link") as caught:
        plan_deletion(entry_of(root))
    assert str(outside) in caught.value.hint
    (root / "linked.gguf").unlink()
    (root / "folder").symlink_to(outside.parent)
    with pytest.raises(LibraryError, match="outside the library"):
        plan_deletion(entry_of(root))
    assert snapshot(tmp_path) == before


def test_a_root_that_is_itself_a_link_is_no_obstacle(root: Path, tmp_path: Path) -> None:
    path = fetched(root, "a.gguf", content(1))
    (tmp_path / "way").symlink_to(root)
    delete(plan_deletion(entry_of(tmp_path / "way"), for_good=True))
    assert not path.exists()


def test_what_is_not_the_user_s_is_refused(root: Path, tmp_path: Path) -> None:
    path = put(root / "a.gguf", content(1))
    entry = entry_of(root)
    demo = Library([], find_demo()).resolve("demo")
    cases = [
        (demo, "part of Fathom"),
        (replace(entry, is_read_only=True, source="ollama"), "belongs to Ollama"),
        (replace(entry, is_offline=True), "not there now"),
        (Library([], None).resolve(str(path)), "not in a folder of the library"),
        (replace(entry, root=tmp_path), "outside the library"),
        (replace(entry, path=root / "gone.gguf", files=()), "not there any more"),
        (replace(entry, path=root / ".." / "x" / "a.gguf", files=()), "not there any more"),
    ]
    for refused, words in cases:
        with pytest.raises(LibraryError, match=words):
            plan_deletion(refused)
    assert path.exists()
    assert demo.path.exists()


def test_what_changed_since_the_plan_is_not_deleted(root: Path) -> None:
    paths = fetched_set(root)
    plan = plan_deletion(entry_of(root))
    paths[1].unlink()
    put(paths[1], content(7))
    with pytest.raises(LibraryError, match="has changed since"):
        delete(plan)
    assert all(path.exists() for path in paths)
    paths[1].write_bytes(b"longer" * 9999)
    with pytest.raises(LibraryError, match="has changed since"):
        delete(plan)
    assert all(path.exists() for path in paths)


def test_a_stop_comes_before_the_first_file_or_not_at_all(root: Path) -> None:
    paths = fetched_set(root)
    plan = plan_deletion(entry_of(root), for_good=True)
    with pytest.raises(StoppedError):
        delete(plan, stop=lambda: True)
    assert all(path.exists() for path in paths)
    answers = iter([False, True, True, True])
    delete(plan, stop=lambda: next(answers))
    assert not any(path.exists() for path in paths)


def test_a_trash_that_refuses_deletes_nothing_for_good(root: Path, private_home: Path) -> None:
    paths = fetched_set(root)
    plan = plan_deletion(entry_of(root))
    # The trash breaks between the plan and the deed: a file where its folder should be.
    put(trash_of(private_home) / "info", b"")
    with pytest.raises(LibraryError, match="cannot be moved to the trash") as caught:
        delete(plan)
    assert all(path.exists() for path in paths)
    assert str(paths[0]) in caught.value.details
