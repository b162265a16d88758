"""Has the formulas of the page drawn, a few at a time, and ends the child when nobody asks."""

from __future__ import annotations

import logging
import threading
from functools import partial

from PySide6.QtCore import QObject, QTimer, Slot

from app.tasks import TaskRunner, expected
from app.widgets.formula_book import FormulaBook, FormulaKey, FormulaPicture, path_of
from models.errors import StoppedError
from models.formulas.child import FormulaChild
from models.formulas.protocol import Formula, Outline
from models.stopping import Stop

# So many are drawn before they are shown: the first ones are there quickly, and a page of them is
# not laid out again for each.
_BATCH = 12
# The child takes 45 MB; a conversation about mathematics asks again within this.
IDLE_MS = 60_000
_LANE = "formulas"

_log = logging.getLogger(__name__)

_Pictures = dict[FormulaKey, FormulaPicture | None]


class FormulaDrawing(QObject):
    """Draws what a book wants. Lives in the main thread; draws in its lane."""

    def __init__(
        self,
        book: FormulaBook,
        runner: TaskRunner,
        *,
        child: FormulaChild | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._book = book
        self._runner = runner
        self._child = child or FormulaChild()
        self._stopping = threading.Event()
        self._waiting: list[FormulaKey] = []
        self._drawing: list[FormulaKey] = []
        self._idle = QTimer(self, interval=IDLE_MS, singleShot=True)
        self._idle.timeout.connect(self._rest)
        book.wanted.connect(self._draw)

    @property
    def child(self) -> FormulaChild:
        """Who draws."""
        return self._child

    def stop(self) -> None:
        """Let go of what is being drawn; before the runner is shut down."""
        self._stopping.set()
        self._idle.stop()

    def close(self) -> None:
        """End the child; when the runner was shut down."""
        self._child.close()

    @Slot(list)
    def _draw(self, keys: list[FormulaKey]) -> None:
        # The newest first: they stand where the user looks.
        self._waiting = [*keys, *self._waiting]
        self._next()

    def _next(self) -> None:
        if self._drawing or not self._waiting or self._stopping.is_set():
            return
        self._idle.stop()
        self._drawing, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        self._runner.run(
            partial(_draw_all, self._child, tuple(self._drawing), self._stopping.is_set),
            done=self._on_drawn,
            error=self._on_error,
            lane=_LANE,
        )

    def _on_drawn(self, pictures: _Pictures) -> None:
        self._drawing = []
        self._idle.start()
        self._next()
        self._book.take(pictures)

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, StoppedError):
            return
        error = expected(error)
        _log.info("Formulas are shown as they are written: %s %s", error.message, error.details)
        keys, self._drawing = self._drawing, []
        self._book.give_up(keys)
        self._next()

    @Slot()
    def _rest(self) -> None:
        if not self._drawing:
            self._runner.run(self._child.close, done=_nothing, error=self._on_error, lane=_LANE)


def _draw_all(child: FormulaChild, keys: tuple[FormulaKey, ...], stop: Stop) -> _Pictures:
    return {key: _picture(child.draw(Formula(*key), stop=stop)) for key in keys}


def _picture(outline: Outline | None) -> FormulaPicture | None:
    if outline is None:
        return None
    try:
        path = path_of(outline.path)
    except (ValueError, TypeError, OverflowError):
        return None
    return FormulaPicture(outline.width / 1000, outline.ascent / 1000, outline.descent / 1000, path)


def _nothing(_result: None) -> None:
    pass
