"""Asking llama.cpp about the plan that is shown: one at a time, never beside the engine's work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.bridges.engine import EngineBridge
from app.tasks import Task, TaskRunner
from models.planning.desk import PlanningDesk
from models.runtime.supervisor import EngineState

if TYPE_CHECKING:
    from models.planner.machine import Machine
    from models.planner.plan import Plan
    from models.planner.wishes import Wishes
    from models.planning.open_checkpoint import OpenCheckpoint

# The dry run takes a processor for a second, which an answer or a load would miss.
_AT_WORK = (EngineState.LOADING, EngineState.GENERATING)


class PlanVerifier(QObject):
    """Runs the exact tier in the background; ``engine_changed`` says that its turn came or went."""

    engine_changed = Signal()

    def __init__(
        self,
        *,
        desk: PlanningDesk,
        runner: TaskRunner,
        bridge: EngineBridge,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._desk = desk
        self._runner = runner
        self._stop = threading.Event()
        self._task: Task | None = None
        self._is_held = False
        bridge.state_changed.connect(self._on_engine_state)

    @property
    def is_held(self) -> bool:
        """Whether the engine is at work, and nothing should be asked beside it."""
        return self._is_held

    @property
    def is_running(self) -> bool:
        """Whether an answer is still to come."""
        return self._task is not None

    def ask(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        plan: Plan,
        *,
        done: Callable[[Plan], None],
        error: Callable[[Exception], None],
    ) -> None:
        """Ask about a plan; what was asked before is given up."""
        self.stop()
        self._stop = threading.Event()
        self._task = self._runner.run(
            partial(self._desk.verify, checkpoint, machine, wishes, plan, self._stop.is_set),
            done=partial(self._end, done),
            error=partial(self._end, error),
            lane="verify",
        )

    def stop(self) -> None:
        """End what runs; what it says after that is dropped."""
        self._stop.set()
        if self._task is not None:
            self._task.drop()
            self._task = None

    def _end(self, then: Callable[..., None], result: object) -> None:
        self._task = None
        then(result)

    @Slot(EngineState)
    def _on_engine_state(self, state: EngineState) -> None:
        held = state in _AT_WORK
        if held != self._is_held:
            self._is_held = held
            self.engine_changed.emit()
