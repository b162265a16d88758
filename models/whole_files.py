"""Small files that are there whole, or as they were before, whatever happens. No Qt here."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes, *, to_disk: bool = False) -> None:
    """Write a file that only its owner may read; one of that name is replaced.

    Its folder is not made.

    Args:
        path: a link is replaced, not followed.
        data: all of it.
        to_disk: wait until the bytes outlive a power cut; their name does so after ``sync_folder``.

    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    # Made with mode 0600 and a name of its own: no link that is there already is followed.
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:60]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if to_disk:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut, where a system can do that.

    Raises:
        OSError: the folder cannot be read, or the drive fails.
    """
    if sys.platform == "win32":
        # NTFS logs changes of names by itself; a folder cannot be opened here.
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network drives cannot.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
