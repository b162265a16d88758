"""Locks on open files between processes, on every system. No Qt here."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import sys

# Far behind every byte: a lock of bytes keeps others from reading them on Windows. The C runtime's
# locking() there knows places of 31 bits only, so Windows is asked itself.
_OFFSET = 2**62
# minwinbase.h and winerror.h
_FAIL_IMMEDIATELY, _EXCLUSIVE = 0x1, 0x2
_INVALID_FUNCTION, _LOCK_VIOLATION, _NOT_SUPPORTED, _IO_PENDING = 1, 33, 50, 997


class _Overlapped(ctypes.Structure):
    """``OVERLAPPED``: a place in a file."""

    _fields_ = (
        ("internal", ctypes.c_void_p),
        ("internal_high", ctypes.c_void_p),
        ("offset", ctypes.c_uint64),
        ("event", ctypes.c_void_p),
    )


def try_lock(handle: int) -> bool:
    """Lock an open file for this handle alone; False when another one has it.

    Raises:
        OSError: the file cannot be locked for another reason. A drive that knows no locks is none:
            two programs on one file are then up to the user.
    """
    if sys.platform == "win32":
        flags = _EXCLUSIVE | _FAIL_IMMEDIATELY
        failure = _call_windows("LockFileEx", handle, (flags, 0, 1, 0))
        if failure in {_LOCK_VIOLATION, _IO_PENDING}:
            return False
        if failure not in {0, _INVALID_FUNCTION, _NOT_SUPPORTED}:
            raise ctypes.WinError(failure)
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
    return True


def unlock(handle: int) -> None:
    """Give a lock back; closing the file does so too."""
    if sys.platform == "win32":
        _call_windows("UnlockFileEx", handle, (0, 1, 0))
        return
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)


def _call_windows(name: str, handle: int, numbers: tuple[int, ...]) -> int:
    """Call a function of Windows on one byte at ``_OFFSET`` and return the error's number, or 0."""
    if sys.platform == "win32":
        import msvcrt

        function = getattr(ctypes.WinDLL("kernel32", use_last_error=True), name)
        function.argtypes = [ctypes.c_void_p, *[ctypes.c_uint32] * len(numbers), ctypes.c_void_p]
        place = _Overlapped(offset=_OFFSET)
        done = function(msvcrt.get_osfhandle(handle), *numbers, ctypes.byref(place))
        return 0 if done else ctypes.get_last_error()
    return _NOT_SUPPORTED
