"""Lines of a file or of a command, in even letters, to be read, selected and copied."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from app.theme import SIZE_SMALL, mono_font

_MAX_LINES_SHOWN = 16
_LEAST_LINES_SHOWN = 1
_WIDTH = 480
# Border and padding of the field and the margin of its document, above and below.
_FRAME_PX = 24


class LinesText(QPlainTextEdit):
    """Read-only, as tall as its lines up to a limit."""

    def __init__(self, text: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setReadOnly(True)
        self.setFont(mono_font(SIZE_SMALL))
        self.setProperty("kind", "field")
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self._fit()

    def set_text(self, text: str) -> None:
        """Show other lines."""
        if text != self.toPlainText():
            self.setPlainText(text)
            self._fit()

    def sizeHint(self) -> QSize:
        """Return room for the lines as they are wrapped now."""
        # A plain text document counts its height in lines.
        lines = max(_LEAST_LINES_SHOWN, round(self.document().size().height()))
        height = min(lines, _MAX_LINES_SHOWN) * self.fontMetrics().lineSpacing() + _FRAME_PX
        return QSize(_WIDTH, height)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take the height that the lines need at this width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def _fit(self) -> None:
        self.setFixedHeight(self.sizeHint().height())
