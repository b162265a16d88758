"""Lines of a file or of a comparison, in even letters; what was added and left out has a colour."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtGui import QSyntaxHighlighter, QTextCharFormat
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from app.theme import current_theme
from app.widgets.lines_text import LinesText


class DiffText(LinesText):
    """Read-only, as tall as its lines up to a limit; can be selected and copied."""

    def __init__(self, text: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(text, name, parent)
        self._colors = _DiffColors(self)

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
