"""A small file is there whole or as it was before, and only for its owner."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from models.whole_files import sync_folder, write_whole


@pytest.mark.parametrize("to_disk", [False, True])
def test_it_takes_the_place_of_the_old_one(tmp_path: Path, to_disk: bool) -> None:
    file = tmp_path / "settings.toml"
    for data in (b"old", b"", b"new\r\n\x00"):
        write_whole(file, data, to_disk=to_disk)
        assert file.read_bytes() == data
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_others_cannot_read_it_whatever_the_old_one_was(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.touch(0o666)
    before = os.umask(0)
    try:
        write_whole(file, b"mine")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    file = tmp_path / "file"
    file.symlink_to(other)
    write_whole(file, b"mine")
    assert (file.is_symlink(), file.read_bytes(), other.read_bytes()) == (False, b"mine", b"other")


def test_what_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.mkdir()
    (file / "inside").touch()
    with pytest.raises(OSError, match="file"):
        write_whole(file, b"mine")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "inside"]
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "not there" / "file", b"mine")


def test_a_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write_whole(file, b"old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"new", to_disk=True)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not synchronised there")
@pytest.mark.parametrize(("number", "is_passed_over"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_drive_that_cannot_sync_folders_is_no_failure_and_one_that_fails_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_passed_over: bool
) -> None:
    def fail(_handle: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fail)
    if is_passed_over:
        sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="no"):
            sync_folder(tmp_path)
