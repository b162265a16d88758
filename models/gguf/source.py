"""Where the bytes of a GGUF file come from: a file, or its start in memory. No Qt here."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol, Self

from models.errors import CheckpointNotFoundError, CheckpointUnreadableError, FathomError


class ByteSource(Protocol):
    """Random access to bytes that somebody else wrote."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on; fewer only at the end."""


class FileSource:
    """A regular file, opened for as long as the ``with`` block runs.

    Raises:
        CheckpointNotFoundError: there is nothing, or a folder.
        CheckpointUnreadableError: it is no regular file, or the system refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # A pipe or a device would block in open.
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                raise _not_a_file(path, mode)
            self._file = path.open("rb", buffering=0)
            self._size_bytes = os.fstat(self._file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise _translated(path, error) from error

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self._path.name

    @property
    def size_bytes(self) -> int:
        """The file's size when it was opened."""
        return self._size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on; fewer only at the end.

        Raises:
            CheckpointUnreadableError: the disk fails.
        """
        parts: list[bytes] = []
        try:
            self._file.seek(offset)
            while size > 0:
                part = self._file.read(size)
                if not part:
                    break
                parts.append(part)
                size -= len(part)
        except OSError as error:
            raise _translated(self._path, error) from error
        return b"".join(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()


class BytesSource:
    """Bytes in memory, as the start of a file that is still elsewhere.

    ``size_bytes`` may be larger than what is there: reads then end early.
    """

    def __init__(self, data: bytes, *, name: str = "data", size_bytes: int | None = None) -> None:
        self._data = data
        self._name = name
        self._size_bytes = len(data) if size_bytes is None else size_bytes

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """How many bytes the whole has."""
        return self._size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on; fewer only at the end."""
        return self._data[offset : offset + size]


def _translated(path: Path, error: Exception) -> FathomError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return CheckpointNotFoundError(f"There is no file {path}.")
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CheckpointUnreadableError(
        f"{path} cannot be read ({words}).", hint="Check its permissions and its disk."
    )


def _not_a_file(path: Path, mode: int) -> FathomError:
    if stat.S_ISDIR(mode):
        return CheckpointNotFoundError(f"{path} is a folder.", hint="Choose a GGUF file in it.")
    return CheckpointUnreadableError(f"{path} is not a regular file.")
