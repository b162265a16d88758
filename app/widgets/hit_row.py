"""One repository that a search found, as a row that can be clicked."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.theme import (
    RADIUS_CONTROL,
    SIZE_SMALL,
    SPACE_L,
    SPACE_M,
    SPACE_S,
    SPACE_XS,
    current_theme,
    ui_font,
)
from app.widgets.icon_label import IconLabel
from app.widgets.labels import ElidedLabel, RunsLabel, Weight, rounded
from app.widgets.tips import plain_tip


@dataclass(frozen=True)
class HitView:
    """What a row shows.

    Attributes:
        facts: one quiet line.
        downloads: a count in short, empty when it is not known.
        badge: such as "DeepSeek-R1": the family it belongs to; may be empty.
        is_locked: not everybody may read it.
    """

    name: str
    publisher: str
    facts: str
    downloads: str = ""
    badge: str = ""
    is_locked: bool = False
    tooltip: str = ""


class HitRow(QAbstractButton):
    """Clicked like a button, wherever it is hit."""

    def __init__(self, view: HitView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._name = ElidedLabel(view.name)
        self._name.setFont(ui_font(weight=Weight.DemiBold))
        badge = QLabel(view.badge)
        badge.setFont(ui_font(SIZE_SMALL, Weight.Medium))
        badge.setProperty("kind", "badge")
        badge.hide()
        self._facts = ElidedLabel(view.facts, mode=Qt.TextElideMode.ElideRight)
        self._facts.setFont(ui_font(SIZE_SMALL))
        self._facts.setProperty("tone", "quiet")
        self._downloads = RunsLabel(size=SIZE_SMALL)
        self._downloads.set_align(Qt.AlignmentFlag.AlignRight)
        self._downloads.set_number(view.downloads, "", token="text_quiet")
        self._lock = IconLabel("lock" if view.is_locked else "", size=14)
        self._count = IconLabel("download" if view.downloads else "", size=14)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        # A button is never narrower than all its words, unless it is told to be.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setToolTip(plain_tip(view.tooltip))
        self.setAccessibleName(f"{view.publisher}/{view.name}")
        self.setAccessibleDescription(", ".join(t for t in (view.badge, view.facts) if t))
        self._lay_out(badge, has_badge=bool(view.badge))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint hover and focus."""
        painter = QPainter(self)
        theme = current_theme()
        rect = QRectF(self.rect()).adjusted(3, 3, -3, -3)
        if self.underMouse() or self.isDown():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("pressed" if self.isDown() else "hover"))
            rounded(painter, rect, RADIUS_CONTROL)
        if self.hasFocus():
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            rounded(painter, rect, RADIUS_CONTROL)

    def _lay_out(self, badge: QLabel, *, has_badge: bool) -> None:
        first = QHBoxLayout()
        first.setSpacing(SPACE_S)
        first.addWidget(self._name)
        first.addWidget(badge)
        first.addWidget(self._lock)
        first.addStretch(1)
        words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addLayout(first)
        words.addWidget(self._facts)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addLayout(words, 1)
        layout.addWidget(self._count)
        layout.addWidget(self._downloads)
        layout.addWidget(IconLabel("chevron-right", size=16))
        if has_badge:
            badge.show()
