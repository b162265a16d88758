"""The processor: name, features, cores this process may use, load. No Qt here."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from models.hardware.cgroup import CgroupReader
from models.hardware.files import read_int, read_text
from models.hardware.readouts import CpuReadout, Reading

# What ggml's CPU backend has code for; the other flags say nothing about speed here.
_X86_FEATURES = (
    "sse3 ssse3 sse4_1 sse4_2 avx f16c fma bmi2 avx2 avx_vnni avx512f avx512dq avx512bw avx512vl "
    "avx512vbmi avx512_vbmi2 avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16"
)
_OTHER_FEATURES = "asimd asimdhp asimddp i8mm sve sve2 svei8mm sme sme2 bf16 vsx lsx lasx"
_FEATURES = frozenset(f"{_X86_FEATURES} {_OTHER_FEATURES}".split())
_ALIASES = {"pni": "sse3"}
# winnt.h: what Windows can be asked for. Every CPU with AVX2 that it runs on has the other three.
_WINDOWS_FEATURES = {
    13: ("sse3",),
    36: ("ssse3",),
    37: ("sse4_1",),
    38: ("sse4_2",),
    39: ("avx",),
    40: ("avx2", "bmi2", "f16c", "fma"),
    41: ("avx512f",),
    43: ("asimddp",),
}
_SYSCTL_TIMEOUT_S = 2.0
_USUAL_CACHE_BYTES = 32 << 20


@dataclass(frozen=True)
class CpuIdentity:
    """What does not change while the program runs."""

    name: Reading[str]
    features: Reading[tuple[str, ...]]
    physical_cores: Reading[int]
    logical_cores: Reading[int]


def usable_cpus() -> tuple[set[int], str]:
    """Return the logical CPUs this process may run on, and who says so."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0), "CPU affinity"
    return set(range(os.cpu_count() or 1)), "the operating system"


def _distinct_cores(root: Path, cpus: set[int]) -> int | None:
    cores = set()
    for cpu in cpus:
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        core = read_int(folder / "core_id")
        if core is None:
            return None
        # Clusters and dies repeat core numbers on some machines; the siblings do not.
        siblings = read_text(folder / "thread_siblings_list")
        cores.add((read_int(folder / "physical_package_id"), core, siblings))
    return len(cores) or None


def physical_cores(root: Path = Path("/"), cpus: set[int] | None = None) -> Reading[int]:
    """Return how many physical cores this process may keep busy, at least 1.

    CPU affinity, cpusets and a cgroup's CPU quota are respected: threads that wait at a barrier
    for one that may not run cost more than the missing core.
    """
    allowed, affinity = usable_cpus() if cpus is None else (cpus, "CPU affinity")
    count = _distinct_cores(root, allowed)
    source = f"sysfs topology, {affinity}"
    if count is None:
        every = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
        count, source = min(every, len(allowed) or 1), f"psutil, {affinity}"
    quota = CgroupReader(root).cpu_quota()
    if quota is not None and quota[0] < count:
        count, source = max(int(quota[0]), 1), quota[1]
    return Reading(count, source)


def _parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or fields.get("Model") or fields.get("Hardware") or ""
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    known = {_ALIASES.get(flag, flag) for flag in flags} & _FEATURES
    return name, tuple(sorted(known))


def _sysctl(name: str) -> str:
    try:
        answer = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name],
            capture_output=True,
            text=True,
            timeout=_SYSCTL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def _mac_features() -> tuple[str, ...]:
    words = f"{_sysctl('machdep.cpu.features')} {_sysctl('machdep.cpu.leaf7_features')}"
    flags = {word.lower().replace(".", "_") for word in words.split()}
    for name, flag in (("DotProd", "asimddp"), ("I8MM", "i8mm"), ("SME", "sme"), ("BF16", "bf16")):
        if _sysctl(f"hw.optional.arm.FEAT_{name}") == "1":
            flags.add(flag)
    if platform.machine() == "arm64":
        flags.add("asimd")
    return tuple(sorted(flags & _FEATURES))


def _windows_name() -> str:
    if sys.platform == "win32":
        import winreg

        key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as processor:
                return str(winreg.QueryValueEx(processor, "ProcessorNameString")[0]).strip()
        except OSError:
            return ""
    return ""


def _windows_features() -> tuple[str, ...]:
    if sys.platform == "win32":
        import ctypes

        present = ctypes.WinDLL("kernel32").IsProcessorFeaturePresent
        return tuple(
            sorted(f for n, names in _WINDOWS_FEATURES.items() if present(n) for f in names)
        )
    return ()


def identify(root: Path = Path("/"), system: str = sys.platform) -> CpuIdentity:
    """Read what does not change: name, features, cores."""
    if system == "darwin":
        name = Reading(_sysctl("machdep.cpu.brand_string"), "sysctl")
        features = Reading(_mac_features(), "sysctl")
    elif system == "win32":
        name = Reading(_windows_name(), "the registry of Windows")
        features = Reading(_windows_features(), "IsProcessorFeaturePresent")
    else:
        cpuinfo = read_text(root / "proc/cpuinfo")
        text_name, flags = _parse_cpuinfo(cpuinfo or "")
        source = "/proc/cpuinfo" if cpuinfo else "not available on this system"
        name, features = Reading(text_name, source), Reading(flags, source)
    if not name.value:
        name = Reading(platform.processor() or platform.machine() or "CPU", "Python platform")
    cpus, affinity = usable_cpus()
    return CpuIdentity(name, features, physical_cores(root), Reading(len(cpus), affinity))


class CpuReader:
    """The processor with its load since the sample before."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._identity = identify(root)
        self._last: tuple[float, float] | None = None

    def read(self) -> CpuReadout:
        """Return the processor's figures; the first load is None, there is nothing to compare."""
        identity = self._identity
        return CpuReadout(
            load_percent=self._load_percent(),
            physical_cores=identity.physical_cores.value,
            logical_cores=identity.logical_cores.value,
            name=identity.name.value,
            features=identity.features.value,
            source="psutil cpu_times",
            sources={
                "load_percent": "psutil cpu_times",
                "physical_cores": identity.physical_cores.source,
                "logical_cores": identity.logical_cores.source,
                "name": identity.name.source,
                "features": identity.features.source,
            },
        )

    def _load_percent(self) -> float | None:
        try:
            times = psutil.cpu_times()
        except OSError:
            # Where the system keeps its counters to itself (sandboxes, Windows under Wine).
            return None
        # Guest time is counted in user time already.
        guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        total = sum(times) - guest
        idle = times.idle + getattr(times, "iowait", 0.0)
        last, self._last = self._last, (total, idle)
        if last is None or total <= last[0]:
            return None
        busy = 1.0 - (idle - last[1]) / (total - last[0])
        return 100.0 * min(max(busy, 0.0), 1.0)


def last_cache_bytes(root: Path = Path("/")) -> int:
    """Return the size of the CPU's largest cache, 32 MiB where the system does not say."""
    sizes = [
        int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20}.get(text[-1], 1)
        for path in (root / "sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        if (text := read_text(path)) and text[:-1].isdigit()
    ]
    return max(sizes, default=_USUAL_CACHE_BYTES)
