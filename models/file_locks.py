"""Locks on open files between processes, on every system. No Qt here."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

# Far behind every byte: a lock of bytes keeps others from reading them on Windows.
_OFFSET = 2**62


def try_lock(handle: int) -> bool:
    """Lock an open file for this handle alone; False when another one has it.

    Raises:
        OSError: the file cannot be locked for another reason. A drive that knows no locks is none:
            two programs on one file are then up to the user.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, _OFFSET, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
    return True


def unlock(handle: int) -> None:
    """Give a lock back; closing the file does so too."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, _OFFSET, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_UN)
