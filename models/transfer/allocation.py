"""Disk space taken before the first byte. No Qt here."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

from models.stopping import Stop, check_stop
from models.transfer.disk import disk_full, free_bytes

# Between two looks whether to stop; slow file systems fill what they allocate with zeros.
_STEP_BYTES = 1024**3
# Files beyond this have no place on FAT32: seen at once rather than after 4 GiB.
_LARGE_BYTES = 2**32 - 1
_CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY)


def allocate(handle: int, path: Path, size_bytes: int, *, allocates: bool, stop: Stop) -> None:
    """Give an open file its length, and the space for it where the file system can do that.

    Args:
        path: of the file, for messages and the free space.
        allocates: whether the space is wanted at all; otherwise the file is sparse.

    Raises:
        DiskFullError: there is not enough room; nothing was taken then.
        OSError: the file system refuses.
        StoppedError: ``stop`` said so.
    """
    before = os.fstat(handle)
    if not allocates or sys.platform == "win32":
        # NTFS takes the space with the length.
        if before.st_size != size_bytes:
            os.ftruncate(handle, size_bytes)
        return
    needed_bytes = size_bytes - min(before.st_blocks * 512, size_bytes)
    free = free_bytes(path.parent)
    if free is not None and needed_bytes > free:
        raise disk_full(path, needed_bytes)
    if before.st_size > size_bytes or size_bytes > _LARGE_BYTES:
        os.ftruncate(handle, size_bytes)
    if needed_bytes:
        try:
            # macOS only knows "so much more".
            first = size_bytes - needed_bytes if sys.platform == "darwin" else 0
            _take_space(handle, first, size_bytes, stop)
        except BaseException:
            os.ftruncate(handle, before.st_size)
            raise
    if os.fstat(handle).st_size != size_bytes:
        os.ftruncate(handle, size_bytes)


def _take_space(handle: int, start: int, size_bytes: int, stop: Stop) -> None:
    for first in range(start, size_bytes, _STEP_BYTES):
        check_stop(stop)
        step_bytes = min(_STEP_BYTES, size_bytes - first)
        if sys.platform == "darwin":
            error_number = _preallocated_on_mac(handle, step_bytes)
        else:
            error_number = _fallocated(handle, first, step_bytes)
        if error_number in _CANNOT:
            # The space was there a moment ago; a full disk shows when it is written.
            return
        if error_number:
            raise OSError(error_number, os.strerror(error_number))


def _fallocated(handle: int, first: int, size_bytes: int) -> int:
    """Return the error number of fallocate(2), 0 when all is well.

    Not ``os.posix_fallocate``: where a file system cannot do it, glibc writes into every block.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        fallocate = getattr(library, "fallocate64", None) or library.fallocate
    except (AttributeError, OSError):
        return errno.ENOSYS
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    while fallocate(handle, 0, first, size_bytes) != 0:
        if (error_number := ctypes.get_errno()) != errno.EINTR:
            return error_number
    return 0


def _preallocated_on_mac(handle: int, size_bytes: int) -> int:
    """Ask for space behind what is there already (fcntl(2) of macOS); return the error number."""
    import fcntl
    import struct

    # fstore_t: all or nothing, from the end of what is allocated, offset, length, what was taken.
    preallocate, all_of_it, from_the_end = 42, 4, 3
    store = struct.pack("=Iiqqq", all_of_it, from_the_end, 0, size_bytes, 0)
    try:
        fcntl.fcntl(handle, preallocate, store)
    except OSError as error:
        return error.errno or errno.EIO
    return 0
