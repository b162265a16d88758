"""Small buttons of the transcript: copy, and those that show themselves on hover or focus."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, QTimer, Slot
from PySide6.QtGui import QGuiApplication, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.widgets.buttons import IconButton

_COPIED_MS = 1500
_ICON_PX = 16


class QuietButton(IconButton):
    """An icon that is painted only while its row is revealed, or it has the focus."""

    def __init__(self, icon_name: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(icon_name, text, size=_ICON_PX, parent=parent)
        self._revealed = False
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_revealed(self, *, revealed: bool) -> None:
        """Show or hide the icon; the button stays where it is and can be reached by keyboard."""
        if revealed != self._revealed:
            self._revealed = revealed
            self.update()

    def sizeHint(self) -> QSize:
        """Return a square of 28 px."""
        return QSize(28, 28)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint unless hidden."""
        if self._revealed or self.hasFocus() or self.underMouse():
            super().paintEvent(event)


class CopyButton(QuietButton):
    """Says for a moment that it has copied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("copy", "", parent)
        self._label = self.tr("Copy")
        self.set_text(self._label)
        self.set_revealed(revealed=True)
        self._back = QTimer(self, singleShot=True, interval=_COPIED_MS)
        self._back.timeout.connect(self._show_copy)
        self.clicked.connect(self._show_copied)

    def set_label(self, text: str) -> None:
        """Say what is copied."""
        self._label = text
        self.set_text(text)

    def copy(self, text: str) -> None:
        """Put a text on the clipboard."""
        QGuiApplication.clipboard().setText(text)

    @Slot()
    def _show_copied(self) -> None:
        self.set_icon("check", "good")
        self.set_text(self.tr("Copied"))
        self._back.start()

    @Slot()
    def _show_copy(self) -> None:
        self.set_icon("copy", "text_quiet")
        self.set_text(self._label)
