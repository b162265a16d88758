"""freedesktop.org's trash specification: which folder, what is written into it, nothing copied."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from helpers.library_samples import put
from models.library.trash import FreedesktopTrash, Trash, find_trash
from models.library.volumes import Mount, Volumes

pytestmark = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="the trash of freedesktop.org"
)


def trash_for(path: Path, home: Path, *mounts: Path, **environ: str) -> Trash | None:
    points = [Mount("/"), *(Mount(str(mount)) for mount in mounts)]
    return find_trash(path, environ=environ, home=home, volumes=Volumes(lambda: points))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A folder that counts as the top of another drive."""
    (tmp_path / "drive").mkdir()
    return tmp_path / "drive"


def test_the_home_trash_takes_what_is_on_its_drive(home: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "a.gguf", b"x")
    assert trash_for(path, home) == FreedesktopTrash(home / ".local" / "share" / "Trash")
    chosen = trash_for(path, home, XDG_DATA_HOME=str(tmp_path / "data"))
    assert chosen == FreedesktopTrash(tmp_path / "data" / "Trash")
    # A relative one is invalid, by the base directory specification.
    assert trash_for(path, home, XDG_DATA_HOME="data") == trash_for(path, home)
    assert not (home / ".local").exists()


def test_another_drive_has_a_trash_of_its_own(home: Path, drive: Path) -> None:
    path = put(drive / "models" / "a.gguf", b"x")
    single = FreedesktopTrash(drive / f".Trash-{os.getuid()}", drive)
    assert trash_for(path, home, drive) == single
    # An administrator's trash for all counts when it is sticky, and no link.
    shared = drive / ".Trash"
    shared.mkdir(mode=0o777)
    assert trash_for(path, home, drive) == single
    shared.chmod(0o1777)
    assert trash_for(path, home, drive) == FreedesktopTrash(shared / str(os.getuid()), drive)
    shared.rename(drive / "real")
    shared.symlink_to(drive / "real")
    assert trash_for(path, home, drive) == single


def test_a_trash_that_cannot_be_used_is_none(home: Path, drive: Path, tmp_path: Path) -> None:
    path = put(drive / "a.gguf", b"x")
    place = drive / f".Trash-{os.getuid()}"
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    assert trash_for(path, home, drive) is None
    place.unlink()
    put(place / "files", b"no folder")
    assert trash_for(path, home, drive) is None


@pytest.mark.parametrize(
    "name", ["a.gguf", "with space & ümlaut.gguf", "100%.gguf", os.fsdecode(b"\xff.gguf")]
)
def test_a_note_says_where_the_file_was_and_when(home: Path, drive: Path, name: str) -> None:
    path = put(drive / "models" / name, b"weights")
    trash = trash_for(path, home, drive)
    assert trash is not None
    trash.put(path)
    folder = drive / f".Trash-{os.getuid()}"
    assert not path.exists()
    assert (folder / "files" / name).read_bytes() == b"weights"
    assert folder.stat().st_mode & 0o777 == 0o700
    lines = (folder / "info" / f"{name}.trashinfo").read_text().splitlines()
    assert lines[0] == "[Trash Info]"
    key, _, value = lines[1].partition("=")
    assert (key, unquote(value, errors="surrogateescape")) == ("Path", f"models/{name}")
    key, _, value = lines[2].partition("=")
    age = dt.datetime.now() - dt.datetime.fromisoformat(value)
    assert key == "DeletionDate"
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=5)


def test_files_of_one_name_do_not_meet_in_the_trash(home: Path, tmp_path: Path) -> None:
    for number in range(3):
        path = put(tmp_path / str(number) / "a.gguf", bytes([number]))
        trash = trash_for(path, home)
        assert trash is not None
        trash.put(path)
    files = home / ".local" / "share" / "Trash" / "files"
    contents = {path.name: path.read_bytes() for path in files.iterdir()}
    assert contents == {"a.gguf": b"\0", "a.2.gguf": b"\1", "a.3.gguf": b"\2"}
    notes = {path.name for path in (files.parent / "info").iterdir()}
    assert notes == {f"{name}.trashinfo" for name in contents}


def test_a_file_in_the_trash_without_a_note_is_not_written_over(home: Path, tmp_path: Path) -> None:
    orphan = put(home / "Trash" / "files" / "a.gguf", b"somebody's")
    FreedesktopTrash(home / "Trash").put(put(tmp_path / "a.gguf", b"mine"))
    assert orphan.read_bytes() == b"somebody's"
    assert (orphan.parent / "a.2.gguf").read_bytes() == b"mine"


def test_what_cannot_be_renamed_stays_and_leaves_no_note(home: Path, tmp_path: Path) -> None:
    trash = FreedesktopTrash(home / "Trash")
    with pytest.raises(OSError, match="gone"):
        trash.put(tmp_path / "gone.gguf")
    assert list((home / "Trash" / "info").iterdir()) == []
