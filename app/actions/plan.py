"""Planning one checkpoint: opened, planned while the wishes change, verified when they rest.

Nothing is computed in the main thread. At most one plan is under way; when it is there and the
wishes have changed meanwhile, the newest are planned next and those between are never looked at.
Every answer carries the number of the checkpoint and of the wishes it is for.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.actions.load_model import LoadModel, LoadPhase, ModelStatus
from app.actions.plan_status import PlanState, PlanStatus, entry_text, ready_state, with_model
from app.actions.plan_verifier import PlanVerifier
from app.actions.plan_work import Opened, PlanWork, Solved
from app.messages import Messages
from app.tasks import TaskRunner, expected
from models.errors import ContextTooLargeError
from models.planning.desk import PlannedLoad, PlanningDesk, still_fits

if TYPE_CHECKING:
    from models.library.library import LibraryEntry
    from models.planner.machine import Machine
    from models.planner.plan import Plan
    from models.planner.wishes import Wishes
    from models.planning.loads import Loads

__all__ = ["REST_MS", "PlanCheckpoint", "PlanState", "PlanStatus"]

REST_MS = 300

T = TypeVar("T")


class PlanCheckpoint(QObject):
    """Owns the one plan the window shows. Lives in the main thread."""

    status_changed = Signal(PlanStatus)
    # The panel should be seen now: a load did not find room.
    attention_wanted = Signal()

    def __init__(
        self,
        *,
        desk: PlanningDesk,
        loads: Loads,
        loader: LoadModel,
        verifier: PlanVerifier,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._desk = desk
        self._loads = loads
        self._work = PlanWork(desk, loads)
        self._loader = loader
        self._runner = runner
        self._messages = messages
        self._status = PlanStatus()
        # Numbers of what the newest answer must be for.
        self._choice = 0
        self._wish = 0
        self._is_planning = False
        self._reads_machine = False
        # What was checked with llama.cpp stays while the machine is what it was.
        self._may_keep = False
        self._is_unsaved = False
        self._loads_when_ready = False
        self._watchers = 0
        self._stopped = False
        self._open_stop = threading.Event()
        self._verifier = verifier
        verifier.engine_changed.connect(self._on_engine_changed)
        self._rest_timer = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest_timer.timeout.connect(self._rest)
        loader.status_changed.connect(self._on_model_status)
        loader.out_of_room.connect(self._on_out_of_room)

    @property
    def status(self) -> PlanStatus:
        """The chosen checkpoint and its plan."""
        return self._status

    # --- what the window asks -------------------------------------------------------------------

    def choose(self, text: str, *, title: str, entry: LibraryEntry | None = None) -> None:
        """Plan another checkpoint; the same one again only gets fresh readings of the machine."""
        if self._stopped:
            return
        if text == self._status.text and self._status.checkpoint is not None:
            self.refresh()
            return
        self._begin(PlanStatus(PlanState.OPENING, text, title, entry))
        self._run(
            partial(self._work.open, text, self._open_stop.is_set),
            done=self._on_opened,
            error=self._on_failed,
        )

    def choose_entry(self, entry: LibraryEntry) -> None:
        """Plan a checkpoint of the library."""
        self.choose(entry_text(entry), title=entry.title, entry=entry)

    def try_again(self) -> None:
        """Open the chosen checkpoint once more after a failure.

        Wishes that came with it and cannot be had are released: nobody could do it by hand.
        """
        status = self._status
        if status.wishes is not None and status.plan is None:
            self.release("all")
        elif status.text:
            self._status = PlanStatus()
            self.choose(status.text, title=status.title, entry=status.entry)

    @Slot()
    def cancel(self) -> None:
        """Give up opening the chosen checkpoint."""
        if self._status.state is PlanState.OPENING:
            self._begin(PlanStatus())

    def set_wishes(self, wishes: Wishes) -> None:
        """Plan with other wishes; may be called for every step of a slider."""
        if self._stopped or self._status.checkpoint is None or wishes == self._status.wishes:
            return
        # What is in memory was planned long ago.
        self._reads_machine = self._reads_machine or bool(self._status.measured)
        self._may_keep = False
        self._is_unsaved = True
        self._rest_timer.start()
        self._ask(dataclasses.replace(self._status, wishes=wishes, is_smaller=False))

    def release(self, name: str) -> None:
        """Leave a fixed value to the planner again; ``all`` for every one of them."""
        from models.planning.wishes_store import released

        if self._status.wishes is not None:
            self.set_wishes(released(self._status.wishes, name))

    def refresh(self) -> None:
        """Read free memory again and plan anew, unless what is shown is in memory already."""
        if self._stopped or self._status.checkpoint is None or self._status.measured:
            return
        self._reads_machine = True
        self._may_keep = self._status.state is PlanState.EXACT
        self._ask(self._status)

    def watch(self) -> None:
        """Somebody looks at the plan: it is worth being exact, and of now."""
        self._watchers += 1
        if self._watchers == 1 and not self._status.is_busy:
            self.refresh()

    def unwatch(self) -> None:
        """Somebody looks away; nothing is verified for nobody."""
        self._watchers = max(self._watchers - 1, 0)
        if not self._watchers:
            self._stop_verifying()

    def load(self) -> None:
        """Load the checkpoint with the plan that is shown, when there is still room for it."""
        status = self._status
        if status.plan is None or status.entry is None or status.checkpoint is None:
            return
        if status.is_refused:
            return
        if status.state in (PlanState.OPENING, PlanState.PLANNING):
            # Pressed while the last wish is still being planned: what comes of it is meant.
            self._loads_when_ready = True
            return
        self._stop_verifying()
        self._run(
            partial(self._desk.machine, status.checkpoint.path),
            done=partial(self._load_on, self._status),
            error=self._on_not_loaded,
        )

    @Slot()
    def stop_loading(self) -> None:
        """Give up the load of this checkpoint that is under way."""
        if self._status.is_loading:
            self._loader.cancel()

    def stop(self) -> None:
        """End what is under way and keep what is not kept yet; for the end of the program."""
        self._stopped = True
        self._rest_timer.stop()
        self._open_stop.set()
        self._stop_verifying()
        self._keep_wishes()

    # --- planning -------------------------------------------------------------------------------

    def _begin(self, status: PlanStatus) -> None:
        """Leave the checkpoint that was chosen before."""
        self._keep_wishes()
        self._open_stop.set()
        self._open_stop = threading.Event()
        self._stop_verifying()
        self._rest_timer.stop()
        self._choice += 1
        self._wish += 1
        self._is_planning = self._reads_machine = self._loads_when_ready = False
        self._set(status)

    def _run(
        self, op: Callable[[], T], *, done: Callable[[T], None], error: Callable[[Exception], None]
    ) -> None:
        """Run in the lane of plans; what is for an earlier choice is dropped."""
        choice = self._choice
        self._runner.run(
            op,
            done=partial(self._if_current, choice, done),
            error=partial(self._if_current, choice, error),
            lane="plan",
        )

    def _if_current(self, choice: int, then: Callable[[Any], None], result: object) -> None:
        if choice == self._choice and not self._stopped:
            then(result)

    def _on_opened(self, opened: Opened) -> None:
        self._ask(
            dataclasses.replace(
                self._status,
                checkpoint=opened.checkpoint,
                machine=opened.machine,
                wishes=opened.wishes,
            )
        )

    def _ask(self, status: PlanStatus) -> None:
        """Plan what a status says, from here on the newest."""
        self._stop_verifying()
        self._loads_when_ready = False
        self._wish += 1
        self._set(dataclasses.replace(status, state=PlanState.PLANNING, error=None, is_stale=True))
        self._plan()

    def _plan(self) -> None:
        """Plan the newest wishes, or let the plan that is under way see that they are newer."""
        status = self._status
        if self._is_planning or status.checkpoint is None or status.wishes is None:
            return
        self._is_planning = True
        # While a slider moves only the placement is found anew, which takes milliseconds.
        moving = self._rest_timer.isActive() and status.plan is not None
        near = status.plan.settings if moving and status.plan is not None else None
        op: Callable[[], Solved]
        if self._reads_machine or status.machine is None:
            near, kept = None, status.plan if self._may_keep else None
            op = partial(
                self._work.solve_anew,
                status.checkpoint,
                status.machine,
                status.wishes,
                kept,
                self._open_stop.is_set,
            )
        else:
            op = partial(self._work.solve, status.checkpoint, status.machine, status.wishes, near)
        self._reads_machine = self._may_keep = False
        self._run(
            op,
            done=partial(self._on_solved, self._wish, near is not None),
            error=partial(self._on_not_solved, self._wish),
        )

    def _on_solved(self, wish: int, is_near: bool, solved: Solved) -> None:
        self._is_planning = False
        is_newest, plan = wish == self._wish, solved.plan
        if is_near and self._status.plan is not None:
            # Nobody looked for other ways yet; until they do, those from before stay in sight.
            plan = dataclasses.replace(plan, alternatives=self._status.plan.alternatives)
        is_final = is_newest and not is_near
        # Also what is not the newest any more: while a slider moves, the bars follow it.
        self._set(
            dataclasses.replace(
                self._status,
                state=ready_state(plan) if is_final else PlanState.PLANNING,
                checkpoint=solved.checkpoint,
                machine=solved.machine,
                plan=plan,
                error=None,
                is_stale=not is_newest,
            )
        )
        if is_final:
            self._on_ready()
        elif not is_newest or not self._rest_timer.isActive():
            self._plan()

    def _on_not_solved(self, wish: int, error: Exception) -> None:
        self._is_planning = False
        if wish != self._wish:
            self._plan()
        else:
            self._on_failed(error)

    def _on_failed(self, error: Exception) -> None:
        self._set(dataclasses.replace(self._status, state=PlanState.FAILED, error=expected(error)))

    def _on_ready(self) -> None:
        if self._loads_when_ready:
            self._loads_when_ready = False
            self.load()
        else:
            self._verify()

    @Slot()
    def _rest(self) -> None:
        """Act on wishes that have not changed for a while."""
        self._keep_wishes()
        if self._status.state is PlanState.PLANNING:
            self._plan()

    # --- the exact tier -------------------------------------------------------------------------

    def _verify(self) -> None:
        status, verifier = self._status, self._verifier
        if status.state is not PlanState.READY or not self._watchers or self._stopped:
            return
        # What is in memory, or about to be, is measured; what llama.cpp refused it refuses again.
        if status.measured or status.is_loading or status.error or verifier.is_held:
            return
        assert status.checkpoint is not None
        assert status.machine is not None
        assert status.wishes is not None
        assert status.plan is not None
        self._set(dataclasses.replace(status, state=PlanState.VERIFYING))
        verifier.ask(
            status.checkpoint,
            status.machine,
            status.wishes,
            status.plan,
            done=self._on_verified,
            error=self._on_not_verified,
        )

    @Slot()
    def _on_engine_changed(self) -> None:
        """Make way for an answer or a load, and go on when it has ended."""
        if self._verifier.is_held:
            self._stop_verifying()
        else:
            self._verify()

    def _stop_verifying(self) -> None:
        self._verifier.stop()
        if self._status.state is PlanState.VERIFYING:
            self._set(dataclasses.replace(self._status, state=PlanState.READY))

    def _on_verified(self, plan: Plan) -> None:
        self._set(dataclasses.replace(self._status, state=PlanState.EXACT, plan=plan))

    def _on_not_verified(self, error: Exception) -> None:
        # The figures by formulas stay, and it is said that they are all there is.
        self._set(dataclasses.replace(self._status, state=PlanState.READY, error=expected(error)))

    # --- loading --------------------------------------------------------------------------------

    def _on_not_loaded(self, error: Exception) -> None:
        self._set(dataclasses.replace(self._status, error=expected(error)))

    def _load_on(self, asked: PlanStatus, machine: Machine) -> None:
        """Load what was on the screen when it was asked for, unless the room for it is gone."""
        assert asked.plan is not None
        assert asked.entry is not None
        assert asked.checkpoint is not None
        assert asked.wishes is not None
        if asked.plan.fits and not still_fits(asked.plan, machine):
            self._messages.warning(
                self.tr("Less memory is free now than when this was planned."),
                hint=self.tr("The plan was made anew. Look at it and load again."),
            )
            self._ask(dataclasses.replace(self._status, machine=machine))
            return
        self._keep_wishes()
        planned = PlannedLoad(asked.checkpoint, machine, asked.wishes, asked.plan)
        self._loader.load(asked.entry, planned=planned)

    @Slot(ModelStatus)
    def _on_model_status(self, model: ModelStatus) -> None:
        if self._stopped:
            return
        planned = model.planned
        if model.phase is LoadPhase.LOADING and planned and not self._shows(model, planned):
            self._adopt(model, planned)
            return
        if with_model(self._status, model) != self._status:
            self._set(self._status)
        # After an unload, or a load that came to nothing.
        self._verify()

    def _shows(self, model: ModelStatus, planned: PlannedLoad) -> bool:
        """Whether what a load follows is in sight, perhaps in figures that were checked."""
        status = self._status
        if status.plan is planned.plan:
            return True
        return (
            model.entry is not None
            and status.text == entry_text(model.entry)
            and status.state is PlanState.EXACT
            and status.wishes == planned.wishes
            and status.plan is not None
            and status.plan.settings == planned.plan.settings
        )

    def _adopt(self, model: ModelStatus, planned: PlannedLoad) -> None:
        """Show the plan that a load began with."""
        assert model.entry is not None
        self._begin(
            PlanStatus(
                PlanState.READY,
                entry_text(model.entry),
                model.entry.title,
                model.entry,
                planned.checkpoint,
                planned.machine,
                planned.wishes,
                planned.plan,
            )
        )

    @Slot(ModelStatus)
    def _on_out_of_room(self, model: ModelStatus) -> None:
        """Find the next smaller plan after a load that found no room."""
        if model.entry is None or self._stopped:
            return
        planned = model.planned
        if planned is None:
            self.choose_entry(model.entry)
            self.attention_wanted.emit()
            return
        # Anew, so that nothing that was asked before changes what is shown from now on.
        self._adopt(model, planned)
        if planned.plan.fits:
            context_first = isinstance(model.error, ContextTooLargeError)
            self._set(dataclasses.replace(self._status, state=PlanState.PLANNING, is_stale=True))
            self._run(
                partial(self._work.smaller, planned, context_first, self._open_stop.is_set),
                done=partial(self._on_smaller, self._wish),
                error=self._on_failed,
            )
        self.attention_wanted.emit()

    def _on_smaller(self, wish: int, smaller: PlannedLoad) -> None:
        if wish != self._wish:
            return
        self._is_unsaved = smaller.wishes != self._status.wishes
        self._set(
            dataclasses.replace(
                self._status,
                state=PlanState.READY,
                machine=smaller.machine,
                wishes=smaller.wishes,
                plan=smaller.plan,
                is_stale=False,
                is_smaller=smaller.plan is not self._status.plan,
            )
        )
        self._verify()

    # --- small things ---------------------------------------------------------------------------

    def _keep_wishes(self) -> None:
        status = self._status
        if self._is_unsaved and status.wishes is not None:
            self._is_unsaved = False
            self._runner.run(
                partial(self._loads.keep_wishes, status.text, status.wishes),
                done=_nothing,
                error=_raise,
                lane="store",
            )

    def _set(self, status: PlanStatus) -> None:
        self._status = with_model(status, self._loader.status)
        self.status_changed.emit(self._status)


def _nothing(_result: object) -> None:
    """Take a result that says nothing."""


def _raise(error: Exception) -> None:
    raise error
