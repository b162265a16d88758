"""A memory as a bar: what lies in it in fixed colours, what is over, what holds and what may go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QBrush,
    QColor,
    QHelpEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.theme import SPACE_L, Theme, current_theme

BAR_HEIGHT = 16
BRACKET_HEIGHT = 5
_RADIUS = 4.0
_SMALLEST_PX = 2.0
# A bar shorter than this is drawn a second time, larger, in the room at its right.
_LENS_BELOW_PX = 88.0
_LENS_GAP_PX = 20.0
_LENS_HEIGHT = 10.0
_SHORTEST_BRACKET_PX = 12.0
_DIMMED = 0.45
_SOFT = 0.42
_VEIL = 0.72


@dataclass(frozen=True)
class BarPart:
    """One part of a bar; ``look`` is ``solid``, ``soft`` (may be dropped) or ``hatched``."""

    name: str
    token: str
    size: float
    words: str
    look: str = "solid"


@dataclass(frozen=True)
class BarFill:
    """What a bar shows, in any unit.

    Attributes:
        parts: from the left.
        others: what other programs hold, at the right end; the room between is free.
        total: of the memory; 0 where there is none to be filled (a disk).
        limit: what may be used of it, marked where it is less than ``total``; 0: no mark.
        held: how much from the left must be held; a bracket below says so. 0: no bracket.
    """

    parts: tuple[BarPart, ...] = ()
    others: BarPart | None = None
    total: float = 0.0
    limit: float = 0.0
    held: float = 0.0

    @cached_property
    def used(self) -> float:
        """All parts together, without other programs."""
        return sum(part.size for part in self.parts)

    @property
    def length(self) -> float:
        """How long the bar is: the memory, or what would be in it where that is more."""
        return max(self.total, self.used)

    @property
    def over_from(self) -> float:
        """Where what does not fit begins; ``inf`` when everything fits."""
        room = self.total - (self.others.size if self.others else 0.0)
        return max(room, 0.0) if self.total and self.used > room else math.inf


Span = tuple[BarPart, QRectF]


class DeviceBar(QWidget):
    """``scale`` is what the full width stands for; every bar of a group has the same."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fill = BarFill()
        self._scale = 1.0
        self._dimmed = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_fill(self, fill: BarFill, scale: float) -> None:
        """Show a memory on a width that stands for ``scale``."""
        scale = max(scale, 1e-9)
        if (fill, scale) == (self._fill, self._scale):
            return
        grows = bool(fill.held) != bool(self._fill.held)
        self._fill, self._scale = fill, scale
        if grows:
            self.updateGeometry()
        self.update()

    def set_dimmed(self, dimmed: bool) -> None:
        """Paint the bar paler: its figures are being computed anew."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    def sizeHint(self) -> QSize:
        """Return the bar's height, with the bracket where there is one."""
        return QSize(240, BAR_HEIGHT + (BRACKET_HEIGHT if self._fill.held else 0))

    def minimumSizeHint(self) -> QSize:
        """Return the shortest useful bar."""
        return QSize(80, self.sizeHint().height())

    @property
    def has_lens(self) -> bool:
        """Whether the bar is so short at this scale that it is shown enlarged beside it."""
        # A disk has no whole whose parts would have to be told apart.
        whole = self._fill.length * self._px if self._fill.total else 0.0
        return 0 < whole < _LENS_BELOW_PX and self.width() - whole > 2 * _LENS_BELOW_PX

    @property
    def is_torn(self) -> bool:
        """Whether it is longer than the scale, and ends in a torn edge."""
        return self._fill.used > self._scale * 1.0001

    def spans(self) -> list[Span]:
        """Return where each part is painted, in the enlarged bar too."""
        spans = _spans(self._fill, QRectF(0, 0, self.width(), BAR_HEIGHT), self._px)
        if self.has_lens:
            lens = self._lens()
            spans += _spans(self._fill, lens, lens.width() / self._lens_stands_for)
        return spans

    def part_at(self, position: QPointF) -> BarPart | None:
        """Return the part under a point; None where nothing lies."""
        for part, rect in reversed(self.spans()):
            if rect.contains(position):
                return part
        return None

    def event(self, event: QEvent) -> bool:
        """Say what is under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            part = self.part_at(QPointF(event.pos()))
            if part is not None:
                QToolTip.showText(event.globalPos(), f"{part.name}: {part.words}", self)
                return True
        return super().event(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the bar, its enlargement and its bracket."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._dimmed:
            painter.setOpacity(_DIMMED)
        theme = current_theme()
        bar = QRectF(0, 0, self.width(), BAR_HEIGHT)
        self._paint_bar(painter, theme, bar, self._px)
        if self.has_lens:
            lens = self._lens()
            self._paint_fan(painter, theme, lens)
            self._paint_bar(painter, theme, lens, lens.width() / self._lens_stands_for)
        if self._fill.held:
            self._paint_bracket(painter, theme)

    # --- geometry -------------------------------------------------------------------------------

    @property
    def _px(self) -> float:
        return self.width() / self._scale

    @property
    def _lens_stands_for(self) -> float:
        return max(self._fill.length, 1e-9)

    def _lens(self) -> QRectF:
        left = self._lens_stands_for * self._px + _LENS_GAP_PX
        top = (BAR_HEIGHT - _LENS_HEIGHT) / 2
        return QRectF(left, top, self.width() - left, _LENS_HEIGHT)

    # --- painting -------------------------------------------------------------------------------

    def _paint_bar(self, painter: QPainter, theme: Theme, room: QRectF, px: float) -> None:
        fill = self._fill
        whole = QRectF(room)
        whole.setWidth(min(fill.length * px, room.width()))
        if not whole.width():
            return
        outline = _outline(whole, torn=self.is_torn)
        painter.save()
        painter.setClipPath(outline)
        for part, rect in _spans(fill, room, px):
            _paint_part(painter, theme, part, rect)
        over_from = room.left() + fill.over_from * px
        is_over = math.isfinite(over_from)
        if is_over:
            _paint_over(painter, theme, over_from, room, (fill.used - fill.over_from) * px)
        painter.restore()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(_edge(theme), 1))
        painter.drawPath(outline)
        if is_over:
            _paint_mark(painter, theme.color("fail"), over_from, room, 2.0)
        elif fill.used < fill.limit < fill.total:
            _paint_mark(painter, theme.color("text_quiet"), room.left() + fill.limit * px, room, 1)

    def _paint_fan(self, painter: QPainter, theme: Theme, lens: QRectF) -> None:
        """Paint what connects the short bar with its enlargement, as a magnifying glass would."""
        right = self._lens_stands_for * self._px + 1
        points = [
            QPointF(right, 1),
            QPointF(lens.left() - 1, lens.top()),
            QPointF(lens.left() - 1, lens.bottom()),
            QPointF(right, BAR_HEIGHT - 1),
        ]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("hairline"))
        painter.drawPolygon(QPolygonF(points))

    def _paint_bracket(self, painter: QPainter, theme: Theme) -> None:
        right = min(self._fill.held * self._px, self.width() - 1.0)
        if right < _SHORTEST_BRACKET_PX:
            return
        top = BAR_HEIGHT + 2.5
        painter.setPen(QPen(theme.color("text_quiet"), 1))
        painter.drawPolyline(
            QPolygonF(
                [
                    QPointF(0.5, top - 1.5),
                    QPointF(0.5, top + 1.5),
                    QPointF(right, top + 1.5),
                    QPointF(right, top - 1.5),
                ]
            )
        )


def _spans(fill: BarFill, room: QRectF, px: float) -> list[Span]:
    left, result = room.left(), []
    if fill.others is not None and fill.others.size > 0:
        width = max(fill.others.size * px, _SMALLEST_PX)
        right = room.left() + fill.total * px
        result.append((fill.others, QRectF(right - width, room.top(), width, room.height())))
    for part in fill.parts:
        if part.size <= 0:
            continue
        # A part that exists is seen, however small it is.
        width = max(part.size * px, _SMALLEST_PX)
        result.append((part, QRectF(left, room.top(), width, room.height())))
        left += width
    return result


def _paint_part(painter: QPainter, theme: Theme, part: BarPart, rect: QRectF) -> None:
    color = theme.color(part.token)
    if part.look == "hatched":
        color.setAlphaF(0.6)
        painter.fillRect(rect, theme.color("hairline"))
        painter.fillRect(rect, QBrush(color, Qt.BrushStyle.BDiagPattern))
        return
    if part.look == "soft":
        color.setAlphaF(_SOFT)
    painter.fillRect(rect, color)
    # A hair of the ground between two parts, where both are wide enough to spare it.
    if rect.width() > SPACE_L / 2:
        gap = QRectF(rect.right() - 1, rect.top(), 1, rect.height())
        painter.fillRect(gap, theme.color("surface"))


def _paint_over(painter: QPainter, theme: Theme, left: float, room: QRectF, width: float) -> None:
    over = QRectF(left, room.top(), width, room.height())
    veil = theme.color("fail")
    veil.setAlphaF(_VEIL)
    painter.fillRect(over, veil)


def _outline(whole: QRectF, *, torn: bool) -> QPainterPath:
    rect = whole.adjusted(0.5, 0.5, -0.5, -0.5)
    radius = min(_RADIUS, rect.width() / 2)
    path = QPainterPath()
    if not torn:
        path.addRoundedRect(rect, radius, radius)
        return path
    path.moveTo(rect.left() + radius, rect.top())
    teeth = 4
    step = rect.height() / teeth
    path.lineTo(rect.right(), rect.top())
    for tooth in range(teeth):
        path.lineTo(rect.right() - 5, rect.top() + (tooth + 0.5) * step)
        path.lineTo(rect.right(), rect.top() + (tooth + 1) * step)
    path.lineTo(rect.left() + radius, rect.bottom())
    path.quadTo(rect.left(), rect.bottom(), rect.left(), rect.bottom() - radius)
    path.lineTo(rect.left(), rect.top() + radius)
    path.quadTo(rect.left(), rect.top(), rect.left() + radius, rect.top())
    return path


def _edge(theme: Theme) -> QColor:
    """Return the outline's colour: stronger than a hairline, so that free room is seen as room."""
    color = theme.color("text_quiet")
    color.setAlphaF(0.55)
    return color


def _paint_mark(painter: QPainter, color: QColor, left: float, room: QRectF, width: float) -> None:
    painter.setPen(QPen(color, width))
    painter.drawLine(QPointF(left, room.top()), QPointF(left, room.bottom()))


class PartSwatch(QWidget):
    """A square in the look of a part, for the legend."""

    def __init__(self, part: BarPart, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._part = part
        self.setFixedSize(10, 10)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the square."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = current_theme()
        rect = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        path = QPainterPath()
        path.addRoundedRect(rect, 2, 2)
        painter.save()
        painter.setClipPath(path)
        if self._part.token:
            _paint_part(painter, theme, self._part, QRectF(self.rect()).adjusted(0, 0, 2, 0))
        painter.restore()
        if self._part.look != "solid" or not self._part.token:
            painter.setPen(QPen(_edge(theme), 1))
            painter.drawPath(path)
