"""Looking for a newer Fathom when the user says so: asked, found, fetched, never installed."""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.tasks import TaskRunner, expected
from models.errors import StoppedError

if TYPE_CHECKING:
    from models.transfer.remote import FileProgress
    from models.updates.check import UpdateAnswer, UpdateSource
    from models.updates.manifest import ReleaseFile


class UpdateStage(enum.Enum):
    """How far looking for a newer version has come."""

    IDLE = enum.auto()
    ASKING = enum.auto()
    UP_TO_DATE = enum.auto()
    NEWER = enum.auto()
    FETCHING = enum.auto()
    FETCHED = enum.auto()
    FAILED = enum.auto()


@dataclass(frozen=True)
class UpdateStatus:
    """What is known of newer versions.

    Attributes:
        answer: the last one that was believed; kept when fetching fails.
        bytes_done: of the file that is fetched.
        path: where the file lies that was fetched and checked.
        error: why the last step failed, in one line.
    """

    stage: UpdateStage = UpdateStage.IDLE
    answer: UpdateAnswer | None = None
    bytes_done: int = 0
    path: Path | None = None
    error: str = ""


class Updates(QObject):
    """Asks and fetches in the background; ``status_changed`` carries an UpdateStatus.

    Args:
        read_source: says whom to ask; raises FathomError; called in a background thread.
        folder: where a release's file goes.
    """

    status_changed = Signal(UpdateStatus)
    _progressed = Signal(object, int)

    def __init__(
        self,
        *,
        read_source: Callable[[], UpdateSource],
        folder: Callable[[], Path],
        runner: TaskRunner,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._read_source = read_source
        self._folder = folder
        self._runner = runner
        self._status = UpdateStatus()
        # One for each step: a step that was left never speaks of the next one.
        self._ending = threading.Event()
        self._progressed.connect(self._on_progress)

    @property
    def status(self) -> UpdateStatus:
        """What is known now."""
        return self._status

    def check(self) -> None:
        """Ask; nothing happens while something is under way."""
        if self._status.stage in (UpdateStage.ASKING, UpdateStage.FETCHING):
            return
        ending = self._begin(UpdateStatus(UpdateStage.ASKING))
        self._runner.run(
            partial(self._ask, ending),
            done=partial(self._on_answer, ending),
            error=partial(self._on_error, ending),
            lane="hub",
        )

    def fetch(self) -> None:
        """Fetch the file of the version that was found."""
        answer = self._status.answer
        if self._status.stage is UpdateStage.FETCHING or answer is None or answer.file is None:
            return
        ending = self._begin(UpdateStatus(UpdateStage.FETCHING, answer))
        self._runner.run(
            partial(self._get, answer.file, self._folder(), ending),
            done=partial(self._on_path, ending),
            error=partial(self._on_error, ending),
            lane="hub",
        )

    def cancel(self) -> None:
        """Leave what is under way; what was fetched is gone on with the next time."""
        if self._status.stage in (UpdateStage.ASKING, UpdateStage.FETCHING):
            self.stop()
            stage = UpdateStage.NEWER if self._status.answer else UpdateStage.IDLE
            self._set(UpdateStatus(stage, self._status.answer))

    def stop(self) -> None:
        """End what is under way; returns at once, nothing is told any more."""
        self._ending.set()

    def _begin(self, status: UpdateStatus) -> threading.Event:
        self._ending = threading.Event()
        self._set(status)
        return self._ending

    # --- in a thread of the lane ----------------------------------------------------------------

    def _ask(self, ending: threading.Event) -> UpdateAnswer:
        from models.updates.check import check_for_update

        return check_for_update(self._read_source(), stop=ending.is_set)

    def _get(self, file: ReleaseFile, folder: Path, ending: threading.Event) -> Path:
        from models.updates.fetch import fetch_release

        def listen(progress: FileProgress) -> None:
            self._progressed.emit(ending, progress.bytes_done)

        return fetch_release(file, folder, listen=listen, stop=ending.is_set)

    # --- in the main thread ---------------------------------------------------------------------

    @Slot(object, int)
    def _on_progress(self, ending: threading.Event, bytes_done: int) -> None:
        if ending is self._ending and self._status.stage is UpdateStage.FETCHING:
            self._set(dataclasses.replace(self._status, bytes_done=bytes_done))

    def _on_answer(self, ending: threading.Event, answer: UpdateAnswer) -> None:
        from models.updates.check import Standing

        if not ending.is_set():
            is_newer = answer.standing is Standing.NEWER
            stage = UpdateStage.NEWER if is_newer else UpdateStage.UP_TO_DATE
            self._set(UpdateStatus(stage, answer))

    def _on_path(self, ending: threading.Event, path: Path) -> None:
        if not ending.is_set():
            self._set(UpdateStatus(UpdateStage.FETCHED, self._status.answer, path=path))

    def _on_error(self, ending: threading.Event, error: Exception) -> None:
        error = expected(error)
        if ending.is_set() or isinstance(error, StoppedError):
            return
        status = UpdateStatus(UpdateStage.FAILED, self._status.answer, error=error.one_line())
        self._set(status)

    def _set(self, status: UpdateStatus) -> None:
        self._status = status
        self.status_changed.emit(status)
