"""What a page shows while it has nothing to show: what this is, and one button."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SPACE_L, SPACE_S, SPACE_XL, current_theme
from app.widgets.buttons import TextButton
from app.widgets.icons import pixmap
from app.widgets.labels import Weight, leave_out, text_label

_ICON_PX = 28
_TEXT_WIDTH = 400
_TITLE_WIDTH = 600


class EmptyState(QWidget):
    """Icon, title, one sentence and at most one button, in the middle of the room there is."""

    triggered = Signal()

    def __init__(
        self,
        icon_name: str,
        title: str,
        sentence: str,
        button: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_name = icon_name
        self._picture = QLabel()
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._title = text_label(
            _breakable(title), size=SIZE_HEADING, weight=Weight.DemiBold, wrap=True
        )
        self._title.setAccessibleName(title)
        self._title.setMaximumWidth(_TITLE_WIDTH)
        self._sentence = text_label(sentence, tone="quiet", wrap=True)
        self.button = TextButton(button, kind="primary")
        leave_out(self.button, unless=button)
        self.button.clicked.connect(self.triggered)
        self._lay_out()
        self._paint_icon()

    def changeEvent(self, event: QEvent) -> None:
        """Give the icon the colour of the new theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._paint_icon()

    def _lay_out(self) -> None:
        center = Qt.AlignmentFlag.AlignHCenter
        self._title.setAlignment(center)
        self._sentence.setAlignment(center)
        self._sentence.setMaximumWidth(_TEXT_WIDTH)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_XL)
        layout.setSpacing(0)
        layout.addStretch(2)
        layout.addWidget(self._picture, 0, center)
        layout.addSpacing(SPACE_L)
        # Stretches and not an alignment: an aligned label is not asked how tall it is.
        for label in (self._title, self._sentence):
            row = QHBoxLayout()
            row.addStretch(1)
            row.addWidget(label, 1000)
            row.addStretch(1)
            layout.addLayout(row)
            if label is self._title:
                layout.addSpacing(SPACE_S)
        layout.addSpacing(SPACE_L)
        layout.addWidget(self.button, 0, center)
        layout.addStretch(3)

    def _paint_icon(self) -> None:
        # A disc of the soft accent behind the icon makes it a picture and not a control.
        self._picture.setFixedSize(64, 64)
        theme = current_theme()
        self._picture.setPixmap(
            pixmap(self._icon_name, theme.accent, _ICON_PX, self.devicePixelRatioF())
        )
        self._picture.setStyleSheet(f"background: {theme.accent_soft}; border-radius: 32px;")


def _breakable(title: str) -> str:
    """Let a line end inside the names of files and repositories, which have no blanks."""
    for letter in "/-_":
        title = title.replace(letter, f"{letter}\N{ZERO WIDTH SPACE}")
    return title
