"""What lies in the transcript's scroll area: it turns the mouse into selecting."""

from __future__ import annotations

import time

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QTextCursor,
)
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from app.theme import current_theme

_WORD = QTextCursor.SelectionType.WordUnderCursor
_BLOCK = QTextCursor.SelectionType.BlockUnderCursor


class TranscriptColumn(QWidget):
    """Takes the presses and moves that the messages leave to it."""

    pressed = Signal(QPoint, object)  # point, unit | None
    dragged = Signal(QPoint)
    released = Signal()
    copy_requested = Signal()
    select_all_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._double_at_s = 0.0
        # An opaque widget is scrolled by moving pixels instead of painting them again.
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_StaticContents)
        self._is_down = False

    def paintEvent(self, event: QPaintEvent) -> None:
        """Fill the background."""
        QPainter(self).fillRect(event.rect(), current_theme().color("surface"))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to select; a third click takes the paragraph."""
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        third = time.monotonic() - self._double_at_s < QApplication.doubleClickInterval() / 1000
        self._is_down = True
        self.pressed.emit(event.position().toPoint(), _BLOCK if third else None)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Select a word."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._double_at_s = time.monotonic()
            self._is_down = True
            self.pressed.emit(event.position().toPoint(), _WORD)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on selecting while the button is held."""
        if self._is_down and event.buttons() & Qt.MouseButton.LeftButton:
            self.dragged.emit(event.position().toPoint())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Stop selecting."""
        if event.button() == Qt.MouseButton.LeftButton and self._is_down:
            self._is_down = False
            self.released.emit()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer to copy what is selected."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        copy = menu.addAction(self.tr("Copy"))
        copy.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        copy.triggered.connect(self.copy_requested)
        everything = menu.addAction(self.tr("Select all"))
        everything.setShortcut(QKeySequence(QKeySequence.StandardKey.SelectAll))
        everything.triggered.connect(self.select_all_requested)
        menu.popup(event.globalPos())
