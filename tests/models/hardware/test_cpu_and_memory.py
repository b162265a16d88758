"""Processor, RAM and one process: from trees of files and from this machine itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from helpers.machine_tree import add_cgroup_v2, add_cpus, write
from models.hardware.cpu import CpuReader, identify, physical_cores
from models.hardware.memory import RamReader, peak_rss_bytes, read_process

X86 = """processor\t: 0
model name\t: AMD Ryzen 9 7950X
flags\t\t: fpu sse pni ssse3 sse4_1 avx avx2 fma avx512f lahf_lm

processor\t: 1
model name\t: AMD Ryzen 9 7950X
flags\t\t: fpu"""
ARM = """processor\t: 0
Features\t: fp asimd evtstrm asimddp i8mm
CPU implementer\t: 0x41

Model\t\t: Raspberry Pi 5 Model B"""


def test_name_and_features_of_an_x86_processor(tmp_path: Path) -> None:
    identity = identify(write(tmp_path, {"proc/cpuinfo": X86}), system="linux")
    assert identity.name.value == "AMD Ryzen 9 7950X"
    assert identity.features.value == (
        "avx", "avx2", "avx512f", "fma", "sse3", "sse4_1", "ssse3",
    )  # fmt: skip
    assert identity.features.source == "/proc/cpuinfo"


def test_name_and_features_of_an_arm_processor(tmp_path: Path) -> None:
    identity = identify(write(tmp_path, {"proc/cpuinfo": ARM}), system="linux")
    assert identity.name.value == "Raspberry Pi 5 Model B"
    assert identity.features.value == ("asimd", "asimddp", "i8mm")


def test_without_cpuinfo_the_source_says_so(tmp_path: Path) -> None:
    identity = identify(tmp_path, system="freebsd14")
    assert identity.name.value
    assert identity.name.source == "Python platform"
    assert identity.features.value == ()
    assert identity.features.source == "not available on this system"


def test_threads_of_one_core_count_once(tmp_path: Path) -> None:
    add_cpus(tmp_path, [(0, 0, "0,2"), (0, 1, "1,3"), (0, 0, "0,2"), (0, 1, "1,3")])
    assert physical_cores(tmp_path, {0, 1, 2, 3}).value == 2


def test_equal_core_numbers_in_two_packages_and_dies_are_different_cores(tmp_path: Path) -> None:
    add_cpus(tmp_path, [(0, 0, "0"), (1, 0, "1"), (0, 0, "2")])
    assert physical_cores(tmp_path, {0, 1, 2}).value == 3


def test_only_cores_in_the_affinity_count(tmp_path: Path) -> None:
    add_cpus(tmp_path, [(0, core, str(core)) for core in range(8)])
    assert physical_cores(tmp_path, {2, 5}).value == 2


def test_a_cpu_quota_lowers_the_count_but_never_below_one(tmp_path: Path) -> None:
    add_cpus(tmp_path, [(0, core, str(core)) for core in range(8)])
    add_cgroup_v2(tmp_path, "/", {"/": {"cpu.max": "350000 100000"}})
    cores = physical_cores(tmp_path, set(range(8)))
    assert (cores.value, cores.source) == (3, "cgroup v2 cpu.max")
    write(tmp_path, {"sys/fs/cgroup/cpu.max": "50000 100000"})
    assert physical_cores(tmp_path, set(range(8))).value == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_affinity_of_a_real_process(tmp_path: Path) -> None:
    one = min(os.sched_getaffinity(0))
    code = (
        "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])});"
        "from models.hardware.cpu import physical_cores; print(physical_cores().value)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(one)], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "1"


def test_load_is_unknown_at_first_and_a_percentage_then() -> None:
    reader = CpuReader()
    assert reader.read().load_percent is None
    busy_until = psutil.cpu_times().user + 0.05
    while psutil.cpu_times().user < busy_until:
        pass
    load = reader.read().load_percent
    assert load is not None
    assert 0 < load <= 100


def test_a_system_that_keeps_its_counters_to_itself_has_an_unknown_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses() -> None:
        # As psutil does on Windows where per-CPU times cannot be read.
        raise OSError(1, "Invalid function")

    monkeypatch.setattr(psutil, "cpu_times", refuses)
    reader = CpuReader()
    assert [reader.read().load_percent for _ in range(2)] == [None, None]


def test_every_processor_figure_has_a_source() -> None:
    cpu = CpuReader().read()
    figures = {"load_percent", "physical_cores", "logical_cores", "name", "features"}
    assert set(cpu.sources) == figures
    assert 1 <= cpu.physical_cores <= cpu.logical_cores


def test_ram_without_a_limit_is_the_machines(tmp_path: Path) -> None:
    ram = RamReader(tmp_path).read()
    assert ram.total_bytes == ram.machine_total_bytes == psutil.virtual_memory().total
    assert ram.used_bytes + ram.available_bytes == ram.total_bytes
    assert ram.limit_bytes is None
    assert ram.source == "psutil virtual_memory"


def test_ram_under_a_cgroup_limit_says_so(tmp_path: Path) -> None:
    files = {"memory.max": 64 << 20, "memory.current": 16 << 20}
    add_cgroup_v2(tmp_path, "/", {"/": dict(files)})
    ram = RamReader(tmp_path).read()
    assert (ram.total_bytes, ram.limit_bytes) == (64 << 20, 64 << 20)
    assert ram.available_bytes == 48 << 20
    assert ram.used_bytes == 16 << 20
    assert ram.machine_total_bytes > ram.total_bytes
    assert ram.source.startswith("cgroup v2 memory.max")


def test_a_limit_above_the_ram_is_no_limit(tmp_path: Path) -> None:
    add_cgroup_v2(tmp_path, "/", {"/": {"memory.max": 1 << 59, "memory.current": 0}})
    ram = RamReader(tmp_path).read()
    assert ram.limit_bytes is None
    assert ram.total_bytes == psutil.virtual_memory().total


def test_memory_of_a_process() -> None:
    readout = read_process(os.getpid())
    assert readout is not None
    assert readout.rss_bytes > 1_000_000
    assert readout.source


def test_memory_of_a_process_that_is_gone() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert read_process(ended.pid) is None


def test_the_peak_is_this_processs_own_and_not_its_parents() -> None:
    ballast = b"x" * 300_000_000
    assert peak_rss_bytes() > len(ballast)
    code = (
        "from models.hardware.memory import peak_rss_bytes\n"
        "ballast = b'x' * 50_000_000\n"
        "del ballast\n"
        "print(peak_rss_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert 50_000_000 < int(done.stdout) < len(ballast)
