"""Text of the window: labels in the type scale, elided names, numbers with a quieter unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.theme import SIZE_BASE, SIZE_SMALL, current_theme, ui_font
from app.widgets.tips import plain_tip

Weight = QFont.Weight


def text_label(
    text: str = "",
    *,
    size: int = SIZE_BASE,
    weight: QFont.Weight = Weight.Normal,
    tone: str = "",
    wrap: bool = False,
    parent: QWidget | None = None,
) -> QLabel:
    """Return a plain-text label; ``tone`` is one of the stylesheet's tones."""
    label = QLabel(text, parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setFont(ui_font(size, weight))
    label.setWordWrap(wrap)
    if tone:
        label.setProperty("tone", tone)
    return label


def badge_label(text: str = "") -> QLabel:
    """Return a badge, a state in one or two words; hidden as long as it says nothing."""
    badge = text_label(text, size=SIZE_SMALL, weight=Weight.Medium)
    badge.setProperty("kind", "badge")
    badge.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    leave_out(badge, unless=text)
    return badge


def leave_out(widget: QWidget, *, unless: object) -> None:
    """Hide a new widget that has nothing to show.

    Not ``setVisible``: shown before it has a parent, a widget is a window of its own for a moment.
    """
    if not unless:
        widget.hide()


def set_tone(widget: QWidget, tone: str) -> None:
    """Change the tone of a label that is already shown."""
    if widget.property("tone") == tone:
        return
    widget.setProperty("tone", tone)
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)


_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
# Between facts that stand in one line.
_BETWEEN = " \N{MIDDLE DOT} "


