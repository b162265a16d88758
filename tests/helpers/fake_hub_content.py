"""What files on the fake hub consist of: bytes, bytes made up on the way, or files on disk."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

# The hub keeps other files in git itself, and sends them without another server.
_LFS_SUFFIXES = (".gguf", ".bin", ".safetensors")
_LFS_BYTES = 10 * 1024 * 1024
_HASH_STEP = 1024 * 1024
# A larger file's digest is made up: nobody reads so much in a test.
_LARGEST_HASHED = 8 * 1024**3
_PATTERN_BYTES = 1024 * 1024
_INDEX_BYTES = 8


class Content(Protocol):
    """The bytes of a file; ``version`` tells contents of the same bytes apart."""

    size_bytes: int
    version: int

    @property
    def sha256(self) -> str:
        """Digest of the bytes, in hex; made up when the file is very large."""

    def part(self, first: int, last: int) -> bytes:
        """Return the bytes from ``first`` to ``last``."""


def is_lfs(path: str, content: Content) -> bool:
    """Whether the hub would keep a file outside of git."""
    return path.lower().endswith(_LFS_SUFFIXES) or content.size_bytes > _LFS_BYTES


def git_sha1(content: Content) -> str:
    """Return the name that git gives to a file's bytes."""
    digest = hashlib.sha1(f"blob {content.size_bytes}\0".encode(), usedforsecurity=False)
    if content.size_bytes:
        digest.update(content.part(0, content.size_bytes - 1))
    return digest.hexdigest()


def digest_of(content: Content) -> str:
    """Return the SHA-256 that lists and ETags have; another one for every version."""
    if content.version == 1:
        return content.sha256
    return hashlib.sha256(f"{content.sha256} {content.version}".encode()).hexdigest()


def etag_of(path: str, content: Content) -> str:
    """Return a strong ETag, as the hub makes them."""
    is_git = not is_lfs(path, content) and content.version == 1
    return f'"{git_sha1(content) if is_git else digest_of(content)}"'


def _hashed(content: Content) -> str:
    if content.size_bytes > _LARGEST_HASHED:
        return hashlib.sha256(f"made up {content.size_bytes}".encode()).hexdigest()
    digest = hashlib.sha256()
    for first in range(0, content.size_bytes, _HASH_STEP):
        digest.update(content.part(first, min(first + _HASH_STEP, content.size_bytes) - 1))
    return digest.hexdigest()


@dataclass
class RemoteFileContent:
    """Bytes in memory; ``size_bytes`` beyond the data is zeros that are never stored."""

    data: bytes
    size_bytes: int = 0
    version: int = 1
    _known: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.size_bytes = max(self.size_bytes, len(self.data))

    @property
    def sha256(self) -> str:
        """Digest of the bytes; the size may be changed by a test."""
        if self.size_bytes not in self._known:
            self._known[self.size_bytes] = _hashed(self)
        return self._known[self.size_bytes]

    def part(self, first: int, last: int) -> bytes:
        """Return the bytes from ``first`` to ``last``."""
        part = self.data[first : last + 1]
        return part + bytes(last + 1 - first - len(part))


@dataclass
class SparseContent:
    """Bytes that are made up on the way, other ones in every MiB: a file as large as you like."""

    size_bytes: int
    seed: int = 0
    version: int = 1

    @cached_property
    def sha256(self) -> str:
        """Digest of the bytes."""
        return _hashed(self)

    @cached_property
    def _pattern(self) -> bytes:
        return random.Random(self.seed).randbytes(_PATTERN_BYTES)

    def part(self, first: int, last: int) -> bytes:
        """Return the bytes from ``first`` to ``last``."""
        pieces = []
        at = first
        while at <= last:
            block, begin = divmod(at, _PATTERN_BYTES)
            end = min(_PATTERN_BYTES, begin + last + 1 - at)
            if begin < _INDEX_BYTES:
                head = block.to_bytes(_INDEX_BYTES, "little") + self._pattern[_INDEX_BYTES:end]
                pieces.append(head[begin:end])
            else:
                pieces.append(self._pattern[begin:end])
            at += end - begin
        return b"".join(pieces)


@dataclass
class FileContent:
    """A file on disk that does not change."""

    path: Path
    version: int = 1

    def __post_init__(self) -> None:
        self.size_bytes = self.path.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Digest of the bytes."""
        return _hashed(self)

    def part(self, first: int, last: int) -> bytes:
        """Return the bytes from ``first`` to ``last``."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(first)
            return file.read(last + 1 - first)

    def send(self, descriptor: int, first: int, size_bytes: int) -> int:
        """Let the system write a part into a socket; return how many bytes it took."""
        with self.path.open("rb", buffering=0) as file:
            return os.sendfile(descriptor, file.fileno(), first, size_bytes)
