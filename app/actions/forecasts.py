"""What every checkpoint of the library would come to here: looked at one after the other.

The rows of the Models page ask for what they show; nothing is computed for rows nobody has seen,
nothing twice, and never in the main thread. What cannot be planned has no forecast.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.actions.plan_status import PlanState, PlanStatus, entry_text
from app.tasks import TaskRunner, expected

if TYPE_CHECKING:
    from models.library.library import LibraryEntry
    from models.planner.plan import Plan
    from models.planning.desk import PlanningDesk
    from models.planning.loads import Loads


class Forecasts(QObject):
    """Plans by formulas with the wishes that a load would use; keeps what it found."""

    # A LibraryEntry and its Plan.
    found = Signal(object, object)

    def __init__(
        self,
        *,
        desk: PlanningDesk,
        loads: Loads,
        runner: TaskRunner,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._desk = desk
        self._loads = loads
        self._runner = runner
        self._plans: dict[LibraryEntry, Plan | None] = {}
        self._waiting: deque[LibraryEntry] = deque()
        self._under_way = False
        self._stop = threading.Event()

    def plan(self, entry: LibraryEntry) -> Plan | None:
        """Return what is known of a checkpoint."""
        return self._plans.get(entry)

    def ask(self, entry: LibraryEntry) -> None:
        """Look at a checkpoint unless that was done; ``found`` tells when there is something."""
        if entry in self._plans or entry in self._waiting:
            return
        self._waiting.append(entry)
        self._next()

    def keep(self, entry: LibraryEntry, plan: Plan) -> None:
        """Take a plan that was made elsewhere: it is newer than what is kept."""
        if self._plans.get(entry) is not plan:
            self._plans[entry] = plan
            self.found.emit(entry, plan)

    @Slot(PlanStatus)
    def keep_planned(self, status: PlanStatus) -> None:
        """Take the plan of a panel when it is of the newest wishes and of now."""
        settled = (PlanState.READY, PlanState.VERIFYING, PlanState.EXACT)
        if status.entry is None or status.plan is None or status.is_stale:
            return
        if status.state in settled:
            self.keep(status.entry, status.plan)

    def stop(self) -> None:
        """Look at nothing more; for the end of the program."""
        self._stop.set()
        self._waiting.clear()

    def _next(self) -> None:
        if self._under_way or not self._waiting:
            return
        self._under_way = True
        entry = self._waiting.popleft()
        self._runner.run(
            partial(self._look, entry_text(entry)),
            done=partial(self._on_found, entry),
            error=partial(self._on_nothing, entry),
        )

    def _look(self, text: str) -> Plan:
        checkpoint = self._desk.open(text, self._stop.is_set)
        machine = self._desk.machine(checkpoint.path)
        return self._desk.plan_fully(checkpoint, machine, self._loads.wishes(text))[1]

    def _on_found(self, entry: LibraryEntry, plan: Plan) -> None:
        self._under_way = False
        # What was planned for a load meanwhile is the better one.
        if self._plans.get(entry) is None:
            self.keep(entry, plan)
        self._next()

    def _on_nothing(self, entry: LibraryEntry, error: Exception) -> None:
        error = expected(error)
        self._under_way = False
        self._plans.setdefault(entry, None)
        self._next()
