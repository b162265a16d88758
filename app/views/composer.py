"""Where the user writes: a field that grows, send or stop, and a word when the context is full."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.theme import (
    RADIUS_CARD,
    SIZE_SMALL,
    SPACE_L,
    SPACE_M,
    SPACE_S,
    SPACE_XL,
    TEXT_COLUMN_WIDTH,
    current_theme,
)
from app.widgets.chat_input import GrowingTextEdit
from app.widgets.chat_send import SendButton
from app.widgets.labels import rounded, set_tone, text_label

NEAR_FULL_SHARE = 0.8
_CHARS_PER_TOKEN = 4


class _Frame(QWidget):
    """The rounded box round field and button; its border shows where the focus is."""

    def __init__(self, field: GrowingTextEdit) -> None:
        super().__init__()
        self._field = field
        field.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Repaint when the field gains or loses the focus."""
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self.update()
        return super().eventFilter(watched, event)

    def mousePressEvent(self, _event: QEvent) -> None:
        """Take a click beside the text for one into it."""
        self._field.setFocus()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the box."""
        theme = current_theme()
        painter = QPainter(self)
        focused = self._field.hasFocus()
        painter.setPen(
            QPen(theme.color("accent" if focused else "hairline"), 1.5 if focused else 1)
        )
        painter.setBrush(theme.color("raised"))
        rounded(painter, QRectF(self.rect()).adjusted(1, 1, -1, -1), RADIUS_CARD + 2)


class Composer(QWidget):
    """Sends what is written; keeps a draft for each conversation."""

    send_requested = Signal(str)
    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._drafts: dict[int | None, str] = {}
        self._conversation_id: int | None = None
        self._is_answering = False
        self._context_used = 0
        self._context_total = 0
        self._model_hint = ""
        self.field = GrowingTextEdit(self.tr("Message"))
        self.field.setPlaceholderText(self.tr("Ask something"))
        self.field.submitted.connect(self._submit)
        self.field.cancelled.connect(self._on_escape)
        self.field.textChanged.connect(self._on_text)
        self.send_button = SendButton()
        self.send_button.clicked.connect(self._on_button)
        self.hint = text_label(size=SIZE_SMALL, tone="quiet")
        self._lay_out()
        self._on_text()

    def show_conversation(self, conversation_id: int | None) -> None:
        """Keep the draft of the old conversation and bring back that of the new one."""
        if conversation_id == self._conversation_id:
            return
        self._drafts[self._conversation_id] = self.field.toPlainText()
        self._conversation_id = conversation_id
        self.set_text(self._drafts.pop(conversation_id, ""))

    def adopt_conversation(self, conversation_id: int) -> None:
        """The new conversation on the page has got its id; what is being written stays."""
        self._conversation_id = conversation_id
        self._drafts.pop(None, None)

    def set_text(self, text: str) -> None:
        """Put a text into the field, the cursor behind it."""
        self.field.setPlainText(text)
        self.field.moveCursor(self.field.textCursor().MoveOperation.End)

    def give_back(self, text: str) -> None:
        """Bring back a text that could not be sent, above what has been begun meanwhile."""
        begun = self.field.toPlainText()
        self.set_text(f"{text}\n\n{begun}" if begun.strip() else text)

    def set_answering(self, *, answering: bool) -> None:
        """Turn the button into a stop button while an answer is written."""
        self._is_answering = answering
        self._show_button()

    def set_context(self, used: int, total: int) -> None:
        """Take the tokens in the context and how many it holds; 0 while unknown."""
        self._context_used, self._context_total = used, total
        self._show_hint()

    def set_model_hint(self, text: str) -> None:
        """Say what sending will do while no model is ready."""
        self._model_hint = text
        self._show_hint()

    @Slot()
    def focus(self) -> None:
        """Put the cursor into the field."""
        self.field.setFocus()

    def _lay_out(self) -> None:
        frame = _Frame(self.field)
        row = QHBoxLayout(frame)
        row.setContentsMargins(SPACE_M, SPACE_S, SPACE_S, SPACE_S)
        row.setSpacing(SPACE_S)
        row.addWidget(self.field, 1, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.send_button, 0, Qt.AlignmentFlag.AlignBottom)
        column = QVBoxLayout()
        column.setSpacing(SPACE_S - 2)
        column.addWidget(frame)
        column.addWidget(self.hint)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        inner = QWidget()
        inner.setLayout(column)
        column.setContentsMargins(0, 0, 0, 0)
        inner.setMaximumWidth(TEXT_COLUMN_WIDTH)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(SPACE_XL, SPACE_S, SPACE_XL, SPACE_M)
        layout.addStretch(0)
        layout.addWidget(inner, 1)
        layout.addStretch(0)
        self.setContentsMargins(0, 0, 0, SPACE_L - SPACE_M - SPACE_S // 2)

    @Slot()
    def _submit(self) -> None:
        text = self.field.toPlainText().strip()
        if not text:
            return
        self.field.clear()
        self.send_requested.emit(text)

    @Slot()
    def _on_button(self) -> None:
        if self._is_answering and not self.field.toPlainText().strip():
            self.stop_requested.emit()
        else:
            self._submit()

    @Slot()
    def _on_escape(self) -> None:
        if self._is_answering:
            self.stop_requested.emit()

    @Slot()
    def _on_text(self) -> None:
        self._show_button()
        self._show_hint()

    def _show_button(self) -> None:
        has_text = bool(self.field.toPlainText().strip())
        self.send_button.set_state(stops=self._is_answering and not has_text, active=has_text)

    def _show_hint(self) -> None:
        written = len(self.field.toPlainText()) // _CHARS_PER_TOKEN
        used = self._context_used + written
        near_full = self._context_total > 0 and used > NEAR_FULL_SHARE * self._context_total
        if near_full:
            text = self.tr("Context: about {used} of {total} tokens. A new chat begins empty.")
            text = text.format(used=f"{used:,}", total=f"{self._context_total:,}")
        elif self._model_hint:
            text = self._model_hint
        else:
            text = self.tr("Enter sends, Shift+Enter breaks the line, Esc stops.")
        set_tone(self.hint, "tight" if near_full else "quiet")
        self.hint.setText(text)
