"""What lies over a window while files are held over it: where they would go."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app.theme import RADIUS_CARD, SIZE_HEADING, SPACE_L, SPACE_S, SPACE_XL, current_theme
from app.widgets.labels import Weight, rounded, text_label

_VEIL = 225


class DropCover(QWidget):
    """Covers ``host`` when it is shown; lets every click through."""

    def __init__(self, title: str, sentence: str, host: QWidget) -> None:
        super().__init__(host)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName(f"{title}. {sentence}")
        center = Qt.AlignmentFlag.AlignCenter
        frame = QFrame()
        frame.setProperty("kind", "raised")
        words = QVBoxLayout(frame)
        words.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, SPACE_L)
        words.setSpacing(SPACE_S)
        heading = text_label(title, size=SIZE_HEADING, weight=Weight.DemiBold)
        words.addWidget(heading, 0, center)
        words.addWidget(text_label(sentence, tone="quiet"), 0, center)
        layout = QVBoxLayout(self)
        layout.addWidget(frame, 0, center)
        host.installEventFilter(self)
        self.hide()

    @Slot()
    def appear(self) -> None:
        """Cover the host."""
        host = self.parentWidget()
        if host is not None:
            self.setGeometry(host.rect())
        self.show()
        self.raise_()

    @Slot()
    def disappear(self) -> None:
        """Go away."""
        self.hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of the host."""
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return False

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint a veil and a frame."""
        painter = QPainter(self)
        theme = current_theme()
        veil = QColor(theme.color("window"))
        veil.setAlpha(_VEIL)
        painter.fillRect(self.rect(), veil)
        frame = QRectF(self.rect()).adjusted(SPACE_L, SPACE_L, -SPACE_L, -SPACE_L)
        painter.setPen(QPen(theme.color("accent"), 2, Qt.PenStyle.DashLine))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        rounded(painter, frame, RADIUS_CARD)
