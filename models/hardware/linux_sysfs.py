"""AMD (amdgpu) and Intel (i915, xe) GPUs through sysfs and fdinfo on Linux. No Qt here.

https://docs.kernel.org/gpu/amdgpu/driver-misc.html says what amdgpu's files mean.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.hardware.fdinfo import DrmMemory, drm_memory
from models.hardware.files import children, link_name, read_bytes, read_int, read_text
from models.hardware.pci_names import gpu_name
from models.hardware.readouts import GpuReadout, Reading

_VENDORS = {0x1002: "AMD", 0x8086: "Intel", 0x10DE: "NVIDIA"}
_DRIVERS = {"amdgpu": "AMD", "i915": "Intel", "xe": "Intel"}
# The format revisions of amdgpu's gpu_metrics that only APUs have (kgd_pp_interface.h).
_APU_METRICS = (2, 3)
# Intel's integrated GPU always sits here; its cards never do.
_INTEL_INTEGRATED_SLOT = "0000:00:02.0"
_Values = dict[str, Reading[int] | Reading[float]]
_TEMPERATURE_LABELS = ("edge", "pkg", "junction")


@dataclass
class _Card:
    folder: Path
    index: int
    driver: str
    vendor: str
    name: str
    bus_id: str
    integrated: bool
    hwmon: Path | None
    temperature: Path | None
    energy: tuple[float, int] | None = None

    @property
    def device(self) -> Path:
        return self.folder / "device"


class SysfsReader:
    """Reads the GPUs under ``/sys/class/drm``; ``root`` is the folder that holds sys and proc."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        folders = [
            folder
            for folder in children(root / "sys/class/drm")
            if re.fullmatch(r"card\d+", folder.name)
        ]
        self._cards = _find_cards(root, folders)
        self.vendors = tuple(_VENDORS.get(_vendor_id(folder), "") for folder in folders)

    def read(self, pids: Sequence[int] = ()) -> tuple[GpuReadout, ...]:
        """Return one readout per GPU; ``pids`` are asked for memory that sysfs does not give."""
        if not self._cards:
            return ()
        needs_fdinfo = any(card.vendor == "Intel" for card in self._cards)
        held = drm_memory(self._root / "proc", pids) if pids and needs_fdinfo else {}
        return tuple(self._read_card(card, held.get(card.bus_id)) for card in self._cards)

    def _read_card(self, card: _Card, held: DrmMemory | None) -> GpuReadout:
        memory = _amd_memory(card) if card.vendor == "AMD" else _intel_memory(card, held)
        values: _Values = {**memory}
        # Asking a sleeping GPU for load or temperature wakes it, at every sample.
        if read_text(card.device / "power/runtime_status") != "suspended":
            values.update(_activity(card))
        total = values.get("total_bytes")
        return GpuReadout(
            name=card.name,
            vendor=card.vendor,
            index=card.index,
            total_bytes=_whole(values, "total_bytes"),
            used_bytes=_whole(values, "used_bytes"),
            load_percent=_number(values, "load_percent"),
            temperature_c=_number(values, "temperature_c"),
            power_w=_number(values, "power_w"),
            source=total.source if total else f"sysfs ({card.driver})",
            driver=card.driver,
            bus_id=card.bus_id,
            integrated=card.integrated,
            shared_total_bytes=_whole(values, "shared_total_bytes"),
            shared_used_bytes=_whole(values, "shared_used_bytes"),
            sources={key: reading.source for key, reading in values.items()},
        )


def _whole(values: _Values, key: str) -> int | None:
    return int(values[key].value) if key in values else None


def _number(values: _Values, key: str) -> float | None:
    return float(values[key].value) if key in values else None


def _vendor_id(folder: Path) -> int:
    return read_int(folder / "device/vendor") or 0


def _find_cards(root: Path, folders: list[Path]) -> list[_Card]:
    cards: list[_Card] = []
    for folder in folders:
        driver = link_name(folder / "device/driver")
        if driver not in _DRIVERS:
            continue
        index = sum(1 for card in cards if card.driver == driver)
        cards.append(_make_card(root, folder, driver, index))
    return cards


def _make_card(root: Path, folder: Path, driver: str, index: int) -> _Card:
    device = folder / "device"
    bus_id = _bus_id(device)
    hwmon = next((path for path in children(device / "hwmon") if path.is_dir()), None)
    return _Card(
        folder=folder,
        index=index,
        driver=driver,
        vendor=_DRIVERS[driver],
        name=_card_name(root, device, _DRIVERS[driver]),
        bus_id=bus_id,
        integrated=_is_apu(device) if driver == "amdgpu" else bus_id == _INTEL_INTEGRATED_SLOT,
        hwmon=hwmon,
        temperature=_temperature_file(hwmon) if hwmon else None,
    )


