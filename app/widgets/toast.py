"""A notice that floats over the page for a while: text, what to do, details folded."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QColor, QEnterEvent, QGuiApplication, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from app.theme import (
    RADIUS_CARD,
    SIZE_SMALL,
    SPACE_M,
    SPACE_S,
    SPACE_XS,
    current_theme,
    mono_font,
)
from app.widgets.buttons import IconButton, TextButton
from app.widgets.icon_label import IconLabel
from app.widgets.labels import Weight, leave_out, rounded, text_label

SHADOW = 8
_LOOKS = {
    "info": ("info", "accent"),
    "warning": ("triangle-alert", "tight"),
    "error": ("circle-alert", "fail"),
    "undo": ("undo-2", "accent"),
}


class Toast(QWidget):
    """One notice; ``closed`` when it goes, ``acted`` when its button was pressed."""

    closed = Signal()
    acted = Signal()

    def __init__(
        self,
        kind: str,
        text: str,
        *,
        hint: str = "",
        details: str = "",
        action: str = "",
        timeout_ms: int = 0,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._text = text
        self._count = 1
        self._timer = QTimer(self, singleShot=True, interval=timeout_ms)
        self._timer.timeout.connect(self.close_now)
        self._picture = IconLabel(*_LOOKS[kind], size=18)
        self._label = text_label(text, weight=Weight.Medium, wrap=True)
        self._hint = text_label(hint, tone="quiet", wrap=True)
        leave_out(self._hint, unless=hint)
        self._details = self._make_details(details)
        self.action_button = TextButton(action)
        leave_out(self.action_button, unless=action)
        self.action_button.clicked.connect(self._act)
        self.details_button = TextButton(self.tr("Details"))
        leave_out(self.details_button, unless=details)
        self.details_button.clicked.connect(self._toggle_details)
        self.copy_button = TextButton(self.tr("Copy"), icon_name="copy")
        leave_out(self.copy_button, unless=details)
        self.copy_button.clicked.connect(self._copy)
        self.close_button = IconButton("x", self.tr("Dismiss"), size=16)
        self.close_button.clicked.connect(self.close_now)
        self.setAccessibleName(f"{text} {hint}".strip())
        self._lay_out(bool(action or details))
        if timeout_ms:
            self._timer.start()

    @property
    def count(self) -> int:
        """How often this was said."""
        return self._count

    def say_again(self) -> None:
        """Count the same notice once more and begin its time anew."""
        self._count += 1
        self._label.setText(f"{self._text}  \N{MULTIPLICATION SIGN}{self._count}")
        if self._timer.interval():
            self._timer.start()

    def focus_first(self) -> None:
        """Put the keyboard on the most useful button."""
        buttons = (self.action_button, self.details_button, self.close_button)
        first = next(button for button in buttons if not button.isHidden())
        first.setFocus(Qt.FocusReason.ShortcutFocusReason)

    @Slot()
    def close_now(self) -> None:
        """Go away."""
        self._timer.stop()
        self.closed.emit()

    def enterEvent(self, event: QEnterEvent) -> None:
        """Wait while the pointer is here."""
        super().enterEvent(event)
        self._timer.stop()

    def leaveEvent(self, event: QEvent) -> None:
        """Begin the time anew."""
        super().leaveEvent(event)
        if self._timer.interval():
            self._timer.start()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go away on Esc."""
        if event.key() == Qt.Key.Key_Escape:
            self.close_now()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the card and its shadow."""
        painter = QPainter(self)
        theme = current_theme()
        painter.setPen(Qt.PenStyle.NoPen)
        card = QRectF(self.rect()).adjusted(SHADOW, SHADOW, -SHADOW, -SHADOW)
        for spread in range(SHADOW, 0, -1):
            painter.setBrush(QColor(0, 0, 0, 7 if theme.is_dark else 4))
            rounded(
                painter,
                card.adjusted(-spread, -spread + 2, spread, spread + 1),
                RADIUS_CARD + spread,
            )
        painter.setPen(theme.color("hairline"))
        painter.setBrush(theme.color("raised"))
        rounded(painter, card.adjusted(0.5, 0.5, -0.5, -0.5), RADIUS_CARD)

    def _make_details(self, details: str) -> QPlainTextEdit:
        edit = QPlainTextEdit(details)
        edit.setReadOnly(True)
        edit.setFont(mono_font(SIZE_SMALL))
        edit.setProperty("kind", "field")
        edit.setTabChangesFocus(True)
        edit.setAccessibleName(self.tr("Details"))
        edit.setFixedHeight(140)
        edit.hide()
        return edit

    def _lay_out(self, has_buttons: bool) -> None:
        words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addWidget(self._label)
        words.addWidget(self._hint)
        words.addWidget(self._details)
        if has_buttons:
            buttons = QHBoxLayout()
            buttons.setSpacing(SPACE_S)
            buttons.setContentsMargins(0, SPACE_XS, 0, 0)
            for button in (self.action_button, self.details_button, self.copy_button):
                buttons.addWidget(button)
            buttons.addStretch(1)
            words.addLayout(buttons)
        row = QHBoxLayout(self)
        inner = SHADOW + SPACE_M
        row.setContentsMargins(inner, inner, SHADOW + SPACE_S, inner)
        row.setSpacing(SPACE_S)
        top = Qt.AlignmentFlag.AlignTop
        one_line = not has_buttons and self._hint.isHidden()
        row.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignVCenter if one_line else top)
        row.addLayout(words, 1)
        row.addWidget(self.close_button, 0, top)

    @Slot()
    def _act(self) -> None:
        self.acted.emit()
        self.close_now()

    @Slot()
    def _toggle_details(self) -> None:
        shown = self._details.isHidden()
        self._details.setVisible(shown)
        self.details_button.setText(self.tr("Hide details") if shown else self.tr("Details"))
        self._timer.stop()
        self._timer.setInterval(0)

    @Slot()
    def _copy(self) -> None:
        parts = (self._text, self._hint.text(), self._details.toPlainText())
        QGuiApplication.clipboard().setText("\n".join(part for part in parts if part))
        self.copy_button.setText(self.tr("Copied"))
