"""One family of models as a card: what it is for, where it would live, how fast, one button."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.theme import (
    RADIUS_CARD,
    SIZE_HEADING,
    SIZE_SMALL,
    SPACE_L,
    SPACE_M,
    SPACE_S,
    current_theme,
    ui_font,
)
from app.widgets.buttons import TextButton
from app.widgets.clamped_label import ClampedLabel
from app.widgets.device_bar import BarFill, DeviceBar
from app.widgets.labels import ElidedLabel, Run, RunsLabel, Weight, badge_label, rate_runs, rounded
from app.widgets.tips import plain_tip

CARD_HEIGHT = 156
_BAR_WIDTH = 88


@dataclass(frozen=True)
class FamilyView:
    """What a card shows; every text is ready to be read.

    Attributes:
        label: of a card that is shown first, such as "Best answers"; may be empty.
        badge: a state such as "In library"; ``badge_tone`` is one of the stylesheet's tones.
        fill: where it would live, None for no bar.
        rate, unit: predicted; ``words`` in their place, in ``tone``.
        file: the quantization and its size.
        button: what the one button does; empty for none.
        is_primary: the one thing to do on the page.
        is_busy: the button was pressed and its work goes on.
    """

    title: str
    purpose: str
    facts: str
    label: str = ""
    badge: str = ""
    badge_tone: str = "good"
    fill: BarFill | None = None
    rate: str = ""
    unit: str = ""
    words: str = ""
    tone: str = ""
    file: str = ""
    tooltip: str = ""
    button: str = ""
    is_primary: bool = False
    is_busy: bool = False


class FamilyCard(QWidget):
    """``opened`` when the card is clicked, ``pressed`` when its button is."""

    opened = Signal()
    pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._view: FamilyView | None = None
        self._title = ElidedLabel()
        self._title.setFont(ui_font(SIZE_HEADING, Weight.DemiBold))
        self._label = badge_label()
        self._badge = RunsLabel(size=SIZE_SMALL)
        self._purpose = ClampedLabel()
        self._facts = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._facts.setFont(ui_font(SIZE_SMALL))
        self._facts.setProperty("tone", "quiet")
        self._bar = DeviceBar()
        self._bar.setFixedWidth(_BAR_WIDTH)
        self._rate = RunsLabel(size=SIZE_HEADING, weight=Weight.DemiBold, quiet_size=SIZE_SMALL)
        self._file = ElidedLabel()
        self._file.setFont(ui_font(SIZE_SMALL, tabular=True))
        self._file.setProperty("tone", "quiet")
        self.button = TextButton("")
        self.button.clicked.connect(self.pressed)
        self.setFixedHeight(CARD_HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._lay_out()

    @property
    def view(self) -> FamilyView | None:
        """What is shown."""
        return self._view

    def show_view(self, view: FamilyView) -> None:
        """Show a family; nothing happens when it is what is shown."""
        if view == self._view:
            return
        self._view = view
        self._title.set_full_text(view.title)
        self._label.setText(view.label)
        self._label.setVisible(bool(view.label))
        self._badge.set_runs([Run(view.badge, view.badge_tone)] if view.badge else ())
        self._purpose.set_full_text(view.purpose)
        self._facts.set_full_text(view.facts)
        self._facts.setVisible(bool(view.facts))
        self._show_forecast(view)
        self._file.set_full_text(view.file)
        self.button.setVisible(bool(view.button))
        self.button.setText(view.button)
        self.button.setEnabled(not view.is_busy)
        self.button.set_kind("primary" if view.is_primary else "")
        self.button.setAccessibleName(f"{view.button}: {view.title}")
        self._say(view)

    def sizeHint(self) -> QSize:
        """Return a card's usual size."""
        return QSize(440, CARD_HEIGHT)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the click, so that its release comes here too."""
        event.setAccepted(event.button() == Qt.MouseButton.LeftButton)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Open the family."""
        inside = self.rect().contains(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and inside:
            self.opened.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open the family with the keyboard."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.opened.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint surface, border and focus ring."""
        painter = QPainter(self)
        theme = current_theme()
        line = "accent" if self._is_first else "hairline"
        painter.setPen(QPen(theme.color("text_quiet" if self.underMouse() else line), 1))
        painter.setBrush(theme.color("surface"))
        rounded(painter, QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), RADIUS_CARD)
        if self.hasFocus():
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            rounded(painter, QRectF(self.rect()).adjusted(1, 1, -1, -1), RADIUS_CARD)

    @property
    def _is_first(self) -> bool:
        return self._view is not None and self._view.is_primary

    def _show_forecast(self, view: FamilyView) -> None:
        self._bar.setVisible(view.fill is not None)
        if view.fill is not None:
            self._bar.set_fill(view.fill, view.fill.total)
        self._rate.set_runs(rate_runs(view.rate, view.unit, view.words, view.tone))
        for widget in (self._bar, self._rate, self._file):
            widget.setToolTip(plain_tip(view.tooltip))

    def _say(self, view: FamilyView) -> None:
        self.setAccessibleName(view.title)
        rate = f"{view.rate} {view.unit}".strip() or view.words
        parts = (view.label, view.badge, view.purpose, rate, view.file, view.facts)
        self.setAccessibleDescription(", ".join(part for part in parts if part))

    def _lay_out(self) -> None:
        first = QHBoxLayout()
        first.setSpacing(SPACE_S)
        first.addWidget(self._title)
        first.addWidget(self._label)
        first.addStretch(1)
        first.addWidget(self._badge)
        figures = QHBoxLayout()
        figures.setSpacing(SPACE_M)
        figures.addWidget(self._rate)
        figures.addWidget(self._bar)
        figures.addStretch(1)
        left = QVBoxLayout()
        left.setSpacing(0)
        left.addLayout(figures)
        left.addWidget(self._file)
        last = QHBoxLayout()
        last.setSpacing(SPACE_M)
        last.addLayout(left, 1)
        last.addWidget(self.button, 0, Qt.AlignmentFlag.AlignBottom)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(0)
        layout.addLayout(first)
        # Of one line each, so that cards beside each other agree whatever their purpose takes.
        layout.addWidget(self._facts)
        layout.addSpacing(SPACE_S)
        layout.addWidget(self._purpose)
        layout.addStretch(1)
        layout.addLayout(last)
