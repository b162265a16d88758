"""Ctrl+C in the terminal and a polite kill close the window as its own button would."""

from __future__ import annotations

import signal
import socket
from types import FrameType

from PySide6.QtCore import QObject, QSocketNotifier, Signal, Slot


class TerminalSignals(QObject):
    """Turns SIGINT and SIGTERM into ``asked_to_quit`` in the event loop."""

    asked_to_quit = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # Python runs its handlers between two of its own instructions, and the event loop runs
        # none: the byte that arrives on this pair wakes the loop up.
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._old = {name: signal.signal(name, _note) for name in _NAMES}
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._arrived)

    def close(self) -> None:
        """Give the signals back."""
        self._notifier.setEnabled(False)
        for name, handler in self._old.items():
            signal.signal(name, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._reader.close()
        self._writer.close()

    @Slot()
    def _arrived(self) -> None:
        numbers = self._reader.recv(64)
        if any(number in _NAMES for number in numbers):
            self.asked_to_quit.emit()


_NAMES = (signal.SIGINT, signal.SIGTERM)


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the byte on the wake-up descriptor says it all."""
