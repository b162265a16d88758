"""The mark beside a planned value: chosen by the plan, or fixed by the user; a press changes it."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from app.theme import RADIUS_CONTROL, SIZE_SMALL, current_theme, ui_font
from app.widgets.icons import pixmap
from app.widgets.labels import Weight, rounded

_HEIGHT = 22
_PADDING = 7
_ICON_PX = 12
_GAP = 4


class FixMark(QAbstractButton):
    """``Auto`` in a quiet tone, or a pin and ``Fixed``. A check box for assistive technology.

    ``clicked`` carries what is wanted from now on: True fixes the value, False releases it. The
    mark itself changes only through ``set_fixed``: it shows what holds, not what was pressed.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._name = name
        self._font = ui_font(SIZE_SMALL, Weight.Medium)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._say()

    def set_fixed(self, fixed: bool) -> None:
        """Show whether the value is fixed."""
        if fixed != self.isChecked():
            self.setChecked(fixed)
            self._say()
            self.update()

    def nextCheckState(self) -> None:
        """Leave the state alone: whoever hears the click says what holds."""

    def sizeHint(self) -> QSize:
        """Return room for the longer of the two words, so that nothing moves."""
        metrics = QFontMetricsF(self._font)
        words = max(metrics.horizontalAdvance(word) for word in (self._fixed(), self._auto()))
        return QSize(round(words) + _ICON_PX + _GAP + 2 * _PADDING + 1, _HEIGHT)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the chip."""
        painter = QPainter(self)
        theme = current_theme()
        rect = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        ground = "accent_soft" if self.isChecked() else "hover" if self.underMouse() else ""
        painter.setPen(Qt.PenStyle.NoPen)
        if ground:
            painter.setBrush(theme.color(ground))
            rounded(painter, rect, RADIUS_CONTROL)
        metrics = QFontMetricsF(self._font)
        token = "accent" if self.isChecked() else "text_quiet"
        word = self._fixed() if self.isChecked() else self._auto()
        width = metrics.horizontalAdvance(word)
        left = self.width() - _PADDING - width
        if self.isChecked():
            left = (self.width() - width - _ICON_PX - _GAP) / 2
            picture = pixmap("pin", theme.color(token), _ICON_PX, self.devicePixelRatioF())
            painter.drawPixmap(QPointF(left, (self.height() - _ICON_PX) / 2), picture)
            left += _ICON_PX + _GAP
        painter.setFont(self._font)
        painter.setPen(theme.color(token))
        baseline = (self.height() - metrics.height()) / 2 + metrics.ascent()
        painter.drawText(QPointF(left, baseline), word)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("accent"), 2))
            rounded(painter, rect, RADIUS_CONTROL)

    def _say(self) -> None:
        if self.isChecked():
            name = self.tr("{0}: fixed by you. Press to let the plan choose.")
        else:
            name = self.tr("{0}: chosen by the plan. Press to keep this value.")
        self.setAccessibleName(name.format(self._name))
        self.setToolTip(
            self.tr("Fixed by you. Press to let the plan choose.")
            if self.isChecked()
            else self.tr("Chosen by the plan. Press to keep this value.")
        )

    def _fixed(self) -> str:
        return self.tr("Fixed")

    def _auto(self) -> str:
        return self.tr("Auto")
