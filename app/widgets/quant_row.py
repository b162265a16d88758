"""One checkpoint of a repository as a choice: quantization, where it would live, rate, size."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QRadioButton, QSizePolicy, QWidget

from app.theme import (
    RADIUS_CONTROL,
    SIZE_SMALL,
    SPACE_L,
    SPACE_M,
    SPACE_S,
    current_theme,
    ui_font,
)
from app.widgets.device_bar import BarFill, DeviceBar
from app.widgets.labels import ElidedLabel, Run, RunsLabel, Weight, badge_label, rate_runs, rounded
from app.widgets.tips import plain_tip

ROW_HEIGHT = 44
_BAR_WIDTH = 112
_DOT_PX = 16


@dataclass(frozen=True)
class QuantView:
    """What a row shows.

    Attributes:
        badge: such as "Best here"; may be empty.
        note: such as "3 files", quiet, or in ``note_tone``.
        rate, unit: predicted; ``words`` in their place, in ``tone``.
        is_usable: whether it can be downloaded at all.
    """

    name: str
    size: str
    size_unit: str
    badge: str = ""
    note: str = ""
    note_tone: str = "quiet"
    fill: BarFill | None = None
    rate: str = ""
    unit: str = ""
    words: str = ""
    tone: str = ""
    tooltip: str = ""
    is_usable: bool = True


class QuantRow(QRadioButton):
    """A radio button for assistive technology and the arrow keys; clicked anywhere."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view: QuantView | None = None
        self._narrow = False
        self._name = ElidedLabel()
        self._name.setFont(ui_font(weight=Weight.Medium))
        self._badge = badge_label()
        self._note = RunsLabel(size=SIZE_SMALL)
        self._bar = DeviceBar()
        self._bar.setFixedWidth(_BAR_WIDTH)
        _keep_room(self._bar, keep=True)
        self._rate = RunsLabel(reserve="~88,888 tok/s")
        self._rate.set_align(Qt.AlignmentFlag.AlignRight)
        self._size = RunsLabel(reserve="88.8 MB")
        self._size.set_align(Qt.AlignmentFlag.AlignRight)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(ROW_HEIGHT)
        self._lay_out()

    @property
    def view(self) -> QuantView | None:
        """What is shown."""
        return self._view

    def show_view(self, view: QuantView) -> None:
        """Show a checkpoint; nothing happens when it is what is shown."""
        if view == self._view:
            return
        self._view = view
        self._name.set_full_text(view.name)
        self._badge.setText(view.badge)
        self._badge.setVisible(bool(view.badge))
        tone = "text_quiet" if view.note_tone == "quiet" else view.note_tone
        self._note.set_runs([Run(view.note, tone)] if view.note else ())
        self._show_note()
        self._bar.setVisible(view.fill is not None and not self._narrow)
        if view.fill is not None:
            self._bar.set_fill(view.fill, view.fill.total)
        self._rate.set_runs(rate_runs(view.rate, view.unit, view.words, view.tone))
        self._size.set_number(view.size, view.size_unit)
        for widget in (self._bar, self._rate):
            widget.setToolTip(plain_tip(view.tooltip))
        self.setAccessibleName(f"{view.name}, {view.size} {view.size_unit}")
        rate = f"{view.rate} {view.unit}".strip() or view.words
        self.setAccessibleDescription(", ".join(t for t in (view.badge, rate, view.note) if t))

    def set_narrow(self, narrow: bool) -> None:
        """Leave out what there is no room for."""
        self._narrow = narrow
        shown = not narrow and self._view is not None and self._view.fill is not None
        _keep_room(self._bar, keep=not narrow)
        self._bar.setVisible(shown)
        self._show_note()

    def _show_note(self) -> None:
        # What is only good to know gives way to the name.
        quiet = self._view is None or self._view.note_tone == "quiet"
        self._note.setVisible(not (self._narrow and quiet))

    def hitButton(self, pos: QPoint) -> bool:  # noqa: N802, ARG002 (Qt's name)
        """Take a click anywhere on the row."""
        return True

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the choice's dot, the background of the chosen one and the focus ring."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = current_theme()
        rect = QRectF(self.rect()).adjusted(3, 2, -3, -2)
        painter.setPen(Qt.PenStyle.NoPen)
        if self.isChecked() or self.underMouse():
            painter.setBrush(theme.color("accent_soft" if self.isChecked() else "hover"))
            rounded(painter, rect, RADIUS_CONTROL)
        center = QPointF(SPACE_L + _DOT_PX / 2, self.height() / 2)
        ring = "accent" if self.isChecked() else "text_quiet"
        painter.setBrush(theme.color("surface"))
        painter.setPen(QPen(theme.color(ring), 1.5))
        painter.drawEllipse(center, 7, 7)
        if self.isChecked():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("accent"))
            painter.drawEllipse(center, 4, 4)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("accent"), 2))
            rounded(painter, rect, RADIUS_CONTROL)

    def _lay_out(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_L + _DOT_PX + SPACE_M, 0, SPACE_L, 0)
        row.setSpacing(SPACE_M)
        words = QHBoxLayout()
        words.setSpacing(SPACE_S)
        words.addWidget(self._name)
        words.addWidget(self._badge)
        words.addWidget(self._note)
        words.addStretch(1)
        row.addLayout(words, 1)
        for widget in (self._bar, self._rate, self._size):
            row.addWidget(widget)


def _keep_room(widget: QWidget, *, keep: bool) -> None:
    policy = widget.sizePolicy()
    policy.setRetainSizeWhenHidden(keep)
    widget.setSizePolicy(policy)
