"""The one door for what the user is told: information, warnings, errors, undo.

Anybody may post, from any thread. Notices are kept until the window attaches itself, so that
nothing said during start-up is lost.
"""

from __future__ import annotations

import enum
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal, Slot

from models.errors import FathomError

_log = logging.getLogger(__name__)


class Severity(enum.Enum):
    """How much a notice asks of the reader."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    UNDO = "undo"


@dataclass(frozen=True)
class Action:
    """A button on a notice: its text (a verb) and what it does."""

    text: str
    run: Callable[[], None]


@dataclass(frozen=True)
class Notice:
    """Something the user is told; ``details`` are folded and can be copied."""

    id: int
    severity: Severity
    text: str
    hint: str = ""
    details: str = ""
    action: Action | None = None


class Messages(QObject):
    """Takes notices from everywhere and hands them to the window."""

    posted = Signal(Notice)
    withdrawn = Signal(int)
    _arrived = Signal(Notice)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ids = itertools.count(1)
        self._waiting: list[Notice] = []
        self._attached = False
        # A post from another thread is queued by this connection; one from here is immediate.
        self._arrived.connect(self._deliver)

    def info(self, text: str, action: Action | None = None) -> int:
        """Tell something good to know; it goes away by itself."""
        return self._post(Severity.INFO, text, action=action)

    def warning(self, text: str, action: Action | None = None, *, hint: str = "") -> int:
        """Tell something that deserves a look."""
        return self._post(Severity.WARNING, text, hint=hint, action=action)

    def error(self, error: FathomError | str, action: Action | None = None) -> int:
        """Tell a failure: what happened, what to do, details folded."""
        if isinstance(error, FathomError):
            return self._post(
                Severity.ERROR, error.message, hint=error.hint, details=error.details, action=action
            )
        return self._post(Severity.ERROR, error, action=action)

    def undo(self, text: str, on_undo: Callable[[], None]) -> int:
        """Tell that something was done, with a button that takes it back."""
        return self._post(Severity.UNDO, text, action=Action(self.tr("Undo"), on_undo))

    def withdraw(self, notice_id: int) -> None:
        """Take a notice back, wherever it is."""
        self._waiting = [notice for notice in self._waiting if notice.id != notice_id]
        self.withdrawn.emit(notice_id)

    def attach(self) -> None:
        """Begin to deliver; the window calls this once its slots are connected."""
        self._attached = True
        waiting, self._waiting = self._waiting, []
        for notice in waiting:
            self.posted.emit(notice)

    def _post(
        self,
        severity: Severity,
        text: str,
        *,
        hint: str = "",
        details: str = "",
        action: Action | None = None,
    ) -> int:
        notice = Notice(next(self._ids), severity, text, hint, details, action)
        _log.info("%s: %s %s", severity.value, text, hint)
        self._arrived.emit(notice)
        return notice.id

    @Slot(Notice)
    def _deliver(self, notice: Notice) -> None:
        if self._attached:
            self.posted.emit(notice)
        else:
            self._waiting.append(notice)
