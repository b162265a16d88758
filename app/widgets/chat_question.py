"""A message of the user: a soft bubble at the right, and the editor that takes its place."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Slot
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import RADIUS_CARD, SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XL, current_theme
from app.widgets.buttons import TextButton
from app.widgets.chat_footer import FOOTER_HEIGHT_PX
from app.widgets.chat_input import GrowingTextEdit
from app.widgets.chat_message import FOOTER_GAP_PX, MessageWidget
from app.widgets.chat_turn import TurnView
from app.widgets.formula_book import FormulaBook
from app.widgets.labels import rounded, text_label

_BUBBLE_SHARE = 0.82
_PADDING_X = SPACE_L
_PADDING_Y = SPACE_M - 2


class QuestionEditor(QFrame):
    """Changes a sent message: Enter asks again, Esc leaves it as it was."""

    def __init__(self, text: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setProperty("kind", "card")
        self.field = GrowingTextEdit(self.tr("Edit message"))
        self.field.setPlainText(text)
        self.ask = TextButton(self.tr("Ask again"), kind="primary")
        self.leave = TextButton(self.tr("Cancel"), kind="quiet")
        hint = text_label(
            self.tr("The first version stays beside this one."), size=SIZE_SMALL, tone="quiet"
        )
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(hint, 1)
        row.addWidget(self.leave)
        row.addWidget(self.ask)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.field)
        layout.addLayout(row)


class QuestionWidget(MessageWidget):
    """Shows text as it was typed; formulas are drawn."""

    def __init__(
        self, turn: TurnView, parent: QWidget | None = None, *, book: FormulaBook | None = None
    ) -> None:
        super().__init__(turn, parent, book=book)
        self._editor: QuestionEditor | None = None
        self._bubble = QRectF()
        self.body.set_text(turn.text, plain=True)
        self.footer.edit_requested.connect(self.begin_edit)
        self.show_turn(turn, enabled=True)

    def show_turn(self, turn: TurnView, *, enabled: bool) -> None:
        """Show another state of the message."""
        if turn.text != self.turn.text:
            self.body.set_text(turn.text, plain=True)
        self.turn = turn
        self._name(self.tr("You wrote: {text}"))
        self.footer.show_turn(turn, enabled=enabled)
        if self._width:
            self.footer.layout_to(self._width)

    def layout_to(self, width: int) -> int:
        """Measure the bubble, as wide as its text needs, or the editor."""
        if width != self._width:
            self.update()
        self._width = width
        if self._editor is not None:
            return self._editor.sizeHint().height() + SPACE_XL
        most = int(width * _BUBBLE_SHARE) - 2 * _PADDING_X
        text_height = self.body.layout_to(most)
        text_width = max(24, min(most, self.body.ideal_width()))
        if text_width < most:
            text_height = self.body.layout_to(text_width)
        box_width = text_width + 2 * _PADDING_X
        self._bubble = QRectF(width - box_width, 0, box_width, text_height + 2 * _PADDING_Y)
        return int(self._bubble.height()) + FOOTER_GAP_PX + FOOTER_HEIGHT_PX

    def place(self) -> None:
        """Put bubble and footer, or the editor, at their places."""
        if self._editor is not None:
            self._editor.setGeometry(0, 0, self._width, self._editor.sizeHint().height())
            return
        box = self._bubble.toRect()
        self.body.setGeometry(box.adjusted(_PADDING_X, _PADDING_Y, -_PADDING_X, -_PADDING_Y))
        self.footer.layout_to(self._width)
        self.footer.setGeometry(0, box.height() + FOOTER_GAP_PX, self._width, FOOTER_HEIGHT_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the bubble."""
        if self._editor is not None:
            return
        painter = QPainter(self)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current_theme().color("hover"))
        rounded(painter, self._bubble, RADIUS_CARD + 4)

    @property
    def is_editing(self) -> bool:
        """Whether the editor is open."""
        return self._editor is not None

    @property
    def editor(self) -> QuestionEditor | None:
        """The editor while it is open."""
        return self._editor

    @Slot()
    def begin_edit(self) -> None:
        """Open the editor in place of the bubble."""
        if self._editor is not None:
            return
        self._editor = QuestionEditor(self.turn.text, self)
        self._editor.field.submitted.connect(self._submit)
        self._editor.field.cancelled.connect(self.end_edit)
        self._editor.field.height_changed.connect(self.height_changed)
        self._editor.ask.clicked.connect(self._submit)
        self._editor.leave.clicked.connect(self.end_edit)
        self.body.hide()
        self.footer.hide()
        self._editor.show()
        self.update()
        self._editor.field.setFocus()
        self._editor.field.selectAll()
        self.height_changed.emit()

    @Slot()
    def end_edit(self) -> None:
        """Close the editor; nothing has changed."""
        if self._editor is None:
            return
        self._editor.hide()
        self._editor.deleteLater()
        self._editor = None
        self.body.show()
        self.footer.show()
        self.footer.edit.setFocus()
        self.update()
        self.height_changed.emit()

    @Slot()
    def _submit(self) -> None:
        if self._editor is None:
            return
        text = self._editor.field.toPlainText().strip()
        self.end_edit()
        if text and text != self.turn.text.strip():
            self.edited.emit(self.turn.id, text)
