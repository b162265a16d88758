"""Changes an order: two small buttons for one place up or down, and a grip to drag by."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.widgets.buttons import IconButton

_WIDTH = 44


class _Grip(IconButton):
    """Dragged up and down; tells where the pointer is on the screen."""

    moved = Signal(int)
    dropped = Signal(int)
    given_up = Signal()

    def __init__(self, text: str) -> None:
        super().__init__("grip-vertical", text, size=16)
        # The keyboard has the two buttons beside it.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self._is_dragged = False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold."""
        super().mousePressEvent(event)
        if event.button() == Qt.MouseButton.LeftButton:
            self._is_dragged = True
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell where it is now."""
        super().mouseMoveEvent(event)
        if self._is_dragged:
            self.moved.emit(round(event.globalPosition().y()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        super().mouseReleaseEvent(event)
        if self._is_dragged:
            self._is_dragged = False
            self.setCursor(Qt.CursorShape.OpenHandCursor)
            self.dropped.emit(round(event.globalPosition().y()))


class OrderGrip(QWidget):
    """Stands at the left of a row that has a place in an order.

    ``moved`` and ``dropped`` carry the pointer's height on the screen, in px.
    """

    up_requested = Signal()
    down_requested = Signal()
    moved = Signal(int)
    dropped = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.grip = _Grip(self.tr("Drag to another place: {0}").format(name))
        self.grip.moved.connect(self.moved)
        self.grip.dropped.connect(self.dropped)
        self.up_button = IconButton("chevron-up", self.tr("Earlier: {0}").format(name), size=16)
        self.up_button.clicked.connect(self.up_requested)
        self.down_button = IconButton("chevron-down", self.tr("Later: {0}").format(name), size=16)
        self.down_button.clicked.connect(self.down_requested)
        self.setFixedWidth(_WIDTH)
        buttons = QVBoxLayout()
        buttons.setSpacing(0)
        buttons.addWidget(self.up_button)
        buttons.addWidget(self.down_button)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.grip, 0, Qt.AlignmentFlag.AlignVCenter)
        layout.addLayout(buttons)

    def set_narrow(self, narrow: bool) -> None:
        """Leave the grip out where there is no room; the buttons stay."""
        self.grip.setVisible(not narrow)
        self.setFixedWidth(_WIDTH // 2 if narrow else _WIDTH)

    def set_ends(self, *, is_first: bool, is_last: bool) -> None:
        """Let it only be moved where there is a place to move to."""
        self.up_button.setEnabled(not is_first)
        self.down_button.setEnabled(not is_last)
        self.grip.setEnabled(not (is_first and is_last))
