"""GPU memory of single processes from /proc/PID/fdinfo (Linux DRM usage stats). No Qt here.

https://docs.kernel.org/gpu/drm-usage-stats.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from models.hardware.files import children, read_text

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}
# Best first: what is resident now, then amdgpu's older name for it, then all that was allocated.
_KEYS = ("drm-resident-", "drm-memory-", "drm-total-")
_SYSTEM_REGIONS = ("system", "gtt", "cpu", "stolen-system")


@dataclass
class DrmMemory:
    """What some processes hold on one GPU: its own memory, and RAM lent to it."""

    dedicated_bytes: int = 0
    shared_bytes: int = 0
    regions: dict[str, int] = field(default_factory=dict)


def drm_memory(proc: Path, pids: Iterable[int]) -> dict[str, DrmMemory]:
    """Return GPU memory by PCI address for the given processes; others are not counted."""
    clients: dict[tuple[str, str], dict[str, int]] = {}
    for pid in pids:
        for entry in _drm_entries(proc / str(pid)):
            fields = _fields(entry)
            address = fields.get("drm-pdev", "")
            # A GPU opened twice, or inherited, shows the same client under several files.
            clients[address, fields.get("drm-client-id", str(len(clients)))] = _regions(fields)
    found: dict[str, DrmMemory] = {}
    for (address, _), regions in clients.items():
        memory = found.setdefault(address, DrmMemory())
        for region, size_bytes in regions.items():
            memory.regions[region] = memory.regions.get(region, 0) + size_bytes
            if region.rstrip("0123456789") in _SYSTEM_REGIONS:
                memory.shared_bytes += size_bytes
            else:
                memory.dedicated_bytes += size_bytes
    return found


def _drm_entries(process: Path) -> list[str]:
    """Return the fdinfo texts of files open under /dev/dri."""
    texts = []
    for link in children(process / "fd"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("/dev/dri/"):
            texts.append(read_text(process / "fdinfo" / link.name) or "")
    return [text for text in texts if "drm-driver" in text]


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _regions(fields: dict[str, str]) -> dict[str, int]:
    regions: dict[str, int] = {}
    for prefix in _KEYS:
        for key, value in fields.items():
            region = key.removeprefix(prefix)
            size_bytes = _size(value) if key.startswith(prefix) else None
            if size_bytes is not None:
                regions.setdefault(region, size_bytes)
    return regions


def _size(value: str) -> int | None:
    number, _, unit = value.partition(" ")
    if not number.isdigit() or unit.strip() not in _UNITS:
        return None
    return int(number) * _UNITS[unit.strip()]
