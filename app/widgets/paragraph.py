"""Text that takes as many lines as it needs, and no more."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QLabel

from app.theme import SIZE_BASE, ui_font


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

    def minimumSizeHint(self) -> QSize:
        """Return one line of a few letters."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance("MMMM"), metrics.height())
