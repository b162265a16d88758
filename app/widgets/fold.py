"""A title that folds what is below it away, and out again."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QVBoxLayout, QWidget

from app.theme import RADIUS_CONTROL, SIZE_SMALL, SPACE_S, SPACE_XS, current_theme, ui_font
from app.widgets.icons import pixmap
from app.widgets.labels import Weight, rounded

_ICON_PX = 14


class FoldButton(QAbstractButton):
    """Chevron and words; checked while open."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setText(text)
        self.setFont(ui_font(SIZE_SMALL, Weight.Medium))
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(text)

    def sizeHint(self) -> QSize:
        """Return room for chevron and words."""
        width = QFontMetricsF(self.font()).horizontalAdvance(self.text())
        return QSize(round(width) + _ICON_PX + 3 * SPACE_XS + 4, 24)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint chevron, words and focus ring."""
        painter = QPainter(self)
        theme = current_theme()
        color = theme.color("text" if self.underMouse() else "text_quiet")
        name = "chevron-down" if self.isChecked() else "chevron-right"
        picture = pixmap(name, color, _ICON_PX, self.devicePixelRatioF())
        painter.drawPixmap(QPointF(0, (self.height() - _ICON_PX) / 2), picture)
        metrics = QFontMetricsF(self.font())
        baseline = (self.height() - metrics.height()) / 2 + metrics.ascent()
        painter.setFont(self.font())
        painter.setPen(color)
        painter.drawText(QPointF(_ICON_PX + SPACE_XS, baseline), self.text())
        if self.hasFocus():
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            rounded(painter, QRectF(self.rect()).adjusted(1, 1, -1, -1), RADIUS_CONTROL)


class Fold(QWidget):
    """Folded at first; ``body`` takes what is shown when it is open."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = FoldButton(text)
        self._holder = QWidget()
        self.body = QVBoxLayout(self._holder)
        self.body.setContentsMargins(0, SPACE_XS, 0, 0)
        self.body.setSpacing(SPACE_S)
        self._holder.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.button)
        layout.addWidget(self._holder)
        self.button.toggled.connect(self._show_body)

    @property
    def is_open(self) -> bool:
        """Whether what is below the title is shown."""
        return self.button.isChecked()

    @Slot(bool)
    def _show_body(self, shown: bool) -> None:
        self._holder.setVisible(shown)
