"""Which drive a path lies on, and whether it is there: by the system's list of mounts. No Qt here.

The list is the system's own; reading it does not touch the drives, so a dead one cannot block.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# What FAT cannot hold, and what such a drive is called.
FAT_FILE_BYTES = 2**32 - 1
_FAT_KINDS = ("vfat", "msdos", "fat32", "fat")


@dataclass(frozen=True)
class Mount:
    """A drive (or share) and the folder through which it is reached.

    Attributes:
        point: the folder, such as ``/media/me/USB`` or ``E:\\``.
        kind: of its file system, by the system's name.
    """

    point: str
    kind: str = ""

    @property
    def file_limit_bytes(self) -> int | None:
        """How long a file may be there, None when that is no matter."""
        return FAT_FILE_BYTES if self.kind.lower() in _FAT_KINDS else None


def system_mounts() -> tuple[Mount, ...]:
    """Return what is mounted now."""
    # The window starts with this module; what is mounted is asked later.
    import psutil

    parts = psutil.disk_partitions(all=True)
    return tuple(Mount(part.mountpoint, part.fstype) for part in parts)


class Volumes:
    """What is mounted, looked up once; make a new one for a new look."""

    def __init__(self, list_mounts: Callable[[], Sequence[Mount]] = system_mounts) -> None:
        # Of several at one place, the last one is what is seen.
        self._mounts = {_key(mount.point): mount for mount in list_mounts()}

    def mount_of(self, path: Path) -> Mount | None:
        """Return the drive on which ``path`` is, or would be; None when the system does not say.

        Links are followed, so this may block on a drive that does not answer.
        """
        real = Path(os.path.realpath(path))
        places = (self._mounts.get(_key(str(place))) for place in (real, *real.parents))
        return next((mount for mount in places if mount is not None), None)

    def is_mounted(self, point: str) -> bool:
        """Whether a drive is (again) at the place where one was."""
        return _key(point) in self._mounts


def _key(point: str) -> str:
    cut = point.rstrip("/\\") or "/"
    return cut.lower() if sys.platform == "win32" else cut
