"""What user messages and answers have in common: a place in the transcript, a text, a footer."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, Signal, Slot
from PySide6.QtGui import QEnterEvent
from PySide6.QtWidgets import QWidget

from app.widgets.chat_body import MessageBody
from app.widgets.chat_footer import FOOTER_HEIGHT_PX, MessageFooter
from app.widgets.chat_turn import TurnView
from app.widgets.formula_book import FormulaBook

FOOTER_GAP_PX = 4
_NAME_LIMIT_CHARS = 2_000


class MessageWidget(QWidget):
    """Base of the two kinds of message; the transcript lays it out and moves it."""

    height_changed = Signal()
    acted = Signal(str, int)  # what, message id: redo, retry, continue
    edited = Signal(int, str)
    sibling_requested = Signal(int, int)
    link_clicked = Signal(str)

    def __init__(
        self, turn: TurnView, parent: QWidget | None = None, *, book: FormulaBook | None = None
    ) -> None:
        super().__init__(parent)
        self.turn = turn
        self._width = 0
        self.setAttribute(Qt.WidgetAttribute.WA_StaticContents)
        self.body = MessageBody(self, book=book)
        self.body.link_clicked.connect(self.link_clicked)
        self.body.height_changed.connect(self.height_changed)
        self.footer = MessageFooter(is_user=turn.is_user, parent=self)
        self.footer.copy_requested.connect(self._copy)
        self.footer.sibling_requested.connect(self._go_to_sibling)
        self.footer.redo_requested.connect(self._redo)
        self.footer.resume_requested.connect(self._resume)

    def layout_to(self, width: int) -> int:
        """Wrap to a width in px and return the height in px; ``place`` puts things there.

        The two are apart so that the transcript can scroll between them: it does so by moving
        pixels, and that only works while nothing is marked for painting.
        """
        self._width = width
        return self.body.layout_to(width) + FOOTER_GAP_PX + FOOTER_HEIGHT_PX

    def place(self) -> None:
        """Put everything where ``layout_to`` found room for it."""
        height = self.body.layout_to(self._width)
        self.body.setGeometry(0, 0, self._width, max(height, 1))
        self.footer.layout_to(self._width)
        self.footer.setGeometry(0, height + FOOTER_GAP_PX, self._width, FOOTER_HEIGHT_PX)

    def show_turn(self, turn: TurnView, *, enabled: bool) -> None:
        """Show another state of the message."""
        self.turn = turn
        self.footer.show_turn(turn, enabled=enabled)

    def bodies(self) -> list[MessageBody]:
        """Return the texts that can be selected, top to bottom."""
        return [self.body]

    def _name(self, template: str) -> None:
        text = self.turn.text[:_NAME_LIMIT_CHARS]
        self.setAccessibleName(template.format(text=text))
        self.body.setAccessibleName(text)

    def enterEvent(self, event: QEnterEvent) -> None:
        """Reveal the actions."""
        super().enterEvent(event)
        self.footer.set_hovered(hovered=True)

    def leaveEvent(self, event: QEvent) -> None:
        """Hide the actions."""
        super().leaveEvent(event)
        self.footer.set_hovered(hovered=False)

    def has_focus_inside(self, focused: QObject | None) -> bool:
        """Tell whether a widget of this message has the focus."""
        return isinstance(focused, QWidget) and (focused is self or self.isAncestorOf(focused))

    @Slot()
    def _copy(self) -> None:
        self.footer.copy.copy(self.body.text)

    @Slot()
    def _redo(self) -> None:
        self.acted.emit("redo", self.turn.id)

    @Slot()
    def _resume(self) -> None:
        self.acted.emit("continue", self.turn.id)

    @Slot(int)
    def _go_to_sibling(self, offset: int) -> None:
        self.sibling_requested.emit(self.turn.id, offset)
