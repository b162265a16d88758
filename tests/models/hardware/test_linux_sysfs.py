"""AMD and Intel GPUs from trees of files as their drivers lay them out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from helpers.machine_tree import add_card, add_drm_client, gpu_metrics, write
from models.hardware.linux_sysfs import SysfsReader

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="trees with symbolic links")

GIB = 1 << 30
RX7900 = {
    "device/mem_info_vram_total": 24 * GIB,
    "device/mem_info_vram_used": 3 * GIB,
    "device/mem_info_gtt_total": 32 * GIB,
    "device/mem_info_gtt_used": GIB,
    "device/gpu_busy_percent": 71,
    "device/gpu_metrics": gpu_metrics(1),
    "device/power/runtime_status": "active",
    "device/hwmon/hwmon3/temp1_input": 55000,
    "device/hwmon/hwmon3/temp1_label": "edge",
    "device/hwmon/hwmon3/temp2_input": 66000,
    "device/hwmon/hwmon3/temp2_label": "junction",
    "device/hwmon/hwmon3/power1_average": 203000000,
}
AMD_IDS = ("0x1002", "0x744c", "0xc8")
INTEL_ARC = ("0x8086", "0x56a0", "0x08")


def test_a_machine_without_gpus(tmp_path: Path) -> None:
    assert SysfsReader(tmp_path).read() == ()


def test_amd_card(tmp_path: Path) -> None:
    add_card(tmp_path, 1, "amdgpu", ids=AMD_IDS, slot="0000:03:00.0", files=RX7900)
    (gpu,) = SysfsReader(tmp_path).read()
    assert gpu.name == "AMD GPU 1002:744c"
    assert (gpu.vendor, gpu.driver, gpu.bus_id) == ("AMD", "amdgpu", "0000:03:00.0")
    assert (gpu.total_bytes, gpu.used_bytes) == (24 * GIB, 3 * GIB)
    assert (gpu.shared_total_bytes, gpu.shared_used_bytes) == (32 * GIB, GIB)
    assert gpu.load_percent == 71
    assert gpu.temperature_c == 55.0
    assert gpu.power_w == 203.0
    assert gpu.integrated is False
    assert gpu.source == "sysfs mem_info_vram_total"
    assert gpu.sources["shared_used_bytes"] == "sysfs mem_info_gtt_used"
    assert gpu.sources["temperature_c"] == "hwmon temp1_input"


def test_amd_names_come_from_the_systems_lists(tmp_path: Path) -> None:
    add_card(tmp_path, 0, "amdgpu", ids=AMD_IDS, slot="0000:03:00.0", files=RX7900)
    pci = "1002  Advanced Micro Devices\n\t744c  Navi 31 [Radeon RX 7900 XT/XTX]\n\t\t1da2 e471  X"
    write(tmp_path, {"usr/share/misc/pci.ids": pci})
    assert SysfsReader(tmp_path).read()[0].name == "AMD Radeon RX 7900 XT/XTX"
    ids = "# comment\n1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n744C, CC, AMD Radeon RX 7900 XT"
    write(tmp_path, {"usr/share/libdrm/amdgpu.ids": ids})
    assert SysfsReader(tmp_path).read()[0].name == "AMD Radeon RX 7900 XTX"
    write(tmp_path, {"sys/class/drm/card0/device/product_name": "Radeon PRO W7900"})
    assert SysfsReader(tmp_path).read()[0].name == "AMD Radeon PRO W7900"


def test_an_apu_keeps_its_own_memory_and_lent_ram_apart(tmp_path: Path) -> None:
    files = {
        "device/mem_info_vram_total": 512 << 20,
        "device/mem_info_vram_used": 100 << 20,
        "device/mem_info_gtt_total": 15 * GIB,
        "device/mem_info_gtt_used": 2 * GIB,
        "device/gpu_metrics": gpu_metrics(2),
    }
    ids = ("0x1002", "0x1681", "0x0a")
    add_card(tmp_path, 0, "amdgpu", ids=ids, slot="0000:e5:00.0", files=dict(files))
    (gpu,) = SysfsReader(tmp_path).read()
    assert gpu.integrated is True
    assert (gpu.total_bytes, gpu.used_bytes) == (512 << 20, 100 << 20)
    assert (gpu.shared_total_bytes, gpu.shared_used_bytes) == (15 * GIB, 2 * GIB)


@pytest.mark.parametrize("power_cap", [True, False])
def test_an_apu_of_an_old_kernel_is_known_by_its_missing_power_cap(
    tmp_path: Path, power_cap: bool
) -> None:
    files = {"device/mem_info_vram_total": GIB, "device/mem_info_gtt_total": 8 * GIB}
    if power_cap:
        files["device/hwmon/hwmon0/power1_cap"] = 1
    add_card(tmp_path, 0, "amdgpu", ids=AMD_IDS, slot="0000:03:00.0", files=dict(files))
    assert SysfsReader(tmp_path).read()[0].integrated is not power_cap


def test_a_sleeping_card_is_not_woken(tmp_path: Path) -> None:
    files = {**RX7900, "device/power/runtime_status": "suspended"}
    add_card(tmp_path, 0, "amdgpu", ids=AMD_IDS, slot="0000:03:00.0", files=files)
    (gpu,) = SysfsReader(tmp_path).read()
    assert gpu.used_bytes == 3 * GIB
    assert (gpu.load_percent, gpu.temperature_c, gpu.power_w) == (None, None, None)


def test_files_that_hold_nonsense_become_none(tmp_path: Path) -> None:
    files = {**RX7900, "device/mem_info_vram_used": "", "device/gpu_busy_percent": "what"}
    add_card(tmp_path, 0, "amdgpu", ids=AMD_IDS, slot="0000:03:00.0", files=files)
    (gpu,) = SysfsReader(tmp_path).read()
    assert gpu.total_bytes == 24 * GIB
    assert gpu.used_bytes is None
    assert gpu.load_percent is None
    assert "used_bytes" not in gpu.sources


def test_values_are_read_anew_each_time(tmp_path: Path) -> None:
    add_card(tmp_path, 0, "amdgpu", ids=AMD_IDS, slot="0000:03:00.0", files=RX7900)
    reader = SysfsReader(tmp_path)
    reader.read()
    write(tmp_path, {"sys/class/drm/card0/device/mem_info_vram_used": 9 * GIB})
    assert reader.read()[0].used_bytes == 9 * GIB


def test_two_cards_and_a_foreign_one(tmp_path: Path) -> None:
    add_card(tmp_path, 0, "amdgpu", ids=AMD_IDS, slot="0000:03:00.0", files=RX7900)
    add_card(tmp_path, 1, "nvidia", ids=("0x10de", "0x2684", "0xa1"), slot="b", files={})
    add_card(tmp_path, 2, "amdgpu", ids=AMD_IDS, slot="0000:04:00.0", files=RX7900)
    reader = SysfsReader(tmp_path)
    assert [(gpu.index, gpu.bus_id) for gpu in reader.read()] == [
        (0, "0000:03:00.0"),
        (1, "0000:04:00.0"),
    ]
    assert "NVIDIA" in reader.vendors


def test_intel_card_with_totals_in_sysfs(tmp_path: Path) -> None:
    files = {"lmem_total_bytes": 16 * GIB, "lmem_avail_bytes": 15 * GIB}
    add_card(tmp_path, 0, "i915", ids=INTEL_ARC, slot="0000:03:00.0", files=dict(files))
    (gpu,) = SysfsReader(tmp_path).read()
    assert (gpu.total_bytes, gpu.used_bytes) == (16 * GIB, GIB)
    assert gpu.sources["used_bytes"] == "sysfs lmem_avail_bytes"
    assert gpu.load_percent is None


def test_xe_card_adds_its_tiles_and_asks_fdinfo(tmp_path: Path) -> None:
    files = {
        "device/tile0/physical_vram_size_bytes": hex(8 * GIB),
        "device/tile1/physical_vram_size_bytes": hex(8 * GIB),
    }
    add_card(tmp_path, 0, "xe", ids=INTEL_ARC, slot="0000:03:00.0", files=dict(files))
    fdinfo = (
        "pos:\t0\ndrm-driver:\txe\ndrm-client-id:\t7\ndrm-pdev:\t0000:03:00.0\n"
        "drm-total-vram0:\t2048 MiB\ndrm-resident-vram0:\t1024 MiB\n"
        "drm-total-system:\t64 KiB\ndrm-resident-system:\t32 KiB"
    )
    add_drm_client(tmp_path, 41, 5, "/dev/dri/renderD128", fdinfo)
    # The same client through a second file, and a file that is no GPU.
    add_drm_client(tmp_path, 41, 6, "/dev/dri/renderD128", fdinfo)
    add_drm_client(tmp_path, 41, 7, "/dev/null", "pos:\t0")
    reader = SysfsReader(tmp_path)
    (gpu,) = reader.read(pids=[41, 42])
    assert (gpu.total_bytes, gpu.used_bytes) == (16 * GIB, GIB)
    assert gpu.shared_used_bytes == 32 << 10
    assert "not counted" in gpu.sources["used_bytes"]
    assert reader.read()[0].used_bytes is None


def test_intel_integrated_gpu_has_no_memory_of_its_own(tmp_path: Path) -> None:
    ids = ("0x8086", "0x46a6", "0x0c")
    add_card(tmp_path, 0, "i915", ids=ids, slot="0000:00:02.0", files={})
    fdinfo = (
        "drm-driver:\ti915\ndrm-pdev:\t0000:00:02.0\ndrm-client-id:\t3\n"
        "drm-total-system0:\t500 KiB\ndrm-resident-system0:\t400 KiB\n"
        "drm-total-stolen-system0:\t0"
    )
    add_drm_client(tmp_path, 8, 4, "/dev/dri/card0", fdinfo)
    reader = SysfsReader(tmp_path)
    (gpu,) = reader.read(pids=[8])
    assert gpu.integrated is True
    assert gpu.total_bytes == 0
    assert gpu.shared_used_bytes == 400 << 10
    assert reader.read()[0].used_bytes == 0


def test_power_from_an_energy_counter(tmp_path: Path) -> None:
    files = {"device/hwmon/hwmon1/energy1_input": 1_000_000}
    card = add_card(tmp_path, 0, "xe", ids=INTEL_ARC, slot="0000:03:00.0", files=dict(files))
    reader = SysfsReader(tmp_path)
    assert reader.read()[0].power_w is None
    write(card, {"device/hwmon/hwmon1/energy1_input": 3_000_000})
    (gpu,) = reader.read()
    assert gpu.power_w is not None
    assert gpu.power_w > 0
    # The counter started again.
    write(card, {"device/hwmon/hwmon1/energy1_input": 5})
    assert reader.read()[0].power_w is None
