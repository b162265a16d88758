"""A bar made of parts with fixed colours: what lies in a memory; and the legend for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QHelpEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolTip, QWidget

from app.theme import SIZE_SMALL, SPACE_L, current_theme
from app.widgets.labels import Run, RunsLabel

_RADIUS = 4


@dataclass(frozen=True)
class Part:
    """One part of a bar: its name, colour token, size in the bar's unit and size in words."""

    name: str
    token: str
    size: float
    words: str
    hatched: bool = False


class StackedBar(QWidget):
    """Parts side by side; ``scale`` is what the full width stands for, the rest is free."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: tuple[Part, ...] = ()
        self._total = 0.0
        self._scale = 1.0
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_parts(self, parts: Sequence[Part], total: float, scale: float) -> None:
        """Show the parts of a memory of ``total``, on a width that stands for ``scale``."""
        new = (tuple(parts), total, max(scale, 1e-9))
        if new == (self._parts, self._total, self._scale):
            return
        self._parts, self._total, self._scale = new
        self.setAccessibleDescription(", ".join(f"{part.name} {part.words}" for part in parts))
        self.update()

    def sizeHint(self) -> QSize:
        """Return a bar of 16 px."""
        return QSize(240, 16)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the outline of the whole and the parts in it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = current_theme()
        whole = QRectF(0.5, 0.5, self.width() * self._total / self._scale - 1, self.height() - 1)
        outline = QPainterPath()
        outline.addRoundedRect(whole, _RADIUS, _RADIUS)
        painter.setClipPath(outline)
        for part, rect in self._rects():
            color = theme.color(part.token)
            pattern = Qt.BrushStyle.BDiagPattern if part.hatched else Qt.BrushStyle.SolidPattern
            painter.fillRect(rect, QBrush(color, pattern))
        painter.setClipping(False)
        painter.setPen(QPen(theme.color("hairline"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(outline)

    def event(self, event: QEvent) -> bool:
        """Show what is under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            self._show_part(event.pos(), event.globalPos())
            return True
        return super().event(event)

    def _show_part(self, pos: QPoint, global_pos: QPoint) -> None:
        for part, rect in self._rects():
            if rect.left() <= pos.x() <= rect.right():
                QToolTip.showText(global_pos, f"{part.name}: {part.words}", self)
                return
        QToolTip.hideText()

    def _rects(self) -> list[tuple[Part, QRectF]]:
        left, result = 0.0, []
        for part in self._parts:
            width = self.width() * part.size / self._scale
            # A part that exists is seen, however small it is.
            width = max(width, 2.0) if part.size > 0 else 0.0
            result.append((part, QRectF(left, 0, width, self.height())))
            left += width
        return result


class Swatch(QWidget):
    """A square of one colour."""

    def __init__(self, token: str, *, hatched: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._token = token
        self._hatched = hatched
        self.setFixedSize(10, 10)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the square."""
        painter = QPainter(self)
        theme = current_theme()
        pattern = Qt.BrushStyle.BDiagPattern if self._hatched else Qt.BrushStyle.SolidPattern
        painter.setBrush(QBrush(theme.color(self._token), pattern))
        painter.setPen(QPen(theme.color("hairline"), 1) if self._hatched else Qt.PenStyle.NoPen)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)


class LegendItem(QWidget):
    """A swatch, a name and, where there is one, a size."""

    def __init__(
        self, name: str, token: str, *, hatched: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._name = name
        self._label = RunsLabel(size=SIZE_SMALL)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, SPACE_L, 0)
        layout.setSpacing(6)
        layout.addWidget(Swatch(token, hatched=hatched))
        layout.addWidget(self._label)
        self.set_size("", "")

    def set_size(self, value: str, unit: str) -> None:
        """Show a size behind the name; an empty value shows the name alone."""
        runs = [Run(self._name, "text_quiet")]
        if value:
            runs += [Run(f"  {value}"), Run(f" {unit}", "text_quiet")]
        self._label.set_runs(runs)
