"""The round button of the composer: sends, or stops while an answer is written."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QWidget

from app.theme import current_theme
from app.widgets.icons import pixmap

_SIZE_PX = 34


class SendButton(QAbstractButton):
    """An arrow on the accent colour, or a square while there is something to stop."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stops = False
        self._active = False
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFixedSize(_SIZE_PX, _SIZE_PX)
        self._name()

    def set_state(self, *, stops: bool, active: bool) -> None:
        """Say whether it stops, and if not, whether there is something to send."""
        if (stops, active) == (self._stops, self._active):
            return
        self._stops, self._active = stops, active
        self._name()
        self.update()

    @property
    def stops(self) -> bool:
        """Whether a click stops the answer."""
        return self._stops

    def sizeHint(self) -> QSize:
        """Return a square."""
        return QSize(_SIZE_PX, _SIZE_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint disc and sign."""
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        live = self._stops or self._active
        box = QRectF(self.rect()).adjusted(2, 2, -2, -2)
        painter.setPen(QPen(theme.color("text"), 2) if self.hasFocus() else Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("accent" if live else "pressed"))
        painter.drawEllipse(box)
        color = theme.on_accent if live else theme.text_quiet
        if self._stops:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("on_accent"))
            side = 10.0
            offset = (_SIZE_PX - side) / 2
            painter.drawRoundedRect(QRectF(offset, offset, side, side), 2, 2)
            return
        at = (_SIZE_PX - 18) // 2
        painter.drawPixmap(at, at, pixmap("arrow-up", color, 18, self.devicePixelRatioF()))

    def _name(self) -> None:
        text = self.tr("Stop (Esc)") if self._stops else self.tr("Send (Enter)")
        self.setToolTip(text)
        self.setAccessibleName(text)
