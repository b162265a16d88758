"""The button that brings the view back to the newest text."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QWidget

from app.theme import SIZE_SMALL, current_theme, ui_font
from app.widgets.icons import pixmap
from app.widgets.labels import rounded

_HEIGHT_PX = 32


class JumpButton(QAbstractButton):
    """A floating pill; a dot says that text is still coming."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_live = False
        self.setText(self.tr("Latest"))
        self.setAccessibleName(self.tr("Go to the latest message"))
        self.setToolTip(self.tr("Go to the latest message (End)"))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFont(ui_font(SIZE_SMALL))

    def set_live(self, *, live: bool) -> None:
        """Show or hide the dot."""
        if live != self._is_live:
            self._is_live = live
            self.update()

    def sizeHint(self) -> QSize:
        """Return a pill as wide as its text."""
        return QSize(self.fontMetrics().horizontalAdvance(self.text()) + 48, _HEIGHT_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint pill, arrow and text."""
        theme = current_theme()
        painter = QPainter(self)
        box = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        painter.setPen(QPen(theme.color("accent" if self.hasFocus() else "hairline"), 1))
        painter.setBrush(theme.color("hover" if self.underMouse() else "raised"))
        rounded(painter, box, box.height() / 2)
        color = theme.accent if self._is_live else theme.text_quiet
        painter.drawPixmap(12, 8, pixmap("arrow-down", color, 16, self.devicePixelRatioF()))
        painter.setPen(theme.color("text"))
        painter.setFont(self.font())
        painter.drawText(
            self.rect().adjusted(34, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.text()
        )
