"""The rail: the places of the window, one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QVBoxLayout, QWidget

from app.theme import SPACE_S, SPACE_XS
from app.widgets.buttons import RAIL_WIDTH, RAIL_WIDTH_COLLAPSED, RailButton


@dataclass(frozen=True)
class Place:
    """One page as the rail shows it."""

    name: str
    icon_name: str
    title: str
    shortcut: str


class Rail(QWidget):
    """Buttons for the places; ``chosen`` says which one was pressed."""

    chosen = Signal(str)

    def __init__(self, places: Sequence[Place], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName(self.tr("Pages"))
        self._collapsed = False
        self._group = QButtonGroup(self)
        self._buttons: dict[str, RailButton] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, SPACE_S, 0, SPACE_S)
        layout.setSpacing(SPACE_XS)
        for place in places:
            keys = QKeySequence(place.shortcut).toString(QKeySequence.SequenceFormat.NativeText)
            button = RailButton(place.icon_name, place.title, keys, self)
            self._buttons[place.name] = button
            self._group.addButton(button)
            layout.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(1)
        self.setFixedWidth(RAIL_WIDTH)
        self._group.buttonClicked.connect(self._clicked)

    @property
    def is_collapsed(self) -> bool:
        """Whether the icons stand alone."""
        return self._collapsed

    def button(self, name: str) -> RailButton:
        """Return the button of a place."""
        return self._buttons[name]

    def set_current(self, name: str) -> None:
        """Mark the place that is shown."""
        self._buttons[name].setChecked(True)

    def set_collapsed(self, collapsed: bool) -> None:
        """Show icons alone, or icons with their names."""
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self.setFixedWidth(RAIL_WIDTH_COLLAPSED if collapsed else RAIL_WIDTH)
        for button in self._buttons.values():
            button.set_collapsed(collapsed)

    @Slot(QAbstractButton)
    def _clicked(self, button: QAbstractButton) -> None:
        name = next(name for name, known in self._buttons.items() if known is button)
        self.chosen.emit(name)
