"""What the server for other programs says, heard in its threads, as signals of the main thread.

Requests and refusals are handed on at most five times a second; a new state at once.
"""

from __future__ import annotations

import threading
from collections import deque

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from models.api.protocol import TurnedAway
from models.api.requests import RequestNote
from models.api.server import ServerState

INTERVAL_MS = 200
# Of each; a program may ask faster than a window that is held up can show.
_MOST_KEPT = 500


class ServerBridge(QObject):
    """Give the three methods to the ``ApiServer``; connect to the signals. Main thread."""

    state_changed = Signal(ServerState)
    # The newest of each request, in the order of the requests: tuple[RequestNote, ...].
    noted = Signal(tuple)
    turned_away = Signal(tuple)  # tuple[TurnedAway, ...]
    _wake = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()  # guards everything down to the timer
        self._states: list[ServerState] = []
        self._notes: dict[int, RequestNote] = {}
        self._refusals: deque[TurnedAway] = deque(maxlen=_MOST_KEPT)
        self._wake_sent = False
        self._attached = True
        self._timer = QTimer(self, singleShot=True, interval=INTERVAL_MS)
        self._timer.timeout.connect(self._tell)
        self._wake.connect(self._on_wake, Qt.ConnectionType.QueuedConnection)

    def on_state(self, state: ServerState) -> None:
        """Take a state, in any thread; returns at once."""
        with self._lock:
            self._states.append(state)
        self._send_wake()

    def on_note(self, note: RequestNote) -> None:
        """Take a note of a request, in any thread; returns at once."""
        with self._lock:
            self._notes[note.id] = note
            if len(self._notes) > _MOST_KEPT:
                self._notes.pop(next(iter(self._notes)))
        self._send_wake()

    def on_turned_away(self, refusal: TurnedAway) -> None:
        """Take what was not admitted, in any thread; returns at once."""
        with self._lock:
            self._refusals.append(refusal)
        self._send_wake()

    def detach(self) -> None:
        """Hear nothing any more. To be called before the end."""
        with self._lock:
            self._attached = False
        self._timer.stop()

    def _send_wake(self) -> None:
        with self._lock:
            if self._wake_sent or not self._attached:
                return
            self._wake_sent = True
        self._wake.emit()

    @Slot()
    def _on_wake(self) -> None:
        with self._lock:
            self._wake_sent = False
            is_urgent = bool(self._states)
        if is_urgent:
            self._tell()
        elif not self._timer.isActive():
            self._timer.start()

    @Slot()
    def _tell(self) -> None:
        self._timer.stop()
        with self._lock:
            if not self._attached:
                return
            states, self._states = self._states, []
            notes, self._notes = tuple(self._notes.values()), {}
            refusals = tuple(self._refusals)
            self._refusals.clear()
        for state in states:
            self.state_changed.emit(state)
        if notes:
            self.noted.emit(notes)
        if refusals:
            self.turned_away.emit(refusals)
