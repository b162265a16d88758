"""Memory limits and CPU quotas of control groups, versions 1 and 2."""

from __future__ import annotations

from pathlib import Path

from helpers.machine_tree import add_cgroup_v1, add_cgroup_v2, write
from models.hardware.cgroup import CgroupReader

GIB = 1 << 30


def test_no_cgroup_files_means_no_limits(tmp_path: Path) -> None:
    reader = CgroupReader(tmp_path)
    assert reader.memory() is None
    assert reader.cpu_quota() is None


def test_v2_limit_counts_file_cache_as_free(tmp_path: Path) -> None:
    files = {
        "memory.max": 8 * GIB,
        "memory.high": "max",
        "memory.current": 5 * GIB,
        "memory.stat": f"anon {2 * GIB}\nfile {3 * GIB}\nactive_file {GIB}\ninactive_file {GIB}",
    }
    add_cgroup_v2(tmp_path, "/", {"/": files})
    limit = CgroupReader(tmp_path).memory()
    assert limit is not None
    assert limit.limit_bytes == 8 * GIB
    assert limit.free_bytes == 5 * GIB
    assert limit.source == "cgroup v2 memory.max"


def test_v2_the_tightest_group_above_counts(tmp_path: Path) -> None:
    limits = {
        "/app.slice": {"memory.max": 4 * GIB, "memory.current": 3 * GIB},
        "/app.slice/fathom": {"memory.max": 6 * GIB, "memory.current": GIB},
    }
    add_cgroup_v2(tmp_path, "/app.slice/fathom", limits)
    limit = CgroupReader(tmp_path).memory()
    assert limit is not None
    assert (limit.limit_bytes, limit.free_bytes) == (4 * GIB, GIB)


def test_v2_memory_high_counts_when_it_is_lower(tmp_path: Path) -> None:
    files = {"memory.max": 8 * GIB, "memory.high": 2 * GIB, "memory.current": 0}
    add_cgroup_v2(tmp_path, "/", {"/": files})
    limit = CgroupReader(tmp_path).memory()
    assert limit is not None
    assert (limit.limit_bytes, limit.source) == (2 * GIB, "cgroup v2 memory.high")


def test_v2_without_a_limit(tmp_path: Path) -> None:
    files = {"memory.max": "max", "memory.high": "max", "cpu.max": "max 100000"}
    add_cgroup_v2(tmp_path, "/", {"/": files})
    reader = CgroupReader(tmp_path)
    assert reader.memory() is None
    assert reader.cpu_quota() is None


def test_v1_in_a_container_that_sees_its_own_group_as_the_mount(tmp_path: Path) -> None:
    memory = add_cgroup_v1(tmp_path, "/docker/abc", mount_root="/docker/abc")
    files = {
        "memory.limit_in_bytes": 2 * GIB,
        "memory.usage_in_bytes": 3 * GIB // 2,
        "memory.stat": f"active_file 1\ntotal_active_file 0\ntotal_inactive_file {GIB}",
    }
    write(memory, dict(files))
    limit = CgroupReader(tmp_path).memory()
    assert limit is not None
    assert (limit.limit_bytes, limit.free_bytes) == (2 * GIB, 3 * GIB // 2)
    assert limit.source == "cgroup v1 memory.limit_in_bytes"


def test_v1_unlimited_is_no_limit(tmp_path: Path) -> None:
    memory = add_cgroup_v1(tmp_path, "/a")
    write(memory, {"memory.limit_in_bytes": 9223372036854771712})
    write(memory / "a", {"memory.limit_in_bytes": 9223372036854771712})
    assert CgroupReader(tmp_path).memory() is None


def test_a_group_outside_the_mount_falls_back_to_the_mount(tmp_path: Path) -> None:
    memory = add_cgroup_v1(tmp_path, "/../other", mount_root="/")
    write(memory, {"memory.limit_in_bytes": GIB, "memory.usage_in_bytes": 0})
    limit = CgroupReader(tmp_path).memory()
    assert limit is not None
    assert limit.limit_bytes == GIB


def test_usage_above_the_limit_leaves_nothing_and_not_less(tmp_path: Path) -> None:
    add_cgroup_v2(tmp_path, "/", {"/": {"memory.max": GIB, "memory.current": 2 * GIB}})
    limit = CgroupReader(tmp_path).memory()
    assert limit is not None
    assert limit.free_bytes == 0


def test_cpu_quotas(tmp_path: Path) -> None:
    add_cgroup_v2(
        tmp_path, "/a/b", {"/a": {"cpu.max": "250000 100000"}, "/a/b": {"cpu.max": "max 100000"}}
    )
    assert CgroupReader(tmp_path).cpu_quota() == (2.5, "cgroup v2 cpu.max")


def test_cpu_quota_v1(tmp_path: Path) -> None:
    add_cgroup_v1(tmp_path, "/")
    folder = tmp_path / "sys/fs/cgroup/cpu,cpuacct"
    write(folder, {"cpu.cfs_quota_us": 150000, "cpu.cfs_period_us": 100000})
    assert CgroupReader(tmp_path).cpu_quota() == (1.5, "cgroup v1 cpu.cfs_quota_us")
    write(folder, {"cpu.cfs_quota_us": -1})
    assert CgroupReader(tmp_path).cpu_quota() is None


def test_spaces_in_the_mount_point(tmp_path: Path) -> None:
    write(
        tmp_path / "proc/self",
        {
            "mountinfo": "35 31 0:32 / /mnt/c\\040g rw - cgroup2 none rw",
            "cgroup": "0::/",
        },
    )
    write(tmp_path / "mnt/c g", {"memory.max": GIB, "memory.current": 0})
    limit = CgroupReader(tmp_path).memory()
    assert limit is not None
    assert limit.limit_bytes == GIB
