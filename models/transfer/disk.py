"""What the disk refuses, in words; small files written whole or not at all. No Qt here.

This is the one place that translates errors of the file system for transfers and records.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from models import whole_files
from models.errors import DiskError, DiskFullError, FathomError
from models.units import format_bytes

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESTALE)
# The largest file of FAT32, less one byte.
_FAT32_BYTES = 2**32 - 1


def free_bytes(folder: Path) -> int | None:
    """Return what this user may still write to the drive of a folder; None when it is silent."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def disk_failure(
    error: OSError, path: Path, *, needed_bytes: int = 0, reads: bool = False
) -> FathomError:
    """Return the error for what the file system refused.

    Args:
        path: what was read or written.
        needed_bytes: how much was to be written.
        reads: whether it was only to be read.
    """
    details = f"{type(error).__name__}: {error}"
    if error.errno in _FULL:
        return disk_full(path, needed_bytes, details=details)
    if error.errno == errno.EFBIG:
        hint = "Choose a folder on a drive with another file system (exFAT, NTFS, ext4, APFS)."
        if needed_bytes <= _FAT32_BYTES:
            hint = "A limit of this system or drive is smaller; choose another folder."
        return DiskError(
            f"The drive of {path.parent} cannot hold a file as large as {path.name}.",
            hint=hint,
            details=details,
        )
    if error.errno == errno.EROFS:
        message = f"{path.parent} is on a drive that can only be read."
        return DiskError(message, hint="Choose another folder.", details=details)
    if error.errno in (errno.EACCES, errno.EPERM):
        message = f"Fathom may not {'read' if reads else 'write to'} {path}."
        return DiskError(message, hint="Check the permissions there.", details=details)
    if error.errno == errno.ELOOP:
        message = f"{path} is a link; Fathom does not write through links."
        return DiskError(message, hint="Remove it, or choose another folder.", details=details)
    if error.errno in _NOT_THERE:
        message = f"{path} is not there (any more)."
        return DiskError(message, hint="Check whether its drive is connected.", details=details)
    if error.errno == errno.EIO:
        message = f"The drive of {path.parent} fails."
        return DiskError(message, hint="Check the drive; it may be dying.", details=details)
    return DiskError(f"{path} cannot be used ({error.strerror or error}).", details=details)


def disk_full(path: Path, needed_bytes: int, *, details: str = "") -> DiskFullError:
    """Return the error for a drive without enough room; ``needed_bytes`` were to be written."""
    missing_bytes = max(needed_bytes - (free_bytes(path.parent) or 0), 1)
    return DiskFullError(
        f"There is no room for {path.name}: {format_bytes(missing_bytes)} are missing.",
        hint=f"Free some space on the drive of {path.parent}, or choose another folder.",
        details=details,
        missing_bytes=missing_bytes,
    )


@contextlib.contextmanager
def translated(path: Path, *, needed_bytes: int = 0, reads: bool = False) -> Iterator[None]:
    """Raise Fathom's errors for what the file system refuses; as ``disk_failure``.

    Raises:
        DiskFullError, DiskError.
    """
    try:
        yield
    except OSError as error:
        raise disk_failure(error, path, needed_bytes=needed_bytes, reads=reads) from error
    except UnicodeEncodeError as error:
        raise DiskError(
            f"This system cannot write the name {path.name!a}.",
            hint="Start Fathom with a locale of UTF-8.",
            details=str(error),
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or as it was before, also after a power cut.

    Its folder is not made: one that has vanished is a drive that is gone, and must not come into
    being on another one.

    Raises:
        DiskFullError, DiskError.
    """
    with translated(path, needed_bytes=len(data)):
        whole_files.write_whole(path, data, to_disk=True)
        whole_files.sync_folder(path.parent)
