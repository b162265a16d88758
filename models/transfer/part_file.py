"""A file that is being fetched: ``<target>.part``, locked, written at any place. No Qt here."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from models.errors import DiskError, DownloadBusyError, StoppedError
from models.file_locks import try_lock, unlock
from models.stopping import POLL_S, Stop, check_stop
from models.transfer.allocation import allocate
from models.transfer.disk import disk_failure, translated
from models.whole_files import sync_folder

SUFFIX = ".part"

_MODE = 0o644


def part_path(target: Path) -> Path:
    """Return where a file lies until it is complete."""
    return target.with_name(target.name + SUFFIX)


class PartFile:
    """An open ``.part``; made by ``open_part``. Every method may be called from any thread.

    A thread that hangs in the disk may outlive the transfer: the file is closed when the last of
    those who use it is done, and nobody begins to use it after ``close``.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self._lock = threading.Lock()
        self._users = 0
        self._is_closed = False
        self._place = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Its length now."""
        with self._used() as handle:
            return os.fstat(handle).st_size

    def reserve(self, size_bytes: int, *, allocates: bool, stop: Stop) -> None:
        """Give it its length, and the disk space for it.

        Raises:
            DiskFullError, DiskError, StoppedError.
        """
        with self._used() as handle:
            allocate(handle, self.path, size_bytes, allocates=allocates, stop=stop)

    def empty(self) -> None:
        """Throw its content away."""
        with self._used() as handle:
            os.ftruncate(handle, 0)

    def write(self, data: bytes, offset: int) -> None:
        """Write bytes to their place.

        Raises:
            DiskFullError, DiskError; StoppedError: it is closed.
        """
        # Called for every piece that comes over the line: no context managers here.
        handle = self._enter()
        try:
            if sys.platform == "win32":
                with self._place:
                    os.lseek(handle, offset, os.SEEK_SET)
                    _write_all(handle, data)
                return
            done = os.pwrite(handle, data, offset)
            while done < len(data):
                done += os.pwrite(handle, data[done:], offset + done)
        except OSError as error:
            raise disk_failure(error, self.path, needed_bytes=len(data)) from error
        finally:
            self._leave()

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from their place, fewer only at the end.

        Raises:
            DiskError; StoppedError: it is closed.
        """
        with self._used() as handle:
            if sys.platform == "win32":
                with self._place:
                    os.lseek(handle, offset, os.SEEK_SET)
                    return os.read(handle, size_bytes)
            return os.pread(handle, size_bytes, offset)

    def sync(self) -> None:
        """Return when what was written survives a power cut.

        Raises:
            DiskFullError, DiskError; StoppedError: it is closed.
        """
        with self._used() as handle:
            if sys.platform == "linux":
                os.fdatasync(handle)
            else:
                os.fsync(handle)

    def publish(self, target: Path) -> None:
        """Give it its final name, in the place of whatever has it now, and close it.

        Raises:
            DiskError.
        """
        if sys.platform == "win32":
            # No open file can be renamed there; so the lock is gone a moment before.
            self.close()
        with translated(target):
            self.path.replace(target)
            sync_folder(target.parent)
        self.close()

    def remove(self) -> None:
        """Remove it, if it is still there, and close it.

        Raises:
            DiskError.
        """
        if sys.platform == "win32":
            # No open file can be removed there either.
            self.close()
        with translated(self.path):
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close it and let others have it; what is in use is closed when it is not any more."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            is_used = bool(self._users)
        unlock(self._handle)
        if not is_used:
            os.close(self._handle)

    @contextlib.contextmanager
    def _used(self) -> Iterator[int]:
        handle = self._enter()
        try:
            with translated(self.path):
                yield handle
        finally:
            self._leave()

    def _enter(self) -> int:
        with self._lock:
            if self._is_closed:
                raise StoppedError
            self._users += 1
        return self._handle

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            is_last = self._is_closed and not self._users
        if is_last:
            os.close(self._handle)


def open_part(target: Path, *, lock_s: float, stop: Stop) -> PartFile:
    """Open the ``.part`` of a file, made empty if there is none, and lock it.

    Args:
        target: its final name.
        lock_s: how long another one that has it is waited for.

    Raises:
        DownloadBusyError: another process, or transfer, fetches the same file.
        DiskFullError, DiskError: it cannot be made, or is no plain file.
        StoppedError: ``stop`` said so.
    """
    path = part_path(target)
    end = time.monotonic() + lock_s
    with translated(path):
        target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        check_stop(stop)
        with translated(path):
            handle = _opened(path)
            if handle is not None:
                return PartFile(path, handle)
        if time.monotonic() > end:
            raise DownloadBusyError(
                f"{target.name} is being fetched already.",
                hint="Perhaps by another Fathom; let it finish, or stop it.",
            )
        time.sleep(POLL_S)


def _opened(path: Path) -> int | None:
    """Return a locked handle, None when somebody else has the lock."""
    flags = os.O_RDWR | os.O_CREAT
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"):
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags, _MODE)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise DiskError(
                f"{path} is no plain file.", hint="Remove it, or choose another folder."
            )
        if try_lock(handle) and _is_still(path, handle):
            return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _is_still(path: Path, handle: int) -> bool:
    """Whether the name still leads to the open file: who had the lock may have renamed it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
