"""A quantity over the last minutes, painted by hand: one repaint a new value, nothing between."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import SIZE_SMALL, Theme, current_theme, ui_font

_RIGHT = 48
_BOTTOM = 20
_TOP = 8


@dataclass
class Series:
    """One line: its colour and its points (time in s, value or None for a gap)."""

    name: str
    token: str
    points: deque[tuple[float, float | None]] = field(default_factory=deque)


def nice_ceiling(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5, 10 times a power of ten: a scale's upper end."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if value <= step * power * 1.001
    )


class TimeGraph(QWidget):
    """Lines over one time axis that ends now; ``ceiling`` 0 fits the scale to the values."""

    def __init__(
        self,
        name: str,
        *,
        window_s: float,
        label: Callable[[float], str],
        ceiling: float = 0.0,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._window_s = window_s
        self._label = label
        self._ceiling = ceiling
        self._now = 0.0
        self._series: list[Series] = []
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def series(self) -> Sequence[Series]:
        """The lines."""
        return self._series

    def set_series(self, lines: Sequence[tuple[str, str]]) -> None:
        """Declare the lines as (name, colour token); their points are kept if nothing changes."""
        if [(line.name, line.token) for line in self._series] != list(lines):
            self._series = [Series(name, token) for name, token in lines]
            self.update()

    def set_ceiling(self, ceiling: float) -> None:
        """Fix the upper end of the scale; 0 fits it to the values."""
        if ceiling != self._ceiling:
            self._ceiling = ceiling
            self.update()

    def append(self, at_s: float, values: Sequence[float | None]) -> None:
        """Add a value to every line at a time of the monotonic clock."""
        self._now = at_s
        for series, value in zip(self._series, values, strict=True):
            series.points.append((at_s, value))
            while series.points and series.points[0][0] < at_s - self._window_s - 5:
                series.points.popleft()
        if self.isVisible():
            self.update()

    def top(self) -> float:
        """Return the upper end of the scale."""
        if self._ceiling:
            return self._ceiling
        highest = max(
            (value for line in self._series for _, value in line.points if value is not None),
            default=0.0,
        )
        return nice_ceiling(highest * 1.1)

    def sizeHint(self) -> QSize:
        """Return a size that four fit with."""
        return QSize(320, 150)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest readable size."""
        return QSize(200, 110)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint scale, axis and lines."""
        painter = QPainter(self)
        theme = current_theme()
        plot = QRectF(0, _TOP, self.width() - _RIGHT, self.height() - _TOP - _BOTTOM)
        top = self.top()
        has_scale = self._ceiling > 0 or self._has_values()
        self._paint_scale(painter, plot, top if has_scale else None, theme)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(plot.adjusted(0, -2, 0, 2))
        for series in self._series:
            self._paint_series(painter, plot, top, series, theme)

    def _has_values(self) -> bool:
        return any(value is not None for line in self._series for _, value in line.points)

    def _paint_scale(
        self, painter: QPainter, plot: QRectF, top: float | None, theme: Theme
    ) -> None:
        """Paint the lines of the scale, and their numbers where they mean something."""
        painter.setFont(ui_font(SIZE_SMALL - 1, tabular=True))
        for share in (0.0, 0.5, 1.0):
            y = round(plot.bottom() - share * plot.height()) + 0.5
            painter.setPen(QPen(theme.color("hairline"), 1))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(theme.color("text_quiet"))
            if top is not None:
                rect = QRectF(plot.right() + 6, y - 8, _RIGHT - 6, 16)
                flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
                painter.drawText(rect, flags, self._label(top * share))
        axis = QRectF(plot.left(), plot.bottom() + 3, plot.width(), _BOTTOM - 3)
        minutes = round(self._window_s / 60)
        painter.drawText(axis, Qt.AlignmentFlag.AlignLeft, self.tr("{0} min ago").format(minutes))
        painter.drawText(axis, Qt.AlignmentFlag.AlignRight, self.tr("now"))

    def _paint_series(
        self, painter: QPainter, plot: QRectF, top: float, series: Series, theme: Theme
    ) -> None:
        color = theme.color(series.token)
        for stretch in self._stretches(plot, top, series):
            if len(self._series) == 1:
                self._paint_area(painter, plot, stretch, color)
            painter.setPen(QPen(color, 1.5))
            painter.drawPolyline(QPolygonF(stretch))
            if len(stretch) == 1 or stretch[-1].x() >= plot.right() - 0.5:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(color)
                painter.drawEllipse(stretch[-1] - QPointF(1.5, 0), 2.5, 2.5)

    def _paint_area(
        self, painter: QPainter, plot: QRectF, stretch: list[QPointF], color: QColor
    ) -> None:
        soft = QColor(color)
        soft.setAlpha(28)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(soft)
        first, last = stretch[0], stretch[-1]
        feet = [QPointF(last.x(), plot.bottom()), QPointF(first.x(), plot.bottom())]
        painter.drawPolygon(QPolygonF([*stretch, *feet]))

    def _stretches(self, plot: QRectF, top: float, series: Series) -> list[list[QPointF]]:
        """Return the points on the screen, cut at the gaps."""
        result: list[list[QPointF]] = [[]]
        for at_s, value in series.points:
            if value is None:
                if result[-1]:
                    result.append([])
                continue
            x = plot.right() - (self._now - at_s) / self._window_s * plot.width()
            y = plot.bottom() - min(value / top, 1.0) * plot.height()
            result[-1].append(QPointF(x, y))
        return [stretch for stretch in result if stretch]
