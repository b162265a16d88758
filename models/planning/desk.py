"""Where the threads of a program share one planner: made when first needed. No Qt here.

The planner's modules are imported by ``make``, in the thread that first asks for something: a
program that only shows a conversation never loads them.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models.stopping import Stop, never

if TYPE_CHECKING:
    from models.planner.machine import Machine
    from models.planner.plan import Plan, PlanSettings
    from models.planner.wishes import Wishes
    from models.planning.open_checkpoint import OpenCheckpoint
    from models.runtime.protocol import LoadSettings

# Shapes of the largest checkpoints take a few MB each.
MAX_OPEN = 12
# Of a memory: what the programs of a desktop take and give back all the time.
_SAME_ROOM = 0.01


class PlanningService(Protocol):
    """What is needed of ``models.planning.service.Planning``."""

    def open(self, text: str, stop: Stop) -> OpenCheckpoint:
        """Read a checkpoint's headers."""

    def machine(self, path: Path | None) -> Machine:
        """Read this machine as it is now; ``path`` says which disk matters."""

    def plan(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
    ) -> Plan:
        """Solve by formulas."""

    def verify(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        plan: Plan,
        stop: Stop,
    ) -> Plan:
        """Ask llama.cpp itself, stepping down until it fits."""


@dataclass(frozen=True)
class PlannedLoad:
    """A plan and everything it was made from."""

    checkpoint: OpenCheckpoint
    machine: Machine
    wishes: Wishes
    plan: Plan

    def load_settings(self) -> LoadSettings:
        """Return what the engine is told, with nothing left for it to choose.

        A plan that does not fit is only loaded when the user wants it all the same.
        """
        from models.planning.load_plan import load_settings_of, rpc_hosts_of

        settings = self.plan.settings
        return load_settings_of(
            settings, rpc_hosts=rpc_hosts_of(self.machine, settings), check_room=self.plan.fits
        )


class Opened:
    """The checkpoints that were opened last; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, float, int], OpenCheckpoint] = OrderedDict()

    def get(self, key: tuple[str, float, int]) -> OpenCheckpoint | None:
        """Return what is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: tuple[str, float, int], checkpoint: OpenCheckpoint) -> OpenCheckpoint:
        """Keep a checkpoint, and return the one that is kept.

        Another thread may have been as quick; the planner's sums belong to one object.
        """
        with self._lock:
            checkpoint = self._kept.setdefault(key, checkpoint)
            while len(self._kept) > MAX_OPEN:
                self._kept.popitem(last=False)
        return checkpoint


