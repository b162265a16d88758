"""The whole way from a file to measured bytes: opened, planned for this machine, loaded, answered.

Nothing is described and nothing simulated but llama.cpp's own dry run: the machine is what a real
engine child says of it, and the load is a real one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.engine_process import EngineProcess
from models.gguf.header_file import HeaderFile
from models.hardware.calibration_store import CalibrationStore
from models.hardware.machine import this_machine
from models.hub.hub import Hub
from models.library.library import Library
from models.planner.machine import Machine
from models.planner.plan import Plan
from models.planner.wishes import Wishes
from models.planning.load_plan import load_settings_of, rpc_hosts_of
from models.planning.open_checkpoint import OpenCheckpoint
from models.planning.service import Planning
from models.planning.verification import verify_with
from models.runtime.oracle import Oracle
from models.runtime.protocol import DeviceList, DeviceMemory, Loaded, event_from_json, to_json

QUESTION = "Hello there"
MAX_TOKENS = 6


@dataclass(frozen=True)
class Bytes:
    """What lies on a device."""

    weights: int
    kv: int
    compute: int
    output: int


@dataclass(frozen=True)
class PlannedLoad:
    """A plan by formulas, the same by llama.cpp's dry run, and what the load really took."""

    fast: Plan
    exact: Plan
    loaded: Loaded
    text: str

    @property
    def measured(self) -> dict[str, Bytes]:
        """By device, what the engine measured."""
        return measured_bytes(self.loaded.devices)


class RealPlanner:
    """Plans for this machine as a real engine child sees it, and loads what was planned.

    Args:
        engine: a child that said hello.
        folder: for what planning writes; empty.
        rpc_hosts: workers whose devices belong to the machine.
    """

    def __init__(self, engine: EngineProcess, folder: Path, rpc_hosts: Sequence[str] = ()) -> None:
        self.engine = engine
        self._folder = folder
        self._rpc_hosts = tuple(rpc_hosts)
        self.planning = Planning(
            library=Library([], None),
            hub=Hub(is_offline=True),
            read_machine=self._read_machine,
            work_dir=folder / "dry-runs",
        )

    def _read_machine(self, path: Path | None) -> Machine:
        event = self.engine.ask("devices", rpc_hosts=list(self._rpc_hosts))[-1]
        body = event_from_json(event).body
        assert isinstance(body, DeviceList), event
        assert not body.rpc_problems, body.rpc_problems
        store = CalibrationStore(self._folder)
        return this_machine(body, checkpoint_path=path, calibration_store=store)

    def oracle(self, files: Sequence[HeaderFile], machine: Machine) -> Oracle:
        """Return llama.cpp's dry run for one checkpoint, to be closed."""
        return Oracle(
            files,
            machine.gpus,
            cpu_features=machine.cpu.features,
            work_dir=self._folder / "dry-runs",
        )

    def run(
        self, checkpoint: OpenCheckpoint, machine: Machine, wishes: Wishes, oracle: Oracle
    ) -> PlannedLoad:
        """Plan, verify, load and answer a question; fails when any of it does."""
        fast = self.planning.plan(checkpoint, machine, wishes)
        inventory = self.planning.inventory(checkpoint.shape)
        exact = verify_with(oracle, inventory, machine, wishes, fast)
        assert exact.fits, exact.warnings
        loaded, text = self.load(checkpoint, machine, exact)
        return PlannedLoad(fast, exact, loaded, text)

    def load(self, checkpoint: OpenCheckpoint, machine: Machine, plan: Plan) -> tuple[Loaded, str]:
        """Load as planned, answer a question, and return what was loaded and the answer."""
        hosts = rpc_hosts_of(machine, plan.settings)
        settings = load_settings_of(plan.settings, rpc_hosts=hosts)
        # One thread: then the same computation gives the same numbers wherever it is done.
        settings = dataclasses.replace(settings, n_threads=1, n_threads_batch=1)
        assert checkpoint.path is not None
        event = self.engine.load(checkpoint.path, **to_json(settings))
        loaded = event_from_json(dict(event)).body
        assert isinstance(loaded, Loaded), event
        assert loaded.settings == settings, "the engine chose for itself"
        text, reasoning, done = self.engine.answer(QUESTION, max_tokens=MAX_TOKENS)
        assert done["event"] == "done", done
        assert done["completion_tokens"] > 0 or done["stop_reason"] == "end", done
        return loaded, text + reasoning


def measured_bytes(devices: Sequence[DeviceMemory]) -> dict[str, Bytes]:
    """Return the engine's figures by device that holds something; they must be exact ones."""
    assert all(device.source == "llama.cpp" for device in devices), devices
    return {
        device.name: Bytes(
            device.weights_bytes, device.kv_bytes, device.compute_bytes, device.output_bytes
        )
        for device in devices
        if device.total_bytes
    }


def planned_bytes(plan: Plan) -> dict[str, Bytes]:
    """Return a plan's figures by device, without devices that hold nothing.

    llama.cpp makes room for one row of logits when a context is created and for more of them when
    they are first asked for (llama-context.cpp:377 and 1857); the plan counts all that may be.
    """
    rows = max(plan.settings.n_outputs_max, 1)
    return {
        device.name: Bytes(
            device.weights_bytes, device.kv_bytes, device.compute_bytes, device.output_bytes // rows
        )
        for device in plan.memory.devices
        if device.used_bytes
    }


def without_compute(found: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """Return the figures that formulas have to hit."""
    return {name: dataclasses.replace(figures, compute=0) for name, figures in found.items()}


def wishes_of(case: Mapping[str, Any]) -> Wishes:
    """Return wishes that fix everything a case of a grid names; ``kv`` is a pair of types."""
    fixed = {name: value for name, value in case.items() if name in Wishes.__dataclass_fields__}
    if "kv" in case:
        fixed["type_k"], fixed["type_v"] = case["kv"]
    return Wishes(**fixed)
