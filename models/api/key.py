"""The key that every program has to show to the server: one file of the user's. No Qt here."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
import tempfile
from pathlib import Path

from models.errors import DiskError, ServerKeyError
from models.private_files import make_private_folder, open_private
from models.transfer.disk import translated, write_whole
from models.whole_files import sync_folder

KEY_FILE = "server-key"

_PREFIX = "fathom-"
_RANDOM_BYTES = 32
# What token_urlsafe makes of them: base64 without padding.
_KEY = re.compile(re.escape(_PREFIX) + r"[A-Za-z0-9_-]{43}")
# A line end that an editor added is no damage.
_MAX_BYTES = 256
_NEW_KEY_HINT = "Make a new key with `fathom serve --new-key`, and tell it to your programs."


def load_or_make_key(folder: Path) -> str:
    """Return the key of this user, made when there is none; readable by its owner only.

    Args:
        folder: ``Paths.data_dir``.

    Raises:
        ServerKeyError: the file is there and holds no key, or somebody else's. It is not replaced
            by itself: programs that know the key would be turned away without a word.
        DiskError, DiskFullError: the file cannot be read or written.
    """
    key = _read(folder / KEY_FILE)
    return key if key is not None else _make_first(folder)


def make_new_key(folder: Path) -> str:
    """Replace the key, whatever the file holds; programs that know the old one are turned away.

    Raises:
        DiskError, DiskFullError: the file cannot be written.
    """
    with translated(folder):
        make_private_folder(folder)
    key = _new_key()
    write_whole(folder / KEY_FILE, key.encode())
    return key


def _new_key() -> str:
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def _read(path: Path) -> str | None:
    """Return the key in a file, None when there is no file."""
    with translated(path, reads=True):
        try:
            # Not waiting: a pipe in its place would keep the program for ever.
            descriptor = open_private(str(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            data = file.read(_MAX_BYTES) if stat.S_ISREG(status.st_mode) else b""
    # Root may read and write everything anyway.
    if sys.platform != "win32" and status.st_uid not in (os.geteuid(), 0):
        raise ServerKeyError(
            f"The file with the server's key, {path}, belongs to another user, who knows the key.",
            hint=_NEW_KEY_HINT,
        )
    text = data.decode("ascii", "replace").strip()
    if not _KEY.fullmatch(text):
        raise ServerKeyError(
            f"The file with the server's key, {path}, is damaged.",
            hint=_NEW_KEY_HINT,
        )
    return text


def _make_first(folder: Path) -> str:
    """Make the key; where another Fathom is doing that too, both return the same one."""
    path = folder / KEY_FILE
    with translated(path):
        make_private_folder(folder)
        handle, temporary = tempfile.mkstemp(prefix=f".{KEY_FILE}.", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_new_key().encode())
                file.flush()
                os.fsync(file.fileno())
            _give_name(Path(temporary), path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
        sync_folder(folder)
    key = _read(path)
    if key is None:
        raise DiskError(f"{path} vanished right after it was written.", hint="Try again.")
    return key


def _give_name(temporary: Path, path: Path) -> None:
    try:
        # Unlike a rename, a link never takes the place of a key that came into being meanwhile.
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    except OSError:
        # A drive that knows no links.
        temporary.replace(path)
