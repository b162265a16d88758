"""Folder trees that look like /proc and /sys of a Linux machine, for the hardware readers."""

from __future__ import annotations

import struct
from pathlib import Path


def write(root: Path, files: dict[str, str | int | bytes]) -> Path:
    """Write files by path relative to ``root``; returns ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(f"{content}\n")
    return root


def add_card(
    root: Path,
    number: int,
    driver: str,
    *,
    ids: tuple[str, str, str],
    slot: str,
    files: dict[str, str | int | bytes],
) -> Path:
    """Add ``/sys/class/drm/cardN`` with a PCI device; ``files`` are relative to the card."""
    card = root / f"sys/class/drm/card{number}"
    device = card / "device"
    device.mkdir(parents=True)
    drivers = root / "sys/bus/pci/drivers" / driver
    drivers.mkdir(parents=True, exist_ok=True)
    (device / "driver").symlink_to(drivers)
    write(
        card,
        {
            "device/vendor": ids[0],
            "device/device": ids[1],
            "device/revision": ids[2],
            "device/uevent": f"DRIVER={driver}\nPCI_ID={ids[0][2:]}:{ids[1][2:]}\n"
            f"PCI_SLOT_NAME={slot}",
            **files,
        },
    )
    # Connectors lie beside the cards and must not be taken for cards.
    (root / f"sys/class/drm/card{number}-DP-1").mkdir()
    return card


def gpu_metrics(format_revision: int) -> bytes:
    """Return the start of amdgpu's gpu_metrics: size, format revision, content revision."""
    return struct.pack("<HBB", 96, format_revision, 1) + bytes(92)


def add_drm_client(root: Path, pid: int, fd: int, target: str, fdinfo: str) -> None:
    """Let process ``pid`` have ``target`` open as ``fd`` with this fdinfo."""
    folder = root / f"proc/{pid}"
    (folder / "fd").mkdir(parents=True, exist_ok=True)
    (folder / "fd" / str(fd)).symlink_to(target)
    write(folder, {f"fdinfo/{fd}": fdinfo})


def add_cpus(root: Path, cores: list[tuple[int, int, str]]) -> None:
    """Add CPU topology; one (package, core id, thread siblings) for each logical CPU."""
    for cpu, (package, core, siblings) in enumerate(cores):
        write(
            root / f"sys/devices/system/cpu/cpu{cpu}/topology",
            {
                "physical_package_id": package,
                "core_id": core,
                "thread_siblings_list": siblings,
            },
        )


def add_cgroup_v2(root: Path, group: str, limits: dict[str, dict[str, str | int]]) -> None:
    """Mount version 2 at /sys/fs/cgroup with this process in ``group``."""
    write(
        root / "proc/self",
        {
            "mountinfo": "30 25 0:26 / /proc rw - proc proc rw\n"
            "35 31 0:32 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate",
            "cgroup": f"0::{group}",
        },
    )
    for folder, files in limits.items():
        write(root / "sys/fs/cgroup" / folder.lstrip("/"), dict(files))


def add_cgroup_v1(root: Path, group: str, mount_root: str = "/") -> Path:
    """Mount version 1 (memory and cpu) as Docker did; returns the memory mount's folder."""
    write(
        root / "proc/self",
        {
            "mountinfo": f"35 31 0:32 {mount_root} /sys/fs/cgroup/memory rw - cgroup cgroup "
            f"rw,memory\n36 31 0:33 {mount_root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
            "rw,cpu,cpuacct",
            "cgroup": f"5:memory:{group}\n4:cpu,cpuacct:{group}\n1:name=systemd:{group}",
        },
    )
    return root / "sys/fs/cgroup/memory"
