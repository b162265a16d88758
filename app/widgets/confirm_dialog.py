"""A question before something is done that cannot simply be taken back."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SPACE_L, SPACE_M, SPACE_S, SPACE_XL
from app.widgets.buttons import TextButton
from app.widgets.labels import Weight, text_label

_WIDTH = 480


class ConfirmDialog(QDialog):
    """Title, whatever is put into ``body``, and two buttons; Esc and Return do nothing harmful.

    It is opened with ``open()``, so that nothing waits for it, and deletes itself when it closes.
    """

    def __init__(
        self, title: str, verb: str, *, kind: str = "primary", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._title = text_label(title, size=SIZE_HEADING, weight=Weight.DemiBold, wrap=True)
        self.body = QVBoxLayout()
        self.body.setSpacing(SPACE_S)
        self.confirm_button = TextButton(verb, kind=kind)
        self.confirm_button.setAutoDefault(False)
        self.confirm_button.clicked.connect(self.accept)
        self.cancel_button = TextButton(self.tr("Cancel"))
        self.cancel_button.setDefault(True)
        self.cancel_button.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel_button)
        buttons.addWidget(self.confirm_button)
        layout = self._column = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_L)
        layout.setSpacing(SPACE_M)
        layout.addWidget(self._title)
        layout.addLayout(self.body)
        layout.addStretch(1)
        layout.addLayout(buttons)

    def sizeHint(self) -> QSize:
        """Return a width that is good to read in, and the height that goes with it."""
        height = self._column.heightForWidth(_WIDTH) if self._column.hasHeightForWidth() else 0
        return QSize(_WIDTH, max(height, super().sizeHint().height()))
