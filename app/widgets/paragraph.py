"""Text that takes as many lines as it needs, and no more."""

from __future__ import annotations

import re

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QLabel

from app.theme import SIZE_BASE, ui_font

# A number and its unit stay in one line: 4.20 GB, 13.6 tok/s.
_BEFORE_UNIT = re.compile(r"(?<=[0-9]) (?=(?:[kMGTP]?B|tok/s|ms|s)\b)")
_NO_BREAK_SPACE, _WORD_JOINER = "\u00a0", "\u2060"


class Paragraph(QLabel):
    """Text over as many lines as it takes.

    A wrapped QLabel asks for the height of a narrow column as its least, whatever its width, and
    leaves gaps; this one leaves its height to ``heightForWidth`` alone.
    """

    def __init__(self, *, size: int = SIZE_BASE, tone: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFont(ui_font(size))
        self.setWordWrap(True)
        if tone:
            self.setProperty("tone", tone)
        self._plain = ""

    def setText(self, text: str) -> None:  # noqa: N802 (Qt's name)
        """Show a text; nothing happens when it is what is shown."""
        if text == self._plain:
            return
        self._plain = text
        shown = _BEFORE_UNIT.sub(_NO_BREAK_SPACE, text)
        super().setText(shown.replace("tok/s", f"tok/{_WORD_JOINER}s"))
        self.setAccessibleName(text)

    def text(self) -> str:
        """Return the text as it was given."""
        return self._plain

    def minimumSizeHint(self) -> QSize:
        """Return one line of a few letters."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance("MMMM"), metrics.height())
