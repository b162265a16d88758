"""Sliders painted by hand: a linear one, and a logarithmic one with marks at powers of two.

The value of ``LogSlider`` is the number itself (tokens), not a step: assistive technology reads
it, and only the geometry is logarithmic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractSlider, QSizePolicy, QSlider, QWidget

from app.theme import SIZE_SMALL, current_theme, ui_font
from app.widgets.labels import rounded

_KNOB = 16.0
_TRACK = 4.0
_SNAP_PX = 5.0
_TOP = 22
_LABELS = 16
_LABEL_GAP = 6


@dataclass(frozen=True)
class _Scene:
    """What is painted beside the knob, and what it depends on."""

    key: tuple[int, int, int, tuple[tuple[int, str], ...]] | None = None
    labels: tuple[tuple[QPointF, str], ...] = ()
    dots: tuple[float, ...] = ()


class ValueSlider(QSlider):
    """Linear; ``edited`` while the user moves it, by pointer or keyboard. The wheel scrolls."""

    edited = Signal(int)
    drag_ended = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._marks: tuple[tuple[int, str], ...] = ()
        self._font = ui_font(SIZE_SMALL - 1, tabular=True)
        self._scene = _Scene()
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTracking(True)
        self.actionTriggered.connect(self._on_action)
        self.sliderReleased.connect(self.drag_ended)

    def show_value(self, value: int, minimum: int, maximum: int) -> None:
        """Show a value without telling anybody; nothing happens while it is being dragged."""
        if self.isSliderDown():
            return
        blocked = self.blockSignals(True)
        if (minimum, maximum) != (self.minimum(), self.maximum()):
            self.setRange(minimum, max(maximum, minimum))
        if value != self.value():
            self.setValue(value)
        self.blockSignals(blocked)

    def set_marks(self, marks: Sequence[tuple[int, str]]) -> None:
        """Mark values; a mark without words is a dot alone."""
        if tuple(marks) != self._marks:
            grows = any(words for _, words in marks) != self._has_labels
            self._marks = tuple(marks)
            if grows:
                self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        """Return the track's height, with a line of labels where there are some."""
        return QSize(200, _TOP + (_LABELS if self._has_labels else 0))

    def minimumSizeHint(self) -> QSize:
        """Return the shortest useful slider."""
        return QSize(96, self.sizeHint().height())

    # --- what a subclass changes ----------------------------------------------------------------

    def share_of(self, value: float) -> float:
        """Return where on the track a value lies, 0 to 1."""
        return (value - self.minimum()) / max(self.maximum() - self.minimum(), 1)

    def value_at(self, share: float) -> int:
        """Return the value at a place of the track."""
        return round(self.minimum() + share * (self.maximum() - self.minimum()))

    def stepped(self, steps: int) -> int:
        """Return the value some small steps away."""
        return self.value() + steps * self.singleStep()

    def paged(self, pages: int) -> int:
        """Return the value some large steps away."""
        return self.value() + pages * self.pageStep()

    # --- pointer and keyboard -------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the knob wherever the track is pressed."""
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        self.setSliderDown(True)
        self._drag_to(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer."""
        if self.isSliderDown():
            self._drag_to(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        if event.button() == Qt.MouseButton.LeftButton and self.isSliderDown():
            self.setSliderDown(False)
            self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the page: it must not change a value that passes under it."""
        event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Give up a drag with Esc, leave the rest to Qt."""
        if event.key() == Qt.Key.Key_Escape and self.isSliderDown():
            self.setSliderDown(False)
            return
        super().keyPressEvent(event)

    @Slot(int)
    def _on_action(self, action: int) -> None:
        """Replace where a key would go to, and tell it."""
        actions = QAbstractSlider.SliderAction
        targets = {
            actions.SliderSingleStepAdd.value: lambda: self.stepped(1),
            actions.SliderSingleStepSub.value: lambda: self.stepped(-1),
            actions.SliderPageStepAdd.value: lambda: self.paged(1),
            actions.SliderPageStepSub.value: lambda: self.paged(-1),
            actions.SliderToMinimum.value: self.minimum,
            actions.SliderToMaximum.value: self.maximum,
        }
        target = targets.get(action)
        if target is None:
            return
        value = min(max(target(), self.minimum()), self.maximum())
        self.setSliderPosition(value)
        if value != self.value():
            self.setValue(value)
        self.edited.emit(value)

    def _drag_to(self, left: float) -> None:
        value = self._snapped(left)
        if value != self.value():
            self.setValue(value)
            self.edited.emit(value)
        self.update()

    def _snapped(self, left: float) -> int:
        share = (left - _KNOB / 2) / max(self.width() - _KNOB, 1)
        near = [
            (abs(self._left_of(value) - left), value)
            for value, _ in self._marks
            if abs(self._left_of(value) - left) <= _SNAP_PX
        ]
        return min(near)[1] if near else self.value_at(min(max(share, 0.0), 1.0))

    # --- painting -------------------------------------------------------------------------------

    @property
    def _has_labels(self) -> bool:
        return any(words for _, words in self._marks)

    def _left_of(self, value: float) -> float:
        share = min(max(self.share_of(value), 0.0), 1.0)
        return _KNOB / 2 + share * (self.width() - _KNOB)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint track, marks, knob and focus ring."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = current_theme()
        middle, knob = _TOP / 2, self._left_of(self.value())
        enabled = self.isEnabled()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("hairline"))
        left, right = _KNOB / 2, self.width() - _KNOB / 2
        top = middle - _TRACK / 2
        rounded(painter, QRectF(left, top, right - left, _TRACK), _TRACK / 2)
        painter.setBrush(theme.color("accent" if enabled else "text_quiet"))
        rounded(painter, QRectF(left, top, max(knob - left, _TRACK), _TRACK), _TRACK / 2)
        self._paint_marks(painter, knob)
        painter.setBrush(theme.color("raised" if enabled else "window"))
        painter.setPen(QPen(theme.color("accent" if enabled else "text_quiet"), 2))
        radius = _KNOB / 2 - (1 if self.isSliderDown() else 2)
        painter.drawEllipse(QPointF(knob, middle), radius, radius)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            ring = theme.color("accent")
            ring.setAlphaF(0.45)
            painter.setPen(QPen(ring, 3))
            painter.drawEllipse(QPointF(knob, middle), _KNOB / 2 + 0.5, _KNOB / 2 + 0.5)

    def _paint_marks(self, painter: QPainter, knob: float) -> None:
        theme = current_theme()
        scene = self._placed()
        painter.setFont(self._font)
        painter.setPen(theme.color("text_quiet"))
        for place, words in scene.labels:
            painter.drawText(place, words)
        painter.setPen(Qt.PenStyle.NoPen)
        for middle in scene.dots:
            painter.setBrush(theme.color("surface" if middle <= knob else "text_quiet"))
            painter.drawEllipse(QPointF(middle, _TOP / 2), 1.0, 1.0)

    def _placed(self) -> _Scene:
        """Return where marks and labels are; found anew only when one of what decides it changed.

        A slider that is dragged is painted sixty times a second, and they stay where they are.
        """
        key = (self.width(), self.minimum(), self.maximum(), self._marks)
        if key != self._scene.key:
            metrics = QFontMetricsF(self._font)
            baseline = _TOP + metrics.ascent() - 1
            labels = tuple(
                (QPointF(self._label_span(metrics, mark)[0], baseline), mark[1])
                for mark in self._labels_that_fit(metrics)
            )
            dots = tuple(self._left_of(value) for value, _ in self._marks)
            self._scene = _Scene(key, labels, dots)
        return self._scene

    def _labels_that_fit(self, metrics: QFontMetricsF) -> list[tuple[int, str]]:
        """Return the last label and every one, every second, every third ... that has room."""
        labels = [mark for mark in self._marks if mark[1]]
        for stride in range(1, len(labels) + 1):
            last = self._label_span(metrics, labels[-1])
            kept = [
                mark
                for mark in labels[:-1:stride]
                if self._label_span(metrics, mark)[1] + _LABEL_GAP <= last[0]
            ]
            spans = [self._label_span(metrics, mark) for mark in kept]
            if all(one[1] + _LABEL_GAP <= two[0] for one, two in itertools.pairwise(spans)):
                return [*kept, labels[-1]]
        return []

    def _label_span(self, metrics: QFontMetricsF, mark: tuple[int, str]) -> tuple[float, float]:
        width = metrics.horizontalAdvance(mark[1])
        left = min(max(self._left_of(mark[0]) - width / 2, 0.0), self.width() - width)
        return left, left + width


class LogSlider(ValueSlider):
    """Every doubling is equally far; values are multiples of ``grain``."""

    def __init__(self, name: str, *, grain: int = 256, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self._grain = grain

    def share_of(self, value: float) -> float:
        """Return where on the track a value lies."""
        low, high = self._ends
        return (math.log2(max(value, low)) - math.log2(low)) / (math.log2(high) - math.log2(low))

    def value_at(self, share: float) -> int:
        """Return the value at a place of the track, a multiple of the grain or an end."""
        low, high = self._ends
        exact = 2 ** (math.log2(low) + share * (math.log2(high) - math.log2(low)))
        value = round(exact / self._grain) * self._grain
        return min(max(value, self.minimum()), self.maximum())

    def stepped(self, steps: int) -> int:
        """Return the value an eighth of a doubling away, at least one grain."""
        target = round(self.value() * 2 ** (steps / 8) / self._grain) * self._grain
        if abs(target - self.value()) < self._grain:
            target = self.value() + steps * self._grain
        return target

    def paged(self, pages: int) -> int:
        """Return the next power of two."""
        power = math.log2(max(self.value(), 1))
        following = math.floor(power) + 1 if pages > 0 else math.ceil(power) - 1
        return int(2**following)

    @property
    def _ends(self) -> tuple[int, int]:
        low = max(self.minimum(), 1)
        return low, max(self.maximum(), low + 1)