def _bus_id(device: Path) -> str:
    for line in (read_text(device / "uevent") or "").splitlines():
        key, _, value = line.partition("=")
        if key == "PCI_SLOT_NAME":
            return value
    return link_name(device)


def _card_name(root: Path, device: Path, vendor: str) -> str:
    ids = [read_int(device / name) or 0 for name in ("vendor", "device", "revision")]
    product = read_text(device / "product_name")
    name = product or gpu_name(root, ids[0], ids[1], ids[2]) or f"GPU {ids[0]:04x}:{ids[1]:04x}"
    return name if vendor in name else f"{vendor} {name}"


def _is_apu(device: Path) -> bool:
    header = read_bytes(device / "gpu_metrics", 4)
    if len(header) == 4:
        return header[2] in _APU_METRICS
    # Old kernels: an APU has a small carve-out and no power cap of its own.
    vram = read_int(device / "mem_info_vram_total") or 0
    gtt = read_int(device / "mem_info_gtt_total") or 0
    return vram < gtt and not any(device.glob("hwmon/hwmon*/power1_cap"))


def _temperature_file(hwmon: Path) -> Path | None:
    by_label = {read_text(path): path for path in sorted(hwmon.glob("temp*_label"))}
    for label in _TEMPERATURE_LABELS:
        if label in by_label:
            return hwmon / by_label[label].name.replace("_label", "_input")
    inputs = sorted(hwmon.glob("temp*_input"))
    return inputs[0] if inputs else None


def _amd_memory(card: _Card) -> _Values:
    files = {
        "total_bytes": "mem_info_vram_total",
        "used_bytes": "mem_info_vram_used",
        "shared_total_bytes": "mem_info_gtt_total",
        "shared_used_bytes": "mem_info_gtt_used",
    }
    readings = {key: (read_int(card.device / name), name) for key, name in files.items()}
    return {
        key: Reading(value, f"sysfs {name}")
        for key, (value, name) in readings.items()
        if value is not None
    }


def _intel_memory(card: _Card, held: DrmMemory | None) -> _Values:
    values: _Values = {}
    if card.integrated:
        values["total_bytes"] = Reading(0, f"PCI slot {card.bus_id} (integrated)")
    else:
        values.update(_intel_local(card))
    if held is not None:
        source = "fdinfo of Fathom's engine (other programs are not counted)"
        if not card.integrated:
            values.setdefault("used_bytes", Reading(held.dedicated_bytes, source))
        values["shared_used_bytes"] = Reading(held.shared_bytes, source)
    elif card.integrated:
        values["used_bytes"] = Reading(0, f"PCI slot {card.bus_id} (integrated)")
    return values


def _intel_local(card: _Card) -> _Values:
    """Return a card's own memory; upstream kernels tell the total only in some versions."""
    total = read_int(card.folder / "lmem_total_bytes")
    free = read_int(card.folder / "lmem_avail_bytes")
    values: _Values = {}
    if total is not None:
        values["total_bytes"] = Reading(total, "sysfs lmem_total_bytes")
        if free is not None:
            values["used_bytes"] = Reading(total - free, "sysfs lmem_avail_bytes")
        return values
    tiles = [read_int(path) for path in card.device.glob("tile*/physical_vram_size_bytes")]
    sizes = [size for size in tiles if size is not None]
    if sizes:
        values["total_bytes"] = Reading(sum(sizes), "sysfs physical_vram_size_bytes")
    return values


def _activity(card: _Card) -> _Values:
    values: _Values = {}
    load = read_int(card.device / "gpu_busy_percent")
    if load is not None:
        values["load_percent"] = Reading(float(load), "sysfs gpu_busy_percent")
    if card.temperature is not None:
        millidegrees = read_int(card.temperature)
        if millidegrees is not None:
            source = f"hwmon {card.temperature.name}"
            values["temperature_c"] = Reading(millidegrees / 1000.0, source)
    if card.hwmon is not None:
        power = _power(card, card.hwmon)
        if power is not None:
            values["power_w"] = power
    return values


def _power(card: _Card, hwmon: Path) -> Reading[float] | None:
    for name in ("power1_average", "power1_input"):
        microwatts = read_int(hwmon / name)
        if microwatts is not None:
            return Reading(microwatts / 1e6, f"hwmon {name}")
    microjoules = read_int(hwmon / "energy1_input")
    if microjoules is None:
        return None
    now = time.monotonic()
    last, card.energy = card.energy, (now, microjoules)
    if last is None or now <= last[0] or microjoules < last[1]:
        return None
    watts = (microjoules - last[1]) / 1e6 / (now - last[0])
    return Reading(watts, "hwmon energy1_input over time")
