"""Finds GGUF files below a folder: links followed once, sets of shards as one. No Qt here."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.gguf.shards import parse_shard_name

MAX_DEPTH = 12
MAX_FILES = 20_000

_SUFFIX = ".gguf"
_PROJECTOR = "mmproj"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint on disk, by its file names alone.

    Attributes:
        stem: its name without shard number and suffix.
        path: its first file that is there.
        size_bytes: of all its files that are there.
        missing: how many of its shards are not there.
        shards: how many files it has.
        files: those that are there, in their order.
        identities: of those files on their drives, whatever name leads to them.
    """

    stem: str
    path: Path
    size_bytes: int
    missing: int
    shards: int
    files: tuple[Path, ...] = ()
    identities: frozenset[tuple[int, int]] = frozenset()

    def unfinished(self) -> list[Path]:
        """Return where a download would leave the shards that are missing; none may be there."""
        name = parse_shard_name(self.path.name)
        if name is None:
            return []
        siblings = (self.path.with_name(name.sibling(n)) for n in range(1, name.count + 1))
        present = set(self.files)
        return [path.with_name(path.name + ".part") for path in siblings if path not in present]


@dataclass(frozen=True)
class _File:
    path: Path
    size_bytes: int
    identity: tuple[int, int]


class Scan:
    """One pass over all roots; a folder or file that two links lead to is counted once."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._files_left = MAX_FILES

    def run(self, root: Path) -> list[FoundCheckpoint]:
        """Return what lies below ``root``, in the order of the names; nothing when it is absent.

        A root may also be a file: the checkpoint that it belongs to.
        """
        files = self._set_of(root) if root.is_file() else self._files(root, MAX_DEPTH)
        return _grouped(list(files))

    def _set_of(self, path: Path) -> Iterator[_File]:
        try:
            for file in _parts(path):
                if not self._was_seen(file.identity):
                    yield file
        except OSError as error:
            _log.info("File left out of the library: %s", error)

    def _files(self, folder: Path, depth: int) -> Iterator[_File]:
        folders: list[Path] = []
        for entry in self._entries(folder):
            if entry.name.startswith("."):
                continue
            is_folder, file = self._look_at(entry)
            if is_folder:
                folders.append(folder / entry.name)
            elif file is not None:
                yield file
        if depth > 0:
            for inner in folders:
                yield from self._files(inner, depth - 1)

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            if self._was_seen(_identity(folder.stat())):
                return []
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            # A drive that is not plugged in, or somebody else's folder: the rest is still shown.
            _log.info("Folder left out of the library: %s", error)
            return []

    def _look_at(self, entry: os.DirEntry[str]) -> tuple[bool, _File | None]:
        """Return whether the entry is a folder, and the checkpoint file when it is one."""
        try:
            if entry.is_dir():
                return True, None
            if not _is_checkpoint_name(entry.name) or not entry.is_file():
                return False, None
            status = os.stat(entry.path)  # noqa: PTH116 - on Windows DirEntry.stat has no inode
        except OSError as error:
            _log.info("File left out of the library: %s", error)
            return False, None
        if self._was_seen(_identity(status)) or self._files_left == 0:
            return False, None
        self._files_left -= 1
        return False, _file(Path(entry.path), status)

    def _was_seen(self, identity: tuple[int, int]) -> bool:
        seen = identity in self._seen
        self._seen.add(identity)
        return seen


def describe_file(path: Path) -> FoundCheckpoint:
    """Return the checkpoint that ``path`` belongs to, with the other shards of its folder.

    Raises:
        OSError: the system refuses to look.
    """
    return _grouped(_parts(path))[0]


def _parts(path: Path) -> list[_File]:
    parts = [path]
    if parse_shard_name(path.name) is not None:
        parts = [part for part in path.parent.iterdir() if _same_set(part, path)]
    return [_file(part, part.stat()) for part in parts]


def _file(path: Path, status: os.stat_result) -> _File:
    return _File(path, status.st_size, _identity(status))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _same_set(one: Path, other: Path) -> bool:
    mine, theirs = parse_shard_name(one.name), parse_shard_name(other.name)
    if mine is None or theirs is None:
        return False
    return (mine.stem, mine.count) == (theirs.stem, theirs.count)


def _is_checkpoint_name(name: str) -> bool:
    lower = name.lower()
    return lower.endswith(_SUFFIX) and _PROJECTOR not in lower


def _grouped(files: list[_File]) -> list[FoundCheckpoint]:
    groups: dict[tuple[Path, str, int], list[_File]] = {}
    for file in files:
        shard = parse_shard_name(file.path.name)
        stem, count = (shard.stem, shard.count) if shard else (file.path.stem, 1)
        groups.setdefault((file.path.parent, stem, count), []).append(file)
    return [
        FoundCheckpoint(
            stem,
            min(file.path for file in group),
            sum(file.size_bytes for file in group),
            count - len(group),
            count,
            tuple(sorted(file.path for file in group)),
            frozenset(file.identity for file in group),
        )
        for (_, stem, count), group in groups.items()
    ]
