"""Somebody's Markdown in a column: nothing is fetched, and links are only announced."""

from __future__ import annotations

from PySide6.QtCore import QSize, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.widgets.chat_body import MessageBody
from app.widgets.formula_book import FormulaBook


class MarkdownView(QWidget):
    """As wide as its place, as tall as its text; a long text comes in slices."""

    link_clicked = Signal(str)

    def __init__(
        self, name: str, parent: QWidget | None = None, *, book: FormulaBook | None = None
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._body = MessageBody(self, book=book)
        self._body.height_changed.connect(self._fit)
        self._body.link_clicked.connect(self.link_clicked)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def text(self) -> str:
        """What is shown, as Markdown."""
        return self._body.text

    def set_text(self, text: str) -> None:
        """Show a text."""
        if text == self._body.text:
            return
        self._body.set_text(text)
        self.setAccessibleDescription(text[:2000])
        self._fit()

    def sizeHint(self) -> QSize:
        """Return any width, and the height of the text at its present one."""
        return QSize(480, max(self._body.height(), 1))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap anew."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    @Slot()
    def _fit(self) -> None:
        if self.width() <= 0:
            return
        height = max(self._body.layout_to(self.width()), 1)
        self._body.setGeometry(0, 0, self.width(), height)
        self.setFixedHeight(height)
