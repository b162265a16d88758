"""A list of short texts: each with a button that takes it off, and a field that adds one."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.theme import SIZE_SMALL, SPACE_S
from app.widgets.buttons import IconButton, TextButton
from app.widgets.labels import text_label
from app.widgets.removable_lines import RemovableLines


class TextList(QWidget):
    """``added`` and ``removed`` say what is wanted; whoever hears it shows the new list."""

    added = Signal(str)
    removed = Signal(str)

    def __init__(
        self, name: str, *, empty: str, placeholder: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._texts: tuple[str, ...] | None = None
        self._empty = text_label(empty, tone="quiet", wrap=True)
        self.field = QLineEdit()
        self._lines = RemovableLines(self.field)
        self._lines.removed.connect(self._remove)
        self.field.setAccessibleName(name)
        self.field.setPlaceholderText(placeholder)
        self.field.returnPressed.connect(self._add)
        self.field.textEdited.connect(self._edited)
        self.add_button = TextButton(self.tr("Add"), icon_name="plus")
        self.add_button.setAccessibleName(self.tr("Add to {0}").format(name))
        self.add_button.clicked.connect(self._add)
        self._error = text_label(tone="fail", size=SIZE_SMALL, wrap=True)
        self._error.hide()
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.field, 1)
        row.addWidget(self.add_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self._empty)
        layout.addLayout(self._lines)
        layout.addLayout(row)
        layout.addWidget(self._error)

    @property
    def error(self) -> str:
        """Why the last text was not taken."""
        return self._error.text()

    def remove_button(self, text: str) -> IconButton:
        """Return the button that takes one off the list; KeyError when it is not on it."""
        return self._lines.remove_button(text)

    def show_texts(self, texts: Sequence[str]) -> None:
        """Show the list as it is now."""
        if tuple(texts) == self._texts:
            return
        self._texts = tuple(texts)
        self._lines.show_texts(texts)
        self._empty.setVisible(not texts)

    def accept(self) -> None:
        """Make room for another one: what was typed is on the list."""
        self.field.clear()
        self.show_error("")

    def show_error(self, words: str) -> None:
        """Say why a text was not taken; an empty text goes away."""
        self._error.setText(words)
        self._error.setVisible(bool(words))

    @Slot()
    def _add(self) -> None:
        text = self.field.text().strip()
        if text:
            self.added.emit(text)

    @Slot(str)
    def _remove(self, text: str) -> None:
        self.field.setFocus()
        self.removed.emit(text)

    @Slot()
    def _edited(self) -> None:
        self.show_error("")
