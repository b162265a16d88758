"""Bars of several memories on top of each other, all at one scale, and their legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLayout, QLayoutItem, QSizePolicy, QVBoxLayout, QWidget

from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS, ui_font
from app.widgets.device_bar import BarFill, BarPart, DeviceBar, PartSwatch
from app.widgets.labels import ElidedLabel, Run, RunsLabel, Weight, text_label
from app.widgets.paragraph import Paragraph
from app.widgets.tips import plain_tip

_QUIET_OF_DIMMED = "text_quiet"


@dataclass(frozen=True)
class DeviceRowView:
    """One memory in strings and numbers.

    Attributes:
        key: ggml's name, ``RAM`` or ``disk``; a row is kept while its key stays.
        name: what a person calls it.
        used, used_unit: what lies in it (a prediction wears its tilde already).
        rest: what is free or missing, in words.
        tone: ``""``, ``tight`` or ``fail``.
        note: a second line, such as held and page cache apart.
        tooltip: every part with its exact bytes.
        spoken: the whole row for assistive technology.
    """

    key: str
    name: str
    used: str
    used_unit: str
    rest: str
    fill: BarFill
    tone: str = ""
    note: str = ""
    tooltip: str = ""
    spoken: str = ""


class DeviceBars(QWidget):
    """A row for each memory; ``scale`` is what the full width of every bar stands for."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[str, DeviceRow] = {}
        self._dimmed = False
        self._column = QVBoxLayout()
        self._column.setSpacing(SPACE_M)
        self._legend = Legend()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_M)
        layout.addLayout(self._column)
        layout.addWidget(self._legend)

    def show_rows(
        self, rows: Sequence[DeviceRowView], scale: float, legend: Sequence[BarPart]
    ) -> None:
        """Show these memories; rows that stay are filled anew, not made anew."""
        if [row.key for row in rows] != list(self._rows):
            self._arrange([row.key for row in rows])
        for row in rows:
            self._rows[row.key].show_row(row, scale)
        self._legend.show_parts(legend)

    def row(self, key: str) -> DeviceRow:
        """Return one row; KeyError where there is none."""
        return self._rows[key]

    def set_dimmed(self, dimmed: bool) -> None:
        """Show that the figures are being computed anew."""
        self._dimmed = dimmed
        for row in self._rows.values():
            row.set_dimmed(dimmed)

    def _arrange(self, keys: list[str]) -> None:
        old = self._rows
        self._rows = {}
        # Not takeAt: an item that lives on keeps the widget, and heights are never asked again.
        for known in old.values():
            self._column.removeWidget(known)
        for key in keys:
            row = old.pop(key, None) or DeviceRow(self)
            row.set_dimmed(self._dimmed)
            self._rows[key] = row
            self._column.addWidget(row)
            row.show()
        for row in old.values():
            row.hide()
            row.deleteLater()


class DeviceRow(QWidget):
    """Name and figures above a bar, a note below it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view: DeviceRowView | None = None
        self._dimmed = False
        self._name = ElidedLabel()
        self._name.setFont(ui_font(weight=Weight.Medium))
        self.figures = RunsLabel(keeps_width=True)
        self.figures.set_align(Qt.AlignmentFlag.AlignRight)
        self.bar = DeviceBar()
        self.note = Paragraph(size=SIZE_SMALL, tone="quiet")
        self.note.hide()
        line = QHBoxLayout()
        line.setSpacing(SPACE_S)
        line.addWidget(self._name, 1)
        line.addWidget(self.figures)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_XS)
        layout.addLayout(line)
        layout.addWidget(self.bar)
        layout.addWidget(self.note)

    def show_row(self, view: DeviceRowView, scale: float) -> None:
        """Show one memory."""
        self.bar.set_fill(view.fill, scale)
        if view == self._view:
            return
        self._view = view
        self._name.set_full_text(view.name)
        self.note.setText(view.note)
        self.note.setVisible(bool(view.note))
        self.figures.setToolTip(plain_tip(view.tooltip))
        self._name.setToolTip(plain_tip(view.tooltip))
        self.setAccessibleName(view.name)
        self.setAccessibleDescription(view.spoken)
        self.bar.setAccessibleName(view.name)
        self.bar.setAccessibleDescription(view.spoken)
        self._show_figures()

    def set_dimmed(self, dimmed: bool) -> None:
        """Show that the figures are being computed anew."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.bar.set_dimmed(dimmed)
            self._show_figures()

    def _show_figures(self) -> None:
        view = self._view
        if view is None:
            return
        token = _QUIET_OF_DIMMED if self._dimmed else "text"
        rest = view.tone if view.tone and not self._dimmed else "text_quiet"
        runs = []
        if view.used:
            runs = [Run(view.used, token), Run(f" {view.used_unit}   ", "text_quiet")]
        if view.rest:
            runs.append(Run(view.rest, rest))
        self.figures.set_runs(runs)


class Legend(QWidget):
    """Swatch and name of every part, in as many lines as it takes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: tuple[BarPart, ...] = ()
        self._flow = _Flow()
        self.setLayout(self._flow)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def show_parts(self, parts: Sequence[BarPart]) -> None:
        """Show these parts; their sizes play no role."""
        parts = tuple(BarPart(part.name, part.token, 0, "", part.look) for part in parts)
        if parts == self._parts:
            return
        self._parts = parts
        while (item := self._flow.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for part in parts:
            self._flow.addWidget(_legend_item(part, self))
        # Also where it keeps its size: the new items have no places yet.
        self._flow.invalidate()
        self.updateGeometry()


def _legend_item(part: BarPart, parent: QWidget) -> QWidget:
    item = QWidget(parent)
    row = QHBoxLayout(item)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(6)
    row.addWidget(PartSwatch(part))
    row.addWidget(text_label(part.name, size=SIZE_SMALL, tone="quiet"))
    item.show()
    return item


class _Flow(QLayout):
    """Items from left to right, and on in the next line."""

    def __init__(self) -> None:
        super().__init__()
        self._items: list[QLayoutItem] = []
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:  # noqa: N802 (Qt's name)
        self._items.append(item)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # noqa: N802
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:  # noqa: N802
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._place(QRect(0, 0, width, 0), move=False)

    def sizeHint(self) -> QSize:
        return self.minimumSize()

    def minimumSize(self) -> QSize:  # noqa: N802 (Qt's name)
        widest = max((item.sizeHint().width() for item in self._items), default=0)
        tallest = max((item.sizeHint().height() for item in self._items), default=0)
        return QSize(widest, tallest)

    def setGeometry(self, rect: QRect) -> None:  # noqa: N802 (Qt's name)
        super().setGeometry(rect)
        self._place(rect, move=True)

    def _place(self, rect: QRect, *, move: bool) -> int:
        left, top, tallest = rect.x(), rect.y(), 0
        for item in self._items:
            size = item.sizeHint()
            if left > rect.x() and left + size.width() > rect.x() + rect.width():
                left, top = rect.x(), top + tallest + SPACE_XS
                tallest = 0
            if move:
                item.setGeometry(QRect(QPoint(left, top), size))
            left += size.width() + SPACE_L
            tallest = max(tallest, size.height())
        return top + tallest - rect.y()
