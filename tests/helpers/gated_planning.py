"""The real planner behind gates: a test holds an answer back, looks, and lets it through."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from models.hub.hub import Hub
from models.library.library import Library
from models.planner.machine import Cpu, Disk, Gpu, Machine, Ram
from models.planner.plan import Plan, PlanSettings
from models.planner.wishes import Wishes
from models.planning.open_checkpoint import OpenCheckpoint
from models.planning.service import Planning
from models.stopping import Stop, check_stop, never

GIB = 1 << 30
DEADLINE_S = 60.0
_POLL_S = 0.01


def described_machine(*gpus: Gpu, ram_bytes: int = 32 * GIB) -> Machine:
    """Return a machine that needs no engine to be asked for."""
    return Machine(
        gpus=gpus,
        ram=Ram(ram_bytes, ram_bytes * 3 // 4, 40e9),
        disk=Disk(2e9),
        cpu=Cpu(8, ("SSE3", "AVX", "AVX2", "F16C", "FMA"), "A processor"),
        pcie_bytes_s=20e9,
    )


class GatedPlanning:
    """Stands before ``Planning`` and behind nothing else.

    Attributes:
        calls: every call that has begun: its name, and the wishes or the text it was for.
        wishes: of every plan that was begun.
        is_stopped: whether the last verification was told to stop.
        machine_now: what ``machine`` returns.
    """

    def __init__(self, work_dir: Path, machine: Machine) -> None:
        self.real = Planning(
            library=Library([], None),
            hub=Hub(is_offline=True),
            read_machine=lambda _path: self.machine_now,
            work_dir=work_dir,
        )
        self.machine_now = machine
        self.calls: list[tuple[str, object]] = []
        self.failures: dict[str, Exception] = {}
        self.is_stopped = False
        self._gates = {name: threading.Event() for name in ("open", "machine", "plan", "verify")}
        for gate in self._gates.values():
            gate.set()

    def hold(self, name: str) -> None:
        """Let no call of this name go on."""
        self._gates[name].clear()

    def let(self, name: str) -> None:
        """Let all calls of this name go on."""
        self._gates[name].set()

    def count(self, name: str) -> int:
        """Return how many calls of this name have begun."""
        return sum(call == name for call, _ in self.calls)

    def wishes(self) -> list[Wishes]:
        """Return the wishes of every plan, in their order."""
        return [what for call, what in self.calls if call == "plan" and isinstance(what, Wishes)]

    def open(self, text: str, stop: Stop) -> OpenCheckpoint:
        """Open for real."""
        self._pass("open", text, stop)
        return self.real.open(text, stop)

    def machine(self, path: Path | None) -> Machine:
        """Return ``machine_now``."""
        self._pass("machine", path)
        return self.real.machine(path)

    def plan(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
    ) -> Plan:
        """Plan for real."""
        self._pass("plan", wishes)
        return self.real.plan(checkpoint, machine, wishes, near=near)

    def verify(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        plan: Plan,
        stop: Stop,
    ) -> Plan:
        """Ask llama.cpp for real."""
        self.is_stopped = False
        try:
            self._pass("verify", wishes, stop)
            return self.real.verify(checkpoint, machine, wishes, plan, stop)
        finally:
            self.is_stopped = stop()

    def _pass(self, name: str, what: object, stop: Callable[[], bool] = never) -> None:
        self.calls.append((name, what))
        gate, waited_s = self._gates[name], 0.0
        while not gate.wait(_POLL_S):
            check_stop(stop)
            waited_s += _POLL_S
            assert waited_s < DEADLINE_S, f"nobody let {name} through"
        if name in self.failures:
            raise self.failures[name]
