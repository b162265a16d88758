"""A framed word in the transcript or above it: what happened, what to do, details folded."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal, Slot
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from app.theme import RADIUS_CARD, SPACE_L, SPACE_M, SPACE_S, SPACE_XS, current_theme, mono_font
from app.widgets.buttons import TextButton
from app.widgets.icon_label import IconLabel
from app.widgets.labels import Weight, rounded, text_label

_ICONS = {"fail": "circle-alert", "tight": "triangle-alert", "quiet": "info", "accent": "info"}
_DETAILS_HEIGHT_PX = 140


class ChatNotice(QWidget):
    """Icon, sentence, hint, buttons and folded details. ``chosen`` carries a button's name."""

    chosen = Signal(str)
    height_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon = IconLabel(size=20)
        self._icon.setFixedSize(20, 20)
        self._text = text_label(weight=Weight.Medium, wrap=True)
        self._hint = text_label(tone="quiet", wrap=True)
        for label in (self._text, self._hint):
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._details = QPlainTextEdit()
        self._details.setReadOnly(True)
        self._details.setProperty("kind", "field")
        self._details.setFont(mono_font(12))
        self._details.setAccessibleName(self.tr("Details"))
        self._details.setFixedHeight(_DETAILS_HEIGHT_PX)
        self._details.setTabChangesFocus(True)
        self._details.hide()
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(SPACE_S)
        self._lay_out()

    def show_notice(
        self,
        text: str,
        *,
        hint: str = "",
        details: str = "",
        tone: str = "fail",
        buttons: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        """Show a sentence; each button is (name, text, kind)."""
        self._icon.show_icon(_ICONS.get(tone, "info"), "text_quiet" if tone == "quiet" else tone)
        # Shown at once and not by the layout later: the height is asked for now.
        self._icon.show()
        self._text.show()
        self._text.setText(text)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        self._details.setPlainText(details)
        self._details.hide()
        self.setAccessibleName(f"{text} {hint}".strip())
        self._set_buttons(buttons, has_details=bool(details))
        self.update()

    def button(self, name: str) -> TextButton | None:
        """Return a button by its name."""
        return self.findChild(TextButton, name)

    def layout_to(self, width: int) -> int:
        """Return the height for a width; the owner sets the geometry."""
        return max(self.heightForWidth(width), self.minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the frame."""
        theme = current_theme()
        painter = QPainter(self)
        painter.setBrush(theme.color("surface"))
        painter.setPen(QPen(theme.color("hairline"), 1))
        rounded(painter, QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), RADIUS_CARD)

    def _lay_out(self) -> None:
        texts = QVBoxLayout()
        texts.setSpacing(SPACE_XS)
        texts.addWidget(self._text)
        texts.addWidget(self._hint)
        texts.addSpacing(SPACE_XS)
        texts.addLayout(self._buttons)
        texts.addWidget(self._details)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_M)
        layout.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(texts, 1)

    def _set_buttons(self, buttons: tuple[tuple[str, str, str], ...], *, has_details: bool) -> None:
        while item := self._buttons.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.setParent(None)
                widget.deleteLater()
        for name, text, kind in buttons:
            button = TextButton(text, kind=kind, parent=self)
            button.setObjectName(name)
            button.clicked.connect(self._on_clicked)
            self._buttons.addWidget(button)
            button.show()
        if has_details:
            button = TextButton(self.tr("Details"), kind="quiet", parent=self)
            button.setObjectName("details")
            button.clicked.connect(self._toggle_details)
            self._buttons.addWidget(button)
            button.show()
        self._buttons.addStretch(1)
        if layout := self.layout():
            layout.activate()

    @Slot()
    def _on_clicked(self) -> None:
        sender = self.sender()
        if sender is not None:
            self.chosen.emit(sender.objectName())

    @Slot()
    def _toggle_details(self) -> None:
        self._details.setVisible(self._details.isHidden())
        self.height_changed.emit()
