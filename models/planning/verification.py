"""Holds a plan against llama.cpp's own account and mends it until it fits. No Qt here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from models.gguf.header_file import HeaderFile
from models.planner.drafts import draft_of
from models.planner.filling import Offsets
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.names import all_words
from models.planner.plan import CPU, BufferBytes, Plan, PlanSettings
from models.planner.search import exchange_s
from models.planner.solver import measured_plan, solve
from models.planner.wishes import Wishes
from models.runtime.oracle import Oracle
from models.stopping import Stop, never

_ROUNDS = 8
# For so long other drafts are taken to need what the formulas say.
_HOPEFUL_ROUNDS = 4
# Room that the formulas kept and llama.cpp does not need is worth a second look from here on.
_WORTH_BYTES = 256 * 2**20


class Account(Protocol):
    """What is needed of ``models.runtime.oracle.Oracle``."""

    def account(self, settings: PlanSettings, *, stop: Stop) -> tuple[BufferBytes, ...]:
        """Return what llama.cpp says that every buffer would hold."""

    @property
    def cpu_matches(self) -> bool | None:
        """Whether weights are repacked here as on the described processor."""

    @property
    def approximate_devices(self) -> tuple[str, ...]:
        """GPUs whose compute buffers are not exact."""


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
    oracle: Account,
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
        self, oracle: Account, inventory: Inventory, machine: Machine, wishes: Wishes, stop: Stop
    ) -> None:
        self._oracle = oracle
        self._inventory = inventory
        self._machine = machine
        self._wishes = wishes
        self._stop = stop
        # What llama.cpp takes beside the formulas depends on the draft (op_offload, ubatch ...).
        self._offsets: dict[PlanSettings, dict[str, int]] = {}
        self._rounds = 0

    def run(self, plan: Plan) -> Plan:
        first = plan
        fitting: Plan | None = None
        asked: set[PlanSettings] = set()
        closest: Plan | None = None
        while self._rounds < _ROUNDS:
            self._rounds += 1
            asked.add(plan.settings)
            exact = self._exact(plan)
            if closest is None or _missing_bytes(exact) < _missing_bytes(closest):
                closest = exact
            if exact.fits and (fitting is None or self._is_better(exact, fitting)):
                fitting = exact
            if exact.fits:
                following = self._stepped_up(exact)
            elif fitting is not None:
                # A step up that was one too many.
                following = None
            else:
                following = self._stepped_down(exact)
            if following is None or following.settings in asked:
                break
            plan = following
        found = fitting or closest or plan
        if found.settings != first.settings or found.fits != first.fits:
            # What was said of the first plan may no longer hold.
            found = self._measured(found, found.memory.buffers, with_advice=True)
        return replace(found, warnings=(*found.warnings, *self._doubts(found)))

    def _exact(self, plan: Plan) -> Plan:
        buffers = self._oracle.account(plan.settings, stop=self._stop)
        exact = self._measured(plan, buffers)
        expected = {device.name: device.used_bytes for device in plan.memory.devices}
        own = self._offsets.setdefault(draft_of(plan.settings), {})
        for device in exact.memory.devices:
            # The allocator is not monotone: what was once needed is kept free from then on.
            more = device.used_bytes - expected[device.name]
            own[device.name] = max(own.get(device.name, more), more)
        return exact

    def _measured(
        self, plan: Plan, buffers: Sequence[BufferBytes], *, with_advice: bool = False
    ) -> Plan:
        return measured_plan(
            self._inventory, self._machine, self._wishes, plan, buffers, with_advice=with_advice
        )

    def _stepped_down(self, exact: Plan) -> Plan:
        """Return the plan that leaves free what llama.cpp was seen to need."""
        found = self._solve()
        if found.settings != exact.settings:
            return found
        own = self._offsets[draft_of(exact.settings)]
        for device in exact.memory.devices:
            missing = device.used_bytes - device.budget_bytes
            if missing > 0:
                own[device.name] += missing
        return self._solve()

    def _stepped_up(self, exact: Plan) -> Plan | None:
        """Return a plan that uses what the formulas kept free for nothing, None: there is none."""
        if not self._may_step_up(exact):
            return None
        return self._solve(near=exact.settings)

    def _solve(self, near: PlanSettings | None = None) -> Plan:
        worst: dict[str, int] = {}
        if self._rounds > _HOPEFUL_ROUNDS:
            # Whatever was tried took more: now everything is thought to.
            for own in self._offsets.values():
                for name, more in own.items():
                    worst[name] = max(worst.get(name, 0), more)
        offsets = Offsets(self._offsets, worst)
        return solve(self._inventory, self._machine, self._wishes, near=near, offsets=offsets)

    def _may_step_up(self, exact: Plan) -> bool:
        """Whether a GPU has room that the formulas took for used while weights wait in RAM."""
        settings = exact.settings
        waiting = bool(settings.overrides) or (
            settings.n_gpu_layers <= self._inventory.shape.n_layer_all
        )
        if not settings.devices or not waiting or self._wishes.overrides is not None:
            return False
        own = self._offsets[draft_of(settings)]
        return any(
            own.get(device.name, 0) < -_WORTH_BYTES
            and device.budget_bytes - device.used_bytes > _WORTH_BYTES
            for device in exact.memory.devices
            if device.name in settings.devices
        )

    def _is_better(self, plan: Plan, other: Plan) -> bool:
        profile = self._wishes.profile
        return exchange_s(plan.speed, profile) < exchange_s(other.speed, profile)

    def _doubts(self, plan: Plan) -> Iterator[str]:
        """Yield where even llama.cpp's own account is not that of the other machine."""
        rough = [name for name in self._oracle.approximate_devices if name in plan.settings.devices]
        if rough:
            names = all_words(self._machine, rough)
            yield f"llama.cpp orders its work anew on {names}: room for computing is approximate."
        if self._oracle.cpu_matches is False and plan.settings.use_extra_bufts:
            yield (
                "This processor cannot repack weights as the other one does: figures of RAM are "
                "approximate."
            )


def _missing_bytes(plan: Plan) -> int:
    """Return by how much a plan is over its budgets, all devices together."""
    ram = next(device for device in plan.memory.devices if device.name == CPU)
    host = plan.memory.host
    held = host.anonymous_bytes + host.pinned_bytes
    gpus = (device for device in plan.memory.devices if device.name != CPU)
    missing = [max(device.used_bytes - device.budget_bytes, 0) for device in gpus]
    return sum(missing) + max(held - ram.budget_bytes, 0)
