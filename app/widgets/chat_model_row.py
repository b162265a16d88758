"""One checkpoint in the picker's list, and the button that opens it."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from app.theme import (
    RADIUS_CONTROL,
    SIZE_BASE,
    SIZE_SMALL,
    SPACE_M,
    SPACE_S,
    current_theme,
    ui_font,
)
from app.widgets.icons import pixmap
from app.widgets.labels import Weight, rounded
from app.widgets.tips import plain_tip

_MIDDLE = Qt.AlignmentFlag.AlignVCenter
_DOTS = {"ready": "good", "loading": "accent", "failed": "fail", "none": "text_quiet"}


@dataclass(frozen=True)
class ModelRowView:
    """What a row shows."""

    key: str
    title: str
    size: str
    badge: str = ""
    note: str = ""
    is_current: bool = False


class ModelRow(QAbstractButton):
    """Title and size, below them what one should know; ``stepped``: to the row below or above."""

    stepped = Signal(int)

    def __init__(self, view: ModelRowView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.view = view
        self.setText(view.title)
        self.setAccessibleName(f"{view.title}, {view.size}. {view.badge} {view.note}".strip())
        self.setToolTip(plain_tip(view.title))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return one line or two."""
        return QSize(340, 54 if self.view.note or self.view.badge else 38)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose on Enter; the arrow keys are the list's."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        elif event.key() == Qt.Key.Key_Down:
            self.stepped.emit(1)
        elif event.key() == Qt.Key.Key_Up:
            self.stepped.emit(-1)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the row."""
        theme = current_theme()
        painter = QPainter(self)
        box = self.rect().adjusted(0, 1, 0, -1)
        if self.underMouse() or self.hasFocus():
            painter.setPen(theme.color("accent") if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("hover"))
            rounded(painter, QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), RADIUS_CONTROL)
        inner = box.adjusted(SPACE_M, 0, -SPACE_M, 0)
        line = QRect(inner.left(), inner.top() + 8, inner.width(), 20)
        title_right = self._paint_right(painter, line)
        font = ui_font(SIZE_BASE, Weight.Medium)
        painter.setFont(font)
        painter.setPen(theme.color("text"))
        line.setRight(title_right)
        title = QFontMetrics(font).elidedText(
            self.view.title, Qt.TextElideMode.ElideMiddle, line.width()
        )
        painter.drawText(line, _MIDDLE, title)
        below = QRect(inner.left(), line.bottom() + 1, inner.width(), 18)
        self._paint_below(painter, below)

    def _paint_right(self, painter: QPainter, line: QRect) -> int:
        theme = current_theme()
        right = line.right()
        if self.view.is_current:
            picture = pixmap("check", theme.accent, 16, self.devicePixelRatioF())
            painter.drawPixmap(right - 15, line.top() + 2, picture)
            right -= 24
        font = ui_font(SIZE_SMALL, tabular=True)
        painter.setFont(font)
        painter.setPen(theme.color("text_quiet"))
        width = QFontMetrics(font).horizontalAdvance(self.view.size)
        painter.drawText(
            QRect(right - width, line.top(), width + 1, line.height()), _MIDDLE, self.view.size
        )
        return right - width - SPACE_M

    def _paint_below(self, painter: QPainter, line: QRect) -> None:
        theme = current_theme()
        font = ui_font(SIZE_SMALL)
        metrics = QFontMetrics(font)
        painter.setFont(font)
        text = " ".join(part for part in (self.view.badge, self.view.note) if part)
        painter.setPen(theme.color("text_quiet"))
        painter.drawText(
            line, _MIDDLE, metrics.elidedText(text, Qt.TextElideMode.ElideRight, line.width())
        )


class ModelButton(QAbstractButton):
    """What is loaded, with a coloured dot; opens the list."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._detail = ""
        self._state = "none"
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def show_model(self, title: str, detail: str, state: str, spoken: str) -> None:
        """Show a title, a quiet detail and the dot of a state."""
        self.setText(title)
        self._detail, self._state = detail, state
        self.setAccessibleName(spoken)
        self.setToolTip(plain_tip(spoken))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for dot, title, detail and chevron."""
        title = QFontMetrics(ui_font(SIZE_BASE, Weight.Medium)).horizontalAdvance(self.text())
        detail = QFontMetrics(ui_font(SIZE_SMALL)).horizontalAdvance(self._detail)
        return QSize(title + (detail + SPACE_S if detail else 0) + 62, 34)

    def minimumSizeHint(self) -> QSize:
        """Return room for a few letters."""
        return QSize(120, 34)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint dot, title, detail and chevron."""
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(theme.color("accent" if self.hasFocus() else "hairline"))
        painter.setBrush(theme.color("hover" if self.underMouse() else "surface"))
        rounded(painter, box, RADIUS_CONTROL)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(_DOTS[self._state]))
        painter.drawEllipse(QRectF(12, self.height() / 2 - 3.5, 7, 7))
        right = self.width() - 30
        ratio = self.devicePixelRatioF()
        chevron = pixmap("chevron-down", theme.text_quiet, 16, ratio)
        painter.drawPixmap(self.width() - 25, (self.height() - 16) // 2, chevron)
        self._paint_texts(painter, 28, right)

    def _paint_texts(self, painter: QPainter, left: int, right: int) -> None:
        theme = current_theme()
        bold, small = ui_font(SIZE_BASE, Weight.Medium), ui_font(SIZE_SMALL, tabular=True)
        detail_width = QFontMetrics(small).horizontalAdvance(self._detail)
        room = right - left - (detail_width + SPACE_S if self._detail else 0)
        if room < 90:
            detail_width, room = 0, right - left
        metrics = QFontMetrics(bold)
        title = metrics.elidedText(self.text(), Qt.TextElideMode.ElideMiddle, room)
        painter.setFont(bold)
        painter.setPen(theme.color("text"))
        painter.drawText(QRect(left, 0, room, self.height()), _MIDDLE, title)
        if detail_width:
            painter.setFont(small)
            painter.setPen(theme.color("text_quiet"))
            at = left + metrics.horizontalAdvance(title) + SPACE_S
            painter.drawText(QRect(at, 0, detail_width + 2, self.height()), _MIDDLE, self._detail)
