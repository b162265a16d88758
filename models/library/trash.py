"""The system's trash: whether there is one for a file, and putting files into it. No Qt here.

On Linux and the like this is freedesktop.org's trash specification 1.0, written here rather than
taken from Send2Trash: what will happen must be known before it happens, and Send2Trash 2.2
(``plat_other.py``) copies a file to the home folder's trash where renaming fails, which for a
checkpoint means hundreds of gigabytes on the wrong drive. Windows and macOS have one call that
does all, and Send2Trash makes it.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from models.library.volumes import Volumes

_PRIVATE_DIR = 0o700
_MAX_NAMES = 10_000
_DRIVE_FIXED = 3


class Trash(Protocol):
    """A trash that takes files, each to be restored to where it was."""

    def put(self, path: Path) -> None:
        """Move a file into the trash.

        Raises:
            OSError: it is where it was.
        """


@dataclass(frozen=True)
class FreedesktopTrash:
    """One trash folder.

    Attributes:
        folder: holds ``files`` and ``info``; made when it is first used.
        top: the drive's uppermost folder, to which paths are relative; None for the home trash.
    """

    folder: Path
    top: Path | None = None

    def put(self, path: Path) -> None:
        """Move a file into the trash by renaming; it is never copied.

        Raises:
            OSError: it is where it was.
        """
        files, info = self.folder / "files", self.folder / "info"
        for place in (self.folder, files, info):
            place.mkdir(mode=_PRIVATE_DIR, parents=True, exist_ok=True)
        name, note = self._reserve(path, files, info)
        try:
            os.rename(path, files / name)  # noqa: PTH104 - says itself that it does not copy
        except OSError:
            note.unlink(missing_ok=True)
            raise

    def _reserve(self, path: Path, files: Path, info: Path) -> tuple[str, Path]:
        """Write the note that says where the file was; return the name it has in the trash."""
        for number in range(1, _MAX_NAMES):
            name = path.name if number == 1 else f"{path.stem}.{number}{path.suffix}"
            note = info / f"{name}.trashinfo"
            if os.path.lexists(files / name):
                continue
            try:
                with note.open("xb") as file:
                    file.write(self._note(path))
            except FileExistsError:
                continue
            return name, note
        raise FileExistsError(f"{self.folder} is full of files called {path.name}")

    def _note(self, path: Path) -> bytes:
        absolute = Path(os.path.realpath(path.parent)) / path.name
        shown = absolute.relative_to(self.top) if self.top else absolute
        when = dt.datetime.now().strftime("%Y-%m-%dT%H:%M:%S")
        place = quote(os.fsencode(shown))
        return f"[Trash Info]\nPath={place}\nDeletionDate={when}\n".encode("ascii")


@dataclass(frozen=True)
class SystemTrash:
    """The recycle bin of Windows or the trash of macOS."""

    def put(self, path: Path) -> None:
        """Hand a file to the system.

        Raises:
            OSError: it is where it was.
        """
        from send2trash import send2trash

        send2trash(path)


def find_trash(
    path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    volumes: Volumes | None = None,
) -> Trash | None:
    """Return the trash that would take a file, None when it can only be deleted for good.

    Nothing is written.
    """
    if sys.platform == "win32":
        return SystemTrash() if _is_fixed_drive(path) else None
    if sys.platform == "darwin":
        return SystemTrash()
    environ = os.environ if environ is None else environ
    return _freedesktop(path, environ, home or Path.home(), volumes or Volumes())


def _freedesktop(
    path: Path, environ: Mapping[str, str], home: Path, volumes: Volumes
) -> FreedesktopTrash | None:
    data = environ.get("XDG_DATA_HOME", "")
    base = Path(data) if Path(data).is_absolute() else home / ".local" / "share"
    own = base / "Trash"
    if _is_same_volume(path, own, volumes) and _can_make(own):
        return FreedesktopTrash(own)
    mount = volumes.mount_of(path)
    if mount is None or not _is_same_volume(path, Path(mount.point), volumes):
        # Such as a subvolume of btrfs: renaming to its mount's uppermost folder would fail.
        return None
    top = Path(mount.point)
    shared = top / ".Trash"
    if _is_shared_trash(shared) and _can_make(shared / str(_user())):
        return FreedesktopTrash(shared / str(_user()), top)
    single = top / f".Trash-{_user()}"
    return FreedesktopTrash(single, top) if _can_make(single) else None


def _is_same_volume(path: Path, folder: Path, volumes: Volumes) -> bool:
    """Whether a file can be renamed into a folder: not so across mounts, even of one drive."""
    there = _nearest(folder)
    try:
        same = os.lstat(path).st_dev == there.stat().st_dev
    except OSError:
        return False
    return same and volumes.mount_of(path) == volumes.mount_of(there)


def _can_make(folder: Path) -> bool:
    """Whether a folder is there as a plain one, or can be made, and files can be put into it."""
    if os.path.lexists(folder):
        for place in (folder, folder / "files", folder / "info"):
            if os.path.lexists(place) and not _is_own_folder(place):
                return False
        return True
    return os.access(_nearest(folder), os.W_OK | os.X_OK)


def _is_own_folder(place: Path) -> bool:
    try:
        is_folder = stat.S_ISDIR(os.lstat(place).st_mode)
    except OSError:
        return False
    return is_folder and os.access(place, os.W_OK | os.X_OK)


def _is_shared_trash(folder: Path) -> bool:
    """Whether the administrator made a trash for all; as specified, no link and sticky."""
    try:
        mode = os.lstat(folder).st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX)


def _nearest(folder: Path) -> Path:
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def _user() -> int:
    return os.getuid() if sys.platform != "win32" else 0


def _is_fixed_drive(path: Path) -> bool:
    """Whether a drive of Windows is built in: others have no recycle bin."""
    if sys.platform == "win32":
        import ctypes

        anchor = path.absolute().anchor
        return bool(ctypes.windll.kernel32.GetDriveTypeW(anchor) == _DRIVE_FIXED)
    return False
