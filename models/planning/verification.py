"""Holds a plan against llama.cpp's own account and mends it until it fits. No Qt here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.errors import StoppedError
from models.gguf.header_file import HeaderFile
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.plan import Plan, PlanSettings
from models.planner.solver import measured_plan, solve
from models.planner.wishes import Wishes
from models.runtime.oracle import Oracle, OracleStoppedError
from models.stopping import Stop, never

_ROUNDS = 6
# Room that the formulas kept and llama.cpp does not need is worth a second look from here on.
_WORTH_BYTES = 256 * 2**20


def verify(
    files: Sequence[HeaderFile],
    inventory: Inventory,
    machine: Machine,
    wishes: Wishes,
    plan: Plan,
    *,
    work_dir: Path,
    stop: Stop = never,
) -> Plan:
    """Return the plan in llama.cpp's own figures (tier EXACT).

    Where it does not fit after all, the solver steps down by what is missing and asks again; where
    the formulas kept too much room free, it steps up once. A plan that cannot fit around what is
    fixed comes back with ``fits`` False.

    Raises:
        OracleError: llama.cpp refuses the checkpoint or the settings.
        StoppedError: ``stop`` said so.
    """
    with Oracle(
        files, machine.gpus, cpu_features=machine.cpu.features, work_dir=work_dir
    ) as oracle:
        return verify_with(oracle, inventory, machine, wishes, plan, stop=stop)


def verify_with(
    oracle: Oracle,
    inventory: Inventory,
    machine: Machine,
    wishes: Wishes,
    plan: Plan,
    *,
    stop: Stop = never,
) -> Plan:
    """Return what ``verify`` does, from an oracle that is open already; raises the same."""
    return _Verification(oracle, inventory, machine, wishes, stop).run(plan)


class _Verification:
    def __init__(
        self, oracle: Oracle, inventory: Inventory, machine: Machine, wishes: Wishes, stop: Stop
    ) -> None:
        self._oracle = oracle
        self._inventory = inventory
        self._machine = machine
        self._wishes = wishes
        self._stop = stop
        self._offsets: dict[str, int] = {}

    def run(self, plan: Plan) -> Plan:
        first = plan
        fitting: Plan | None = None
        asked: set[PlanSettings] = set()
        exact = plan
        for _ in range(_ROUNDS):
            asked.add(plan.settings)
            exact = self._exact(plan)
            better = exact.fits and (fitting is None or _gains(exact, fitting))
            if better:
                fitting = exact
            if exact.fits and not self._may_step_up(exact):
                break
            plan = self._next(plan, exact)
            if plan.settings in asked:
                break
        found = fitting or exact
        if found.settings != first.settings:
            # What was worked out for the first settings may no longer hold.
            advised = solve(self._inventory, self._machine, self._wishes, offsets=self._offsets)
            found = replace(found, alternatives=advised.alternatives)
        return found

    def _exact(self, plan: Plan) -> Plan:
        try:
            buffers = self._oracle.account(plan.settings, stop=self._stop)
        except OracleStoppedError as error:
            raise StoppedError from error
        exact = measured_plan(self._inventory, self._machine, self._wishes, plan, buffers)
        expected = {device.name: device.used_bytes for device in plan.memory.devices}
        for device in exact.memory.devices:
            # The allocator is not monotone: what was once needed is kept free from then on.
            more = device.used_bytes - expected[device.name]
            known = self._offsets.get(device.name)
            self._offsets[device.name] = more if known is None else max(known, more)
        return exact

    def _next(self, plan: Plan, exact: Plan) -> Plan:
        """Return the plan that leaves free what llama.cpp was seen to need."""
        found = self._solve(plan)
        if found.settings != plan.settings or exact.fits:
            return found
        for device in exact.memory.devices:
            missing = device.used_bytes - device.budget_bytes
            if missing > 0:
                self._offsets[device.name] = self._offsets.get(device.name, 0) + missing
        return self._solve(plan)

    def _solve(self, plan: Plan) -> Plan:
        near = solve(
            self._inventory,
            self._machine,
            self._wishes,
            near=plan.settings,
            offsets=self._offsets,
        )
        if near.fits:
            return replace(near, alternatives=plan.alternatives)
        return solve(self._inventory, self._machine, self._wishes, offsets=self._offsets)

    def _may_step_up(self, exact: Plan) -> bool:
        """Whether a GPU has room that the formulas took for used while weights wait in RAM."""
        settings = exact.settings
        waiting = bool(settings.overrides) or (
            settings.n_gpu_layers <= self._inventory.shape.n_layer_all
        )
        if not settings.devices or not waiting or self._wishes.overrides is not None:
            return False
        return any(
            self._offsets.get(device.name, 0) < -_WORTH_BYTES
            and device.budget_bytes - device.used_bytes > _WORTH_BYTES
            for device in exact.memory.devices
            if device.name in settings.devices
        )


def _gains(plan: Plan, other: Plan) -> bool:
    return plan.speed.decode.mid >= other.speed.decode.mid