class PlanningDesk:
    """The service behind a lock that is held only while it is made, and what was opened last."""

    def __init__(
        self,
        make: Callable[[], PlanningService],
        *,
        read_machine: Callable[[Path | None], Machine] | None = None,
        correct: Callable[[Machine, OpenCheckpoint, Plan], Machine] | None = None,
        opened: Opened | None = None,
    ) -> None:
        """Prepare; nothing is imported yet.

        Args:
            make: makes the service.
            read_machine: reads this machine, which may begin before the service is there; None
                asks the service.
            correct: returns a machine with what real runs like this plan have shown.
            opened: what another desk has opened, to share it.
        """
        self._make = make
        self._read_machine = read_machine
        self._correct = correct
        self._lock = threading.Lock()
        self._service: PlanningService | None = None
        self.opened = opened or Opened()

    @property
    def service(self) -> PlanningService:
        """The planner; the first call imports it."""
        with self._lock:
            if self._service is None:
                self._service = self._make()
            return self._service

    def open(self, text: str, stop: Stop) -> OpenCheckpoint:
        """Open a checkpoint, or return the one opened before when its file has not changed.

        Raises:
            FathomError: as ``models.planning.opening.open_checkpoint``.
        """
        key = _key(text)
        return self.opened.get(key) or self.opened.keep(key, self.service.open(text, stop))

    def machine(self, path: Path | None) -> Machine:
        """Read this machine as it is now."""
        return (self._read_machine or self.service.machine)(path)

    def plan(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
    ) -> Plan:
        """Plan by formulas; ``near`` are settings found before, for a slider that moves.

        Raises:
            FathomError: the wishes contradict the checkpoint or each other.
        """
        return self.service.plan(checkpoint, machine, wishes, near=near)

    def plan_fully(
        self, checkpoint: OpenCheckpoint, machine: Machine, wishes: Wishes
    ) -> tuple[Machine, Plan]:
        """Plan by formulas, with the speeds that real runs of such a plan have shown.

        Returns:
            The machine with the corrections that the plan was made with, and the plan.

        Raises:
            FathomError: the wishes contradict the checkpoint or each other.
        """
        plan = self.plan(checkpoint, machine, wishes)
        if self._correct is None:
            return machine, plan
        corrected = self._correct(machine, checkpoint, plan)
        # Mostly nothing was measured yet, or the machine was corrected for the plan before.
        if corrected != machine:
            machine, plan = corrected, self.plan(checkpoint, corrected, wishes)
        return machine, plan

    def is_still_good(
        self, checkpoint: OpenCheckpoint, before: Machine, now: Machine, plan: Plan
    ) -> bool:
        """Whether a plan that was made for ``before`` would be no other on the machine as it is.

        Free memory is never the same twice; what real runs have shown meanwhile counts too.
        """
        if self._correct is not None:
            now = self._correct(now, checkpoint, plan)
        return like(before, now)

    def verify(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        plan: Plan,
        stop: Stop,
    ) -> Plan:
        """Plan by llama.cpp's own account.

        Raises:
            FathomError: it cannot be asked, or refuses the settings.
        """
        return self.service.verify(checkpoint, machine, wishes, plan, stop)

    def prepare(self) -> None:
        """Make the service, when somebody is about to need it."""
        _ = self.service

    def plan_load(self, path: Path, wishes: Wishes) -> PlannedLoad:
        """Read the machine, open and plan by formulas, for a load that begins now.

        The machine comes first: the engine starts meanwhile, and so can ``prepare``.

        Raises:
            FathomError: the checkpoint or the machine cannot be read.
        """
        machine = self.machine(path)
        checkpoint = self.open(str(path), never)
        machine, plan = self.plan_fully(checkpoint, machine, wishes)
        return PlannedLoad(checkpoint, machine, wishes, plan)


def still_fits(plan: Plan, machine: Machine) -> bool:
    """Whether a plan may be loaded on the machine as it is now.

    Free memory is never the same twice: half of what the plan leaves free may be gone.
    """
    for device in plan.memory.devices:
        gpu = machine.gpu(device.name)
        if gpu is None or not device.used_bytes:
            continue
        if gpu.free_bytes - device.used_bytes < (device.free_bytes - device.budget_bytes) / 2:
            return False
    host = plan.memory.host
    return host.anonymous_bytes + host.pinned_bytes <= machine.ram.available_bytes


def like(before: Machine, now: Machine, *, room: float = _SAME_ROOM) -> bool:
    """Whether two readings of a machine differ by no more free memory than comes and goes.

    ``room`` is how much that is, as a share of all the memory of a device.
    """
    frees = [
        (one.free_bytes, other.free_bytes, one.total_bytes)
        for one, other in zip(before.gpus, now.gpus, strict=False)
    ]
    frees.append((before.ram.available_bytes, now.ram.available_bytes, now.ram.total_bytes))
    if any(abs(one - other) > total * room for one, other, total in frees):
        return False
    gpus = tuple(
        dataclasses.replace(gpu, free_bytes=known.free_bytes)
        for known, gpu in zip(before.gpus, now.gpus, strict=False)
    )
    ram = dataclasses.replace(now.ram, available_bytes=before.ram.available_bytes)
    same_gpus = len(before.gpus) == len(now.gpus)
    return same_gpus and dataclasses.replace(now, gpus=gpus, ram=ram) == before


def _key(text: str) -> tuple[str, float, int]:
    """Return what tells a file from the one that lay there before; names are as they are."""
    try:
        found = Path(text).stat()
    except (OSError, ValueError):
        return text, 0.0, 0
    return text, found.st_mtime, found.st_size
