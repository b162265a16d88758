"""A text field that grows with its text and sends on Enter; the composer and the editor use it."""

from __future__ import annotations

import math

from PySide6.QtCore import QMimeData, Qt, Signal, Slot
from PySide6.QtGui import QInputMethodEvent, QKeyEvent, QResizeEvent, QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QWidget

from app.theme import SIZE_HEADING, ui_font

MAX_LINES = 8
_MARGIN_PX = 4


class GrowingTextEdit(QPlainTextEdit):
    """Enter submits, Shift+Enter breaks the line, Esc cancels; grows up to eight lines."""

    submitted = Signal()
    cancelled = Signal()
    height_changed = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._composing = False
        self._lines_height = 0
        self.setAccessibleName(name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFont(ui_font(SIZE_HEADING))
        self.setTabChangesFocus(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet("QPlainTextEdit { background: transparent; border: none; }")
        self.document().setDocumentMargin(_MARGIN_PX)
        self.document().documentLayout().documentSizeChanged.connect(self._on_size)
        self._on_size()

    def wanted_height(self) -> int:
        """Return the height that shows the text, at most eight lines, in px."""
        line = self.fontMetrics().lineSpacing()
        # A plain document's height is counted in lines.
        lines = max(1, min(MAX_LINES, round(self.document().size().height())))
        return math.ceil(lines * line + 2 * _MARGIN_PX)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Grow where the text has to wrap; Qt tells of new lines only when the text changes."""
        super().resizeEvent(event)
        self._on_size()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Submit on Enter, unless an input method is at work or Shift is held."""
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if is_enter and not self._composing:
            if shift:
                self.textCursor().insertText("\n")
                self.ensureCursorVisible()
            else:
                self.submitted.emit()
            event.accept()
            return
        if event.key() == Qt.Key.Key_Escape:
            self.cancelled.emit()
            event.accept()
            return
        super().keyPressEvent(event)

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Notice whether an input method composes: its Enter chooses a word and sends nothing."""
        self._composing = bool(event.preeditString())
        super().inputMethodEvent(event)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Take text only."""
        return source.hasText()

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Paste as plain text."""
        self.insertPlainText(source.text())

    @Slot()
    def _on_size(self) -> None:
        height = self.wanted_height()
        full = round(self.document().size().height()) > MAX_LINES
        policy = (
            Qt.ScrollBarPolicy.ScrollBarAsNeeded if full else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        if self.verticalScrollBarPolicy() != policy:
            self.setVerticalScrollBarPolicy(policy)
        if height != self._lines_height:
            self._lines_height = height
            self.setFixedHeight(height)
            self.height_changed.emit()
