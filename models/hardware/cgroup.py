"""Limits that Linux control groups (versions 1 and 2) put on this process. No Qt here.

A container sees the whole machine's RAM and CPUs in /proc; what it may use stands only here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.hardware.files import read_int, read_text

# Version 1 says "unlimited" with the largest multiple of the page size in 63 bits.
_UNLIMITED_BYTES = 1 << 60


@dataclass(frozen=True)
class MemoryLimit:
    """The tightest memory limit above this process.

    ``free_bytes`` counts file cache as free: the kernel drops it before it ends a process.
    """

    limit_bytes: int
    free_bytes: int
    source: str


@dataclass(frozen=True)
class _Mount:
    version: int
    controllers: frozenset[str]
    root: str
    point: str


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _mounts(mountinfo: str) -> list[_Mount]:
    mounts = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) < 5 or len(right) < 3 or right[0] not in ("cgroup", "cgroup2"):
            continue
        version = 2 if right[0] == "cgroup2" else 1
        controllers = frozenset(right[2].split(",")) if version == 1 else frozenset[str]()
        mounts.append(_Mount(version, controllers, _unescape(left[3]), _unescape(left[4])))
    return mounts


def _group_paths(cgroup: str) -> dict[str, str]:
    """Controller name to this process's group; version 2's single group is under ''."""
    paths = {}
    for line in cgroup.splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(","):
            paths[name] = path
    return paths


class CgroupReader:
    """Reads the limits of this process's groups and of all groups above them."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Find the groups once; ``root`` is the folder that holds ``proc`` and ``sys``."""
        self._root = root
        self._mounts = _mounts(read_text(root / "proc/self/mountinfo") or "")
        self._paths = _group_paths(read_text(root / "proc/self/cgroup") or "")
        self._memory = self._folders("memory")
        self._cpu = self._folders("cpu")

    def _folders(self, controller: str) -> list[tuple[int, Path]]:
        """Return (version, folder) from this process's group up to the topmost visible one."""
        found = []
        for mount in self._mounts:
            path = self._paths.get("" if mount.version == 2 else controller)
            if path is None or (mount.version == 1 and controller not in mount.controllers):
                continue
            for folder in _chain(mount, path):
                found.append((mount.version, self._root / folder.lstrip("/")))
        return found

    def memory(self) -> MemoryLimit | None:
        """Return the tightest memory limit, None when nothing limits the memory."""
        limits = [_memory_limit(version, folder) for version, folder in self._memory]
        present = [limit for limit in limits if limit is not None]
        if not present:
            return None
        return MemoryLimit(
            min(limit.limit_bytes for limit in present),
            min(limit.free_bytes for limit in present),
            min(present, key=lambda limit: limit.limit_bytes).source,
        )

    def cpu_quota(self) -> tuple[float, str] | None:
        """Return how many CPUs' time this process gets and the source; None: no quota."""
        quotas = [_cpu_quota(version, folder) for version, folder in self._cpu]
        present = [quota for quota in quotas if quota is not None]
        return min(present) if present else None


def _chain(mount: _Mount, path: str) -> list[str]:
    """Return the group's folder and its parents, down to the mount point."""
    inside = PurePosixPath(path)
    base = PurePosixPath(mount.root)
    if ".." in inside.parts or not inside.is_relative_to(base):
        # Another cgroup namespace: what is mounted is all that can be seen.
        return [mount.point]
    relative = inside.relative_to(base)
    point = PurePosixPath(mount.point)
    return [str(point / part) for part in (relative, *relative.parents)]


def _memory_limit(version: int, folder: Path) -> MemoryLimit | None:
    names: tuple[str, ...] = ("memory.max", "memory.high")
    usage_name, prefix = "memory.current", ""
    if version == 1:
        names, usage_name, prefix = ("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_"
    limits = [(value, name) for name in names if (value := read_int(folder / name)) is not None]
    limits = [limit for limit in limits if limit[0] < _UNLIMITED_BYTES]
    if not limits:
        return None
    limit_bytes, name = min(limits)
    used_bytes = (read_int(folder / usage_name) or 0) - _file_cache(folder, prefix)
    free_bytes = min(max(limit_bytes - used_bytes, 0), limit_bytes)
    return MemoryLimit(limit_bytes, free_bytes, f"cgroup v{version} {name}")


def _file_cache(folder: Path, prefix: str) -> int:
    total = 0
    for line in (read_text(folder / "memory.stat") or "").splitlines():
        key, _, value = line.partition(" ")
        if key in (f"{prefix}active_file", f"{prefix}inactive_file") and value.isdigit():
            total += int(value)
    return total


def _cpu_quota(version: int, folder: Path) -> tuple[float, str] | None:
    if version == 2:
        words = (read_text(folder / "cpu.max") or "").split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            return None
        quota, period, name = int(words[0]), int(words[1]), "cgroup v2 cpu.max"
    else:
        quota = read_int(folder / "cpu.cfs_quota_us") or -1
        period = read_int(folder / "cpu.cfs_period_us") or 0
        name = "cgroup v1 cpu.cfs_quota_us"
    return (quota / period, name) if quota > 0 and period > 0 else None
