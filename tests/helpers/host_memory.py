"""RAM that a process holds, by kind, as Linux says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_KEYS = {"RssAnon": "anonymous", "RssFile": "file", "VmLck": "locked", "VmPin": "pinned"}


@dataclass(frozen=True)
class HostUse:
    """Resident bytes: ``anonymous`` memory, pages of ``file``s; locked or pinned ones of them."""

    anonymous: int = 0
    file: int = 0
    locked: int = 0
    pinned: int = 0

    def __sub__(self, other: HostUse) -> HostUse:
        """Return what was added since ``other``."""
        return HostUse(
            self.anonymous - other.anonymous,
            self.file - other.file,
            self.locked - other.locked,
            self.pinned - other.pinned,
        )


def host_use(pid: int) -> HostUse:
    """Return what a process holds now (/proc/PID/status)."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        key, _, rest = line.partition(":")
        if key in _KEYS:
            found[_KEYS[key]] = int(rest.split()[0]) * 1024
    return HostUse(**found)
