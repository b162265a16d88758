"""This machine as the planner knows it. No Qt here."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from models.gguf.shape import ModelShape
from models.hardware.calibration_store import (
    CalibrationStore,
    checkpoint_signature,
    placement_class,
)
from models.hardware.cpu import identify, usable_cpus
from models.hardware.files import read_int, read_text
from models.hardware.memory import RamReader
from models.planner.machine import Cpu, Disk, Gpu, GpuKind, Machine, Ram
from models.planner.plan import PlanSettings
from models.runtime.protocol import Device, DeviceList

_KINDS = {
    "CUDA": GpuKind.CUDA,
    "ROCm": GpuKind.ROCM,
    "Vulkan": GpuKind.VULKAN,
    "MTL": GpuKind.METAL,
    "Metal": GpuKind.METAL,
    "SYCL": GpuKind.SYCL,
    "RPC": GpuKind.RPC,
}
# A disk that turns, where nothing was measured.
_TURNING_BYTES_S = 150e6
_MOUNT_FIELDS = 10
# Disks of virtual machines say that they turn, whatever is behind them.
_VIRTUAL_DISKS = ("vd", "xvd", "loop", "dm-")


def this_machine(
    device_list: DeviceList,
    *,
    checkpoint_path: Path | None,
    calibration_store: CalibrationStore,
    shape: ModelShape | None = None,
    root: Path = Path("/"),
) -> Machine:
    """Return this machine as it is now.

    Args:
        device_list: what the engine sees.
        checkpoint_path: a file whose disk matters; None: the disk of the home folder.
        calibration_store: what was measured here.
        shape: of the checkpoint, for a calibration made with its own replica.
        root: the folder that holds ``proc`` and ``sys``.
    """
    ram = RamReader(root).read()
    cpu = identify(root)
    signature = checkpoint_signature(shape) if shape is not None else ""
    return Machine(
        gpus=gpus_of(device_list),
        ram=Ram(ram.total_bytes, ram.available_bytes),
        disk=disk_of(checkpoint_path, root),
        cpu=Cpu(
            cores=cpu.physical_cores.value,
            features=device_list.cpu_features,
            name=cpu.name.value,
            sockets=count_sockets(root),
        ),
        calibration=calibration_store.calibration(signature),
    )


def corrected(
    machine: Machine,
    calibration_store: CalibrationStore,
    shape: ModelShape,
    settings: PlanSettings,
    *,
    reads_disk: bool = False,
) -> Machine:
    """Return the machine with what real runs of a checkpoint with a like placement have shown."""
    found = calibration_store.corrections_for(
        checkpoint_signature(shape), placement_class(shape, settings, reads_disk=reads_disk)
    )
    return dataclasses.replace(
        machine, decode_correction=found.decode, prefill_correction=found.prefill
    )


def gpus_of(device_list: DeviceList) -> tuple[Gpu, ...]:
    """Return the devices that llama.cpp uses without being told, in its order.

    RPC hosts first, then GPUs; integrated ones only where there is no other (llama.cpp:214-275).
    """
    rpc = [device for device in device_list.devices if device.kind == "rpc"]
    gpus = [device for device in device_list.devices if device.kind == "gpu"]
    shared = [device for device in device_list.devices if device.kind == "igpu"]
    return tuple(_gpu(device) for device in [*rpc, *(gpus or shared[:1])])


def _gpu(device: Device) -> Gpu:
    kind = _KINDS.get(device.backend, GpuKind.VULKAN)
    return Gpu(
        device=device.name,
        name=device.description or device.name,
        kind=kind,
        total_bytes=device.total_bytes,
        free_bytes=min(device.free_bytes, device.total_bytes),
        is_unified=device.kind == "igpu" or kind is GpuKind.METAL,
        remote=device.remote or "cuda",
        # ggml describes a remote device by where it is (ggml-rpc.cpp, add_server).
        endpoint=device.description if kind is GpuKind.RPC else "",
    )


def count_sockets(root: Path = Path("/")) -> int:
    """Return how many processors this process may use, 1 where the system does not say."""
    cpus, _ = usable_cpus()
    topology = root / "sys/devices/system/cpu"
    packages = {read_int(topology / f"cpu{cpu}/topology/physical_package_id") for cpu in cpus}
    return max(1, len(packages - {None, -1}))


def disk_of(path: Path | None, root: Path = Path("/")) -> Disk:
    """Return what the system says of the disk that holds a file; on Linux only."""
    queue = _queue_folder(path or Path.home(), root)
    if queue is None:
        return Disk()
    ahead = read_int(queue / "read_ahead_kb")
    turns = read_int(queue / "rotational") == 1 and not queue.parent.name.startswith(_VIRTUAL_DISKS)
    return Disk(
        read_bytes_s=_TURNING_BYTES_S if turns else None,
        read_ahead_bytes=Disk().read_ahead_bytes if ahead is None else ahead * 1024,
    )


def _queue_folder(path: Path, root: Path) -> Path | None:
    """Return ``/sys/block/DISK/queue`` of the disk that holds a path."""
    if not hasattr(os, "major"):
        return None
    try:
        number = path.stat().st_dev
    except OSError:
        return None
    major, minor = os.major(number), os.minor(number)
    if major == 0:
        # btrfs and its like have numbers of their own; the mount table names a real disk.
        found = _source_of_mount(f"{major}:{minor}", root)
        if found is None:
            return None
        major, minor = found
    folder = (root / f"sys/dev/block/{major}:{minor}").resolve()
    for disk in (folder, folder.parent):
        if (disk / "queue").is_dir():
            return disk / "queue"
    return None


def _source_of_mount(number: str, root: Path) -> tuple[int, int] | None:
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        words = line.split()
        if len(words) < _MOUNT_FIELDS or words[2] != number or "-" not in words:
            continue
        source = words[words.index("-") + 2]
        if not re.fullmatch(r"/dev/\S+", source):
            return None
        try:
            device = Path(source).stat().st_rdev
        except OSError:
            return None
        return os.major(device), os.minor(device)
    return None