class ElidedLabel(QLabel):
    """One line that shortens itself; the full text is its tooltip while it is shortened.

    Of facts in a row, cut at the right, whole ones are left out: half a number is another number.
    """

    def __init__(
        self,
        text: str = "",
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._full = ""
        self._mode = mode
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.set_full_text(text)

    @property
    def full_text(self) -> str:
        """The text as it would be without a limit."""
        return self._full

    def set_full_text(self, text: str) -> None:
        """Show ``text``, shortened where it has to be."""
        text = " ".join(text.split())
        if text == self._full:
            return
        self._full = text
        self.setAccessibleName(text)
        self.updateGeometry()
        self._elide()

    def sizeHint(self) -> QSize:
        """Return the size of the full text."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self._full) + 2, metrics.height())

    def minimumSizeHint(self) -> QSize:
        """Return room for a few letters."""
        metrics = self.fontMetrics()
        full_width = metrics.horizontalAdvance(self._full) + 2
        return QSize(min(full_width, metrics.horizontalAdvance("MMM\N{HORIZONTAL ELLIPSIS}")), 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten for the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        shown = self.fontMetrics().elidedText(self._full, self._mode, max(self.width(), 0))
        if shown != self._full and self._mode == Qt.TextElideMode.ElideRight:
            shown = self._whole_facts() or shown
        super().setText(shown)
        self.setToolTip(plain_tip(self._full) if shown != self._full else "")

    def _whole_facts(self) -> str:
        """Return as many facts as there is room for; nothing when it is not enough for one."""
        metrics = self.fontMetrics()
        facts = self._full.split(_BETWEEN)
        for count in range(len(facts) - 1, 0, -1):
            text = f"{_BETWEEN.join(facts[:count])} {_ELLIPSIS}"
            if metrics.horizontalAdvance(text) <= self.width():
                return text
        return ""


@dataclass(frozen=True)
class Run:
    """A piece of text in one colour; ``token`` is a colour name of the theme."""

    text: str
    token: str = "text"


FontOf = Callable[[Run], QFont]


def rate_runs(rate: str, unit: str, words: str, tone: str) -> tuple[Run, ...]:
    """Return a predicted rate, or the words in its place; nothing where there are neither."""
    if rate:
        return Run(rate, tone or "text"), Run(f" {unit}", "text_quiet")
    return (Run(words, tone or "text_quiet"),) if words else ()


class RunsLabel(QLabel):
    """One line of pieces in different colours, digits of equal width, painted by hand.

    It is repainted only when a piece changes, and it never gets narrower than ``reserve``, so
    that running numbers do not shake what stands beside them. One that ``keeps_width`` never gets
    narrower than it has been.
    """

    def __init__(
        self,
        *,
        size: int = SIZE_BASE,
        weight: QFont.Weight = Weight.Normal,
        quiet_size: int | None = None,
        reserve: str = "",
        keeps_width: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._runs: tuple[Run, ...] = ()
        self._text = ""
        self._keeps_width = keeps_width
        self._fonts = {
            False: ui_font(size, weight, tabular=True),
            True: ui_font(quiet_size or size, Weight.Normal, tabular=True),
        }
        # Asked for at every layout and every paint: kept, not measured again.
        self._metrics = {quiet: QFontMetricsF(font) for quiet, font in self._fonts.items()}
        self._runs_width = 0.0
        self._reserved = self._metrics[False].horizontalAdvance(reserve)
        self._align = Qt.AlignmentFlag.AlignLeft
        self.setFont(self._fonts[False])
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def set_align(self, align: Qt.AlignmentFlag) -> None:
        """Put the line at the left or the right of the reserved room."""
        self._align = align
        self.update()

    def text(self) -> str:
        """Return what is shown.

        QLabel's own text stays empty: each change of it would lay out everything around anew.
        """
        return self._text

    def set_runs(self, runs: Sequence[Run]) -> None:
        """Show these pieces; nothing happens when they are what is shown."""
        runs = tuple(runs)
        if runs == self._runs:
            return
        old = self.sizeHint()
        self._runs = runs
        self._runs_width = sum(
            self._metrics[run.token == "text_quiet"].horizontalAdvance(run.text) for run in runs
        )
        if self._keeps_width:
            self._reserved = max(self._reserved, self._runs_width)
        self._say("".join(run.text for run in runs))
        if self.sizeHint() != old:
            self.updateGeometry()
        self.update()

    def set_number(self, value: str, unit: str, *, before: str = "", token: str = "text") -> None:
        """Show ``before`` and the unit in a quiet tone and the value between them."""
        runs = [Run(f"{before} ", "text_quiet")] if before else []
        runs.append(Run(value, token))
        if unit:
            runs.append(Run(f" {unit}", "text_quiet"))
        self.set_runs(runs)

    def sizeHint(self) -> QSize:
        """Return the width of the pieces or the reserved one, whichever is more."""
        width = max(self._runs_width, self._reserved)
        return QSize(int(width) + 1, math.ceil(self._metrics[False].height()))

    def minimumSizeHint(self) -> QSize:
        """Return the same as ``sizeHint``: numbers are not shortened."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the pieces side by side."""
        painter = QPainter(self)
        right = self._align == Qt.AlignmentFlag.AlignRight
        left = self.width() - self._runs_width if right else 0.0
        metrics = self._metrics[False]
        baseline = (self.height() - metrics.height()) / 2 + metrics.ascent()
        paint_runs(painter, QPointF(left, baseline), self._runs, self._font_of)

    def _say(self, text: str) -> None:
        # A name that somebody else gave stays.
        if self.accessibleName() == self._text:
            self.setAccessibleName(text)
        self._text = text

    def _font_of(self, run: Run) -> QFont:
        return self._fonts[run.token == "text_quiet"]


def paint_runs(painter: QPainter, origin: QPointF, runs: Sequence[Run], font_of: FontOf) -> float:
    """Paint pieces from ``origin`` (left end of the baseline) and return where they end."""
    theme = current_theme()
    left = origin.x()
    for run in runs:
        font = font_of(run)
        painter.setFont(font)
        painter.setPen(theme.color(run.token))
        painter.drawText(QPointF(left, origin.y()), run.text)
        left += QFontMetricsF(font).horizontalAdvance(run.text)
    return left


def rounded(painter: QPainter, rect: QRectF, radius: float) -> None:
    """Draw a rounded rectangle with the painter's pen and brush, smooth."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.drawRoundedRect(rect, radius, radius)
