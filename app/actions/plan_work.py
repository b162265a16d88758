"""What the plan of the window asks of the planner, in a thread of its own lane. No Qt here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.planning.desk import PlannedLoad, PlanningDesk

if TYPE_CHECKING:
    from models.planner.machine import Machine
    from models.planner.plan import Plan, PlanSettings
    from models.planner.wishes import Wishes
    from models.planning.loads import Loads
    from models.planning.open_checkpoint import OpenCheckpoint


@dataclass(frozen=True)
class Opened:
    """A checkpoint, this machine as it is now, and what is fixed for the checkpoint."""

    checkpoint: OpenCheckpoint
    machine: Machine
    wishes: Wishes


@dataclass(frozen=True)
class Solved:
    """A plan, and what it is of and for."""

    checkpoint: OpenCheckpoint
    machine: Machine
    plan: Plan


class PlanWork:
    """Blocking calls for ``PlanCheckpoint``; every failure they raise is a FathomError."""

    def __init__(self, desk: PlanningDesk, loads: Loads) -> None:
        self._desk = desk
        self._loads = loads

    def open(self, text: str, stop: Callable[[], bool]) -> Opened:
        """Read the header and the machine."""
        checkpoint = self._desk.open(text, stop)
        machine = self._desk.machine(checkpoint.path)
        return Opened(checkpoint, machine, self._loads.wishes(text))

    def solve(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        near: PlanSettings | None,
    ) -> Solved:
        """Plan; with ``near`` only the placement is found anew, which takes milliseconds."""
        if near is not None:
            plan = self._desk.plan(checkpoint, machine, wishes, near=near)
            return Solved(checkpoint, machine, plan)
        return Solved(checkpoint, *self._desk.plan_fully(checkpoint, machine, wishes))

    def solve_anew(
        self,
        known: OpenCheckpoint,
        before: Machine | None,
        wishes: Wishes,
        kept: Plan | None,
        stop: Callable[[], bool],
    ) -> Solved:
        """Plan for the file and the machine as they are now.

        ``kept`` is a plan of ``known`` for ``before``, and stays where nothing makes a difference.
        """
        checkpoint = self._desk.open(known.text, stop)
        machine = self._desk.machine(checkpoint.path)
        if (
            kept is not None
            and before is not None
            and checkpoint is known
            and self._desk.is_still_good(checkpoint, before, machine, kept)
        ):
            return Solved(checkpoint, before, kept)
        return Solved(checkpoint, *self._desk.plan_fully(checkpoint, machine, wishes))

    def smaller(
        self, failed: PlannedLoad, context_first: bool, stop: Callable[[], bool]
    ) -> PlannedLoad:
        """Find the next smaller plan after one that found no room on the machine as it is now."""
        from models.planning.smaller import next_smaller

        machine = self._desk.machine(failed.checkpoint.path)
        return next_smaller(
            self._desk,
            dataclasses.replace(failed, machine=machine),
            context_first=context_first,
            stop=stop,
        )
