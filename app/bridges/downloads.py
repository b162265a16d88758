"""What the transfer child says, heard in the client's reader thread, as signals of the main thread.

Figures are handed on at most five times a second, together for all downloads. A download that
stands differently than before is told at once.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from models.transfer.events import (
    JobChanged,
    JobGone,
    QueueReplaced,
    TransferDown,
    TransferEvent,
    TransferTrouble,
)
from models.transfer.job import JobView

INTERVAL_MS = 200


class DownloadsBridge(QObject):
    """Give ``listener`` to the TransferClient; connect to the signals. Lives in the main thread."""

    # All downloads in the order of the queue: tuple[JobView, ...].
    jobs_changed = Signal(tuple)
    # As it stood before (None: it is new) and as it stands now; only for steps from one state to
    # another that were made while somebody listened, not for what a start finds.
    stepped = Signal(object, JobView)
    # FathomError and whether it is final.
    went_down = Signal(object, bool)
    # FathomError, or None when the queue can be written down again.
    trouble = Signal(object)
    _wake = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()  # guards the three below
        self._queue: deque[TransferEvent] = deque()
        self._wake_sent = False
        self._attached = True
        self._views: dict[str, JobView] = {}
        self._timer = QTimer(self, singleShot=True, interval=INTERVAL_MS)
        self._timer.timeout.connect(self._tell)
        self._wake.connect(self._on_wake, Qt.ConnectionType.QueuedConnection)

    @property
    def jobs(self) -> tuple[JobView, ...]:
        """All downloads, in the order of the queue."""
        return tuple(sorted(self._views.values(), key=lambda view: view.position))

    def listener(self, event: TransferEvent) -> None:
        """Take an event, in any thread; returns at once."""
        with self._lock:
            if not self._attached:
                return
            self._queue.append(event)
            if self._wake_sent:
                return
            self._wake_sent = True
        self._wake.emit()

    def detach(self) -> None:
        """Hear nothing any more; what is queued is dropped. To be called before the end."""
        with self._lock:
            self._attached = False
            self._queue.clear()
        self._timer.stop()

    @Slot()
    def _on_wake(self) -> None:
        with self._lock:
            self._wake_sent = False
            events, self._queue = self._queue, deque()
        is_urgent = False
        steps: list[tuple[JobView | None, JobView]] = []
        for event in events:
            if isinstance(event, JobChanged):
                before = self._views.get(event.view.job_id)
                self._views[event.view.job_id] = event.view
                if before is None or _look(before) != _look(event.view):
                    steps.append((before, event.view))
            elif isinstance(event, JobGone):
                self._views.pop(event.job_id, None)
                is_urgent = True
            elif isinstance(event, QueueReplaced):
                self._views = {view.job_id: view for view in event.views}
                is_urgent = True
            elif isinstance(event, TransferDown):
                self._stand_still()
                self.went_down.emit(event.error, event.is_final)
                is_urgent = True
            elif isinstance(event, TransferTrouble):
                self.trouble.emit(event.error)
        if is_urgent or steps:
            self._tell()
        elif not self._timer.isActive():
            self._timer.start()
        for before, after in steps:
            self.stepped.emit(before, after)

    def _stand_still(self) -> None:
        """Nothing comes while there is no child."""
        self._views = {
            job_id: dataclasses.replace(view, rate_bytes_s=0.0, eta_s=None)
            for job_id, view in self._views.items()
        }

    @Slot()
    def _tell(self) -> None:
        self._timer.stop()
        self.jobs_changed.emit(self.jobs)


def _look(view: JobView) -> tuple[object, ...]:
    """Return what is no mere figure: it is told at once."""
    return view.state, view.position, view.waits_until_s, view.failure
