"""``fathom devices``: what Fathom sees of this machine, and how it knows. No Qt here."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.cli.failures import print_error
from app.cli.session import EngineConversation, Session
from app.cli.table import format_table
from models.engine_settings import rpc_hosts
from models.errors import FathomError, StoppedError
from models.hardware.readouts import GpuReadout, HardwareSnapshot
from models.hardware.sampler import HardwareSampler
from models.runtime.protocol import AddonState, Device, DeviceList
from models.units import format_bytes
from models.version import VERSION

_ENGINE_LIMIT_S = 60.0
_LOAD_WINDOW_S = 0.25
_GGML = "ggml, in the engine child"
Row = tuple[str, str, str]


def devices(options: argparse.Namespace, session: Session) -> int:
    """Print the machine; return 1 when the engine could not be asked."""
    listed: DeviceList | None = None
    problem: FathomError | None = None
    with HardwareSampler() as sampler:
        load_percent = _load_percent(sampler)
        with session.open_engine() as engine:
            try:
                listed = ask_devices(engine, rpc_hosts(session.settings))
            except FathomError as error:
                problem = error
            snapshot = sampler.sample(engine.supervisor.pid)
    # Not the load of the start of the engine.
    snapshot = replace(snapshot, cpu=replace(snapshot.cpu, load_percent=load_percent))
    if options.json:
        report = to_json(listed, snapshot)
        report["error"] = problem.to_json() if problem else None
        print(json.dumps(report, ensure_ascii=False))
    else:
        print(format_table(_rows(listed, snapshot), wrap=1))
    if problem is None:
        return 0
    print_error(problem, json_output=False)
    return problem.exit_code


def _load_percent(sampler: HardwareSampler) -> float | None:
    """Return the load of the CPU over a moment before the engine starts."""
    sampler.sample()
    threading.Event().wait(_LOAD_WINDOW_S)
    return sampler.sample().cpu.load_percent


def ask_devices(engine: EngineConversation, hosts: Sequence[str] = ()) -> DeviceList:
    """Start the engine child and return ggml's own list.

    Args:
        engine: the child to ask.
        hosts: RPC hosts whose devices are to be listed too.

    Raises:
        FathomError: the child does not start or does not answer.
        StoppedError: Ctrl-C came first.
    """
    engine.supervisor.start()
    final = engine.last(engine.supervisor.request_devices(hosts), limit_s=_ENGINE_LIMIT_S)
    if not isinstance(final.body, DeviceList):
        raise StoppedError
    return final.body


def engine_version() -> str:
    """Return the version of llama-cpp-python, which names the llama.cpp it carries."""
    try:
        return importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def to_json(listed: DeviceList | None, snapshot: HardwareSnapshot) -> dict[str, Any]:
    """Return the documented keys; each part names its source."""
    cpu = dataclasses.asdict(snapshot.cpu)
    cpu["engine_features"] = list(listed.cpu_features) if listed else []
    cpu["sources"]["engine_features"] = _GGML
    del cpu["source"]
    return {
        "version": VERSION,
        "backend": _backend(listed),
        "devices": [
            {**dataclasses.asdict(device), "source": _GGML}
            for device in (listed.devices if listed else ())
        ],
        "addons": [dataclasses.asdict(addon) for addon in (listed.addons if listed else ())],
        "gpus": [dataclasses.asdict(gpu) for gpu in snapshot.gpus],
        "memory": dataclasses.asdict(snapshot.ram),
        "cpu": cpu,
        "notes": [*(listed.rpc_problems if listed else ()), *snapshot.notes],
    }


def _backend(listed: DeviceList | None) -> dict[str, Any] | None:
    if listed is None:
        return None
    return {
        "engine": "llama.cpp",
        "version": engine_version(),
        "backends": list(listed.backends),
        "system_info": listed.system_info,
        "source": _GGML,
    }


def _rows(listed: DeviceList | None, snapshot: HardwareSnapshot) -> list[Row]:
    rows: list[Row] = [("", "", "source")]
    if listed is not None:
        backends = ", ".join(listed.backends)
        rows.append(("engine", f"llama.cpp {engine_version()}, backends {backends}", _GGML))
        rows.extend(_device_row(device) for device in listed.devices)
    for gpu in snapshot.gpus:
        rows.extend(_gpu_rows(gpu))
    if not snapshot.gpus:
        rows.append(("GPU", "no driver reports one", "NVML, sysfs"))
    ram, cpu = snapshot.ram, snapshot.cpu
    memory = f"{format_bytes(ram.total_bytes)}, {format_bytes(ram.available_bytes)} available"
    if ram.limit_bytes is not None:
        memory += f" (the machine has {format_bytes(ram.machine_total_bytes)})"
    rows.append(("memory", memory, ram.source))
    rows.append(("CPU", cpu.name, cpu.sources["name"]))
    cores = f"{cpu.physical_cores} physical, {cpu.logical_cores} logical"
    rows.append(("  cores", cores, cpu.sources["physical_cores"]))
    if cpu.load_percent is not None:
        rows.append(("  load", f"{cpu.load_percent:.0f} %", cpu.sources["load_percent"]))
    rows.append(("  features", " ".join(cpu.features) or "unknown", cpu.sources["features"]))
    if listed is not None:
        rows.append(("  used", " ".join(listed.cpu_features) or "unknown", _GGML))
        rows.extend(("note", problem, _GGML) for problem in listed.rpc_problems)
        rows.extend(_addon_row(addon) for addon in listed.addons)
    rows.extend(("note", note, "") for note in snapshot.notes)
    return rows


def _device_row(device: Device) -> Row:
    memory = f"{format_bytes(device.total_bytes)}, {format_bytes(device.free_bytes)} free"
    return ("device", f"{device.name} ({device.kind}): {device.description}, {memory}", _GGML)


def _addon_row(addon: AddonState) -> Row:
    how = addon.problem or "in use"
    return ("add-on", f"{addon.title} {addon.version}: {how}", "addon.json, in the engine child")


def _gpu_rows(gpu: GpuReadout) -> list[Row]:
    rows: list[Row] = [(f"GPU {gpu.index}", gpu.name, gpu.driver or gpu.source)]
    if gpu.total_bytes:
        used = "" if gpu.used_bytes is None else f", {format_bytes(gpu.used_bytes)} used"
        rows.append(("  own memory", f"{format_bytes(gpu.total_bytes)}{used}", gpu.source))
    elif gpu.integrated:
        rows.append(("  own memory", "none, it shares the RAM", gpu.source))
    if gpu.shared_total_bytes is not None:
        used_bytes = gpu.shared_used_bytes or 0
        shared = f"{format_bytes(gpu.shared_total_bytes)}, {format_bytes(used_bytes)} used"
        rows.append(("  shared RAM", shared, gpu.sources["shared_total_bytes"]))
    figures = (
        ("load_percent", "load", "%", gpu.load_percent),
        ("temperature_c", "temperature", "°C", gpu.temperature_c),
        ("power_w", "power", "W", gpu.power_w),
    )
    for key, words, unit, value in figures:
        if value is not None:
            rows.append((f"  {words}", f"{value:.0f} {unit}", gpu.sources[key]))
    return rows
