"""Work of the main thread in slices between other events, so that no frame is missed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from PySide6.QtCore import QObject, QTimer, Slot

SLICE_S = 0.006


class Slices(QObject):
    """Runs one iterator at a time, each step a small piece of work; a new one ends the old one."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._steps: Iterator[object] = iter(())
        self._timer = QTimer(self, interval=0)
        self._timer.timeout.connect(self._slice)

    @property
    def is_running(self) -> bool:
        """Whether there is work left."""
        return self._timer.isActive()

    def run(self, steps: Iterator[object], *, at_once: bool = True) -> None:
        """Begin at once, or with the event loop's next turn; go on when it has time."""
        self._steps = steps
        self._timer.start()
        if at_once:
            self._slice()

    def finish(self) -> None:
        """Do what is left now, for somebody who needs all of it."""
        for _ in self._steps:
            pass
        self._timer.stop()

    def stop(self) -> None:
        """Leave the rest undone."""
        self._steps = iter(())
        self._timer.stop()

    @Slot()
    def _slice(self) -> None:
        deadline = time.perf_counter() + SLICE_S
        for _ in self._steps:
            if time.perf_counter() > deadline:
                return
        self._timer.stop()
