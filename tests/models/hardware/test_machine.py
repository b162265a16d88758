"""This machine as the planner knows it: devices in llama.cpp's order, the checkpoint's disk."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from helpers.machine_tree import write
from helpers.true_scale import true_scale
from models.hardware.calibration_store import (
    CalibrationStore,
    checkpoint_signature,
    placement_class,
)
from models.hardware.cpu import last_cache_bytes, usable_cpus
from models.hardware.machine import corrected, count_sockets, disk_of, gpus_of, this_machine
from models.planner.machine import Calibration, Disk, GpuKind
from models.planner.plan import PlanSettings
from models.runtime.protocol import Device, DeviceList


def _device(name: str, kind: str, backend: str, free_bytes: int = 7) -> Device:
    return Device(name, f"Product {name}", kind, backend, 8, free_bytes)


def _listed(*devices: Device) -> DeviceList:
    return DeviceList((_device("CPU", "cpu", "CPU"), *devices), ("AVX2",), ("CPU",), "")


def test_devices_come_in_the_order_in_which_layers_go_to_them() -> None:
    found = gpus_of(
        _listed(
            _device("CUDA0", "gpu", "CUDA"),
            _device("Vulkan0", "igpu", "Vulkan"),
            _device("RPC0", "rpc", "RPC"),
            _device("ROCm0", "gpu", "ROCm"),
        )
    )
    assert [gpu.device for gpu in found] == ["RPC0", "CUDA0", "ROCm0"]
    assert [gpu.kind for gpu in found] == [GpuKind.RPC, GpuKind.CUDA, GpuKind.ROCM]
    assert not any(gpu.is_unified for gpu in found)
    assert found[1].name == "Product CUDA0"


def test_an_integrated_gpu_is_used_where_there_is_no_other() -> None:
    (gpu,) = gpus_of(_listed(_device("Vulkan0", "igpu", "Vulkan", free_bytes=99)))
    assert (gpu.device, gpu.is_unified) == ("Vulkan0", True)
    assert gpu.free_bytes == gpu.total_bytes == 8
    (apple,) = gpus_of(_listed(_device("MTL0", "gpu", "MTL")))
    assert (apple.kind, apple.is_unified) == (GpuKind.METAL, True)


def test_this_machine(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    store.save(Calibration(measured_on="2026-10-01", ram_bytes_s=1e10))
    machine = this_machine(_listed(), checkpoint_path=tmp_path, calibration_store=store)
    assert machine.gpus == ()
    assert machine.ram.total_bytes <= psutil.virtual_memory().total
    assert 0 < machine.ram.available_bytes <= machine.ram.total_bytes
    assert machine.cpu.features == ("AVX2",)
    assert machine.cpu.cores >= 1
    assert machine.calibration == store.calibration()
    assert not machine.is_described


def test_a_checkpoints_own_calibration_and_runs_are_used(tmp_path: Path) -> None:
    shape, how = true_scale("qwen15-q4km").shape, PlanSettings(n_ctx=512)
    store = CalibrationStore(tmp_path)
    signature = checkpoint_signature(shape)
    own = Calibration(measured_on="2026-10-02", ram_bytes_s=2e10)
    store.save(Calibration(measured_on="2026-10-01"))
    store.save(own, signature)
    store.record_run(
        signature,
        placement_class(shape, how),
        predicted_decode_tok_s=10.0,
        measured_decode_tok_s=9.0,
    )
    machine = this_machine(_listed(), checkpoint_path=None, calibration_store=store, shape=shape)
    assert machine.calibration == own
    assert (machine.decode_correction, machine.prefill_correction) == (1.0, 1.0)
    assert corrected(machine, store, shape, how).decode_correction == pytest.approx(0.9)
    assert corrected(machine, store, shape, how, reads_disk=True).decode_correction == 1.0


def _disk(root: Path, path: Path, folder: str, files: dict[str, str | int | bytes]) -> None:
    """Add the disk of ``path``, as a partition of it, to a tree of system files."""
    number = path.stat().st_dev
    link = root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
    block = root / "sys/devices" / folder
    write(block, {f"queue/{name}": value for name, value in files.items()})
    (block / f"{folder}1").mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(block / f"{folder}1")


@pytest.mark.skipif(not hasattr(os, "major"), reason="device numbers are a matter of Unix")
@pytest.mark.parametrize(
    ("name", "turns", "read_bytes_s"),
    [("sda", 1, 150e6), ("nvme0n1", 0, None), ("vda", 1, None)],
)
def test_the_disk_of_a_checkpoint(
    tmp_path: Path, name: str, turns: int, read_bytes_s: float | None
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    if os.major(path.stat().st_dev) == 0:
        pytest.skip("the file system here has no disk of its own")
    root = tmp_path / "root"
    _disk(root, path, name, {"read_ahead_kb": 4096, "rotational": turns})
    assert disk_of(path, root) == Disk(read_bytes_s, 4096 * 1024)


def test_a_disk_that_nobody_knows(tmp_path: Path) -> None:
    assert disk_of(tmp_path, tmp_path / "nothing") == Disk()
    assert disk_of(tmp_path / "missing.gguf") == Disk()


def test_sockets_are_counted(tmp_path: Path) -> None:
    cpus = sorted(usable_cpus()[0])
    folder = "sys/devices/system/cpu/cpu{}/topology/physical_package_id"
    files: dict[str, str | int | bytes] = {
        folder.format(cpu): index % 2 for index, cpu in enumerate(cpus)
    }
    assert count_sockets(write(tmp_path, files)) == min(2, len(cpus))
    assert count_sockets(tmp_path / "nothing") == 1


def test_the_largest_cache(tmp_path: Path) -> None:
    folder = "sys/devices/system/cpu/cpu0/cache"
    files: dict[str, str | int | bytes] = {
        f"{folder}/index0/size": "48K",
        f"{folder}/index3/size": "96M",
        f"{folder}/index4/size": "odd",
    }
    assert last_cache_bytes(write(tmp_path, files)) == 96 << 20
    assert last_cache_bytes(tmp_path / "nothing") == 32 << 20
