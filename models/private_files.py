"""Folders and files that only their owner may read, whatever the umask is. No Qt here.

``tempfile.mkstemp`` makes files of that kind by itself; this is for all that is made otherwise.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600

_OTHERS = 0o077


def make_private_folder(folder: Path) -> None:
    """Make a folder and all that lack above it, for their owner; those that are there stay.

    ``Path.mkdir`` gives its mode to the last folder only, and the others to everybody.

    Raises:
        OSError: one of them cannot be made.
    """
    try:
        folder.mkdir(mode=PRIVATE_DIR)
    except FileNotFoundError:
        if folder.parent == folder or folder.parent.is_dir():
            # The folder above is there, and takes none: /proc says it in these words.
            raise
        make_private_folder(folder.parent)
        folder.mkdir(mode=PRIVATE_DIR, exist_ok=True)
    except OSError:
        # As ``mkdir(exist_ok=True)``: the system may name another reason first.
        if not folder.is_dir():
            raise


def open_private(path: str, flags: int) -> int:
    """Open a file for ``open(..., opener=open_private)``; one that is open to others is closed."""
    descriptor = os.open(path, flags, PRIVATE_FILE)
    # Not on Windows, where the folders of a user are private. Another user's file, lent to us: its
    # owner decides.
    if os.name == "posix" and os.fstat(descriptor).st_mode & _OTHERS:
        with contextlib.suppress(PermissionError):
            os.chmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)  # noqa: PTH101 - a descriptor
    return descriptor
