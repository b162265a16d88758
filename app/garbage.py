"""Collects Python's garbage in the main thread only.

Python looks for cycles in whatever thread happens to allocate. A QObject that ends there, while
the main thread delivers its events, takes the process with it (a segmentation fault, seen with
PySide6 6.11 and reproduced in tests/app/test_garbage.py). So automatic collection is off, and a
timer of the main thread does it with CPython's own thresholds.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer, Slot

_PERIOD_MS = 500


class MainThreadGarbage(QObject):
    """Takes collection over from Python until ``stop``; made in the main thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._was_enabled = gc.isenabled()
        gc.disable()
        self._timer = QTimer(self)
        self._timer.setInterval(_PERIOD_MS)
        self._timer.timeout.connect(self.collect)
        self._timer.start()

    def spare_what_is_there(self) -> None:
        """Leave everything made so far out of later looks: a whole program takes long to go over.

        To be called once, when the window stands.
        """
        gc.collect()
        gc.freeze()

    def stop(self) -> None:
        """Give collection back to Python."""
        self._timer.stop()
        if self._was_enabled:
            gc.enable()

    @Slot()
    def collect(self) -> None:
        """Collect as much as Python itself would by now (gc.get_threshold)."""
        for generation, (count, threshold) in reversed(
            list(enumerate(zip(gc.get_count(), gc.get_threshold(), strict=True)))
        ):
            if threshold and count > threshold:
                gc.collect(generation)
                return
