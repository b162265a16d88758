"""Loading a checkpoint into the engine child: start, progress, stop, failures and what to try."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.actions.model_status import LoadGate, LoadPhase, ModelStatus
from app.bridges.engine import EngineBridge
from app.bridges.settings import SettingsBridge
from app.messages import Messages
from app.tasks import Task, TaskRunner, expected
from models.engine_settings import load_settings
from models.errors import (
    CheckpointNotFoundError,
    ContextTooLargeError,
    EngineBusyError,
    EngineStartError,
    EngineVersionError,
    FathomError,
    OutOfMemoryError,
)
from models.library.library import Library, LibraryEntry
from models.runtime.protocol import Cancelled, Loaded, LoadProgress, LoadSettings
from models.runtime.supervisor import EngineState, EngineSupervisor

if TYPE_CHECKING:
    from models.planning.desk import PlannedLoad
    from models.planning.loads import Loads

__all__ = ["LoadModel", "LoadPhase", "ModelStatus"]

_log = logging.getLogger(__name__)
# An answer that was told to stop for a load may take a moment; then the engine is free.
_NOT_YET = (EngineState.GENERATING, EngineState.STOPPING)
_FREE = (EngineState.READY, EngineState.IDLE, EngineState.STOPPED)


class LoadModel(QObject):
    """Owns the one checkpoint in memory. The engine is never waited for in the main thread."""

    status_changed = Signal(ModelStatus)
    entries_changed = Signal(tuple)
    about_to_load = Signal()
    # A load found no room, whether or not another model was kept: as it failed.
    out_of_room = Signal(ModelStatus)

    def __init__(
        self,
        *,
        supervisor: EngineSupervisor,
        bridge: EngineBridge,
        library: Library,
        settings: SettingsBridge,
        runner: TaskRunner,
        messages: Messages,
        loads: Loads | None = None,
        gate: LoadGate | None = None,
        parent: QObject | None = None,
    ) -> None:
        """Prepare; without ``loads`` the engine chooses how to load by itself.

        ``gate`` may hold a load back, or have it done with another chat template.
        """
        super().__init__(parent)
        self._supervisor = supervisor
        self._loads = loads
        self._gate = gate
        self._template = ""
        self._library = library
        self._settings = settings
        self._runner = runner
        self._messages = messages
        self._status = ModelStatus()
        self._entries: tuple[LibraryEntry, ...] = ()
        self._request_id: int | None = None
        self._n_ctx: int | None = None
        self._stop_wanted = False
        # What was loaded before the load; the engine keeps it when it refuses a file at once.
        self._before: ModelStatus | None = None
        # How to load is being worked out; nothing was sent yet.
        self._planning: Task | None = None
        # What is sent to the engine as soon as it is free.
        self._pending: Callable[[], None] | None = None
        self._is_unloading = False
        self._listing: Task | None = None
        # Endings that arrived before the engine lane told which request they belong to.
        self._early: dict[int, FathomError | None] = {}
        self._is_crashed = False
        self._crash_error: FathomError | None = None
        self._crash_timer = QTimer(self, singleShot=True, interval=0)
        self._crash_timer.timeout.connect(self._on_crashed)
        bridge.load_progress.connect(self._on_progress)
        bridge.loaded.connect(self._on_loaded)
        bridge.unloaded.connect(self._on_unloaded)
        bridge.finished.connect(self._on_finished)
        bridge.failed.connect(self._on_failed)
        bridge.state_changed.connect(self._on_state)
        bridge.safe_mode_retry.connect(self._on_safe_mode)

    @property
    def status(self) -> ModelStatus:
        """The checkpoint and how far it is."""
        return self._status

    @property
    def entries(self) -> tuple[LibraryEntry, ...]:
        """The checkpoints found by the last ``refresh``."""
        return self._entries

    def refresh(self) -> None:
        """Look again at what the library holds."""
        if self._listing is not None:
            # Two may be under way at once, and the older one may end last.
            self._listing.drop()
        self._listing = self._runner.run(
            self._library.entries, done=self._on_entries, error=self._on_error
        )

    def load(
        self, entry: LibraryEntry, *, n_ctx: int | None = None, planned: PlannedLoad | None = None
    ) -> None:
        """Load a checkpoint in place of the one that is loaded.

        Args:
            entry: what to load.
            n_ctx: overrides the setting, and the context that was fixed for this checkpoint.
            planned: the plan to follow exactly; without it one is made now.
        """
        if self._status.is_loading:
            return
        self._before = self._status if self._status.is_ready else None
        self.about_to_load.emit()
        self._request_id = None
        self._n_ctx = n_ctx
        self._template = ""
        self._stop_wanted = False
        self._early.clear()
        self._set(ModelStatus(phase=LoadPhase.LOADING, entry=entry))
        if self._gate is None:
            self._begin(entry, planned)
            return
        self._planning = self._gate.before_load(
            entry, partial(self._on_passed, entry, planned), self._on_held
        )

    def _on_passed(self, entry: LibraryEntry, planned: PlannedLoad | None, template: str) -> None:
        if self._planning is None or not self._status.is_loading:
            return
        self._planning = None
        self._template = template
        self._begin(entry, planned)

    def _on_held(self) -> None:
        if self._planning is not None and self._status.is_loading:
            self._end_load(None)

    def _begin(self, entry: LibraryEntry, planned: PlannedLoad | None) -> None:
        if planned is not None or self._loads is None:
            self._load_with(entry, planned)
            return
        # Both at once: the engine starts in its lane, the planner is imported in its own.
        self._runner.run(
            self._loads.prepare, done=self._ignore, error=self._on_not_prepared, lane="plan"
        )
        self._planning = self._runner.run(
            partial(self._loads.plan, entry.path, self._n_ctx),
            done=partial(self._on_planned, entry),
            error=partial(self._on_not_planned, entry),
            lane="engine",
        )

    def load_by_name(self, name_or_path: str) -> None:
        """Load what a library name or a path leads to."""
        self._runner.run(
            partial(self._library.resolve, name_or_path),
            done=self.load,
            error=self._on_load_refused,
        )

    def load_at_start(self) -> None:
        """Load the checkpoint used last, when the user wants that and it is still there."""
        name = str(self._settings.get("chat.last_checkpoint"))
        if not name or not self._settings.get("engine.load_last_checkpoint"):
            return
        self._runner.run(
            partial(self._library.resolve, name), done=self.load, error=self._on_last_missing
        )

    def load_demo(self) -> None:
        """Load the small demo checkpoint that comes with the program."""
        for entry in self._entries:
            if entry.is_demo:
                self.load(entry)
                return
        self.load_by_name("demo")

    def retry(self, *, n_ctx: int | None = None) -> None:
        """Load the chosen checkpoint again, with another context when ``n_ctx`` is given."""
        if self._status.entry is not None:
            self.load(self._status.entry, n_ctx=n_ctx if n_ctx is not None else self._n_ctx)

    def cancel(self) -> None:
        """Stop loading."""
        if not self._status.is_loading:
            return
        self._stop_wanted = True
        self._set(dataclasses.replace(self._status, is_stopping=True))
        if self._pending is not None or self._planning is not None:
            self._end_load(None)
        elif self._request_id is not None:
            self._send_cancel(self._request_id)

    def unload(self) -> None:
        """Free the memory of the loaded checkpoint."""
        if not self._status.is_ready:
            return
        self.about_to_load.emit()
        self._set(dataclasses.replace(self._status, phase=LoadPhase.UNLOADING))
        self._when_free(self._send_unload)

    def dismiss_error(self) -> None:
        """Forget a failure that the user has read."""
        if self._status.phase is LoadPhase.FAILED:
            self._set(ModelStatus())

    # --- how to load ----------------------------------------------------------------------------

    def _on_planned(self, entry: LibraryEntry, planned: PlannedLoad) -> None:
        if self._planning is None or not self._status.is_loading:
            return
        if planned.plan.fits:
            self._load_with(entry, planned)
            return
        # Begun all the same, it would end in the system's hands: swapping, or killed.
        self._set(dataclasses.replace(self._status, planned=planned))
        self._end_load(_does_not_fit(entry, planned))

    def _on_not_planned(self, entry: LibraryEntry, error: Exception) -> None:
        if self._planning is None or not self._status.is_loading:
            return
        if isinstance(error, (EngineStartError, EngineVersionError)):
            self._planning = None
            self._on_load_refused(error)
            return
        # The engine checks a file itself and says what is wrong with it; what the planner cannot
        # plan it may still be able to load.
        if isinstance(error, FathomError):
            _log.info("Loading without a plan: %s", error.one_line())
        else:
            _log.error("Loading without a plan", exc_info=error)
        self._load_with(entry, None)

    def _on_not_prepared(self, error: Exception) -> None:
        """Say nothing: who needs the planner says it."""

    def _load_with(self, entry: LibraryEntry, planned: PlannedLoad | None) -> None:
        self._planning = None
        if planned is None:
            settings = load_settings(self._settings.settings, n_ctx=self._n_ctx)
        else:
            settings = planned.load_settings()
            self._set(dataclasses.replace(self._status, planned=planned))
        settings = dataclasses.replace(settings, template=self._template)
        self._when_free(partial(self._send_load, entry, settings))

    # --- what the engine is told ----------------------------------------------------------------

    def _when_free(self, send: Callable[[], None]) -> None:
        """Send now, or when the answer that was told to stop has ended."""
        if self._supervisor.state in _NOT_YET or self._is_unloading:
            self._pending = send
        else:
            self._pending = None
            send()

    def _send_load(self, entry: LibraryEntry, settings: LoadSettings) -> None:
        self._runner.run(
            partial(self._supervisor.load, str(entry.path), settings),
            done=self._on_requested,
            error=partial(self._on_load_error, entry, settings),
            lane="engine",
        )

    def _on_load_error(self, entry: LibraryEntry, settings: LoadSettings, error: Exception) -> None:
        if isinstance(error, EngineBusyError) and not self._stop_wanted:
            # An answer was on its way to the engine before this load.
            self._when_free(partial(self._send_load, entry, settings))
        else:
            self._on_load_refused(error)

    def _send_unload(self) -> None:
        self._is_unloading = True
        self._runner.run(
            self._supervisor.unload, done=self._ignore, error=self._on_unload_error, lane="engine"
        )

    def _on_unload_error(self, error: Exception) -> None:
        self._is_unloading = False
        if isinstance(error, EngineBusyError) and self._supervisor.model is not None:
            if self._status.phase is LoadPhase.UNLOADING:
                self._when_free(self._send_unload)
        else:
            self._on_unloaded()
            self._on_error(error)

    # --- what the engine says -------------------------------------------------------------------

    def _on_requested(self, request_id: int) -> None:
        if not self._status.is_loading:
            return
        self._request_id = request_id
        if request_id in self._early:
            self._end_load(self._early.pop(request_id))
        elif self._stop_wanted:
            self._send_cancel(request_id)

    def _send_cancel(self, request_id: int) -> None:
        self._runner.run(
            partial(self._supervisor.cancel, request_id),
            done=self._ignore,
            error=self._on_error,
            lane="control",
        )

    @Slot(LoadProgress)
    def _on_progress(self, progress: LoadProgress) -> None:
        if self._status.is_loading:
            self._set(dataclasses.replace(self._status, progress=progress))

    @Slot(Loaded)
    def _on_loaded(self, loaded: Loaded) -> None:
        entry = self._status.entry
        if not self._status.is_loading or entry is None:
            return
        self._set(
            ModelStatus(
                phase=LoadPhase.READY, entry=entry, loaded=loaded, planned=self._status.planned
            )
        )
        for text in loaded.warnings:
            self._messages.warning(text)
        self._remember(entry)

    def _remember(self, entry: LibraryEntry) -> None:
        name = entry.name if entry.is_demo else str(entry.path)
        self._settings.set("chat.last_checkpoint", name)

    @Slot()
    def _on_unloaded(self) -> None:
        self._is_unloading = False
        if not self._status.is_loading:
            self._set(ModelStatus(entry=self._status.entry))
        elif self._pending is not None:
            self._when_free(self._pending)

    @Slot(int, object)
    def _on_finished(self, request_id: int, ending: object) -> None:
        if isinstance(ending, Cancelled) and ending.usage is None:
            self._load_ended(request_id, None)

    @Slot(object, FathomError)
    def _on_failed(self, request_id: int | None, error: FathomError) -> None:
        was_crash, self._is_crashed = self._is_crashed, False
        if was_crash:
            self._crash_error = error
            # After everybody else has heard of the failure.
            self._crash_timer.start()
        if request_id is not None:
            self._load_ended(request_id, error)
        elif self._status.is_loading:
            self._end_load(error)
        elif not was_crash:
            # Ended by the supervisor because it did not react; what was asked of it has ended.
            self._lost(error)

    def _load_ended(self, request_id: int, error: FathomError | None) -> None:
        if not self._status.is_loading:
            return
        if self._request_id is None:
            self._early[request_id] = error
        elif request_id == self._request_id:
            self._end_load(error)

    def _end_load(self, error: FathomError | None) -> None:
        failed = error if not self._stop_wanted else None
        was_sent = self._pending is None and self._planning is None
        self._pending = None
        if self._planning is not None:
            self._planning.drop()
            self._planning = None
        kept = self._supervisor.state is EngineState.READY if was_sent else not self._is_unloading
        asked = dataclasses.replace(self._status, phase=LoadPhase.FAILED, error=failed)
        if self._before is not None and kept:
            self._set(self._before)
            if failed is not None:
                self._messages.error(failed)
        elif failed is not None:
            self._set(dataclasses.replace(asked, progress=None, is_stopping=False))
        else:
            self._set(ModelStatus(entry=self._status.entry))
        if asked.is_out_of_room:
            self.out_of_room.emit(asked)

    def _lost(self, error: FathomError) -> None:
        self._pending = None
        lost = ModelStatus(
            LoadPhase.FAILED, self._status.entry, error=error, planned=self._status.planned
        )
        self._set(lost)
        if lost.is_out_of_room:
            self.out_of_room.emit(lost)

    @Slot(EngineState)
    def _on_state(self, state: EngineState) -> None:
        if state in (EngineState.CRASHED, EngineState.STOPPED):
            self._is_unloading = False
        if self._pending is not None and state in _FREE:
            self._when_free(self._pending)
        elif state is EngineState.CRASHED:
            # The failure that says why follows; of a start that failed the engine lane tells.
            self._is_crashed = True
        elif state is EngineState.STOPPED and self._status.phase is not LoadPhase.FAILED:
            self._set(ModelStatus(entry=self._status.entry))
        elif state is EngineState.STARTING:
            self._is_crashed = False
            self._crash_timer.stop()

    @Slot()
    def _on_crashed(self) -> None:
        in_use = self._status.phase in (LoadPhase.READY, LoadPhase.UNLOADING, LoadPhase.LOADING)
        if in_use and self._crash_error is not None:
            self._lost(self._crash_error)

    @Slot(FathomError)
    def _on_safe_mode(self, error: FathomError) -> None:
        self._messages.warning(
            self.tr("The engine ended unexpectedly and was started again in safe mode."),
            hint=self.tr("Safe mode is slower and works on more processors. {cause}").format(
                cause=error.message
            ),
        )

    # --- results of background work ------------------------------------------------------------

    def _on_entries(self, entries: tuple[LibraryEntry, ...]) -> None:
        self._entries = entries
        self.entries_changed.emit(entries)

    def _on_load_refused(self, error: Exception) -> None:
        error = expected(error)
        if self._status.is_loading:
            self._end_load(error)
        elif self._status.is_ready:
            self._messages.error(error)
        else:
            self._set(ModelStatus(LoadPhase.FAILED, entry=self._status.entry, error=error))

    def _on_last_missing(self, error: Exception) -> None:
        if not isinstance(error, CheckpointNotFoundError):
            self._on_load_refused(error)
            return
        self._messages.warning(self.tr("The model used last is not where it was."), hint=error.hint)

    def _on_error(self, error: Exception) -> None:
        self._messages.error(expected(error))

    def _ignore(self, result: object) -> None:
        """Take a result that says nothing."""

    def _set(self, status: ModelStatus) -> None:
        self._status = status
        self.status_changed.emit(status)


def _does_not_fit(entry: LibraryEntry, planned: PlannedLoad) -> FathomError:
    plan = planned.plan
    error = ContextTooLargeError if planned.wishes.n_ctx else OutOfMemoryError
    ways = [one.text for one in plan.alternatives]
    return error(
        f"{entry.title} does not fit into this machine's memory.",
        hint=" ".join([*plan.warnings[:1], *ways[:1]]),
        details="\n".join([*plan.explanation, *plan.warnings, *ways]),
    )
