"""Live hardware figures as plain data; every figure says where it came from. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Reading(Generic[T]):
    """One value and where it was read."""

    value: T
    source: str


@dataclass(frozen=True)
class GpuReadout:
    """One GPU at one moment. None means that the driver does not say.

    Attributes:
        index: number of the GPU among those of its driver.
        total_bytes: the GPU's own (dedicated) memory; 0 when it has none of its own.
        used_bytes: how much of it is in use.
        source: where the memory figures come from, in a few words.
        integrated: whether it shares the machine's RAM.
        shared_total_bytes: RAM that the driver lends to the GPU. Never part of ``total_bytes``.
        shared_used_bytes: how much of that is in use.
        sources: for each field with a value, where it was read.
    """

    name: str
    vendor: str
    index: int
    total_bytes: int | None
    used_bytes: int | None
    load_percent: float | None
    temperature_c: float | None
    power_w: float | None
    source: str
    driver: str = ""
    bus_id: str = ""
    integrated: bool = False
    shared_total_bytes: int | None = None
    shared_used_bytes: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RamReadout:
    """The RAM this process may use: the machine's, or less where a cgroup limits it.

    ``used_bytes`` is total minus available: what is out of reach without swapping.
    """

    total_bytes: int
    used_bytes: int
    available_bytes: int
    source: str
    machine_total_bytes: int = 0
    limit_bytes: int | None = None


@dataclass(frozen=True)
class CpuReadout:
    """The processor. ``physical_cores`` are those this process may use, at least 1.

    ``load_percent`` is of the whole machine since the sample before, None in the first one.
    """

    load_percent: float | None
    physical_cores: int
    logical_cores: int
    name: str
    features: tuple[str, ...]
    source: str
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProcessReadout:
    """Resident memory of one process, memory-mapped weights included."""

    pid: int
    rss_bytes: int
    source: str


@dataclass(frozen=True)
class HardwareSnapshot:
    """Everything in one sample.

    Attributes:
        taken_at: seconds of the monotonic clock.
        engine: the engine child, when its pid was given and it is alive.
        notes: what could not be read and why, one sentence each.
    """

    gpus: tuple[GpuReadout, ...]
    ram: RamReadout
    cpu: CpuReadout
    taken_at: float
    engine: ProcessReadout | None = None
    notes: tuple[str, ...] = ()
