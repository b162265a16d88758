"""A thin bar with used and total: how full a memory or a context is."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QProgressBar, QSizePolicy, QWidget

from app.theme import SIZE_SMALL, SPACE_S, current_theme, ui_font
from app.widgets.labels import Run, Weight, paint_runs, rounded

TIGHT_AT = 0.85
FAIL_AT = 0.97
_STEPS = 1000
_BAR_WIDTH = 56
_BAR_HEIGHT = 6


class Gauge(QProgressBar):
    """Name, used/total with a quieter unit, and a bar that turns amber and red.

    A progress bar underneath, so that assistive technology reads its name and value.
    """

    def __init__(self, name: str, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._used, self._total, self._unit = "", "", ""
        self._share: float | None = None
        self._bar_shown = True
        self._font = ui_font(SIZE_SMALL, tabular=True)
        self._number_font = ui_font(SIZE_SMALL, Weight.Medium, tabular=True)
        self._widest = 0.0
        self.setRange(0, _STEPS)
        self.setTextVisible(False)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    @property
    def token(self) -> str:
        """The colour of the bar: accent, tight from 85 %, fail from 97 %."""
        share = self._share or 0.0
        return "fail" if share >= FAIL_AT else "tight" if share >= TIGHT_AT else "accent"

    def set_values(self, share: float | None, used: str, total: str, unit: str) -> None:
        """Show ``used/total unit`` and a bar filled to ``share`` (0 to 1; None: unknown)."""
        steps = 0 if share is None else round(min(max(share, 0.0), 1.0) * _STEPS)
        new = (used, total, unit)
        if new == (self._used, self._total, self._unit) and steps == self.value():
            return
        self._share = share
        self._used, self._total, self._unit = new
        self.setValue(steps)
        words = f"{used} / {total} {unit}" if total else f"{used} {unit}"
        self.setAccessibleDescription(words.strip())
        if self._text_width() > self._widest:
            self._widest = self._text_width()
            self.updateGeometry()
        self.update()

    def set_bar_shown(self, shown: bool) -> None:
        """Leave the bar out where there is no room for it."""
        if shown != self._bar_shown:
            self._bar_shown = shown
            self.updateGeometry()
            self.update()

    def width_with_bar(self, shown: bool) -> int:
        """Return the width this gauge needs with or without its bar."""
        bar = SPACE_S + _BAR_WIDTH if shown else 0
        return int(max(self._text_width(), self._widest)) + 2 + bar

    def sizeHint(self) -> QSize:
        """Return the widest the text has been, so that running numbers shake nothing."""
        height = QFontMetricsF(self._font).height()
        return QSize(self.width_with_bar(self._bar_shown), int(height) + 4)

    def minimumSizeHint(self) -> QSize:
        """Return the same as ``sizeHint``."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the text and the bar."""
        painter = QPainter(self)
        metrics = QFontMetricsF(self._font)
        baseline = (self.height() - metrics.height()) / 2 + metrics.ascent()
        paint_runs(painter, QPointF(0, baseline), self._runs(), self._font_of)
        if self._bar_shown:
            left = self.width() - _BAR_WIDTH
            top = (self.height() - _BAR_HEIGHT) / 2
            rect = QRectF(left, top, _BAR_WIDTH, _BAR_HEIGHT)
            paint_bar(painter, rect, self.value() / _STEPS, self.token)

    def _runs(self) -> tuple[Run, ...]:
        number = "text" if self.token == "accent" else self.token
        total = f"/{self._total}" if self._total else ""
        return (
            Run(f"{self._name}  ", "text_quiet"),
            Run(self._used, number),
            Run(f"{total} {self._unit}".rstrip(), "text_quiet"),
        )

    def _font_of(self, run: Run) -> QFont:
        return self._font if run.token == "text_quiet" else self._number_font

    def _text_width(self) -> float:
        return sum(
            QFontMetricsF(self._font_of(run)).horizontalAdvance(run.text) for run in self._runs()
        )


def paint_bar(painter: QPainter, rect: QRectF, share: float, token: str) -> None:
    """Paint a rounded track and its filled part."""
    theme = current_theme()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.color("hairline"))
    radius = rect.height() / 2
    rounded(painter, rect, radius)
    if share > 0:
        filled = QRectF(rect)
        filled.setWidth(max(rect.width() * share, rect.height()))
        painter.setBrush(theme.color(token))
        rounded(painter, filled, radius)
