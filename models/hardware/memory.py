"""RAM this process may use, and the RAM a process holds or held. No Qt here."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psutil

from models.hardware.cgroup import CgroupReader
from models.hardware.files import read_text
from models.hardware.readouts import ProcessReadout, RamReadout


class RamReader:
    """The machine's RAM, or less where a cgroup limits it."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._cgroup = CgroupReader(root)

    def read(self) -> RamReadout:
        """Return total, used and available RAM in bytes."""
        memory = psutil.virtual_memory()
        limit = self._cgroup.memory()
        if limit is None or limit.limit_bytes >= memory.total:
            available = min(memory.available, limit.free_bytes if limit else memory.available)
            return _readout(memory.total, available, "psutil virtual_memory", memory.total, None)
        return _readout(
            limit.limit_bytes,
            min(memory.available, limit.free_bytes),
            f"{limit.source} (the machine has more)",
            memory.total,
            limit.limit_bytes,
        )


def _readout(
    total: int, available: int, source: str, machine: int, limit: int | None
) -> RamReadout:
    return RamReadout(
        total_bytes=total,
        used_bytes=total - available,
        available_bytes=available,
        source=source,
        machine_total_bytes=machine,
        limit_bytes=limit,
    )


def read_process(pid: int) -> ProcessReadout | None:
    """Return a process's resident memory, None when it is gone or out of reach."""
    try:
        rss_bytes = psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return None
    return ProcessReadout(pid, rss_bytes, "psutil memory_info rss")


def peak_rss_bytes() -> int:
    """Return the largest resident size that this process ever had."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    # Not ru_maxrss on Linux: it is kept across execve, so a child begins with its parent's.
    status = read_text(Path("/proc/self/status")) or ""
    if found := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE):
        return int(found[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
