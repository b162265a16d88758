"""The key that programs show: one file, for its owner only."""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path

import pytest

from models.api.key import KEY_FILE, load_or_make_key, make_new_key
from models.errors import DiskError, ServerKeyError

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")


def test_it_is_made_once_and_stays(tmp_path: Path) -> None:
    key = load_or_make_key(tmp_path / "data")
    assert re.fullmatch(r"fathom-[A-Za-z0-9_-]{43}", key)
    assert load_or_make_key(tmp_path / "data") == key
    assert (tmp_path / "data" / KEY_FILE).read_text() == key
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE]


def test_no_two_are_alike(tmp_path: Path) -> None:
    keys = {load_or_make_key(tmp_path / str(number)) for number in range(20)}
    assert len(keys) == 20


def test_a_new_one_takes_its_place(tmp_path: Path) -> None:
    old = load_or_make_key(tmp_path)
    new = make_new_key(tmp_path)
    assert new != old
    assert load_or_make_key(tmp_path) == new


@POSIX
def test_only_its_owner_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_or_make_key(tmp_path / "a")
        make_new_key(tmp_path / "b")
    finally:
        os.umask(before)
    for folder in ("a", "b"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
        assert (tmp_path / folder / KEY_FILE).stat().st_mode & 0o777 == 0o600


@POSIX
def test_one_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    key = load_or_make_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    assert load_or_make_key(tmp_path) == key
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files to others"
)
def test_one_that_somebody_else_put_there_is_not_believed(tmp_path: Path) -> None:
    key = load_or_make_key(tmp_path)
    os.chown(tmp_path / KEY_FILE, 54_321, -1)
    with pytest.raises(ServerKeyError, match="another user") as caught:
        load_or_make_key(tmp_path)
    assert "--new-key" in caught.value.hint
    new = make_new_key(tmp_path)
    assert new != key
    assert load_or_make_key(tmp_path) == new


def test_a_line_end_that_an_editor_added_does_no_harm(tmp_path: Path) -> None:
    key = load_or_make_key(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(key.encode() + b"\r\n")
    assert load_or_make_key(tmp_path) == key


@pytest.mark.parametrize(
    "data",
    [b"", b"fathom-short", b"\xff" * 50, b"fathom-" + b"a" * 44, b"x" * 100_000, b"\0" * 50],
    ids=["empty", "short", "not text", "long", "very long", "zeros"],
)
def test_a_damaged_one_is_said_and_not_replaced_by_itself(tmp_path: Path, data: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(data)
    with pytest.raises(ServerKeyError, match="damaged") as caught:
        load_or_make_key(tmp_path)
    assert "--new-key" in caught.value.hint
    assert (tmp_path / KEY_FILE).read_bytes() == data
    key = make_new_key(tmp_path)
    assert load_or_make_key(tmp_path) == key


@POSIX
def test_a_pipe_in_its_place_keeps_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / KEY_FILE)
    with pytest.raises(ServerKeyError):
        load_or_make_key(tmp_path)


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises((DiskError, ServerKeyError)):
        load_or_make_key(tmp_path)
    with pytest.raises(DiskError):
        make_new_key(tmp_path)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DiskError):
            load_or_make_key(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_who_makes_the_first_one_at_once_gets_the_same(tmp_path: Path) -> None:
    keys: list[str] = []
    gate = threading.Barrier(8)

    def make() -> None:
        gate.wait()
        keys.append(load_or_make_key(tmp_path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
