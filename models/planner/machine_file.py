"""Machines as JSON text: to plan for one that is not this one. Pure, no Qt here.

The keys are documented in docs/planner_speed.md. A key that is not known is an error, because a
misspelt one would be ignored silently; ``name``, ``notes`` and ``published`` are for people.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from models.errors import BadInputError
from models.planner.machine import Calibration, Cpu, Disk, Gpu, GpuKind, Machine, Ram

# ggml's device names (GGML_CUDA_NAME and its like: ggml-cuda.h, ggml-vulkan.h, ggml-metal.cpp:15,
# ggml-sycl.h, ggml-rpc.cpp); ROCm builds of the CUDA backend call themselves ROCm.
_DEVICE_PREFIX = {
    GpuKind.CUDA: "CUDA",
    GpuKind.ROCM: "ROCm",
    GpuKind.VULKAN: "Vulkan",
    GpuKind.METAL: "MTL",
    GpuKind.SYCL: "SYCL",
    GpuKind.RPC: "RPC",
}
_MOST_BYTES = 1 << 60
_MOST_RATE = 1e21
_MOST_CORES = 4096
_MOST_GPUS = 64
_FOR_PEOPLE = frozenset({"name", "notes", "published"})


def machine_from_json(text: str) -> Machine:
    """Return the machine that a file describes.

    GPUs get ggml's device names by kind and position, RPC hosts first, as llama.cpp orders them.

    Raises:
        BadInputError: not JSON, or a key is missing, unknown or has an impossible value; the
            message names the key.
    """
    table = _Table(_parse(text), "")
    gpus = _gpus(table.list("gpus"))
    pcie_bytes_s = table.rate("pcie_bytes_s")
    ram = _ram(table.table("ram"))
    disk = _disk(table.table("disk", {}))
    cpu = _cpu(table.table("cpu", {}))
    calibration = _calibration(table)
    table.close(_FOR_PEOPLE)
    return Machine(gpus, ram, disk, cpu, pcie_bytes_s, calibration, is_described=True)


def machine_to_json(machine: Machine) -> str:
    """Return a machine as ``machine_from_json`` reads it; corrections of earlier loads stay out."""
    gpus = [{**_present(gpu), "kind": gpu.kind.value} for gpu in machine.gpus]
    described: dict[str, Any] = {
        "gpus": gpus,
        "ram": _present(machine.ram),
        "disk": _present(machine.disk),
        "cpu": {**_present(machine.cpu), "features": list(machine.cpu.features)},
    }
    if machine.pcie_bytes_s is not None:
        described["pcie_bytes_s"] = machine.pcie_bytes_s
    if machine.calibration is not None:
        described["calibration"] = calibration_to_json(machine.calibration)
    return json.dumps(described, ensure_ascii=False, indent=2) + "\n"


def calibration_to_json(calibration: Calibration) -> dict[str, Any]:
    """Return a calibration as plain JSON data, unmeasured figures left out."""
    return {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in _present(calibration).items()
    }


def calibration_from_json(data: object) -> Calibration:
    """Rebuild a calibration.

    Raises:
        BadInputError: a figure is missing its type or out of bounds.
    """
    table = _Table({"calibration": data}, "")
    calibration = _calibration(table)
    if calibration is None:
        _refuse("calibration", "must be an object")
    return calibration


def _present(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields without those that are None."""
    fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {name: field for name, field in fields if field is not None}


def _parse(text: str) -> dict[str, Any]:
    def refuse_constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is no number")

    try:
        data = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadInputError("The machine file is not JSON.", details=str(error)) from error
    if not isinstance(data, dict):
        raise BadInputError("The machine file does not hold one JSON object.")
    return data


def _refuse(key: str, why: str) -> NoReturn:
    raise BadInputError(
        f'The machine file\'s "{key}" {why}.', hint="docs/planner_speed.md says what it may hold."
    )


