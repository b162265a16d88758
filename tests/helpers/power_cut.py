"""A disk that only keeps what was synchronised: copies of a folder as a power cut would leave it.

While it watches, it sees every ``fsync`` and ``fdatasync`` of this process and takes two copies:
one where names are as late as the content (a name counts once its folder was synchronised), and
one where names are there at once and their content is zeros until it was synchronised, which is
what file systems with a journal for names only do.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class LeftFile:
    """A file after the cut."""

    data: bytes
    modified_ns: int


@dataclass(frozen=True)
class Left:
    """A folder after the cut."""

    moment: str
    files: dict[str, LeftFile]

    def lay_out(self, folder: Path) -> None:
        """Write it into an empty folder."""
        for name, file in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.data)
            os.utime(path, ns=(file.modified_ns, file.modified_ns))


class Disk:
    """What is safe of one folder; watches from its making on."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.copies: list[Left] = []
        self._root = root
        self._lock = threading.Lock()
        self._data: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._synchronising(getattr(os, name)))
        monkeypatch.setattr(os, "replace", self._renaming(os.replace))
        monkeypatch.setattr(os, "rename", self._renaming(os.rename))

    def _synchronising(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def synchronise(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if not path.is_relative_to(self._root):
                real(handle)
                return
            facts = os.fstat(handle)
            if stat.S_ISDIR(facts.st_mode):
                real(handle)
                with self._lock:
                    self._names[path] = _inodes(path)
                    self._copy(f"folder {path.name}")
                return
            # As it is now: what is written during the call need not be in it.
            data = path.read_bytes() if path.exists() else b""
            real(handle)
            with self._lock:
                self._data[facts.st_ino] = data
                self._copy(f"file {path.name}")

        return synchronise

    def _renaming(self, real: Callable[..., None]) -> Callable[..., None]:
        def rename(source: str | Path, target: str | Path, **options: int) -> None:
            with self._lock:
                if os.path.lexists(target):
                    # Its number may be given to a new file, whose content is not safe yet.
                    self._data.pop(os.lstat(target).st_ino, None)
                real(source, target, **options)

        return rename

    def _copy(self, moment: str) -> None:
        early, late = {}, {}
        for folder in [self._root, *(p for p in self._root.rglob("*") if p.is_dir())]:
            for name, inode in _inodes(folder).items():
                path = folder / name
                try:
                    facts = path.stat()
                except FileNotFoundError:
                    continue
                data = self._data.get(inode, bytes(facts.st_size))
                early[str(path.relative_to(self._root))] = LeftFile(data, facts.st_mtime_ns)
            for name, inode in self._names.get(folder, {}).items():
                path = folder / name
                if inode in self._data:
                    modified_ns = path.stat().st_mtime_ns if path.exists() else 0
                    left = LeftFile(self._data[inode], modified_ns)
                    late[str(path.relative_to(self._root))] = left
        self.copies += [Left(f"{moment}, early", early), Left(f"{moment}, late", late)]


def _inodes(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.inode() for entry in entries if entry.is_file()}
