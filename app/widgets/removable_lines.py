"""Short texts one below the other, each with a button that takes it off the list."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.theme import SPACE_XS, mono_font
from app.widgets.buttons import IconButton
from app.widgets.labels import ElidedLabel
from app.widgets.tab_order import tab_before


class RemovableLines(QVBoxLayout):
    """``removed`` says which text is to go; whoever hears it shows the new list."""

    removed = Signal(str)

    def __init__(self, before: QWidget) -> None:
        """Prepare.

        Args:
            before: where the keyboard comes after the lines; of the same parent.
        """
        super().__init__()
        self.setSpacing(SPACE_XS)
        self._before = before
        self._removers: dict[str, IconButton] = {}

    def remove_button(self, text: str) -> IconButton:
        """Return the button that takes one off the list; KeyError when it is not on it."""
        return self._removers[text]

    def show_texts(self, texts: Sequence[str]) -> None:
        """Show the list as it is now."""
        self._removers.clear()
        while (item := self.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for text in texts:
            self.addWidget(self._line(text))
        tab_before(self._before, list(self._removers.values()))

    def _line(self, text: str) -> QWidget:
        line = QWidget()
        label = ElidedLabel(text)
        label.setFont(mono_font(12))
        remove = IconButton("x", self.tr("Take {0} off the list").format(text), size=16)
        remove.setProperty("text", text)
        remove.clicked.connect(self._remove)
        self._removers[text] = remove
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(label, 1)
        row.addWidget(remove)
        return line

    @Slot()
    def _remove(self) -> None:
        self.removed.emit(self.sender().property("text"))