class _Table:
    """One object of the file; every read takes its key, ``close`` refuses what is left."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            _refuse(where, "must be an object")
        self._data: dict[str, Any] = dict(data)
        self._where = where

    def path(self, key: str) -> str:
        """Return a key with where it stands: ``ram.total_bytes``."""
        return f"{self._where}.{key}" if self._where else key

    def has(self, key: str) -> bool:
        """Whether a value is there and not null."""
        return self._data.get(key) is not None

    def take(self, key: str, default: object = None) -> Any:
        """Return a value; a missing one without a default is an error."""
        value = self._data.pop(key, None)
        if value is None:
            value = default
        if value is None:
            _refuse(self.path(key), "is missing")
        return value

    def table(self, key: str, default: object = None) -> _Table:
        """Return an object."""
        return _Table(self.take(key, default), self.path(key))

    def list(self, key: str) -> list[_Table]:
        """Return a list of objects, an empty one when it is not there."""
        items = self.take(key, ())
        if not isinstance(items, (list, tuple)):
            _refuse(self.path(key), "must be a list")
        return [_Table(item, f"{self.path(key)}[{i}]") for i, item in enumerate(items)]

    def count(self, key: str, most: int, default: int | None = None, *, least: int = 0) -> int:
        """Return a whole number; ``8e9`` is one too."""
        value = self.take(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            _refuse(self.path(key), "must be a whole number")
        if not least <= value <= most:
            _refuse(self.path(key), f"must be between {least} and {most:,}")
        return value

    def rate(self, key: str, *, zero: bool = False) -> float | None:
        """Return a number above 0, None when it is not there."""
        if not self.has(key):
            self._data.pop(key, None)
            return None
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            _refuse(self.path(key), "must be a number")
        # Compared before anything else: a whole number of any length is no float.
        if not 0 <= value <= _MOST_RATE or (value == 0 and not zero):
            _refuse(self.path(key), "must be above 0" if value <= 0 else "is too large")
        return float(value)

    def rates(self, key: str) -> dict[str, float]:
        """Return an object of numbers above 0."""
        inner = self.table(key, {})
        return {name: inner.rate(name) or 0.0 for name in list(inner._data)}

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string."""
        value = self.take(key, default)
        if not isinstance(value, str):
            _refuse(self.path(key), "must be a string")
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean, false when it is not there."""
        value = self.take(key, False)
        if not isinstance(value, bool):
            _refuse(self.path(key), "must be true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.take(key, ())
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            _refuse(self.path(key), "must be a list of strings")
        return tuple(value)

    def close(self, others: frozenset[str] = frozenset()) -> None:
        """Refuse a key that nobody asked for."""
        given = {key for key, value in self._data.items() if value is not None}
        unknown = sorted(given - others)
        if unknown:
            _refuse(self.path(unknown[0]), "is not a key that a machine file has")


def _gpus(tables: list[_Table]) -> tuple[Gpu, ...]:
    if len(tables) > _MOST_GPUS:
        _refuse("gpus", f"has more than {_MOST_GPUS} entries")
    kinds = [(_kind(table), table) for table in tables]
    kinds.sort(key=lambda pair: pair[0] is not GpuKind.RPC)
    seen: dict[GpuKind, int] = {}
    gpus: list[Gpu] = []
    for kind, table in kinds:
        number = seen.get(kind, 0)
        seen[kind] = number + 1
        gpus.append(_gpu(table, kind, f"{_DEVICE_PREFIX[kind]}{number}"))
        if any(gpu.device == gpus[-1].device for gpu in gpus[:-1]):
            _refuse(table.path("device"), "names a device twice")
    return tuple(gpus)


def _kind(table: _Table) -> GpuKind:
    text = table.text("kind")
    try:
        return GpuKind(text.lower())
    except ValueError:
        _refuse(table.path("kind"), f"must be one of {', '.join(GpuKind)}")


def _gpu(table: _Table, kind: GpuKind, device: str) -> Gpu:
    total_bytes = table.count("total_bytes", _MOST_BYTES, least=1)
    gpu = Gpu(
        device=table.text("device", device),
        name=table.text("name", device),
        kind=kind,
        total_bytes=total_bytes,
        free_bytes=table.count("free_bytes", total_bytes, total_bytes),
        bandwidth_bytes_s=table.rate("bandwidth_bytes_s"),
        compute_flop_s=table.rate("compute_flop_s"),
        is_unified=table.flag("is_unified"),
        link_bytes_s=table.rate("link_bytes_s"),
        link_latency_s=table.rate("link_latency_s", zero=True) or 0.0,
        driver_bytes=(
            table.count("driver_bytes", _MOST_BYTES) if table.has("driver_bytes") else None
        ),
        remote=_remote(table),
        endpoint=table.text("endpoint", ""),
    )
    table.close()
    return gpu


def _remote(table: _Table) -> str:
    """Return what an RPC host computes with."""
    remote = table.text("remote", "cuda").lower()
    if remote not in ("cuda", "cpu"):
        _refuse(table.path("remote"), "must be cuda or cpu")
    return remote


def _ram(table: _Table) -> Ram:
    total_bytes = table.count("total_bytes", _MOST_BYTES, least=1)
    available_bytes = table.count("available_bytes", total_bytes, total_bytes)
    ram = Ram(total_bytes, available_bytes, table.rate("bandwidth_bytes_s"))
    table.close()
    return ram


def _disk(table: _Table) -> Disk:
    read_ahead_bytes = table.count("read_ahead_bytes", _MOST_BYTES, Disk().read_ahead_bytes)
    disk = Disk(table.rate("read_bytes_s"), read_ahead_bytes)
    table.close()
    return disk


def _cpu(table: _Table) -> Cpu:
    cpu = Cpu(
        cores=table.count("cores", _MOST_CORES, 4, least=1),
        features=table.texts("features"),
        name=table.text("name", ""),
        sockets=table.count("sockets", _MOST_CORES, 1, least=1),
    )
    table.close()
    return cpu


def _calibration(table: _Table) -> Calibration | None:
    if not table.has("calibration"):
        return None
    inner = table.table("calibration")
    calibration = Calibration(
        measured_on=inner.text("measured_on", ""),
        n_threads=inner.count("n_threads", _MOST_CORES, 0),
        cpu_decode_bytes_s=inner.rates("cpu_decode_bytes_s"),
        cpu_prefill_flop_s=inner.rates("cpu_prefill_flop_s"),
        cpu_fixed_s=inner.rate("cpu_fixed_s", zero=True) or 0.0,
        cpu_layer_s=inner.rate("cpu_layer_s", zero=True) or 0.0,
        gpu_decode_bytes_s=inner.rates("gpu_decode_bytes_s"),
        gpu_prefill_flop_s=inner.rates("gpu_prefill_flop_s"),
        pcie_bytes_s=inner.rate("pcie_bytes_s"),
        ram_bytes_s=inner.rate("ram_bytes_s"),
        disk_bytes_s=inner.rate("disk_bytes_s"),
    )
    inner.close()
    return calibration
