"""What a load really took beside what was planned, kept for later. No Qt here.

One line of JSON a load, the newest last. The file is small on purpose: it is read by people who
report a wrong plan, and by whoever corrects the planner's formulas.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.planner.plan import CPU, DevicePlan, Plan
from models.runtime.protocol import DeviceMemory, Loaded
from models.whole_files import write_whole

VERSION = 1
MAX_RECORDS = 300

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartBytes:
    """What lies on a device, split as llama.cpp's own account splits it."""

    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    output_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """All four together."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.output_bytes


@dataclass(frozen=True)
class DeviceDifference:
    """Planned and measured on one device; a device that one of the two does not know has zeros."""

    name: str
    planned: PartBytes
    measured: PartBytes

    @property
    def difference_bytes(self) -> int:
        """Measured minus planned."""
        return self.measured.total_bytes - self.planned.total_bytes


@dataclass(frozen=True)
class MeasuredLoad:
    """One load.

    Attributes:
        at: when, ISO 8601 in UTC.
        checkpoint: its name.
        tier: where the planned figures came from.
        settings: what was planned, by the words of PlanSettings.
        source: how the measured figures were had (llama.cpp's account, or its log).
    """

    at: str
    checkpoint: str
    architecture: str
    quantization: str
    file_bytes: int
    tier: str
    settings: Mapping[str, Any]
    devices: tuple[DeviceDifference, ...]
    source: str = ""
    elapsed_s: float = 0.0


def compare(plan: Plan, measured: Sequence[DeviceMemory]) -> tuple[DeviceDifference, ...]:
    """Put planned and measured bytes side by side: GPUs in the plan's order, the CPU last."""
    planned = {device.name: _planned(device) for device in plan.memory.devices}
    found = {device.name: _measured(device) for device in measured}
    names = [*planned, *(name for name in found if name not in planned)]
    names.sort(key=lambda name: name == CPU)
    nothing = PartBytes()
    return tuple(
        DeviceDifference(name, planned.get(name, nothing), found.get(name, nothing))
        for name in names
        if planned.get(name, nothing).total_bytes or found.get(name, nothing).total_bytes
    )


def measured_load(plan: Plan, loaded: Loaded, *, at: datetime | None = None) -> MeasuredLoad:
    """Return the record of a load that followed a plan."""
    model = loaded.model
    return MeasuredLoad(
        at=(at or datetime.now(UTC)).isoformat(timespec="seconds"),
        checkpoint=model.name,
        architecture=model.architecture,
        quantization=model.quantization,
        file_bytes=model.size_bytes,
        tier=plan.tier.value,
        settings=dataclasses.asdict(plan.settings),
        devices=compare(plan, loaded.devices),
        source=loaded.devices[0].source if loaded.devices else "",
        elapsed_s=loaded.elapsed_s,
    )


class MeasuredStore:
    """The file of all loads; bounded, damaged lines are passed over.

    Every method may be called from any thread. What cannot be written is logged: it is a record,
    not the job.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def append(self, record: MeasuredLoad) -> None:
        """Add a load; the oldest goes when there are ``MAX_RECORDS``."""
        line = json.dumps({"version": VERSION, **dataclasses.asdict(record)})
        with self._lock:
            try:
                kept = self._lines()[-(MAX_RECORDS - 1) :]
                write_whole(self._file, "\n".join([*kept, line, ""]).encode())
            except OSError as error:
                _log.info("Measured bytes not kept in %s: %s", self._file, error)

    def records(self) -> tuple[MeasuredLoad, ...]:
        """Return every readable record, the newest last."""
        with self._lock:
            try:
                lines = self._lines()
            except OSError as error:
                _log.info("Measured bytes are not readable: %s", error)
                return ()
        records = (_record(line) for line in lines)
        return tuple(record for record in records if record is not None)

    def _lines(self) -> list[str]:
        try:
            text = self._file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.strip()]


def _record(line: str) -> MeasuredLoad | None:
    try:
        data = json.loads(line)
        if data.pop("version") != VERSION:
            return None
        devices = tuple(
            DeviceDifference(one["name"], PartBytes(**one["planned"]), PartBytes(**one["measured"]))
            for one in data.pop("devices")
        )
        return MeasuredLoad(devices=devices, **data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        _log.info("A line of measured bytes was passed over: %r", error)
        return None


def _planned(device: DevicePlan) -> PartBytes:
    return PartBytes(
        device.weights_bytes, device.kv_bytes, device.compute_bytes, device.output_bytes
    )


def _measured(device: DeviceMemory) -> PartBytes:
    return PartBytes(
        device.weights_bytes, device.kv_bytes, device.compute_bytes, device.output_bytes
    )
