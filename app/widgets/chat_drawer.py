"""The shade behind a drawer; a click on it closes the drawer."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

_SHADE = QColor(0, 0, 0, 90)


class Scrim(QWidget):
    """Darkens what lies below."""

    clicked = Signal()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Ask for the drawer to be closed."""
        event.accept()
        self.clicked.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the shade."""
        QPainter(self).fillRect(self.rect(), _SHADE)
