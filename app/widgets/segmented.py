"""A choice of two to four, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QHBoxLayout,
    QRadioButton,
    QSizePolicy,
    QWidget,
)

from app.theme import CONTROL_HEIGHT, RADIUS_CONTROL, SPACE_M, current_theme, ui_font
from app.widgets.labels import Weight, rounded

# Text that cannot be chosen; what it says is said in full elsewhere.
_DISABLED = 0.45


class _Segment(QRadioButton):
    """One of the choices; a radio button for assistive technology and for the arrow keys."""

    def __init__(self, text: str, parent: QWidget) -> None:
        super().__init__(text, parent)
        self.setFont(ui_font(weight=Weight.Medium))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        width = QFontMetrics(self.font()).horizontalAdvance(self.text()) + 2 * SPACE_M
        return QSize(width, CONTROL_HEIGHT - 6)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def hitButton(self, pos: QPoint) -> bool:  # noqa: N802 (Qt's name)
        return self.rect().contains(pos)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        theme = current_theme()
        if not self.isEnabled():
            painter.setOpacity(_DISABLED)
        rect = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        if self.isChecked():
            painter.setPen(QPen(theme.color("hairline"), 1))
            painter.setBrush(theme.color("raised"))
            rounded(painter, rect, RADIUS_CONTROL - 1)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("accent"), 2))
            rounded(painter, rect.adjusted(0.5, 0.5, -0.5, -0.5), RADIUS_CONTROL - 1)
        painter.setFont(self.font())
        painter.setPen(theme.color("text" if self.isChecked() else "text_quiet"))
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.text())


class SegmentedControl(QWidget):
    """Shows all choices and which one holds; arrow keys move between them."""

    chosen = Signal(str)

    def __init__(
        self, name: str, choices: Sequence[tuple[str, str]], parent: QWidget | None = None
    ) -> None:
        """Take ``choices`` as (value, text) pairs; the first one holds."""
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._group = QButtonGroup(self)
        self._segments: dict[str, _Segment] = {}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(3, 3, 3, 3)
        layout.setSpacing(2)
        for value, text in choices:
            segment = _Segment(text, self)
            segment.setAccessibleName(f"{name}: {text}")
            self._group.addButton(segment)
            self._segments[value] = segment
            layout.addWidget(segment)
        self._value = choices[0][0]
        self._segments[self._value].setChecked(True)
        self._group.buttonToggled.connect(self._toggled)

    @property
    def value(self) -> str:
        """The value of the choice that holds."""
        return self._value

    def set_value(self, value: str) -> None:
        """Choose without telling anybody; the keyboard stays on what is chosen."""
        had_focus = any(segment.hasFocus() for segment in self._segments.values())
        self._value = value
        self._segments[value].setChecked(True)
        if had_focus:
            self._segments[value].setFocus(Qt.FocusReason.OtherFocusReason)

    def segment(self, value: str) -> QAbstractButton:
        """Return the button of one choice."""
        return self._segments[value]

    def set_text(self, value: str, text: str) -> None:
        """Change what a choice is called, as when it counts something."""
        segment = self._segments[value]
        if segment.text() != text:
            segment.setText(text)
            segment.setAccessibleName(f"{self.accessibleName()}: {text}")
            segment.updateGeometry()

    def segments(self) -> list[QAbstractButton]:
        """Return all buttons from the left."""
        return list(self._segments.values())

    def set_why_not(self, value: str, reason: str) -> None:
        """Let a choice not be chosen and say why; an empty reason lets it."""
        segment = self._segments[value]
        segment.setEnabled(not reason)
        segment.setToolTip(reason)
        segment.setAccessibleDescription(reason)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the trough that the choices lie in."""
        painter = QPainter(self)
        theme = current_theme()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("hover"))
        rounded(painter, QRectF(self.rect()), RADIUS_CONTROL + 2)

    @Slot(QAbstractButton, bool)
    def _toggled(self, button: QAbstractButton, checked: bool) -> None:
        if not checked:
            return
        for value, segment in self._segments.items():
            if segment is button and value != self._value:
                self._value = value
                self.chosen.emit(value)
