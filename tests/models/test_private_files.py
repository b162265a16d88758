from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.log import configure
from models.private_files import make_private_folder, open_private

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_above_are_private_too_and_those_that_are_there_stay(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    make_private_folder(there / "a" / "b")
    make_private_folder(there / "a" / "b")
    assert [mode(path) for path in (there, there / "a", there / "a" / "b")] == [0o755, 0o700, 0o700]


def test_what_is_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_private_folder(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        make_private_folder(tmp_path / "file" / "below")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder of the system's own")
def test_a_folder_that_takes_none_is_an_error_and_not_asked_again_and_again() -> None:
    with pytest.raises(FileNotFoundError):
        make_private_folder(Path("/proc/fathom/log"))


def test_a_file_is_private_and_one_open_to_others_is_closed(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch(0o644)
    for path in (old, new):
        with open(path, "a", opener=open_private) as file:
            file.write("x")
        assert mode(path) == 0o600


def test_the_log_of_an_older_version_is_closed_to_others_also_when_it_is_full(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "fathom.log").touch(0o644)
    setup = configure(folder)
    handler = setup._handlers[0]
    handler.doRollover()  # type: ignore[attr-defined]
    setup.close()
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "fathom.log": 0o600,
        "fathom.log.1": 0o600,
    }
