"""What came of every load that followed a plan, written down for later plans."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot

from app.actions.load_model import LoadModel, ModelStatus
from app.bridges.engine import EngineBridge
from app.tasks import TaskRunner
from models.runtime.protocol import Cancelled, Done

if TYPE_CHECKING:
    from models.planning.loads import Loads


class LoadOutcomes(QObject):
    """Keeps measured bytes after a load and measured speed after an answer; shows nothing."""

    def __init__(
        self,
        *,
        loads: Loads,
        loader: LoadModel,
        bridge: EngineBridge,
        runner: TaskRunner,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._loads = loads
        self._runner = runner
        self._in_memory: ModelStatus | None = None
        loader.status_changed.connect(self._on_model_status)
        bridge.finished.connect(self._on_finished)

    @Slot(ModelStatus)
    def _on_model_status(self, model: ModelStatus) -> None:
        before, self._in_memory = self._in_memory, model if model.is_ready else None
        if not model.is_ready or model.planned is None or model.loaded is None:
            return
        if before is None or before.loaded is not model.loaded:
            op = partial(self._loads.keep_measured, model.planned.plan, model.loaded)
            self._runner.run(op, done=_nothing, error=_raise, lane="store")

    @Slot(int, object)
    def _on_finished(self, _request_id: int, ending: object) -> None:
        model = self._in_memory
        if not isinstance(ending, (Done, Cancelled)) or ending.usage is None:
            return
        if model is None or model.planned is None:
            return
        op = partial(self._loads.keep_run, model.planned, ending.usage)
        self._runner.run(op, done=_nothing, error=_raise, lane="store")


def _nothing(_result: object) -> None:
    """Take a result that says nothing."""


def _raise(error: Exception) -> None:
    raise error
