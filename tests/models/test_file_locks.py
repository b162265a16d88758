"""Locks between handles and between processes, on whatever system the tests run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.file_locks import try_lock, unlock

Open = Callable[[Path], int]


@pytest.fixture
def opened() -> Iterator[Open]:
    """A function that opens a file; it is closed afterwards."""
    handles: list[int] = []

    def open_(path: Path) -> int:
        handles.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        return handles[-1]

    yield open_
    for handle in handles:
        os.close(handle)


def test_a_lock_is_one_handle_s_alone_until_it_is_given_back(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "file"
    first, second = opened(path), opened(path)
    assert try_lock(first)
    assert not try_lock(second)
    unlock(first)
    assert try_lock(second)


def test_closing_gives_it_back(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "file"
    first = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    assert try_lock(first)
    os.close(first)
    assert try_lock(opened(path))


def test_whoever_reads_is_not_kept_from_it(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    handle = opened(path)
    assert try_lock(handle)
    assert path.read_bytes() == b"content"
    # Where it is read and written from is as before.
    assert os.read(handle, 7) == b"content"


def test_another_process_is_told(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "file"
    assert try_lock(opened(path))
    code = (
        "import os, sys; from models.file_locks import try_lock;"
        "print(try_lock(os.open(sys.argv[1], os.O_RDWR)))"
    )
    command = [sys.executable, "-c", code, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
