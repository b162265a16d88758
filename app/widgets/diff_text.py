"""Lines of a file or of a comparison, in even letters; what was added and left out has a colour."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent, QSyntaxHighlighter, QTextCharFormat
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from app.theme import SIZE_SMALL, current_theme, mono_font

_MAX_LINES_SHOWN = 16
_LEAST_LINES_SHOWN = 1
_WIDTH = 480
# Border and padding of the field and the margin of its document, above and below.
_FRAME_PX = 24


class DiffText(QPlainTextEdit):
    """Read-only, as tall as its lines up to a limit; can be selected and copied."""

    def __init__(self, text: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setReadOnly(True)
        self.setFont(mono_font(SIZE_SMALL))
        self.setProperty("kind", "field")
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self._colors = _DiffColors(self)
        self.setFixedHeight(self.sizeHint().height())

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
            self.setFixedHeight(self.sizeHint().height())

    def changeEvent(self, event: QEvent) -> None:
        """Colour the lines for the new theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and hasattr(self, "_colors"):
            self._colors.rehighlight()


class _DiffColors(QSyntaxHighlighter):
    def __init__(self, edit: QPlainTextEdit) -> None:
        super().__init__(edit.document())

    def highlightBlock(self, text: str) -> None:  # noqa: N802 (Qt's name)
        """Colour one line by its first sign."""
        token = {"+": "good", "-": "fail", "@": "text_quiet"}.get(text[:1])
        if text.startswith(("+++", "---")):
            token = "text_quiet"
        if token is not None:
            look = QTextCharFormat()
            look.setForeground(current_theme().color(token))
            self.setFormat(0, len(text), look)
