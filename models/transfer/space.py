"""Room on the disks, promised before the first byte comes. No Qt here.

The rule, for each volume: free bytes, less what the active downloads have still to claim, stay at
or above a margin, ``max(2 GiB, 1 % of the volume)``. What a file has claimed already (its blocks
are allocated when it begins) is no longer free and no longer promised, so both are looked up at
every question.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import DiskError, DiskFullError
from models.transfer.part_file import part_path
from models.units import format_bytes

_RESERVE_BYTES = 2 * 1024**3
_RESERVE_SHARE = 0.01
# What POSIX counts st_blocks in, whatever the disk's own blocks are.
_STAT_BLOCK_BYTES = 512


@dataclass(frozen=True)
class Claim:
    """A file that is to lie at ``target`` and needs that many bytes."""

    target: Path
    size_bytes: int

    def open_bytes(self) -> int:
        """Return what has still to be allocated for it."""
        if _size(self.target) == self.size_bytes and _size(self._part) is None:
            return 0
        return max(0, self.size_bytes - _allocated(self._part))

    @property
    def _part(self) -> Path:
        return part_path(self.target)


class SpaceLedger:
    """Who was promised how much, for each volume; may be used from any thread."""

    def __init__(
        self, reserve_bytes: int = _RESERVE_BYTES, reserve_share: float = _RESERVE_SHARE
    ) -> None:
        self._reserve_bytes = reserve_bytes
        self._reserve_share = reserve_share
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, tuple[Claim, ...]]] = {}

    def hold(self, job_id: str, folder: Path, claims: Sequence[Claim]) -> None:
        """Promise room below ``folder`` to a download, in the place of what it was promised before.

        Raises:
            DiskFullError: there is not enough; nothing is promised.
            DiskError: the volume cannot be looked at.
        """
        self._promise(job_id, folder, claims, holds=True)

    def look(self, job_id: str, folder: Path, claims: Sequence[Claim]) -> None:
        """Return when ``hold`` would promise that room now; nothing is promised.

        Raises:
            DiskFullError, DiskError: it would not.
        """
        self._promise(job_id, folder, claims, holds=False)

    def _promise(self, job_id: str, folder: Path, claims: Sequence[Claim], *, holds: bool) -> None:
        there = _existing(folder)
        try:
            volume = there.stat().st_dev
            disk = shutil.disk_usage(there)
        except OSError as error:
            raise _unseen(folder, error) from error
        with self._lock:
            if holds:
                self._held.pop(job_id, None)
            others = [
                claim
                for other, (dev, held) in self._held.items()
                if dev == volume and other != job_id
                for claim in held
            ]
            wanted_bytes = sum(claim.open_bytes() for claim in claims)
            promised_bytes = sum(claim.open_bytes() for claim in others)
            margin_bytes = max(self._reserve_bytes, int(disk.total * self._reserve_share))
            missing_bytes = wanted_bytes + promised_bytes + margin_bytes - disk.free
            if wanted_bytes and missing_bytes > 0:
                raise _full(folder, missing_bytes, promised_bytes)
            if holds:
                self._held[job_id] = (volume, tuple(claims))

    def release(self, job_id: str) -> None:
        """Take a promise back; without one nothing happens."""
        with self._lock:
            self._held.pop(job_id, None)


def _full(folder: Path, missing_bytes: int, promised_bytes: int) -> DiskFullError:
    others = f" {format_bytes(promised_bytes)} are kept for other downloads." * bool(promised_bytes)
    return DiskFullError(
        f"There is not enough room for this download: {format_bytes(missing_bytes)} are missing.",
        hint=f"Free some room on the drive of {folder}.{others}",
        missing_bytes=missing_bytes,
    )


def _unseen(folder: Path, error: OSError) -> DiskError:
    return DiskError(
        f"The drive of {folder} cannot be looked at ({error.strerror or error}).",
        hint="Check that the drive is connected.",
    )


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    for candidate in (folder, *folder.parents):
        if candidate.exists():
            return candidate
    return folder


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _allocated(part: Path) -> int:
    try:
        status = os.lstat(part)
    except OSError:
        return 0
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * _STAT_BLOCK_BYTES
