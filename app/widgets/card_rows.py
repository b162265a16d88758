"""Rows of a card: words on the left, what acts on the right, hairlines between them."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS
from app.widgets.labels import Weight, text_label
from app.widgets.page import hairline


class CardRows(QFrame):
    """A card that rows are added to, one below the other."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "card")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)

    def add(self, row: QWidget, *, line: bool = True) -> None:
        """Add a row of any kind, with a hairline above it unless it is the first."""
        if line and self._column.count():
            self._column.addWidget(hairline())
        self._column.addWidget(row)


class CardRow(QFrame):
    """A title and a quiet sentence, a control beside them, and whatever belongs below."""

    def __init__(
        self,
        title: str,
        help_text: str = "",
        control: QWidget | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.title: QLabel = text_label(title, weight=Weight.Medium, wrap=True)
        self.help: QLabel = text_label(help_text, tone="quiet", wrap=True)
        words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addWidget(self.title)
        words.addWidget(self.help)
        if not help_text:
            self.help.hide()
        self.line = QHBoxLayout()
        self.line.setSpacing(SPACE_L)
        self.line.addLayout(words, 1)
        if control is not None:
            self.line.addWidget(control, 0, Qt.AlignmentFlag.AlignVCenter)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        self.body.setSpacing(SPACE_S)
        self.body.addLayout(self.line)

    def set_help(self, text: str) -> None:
        """Say something else below the title."""
        self.help.setText(text)
        self.help.setVisible(bool(text))
