"""A secret in one line: masked until somebody wants to see it, and copied so that it stays one."""

from __future__ import annotations

import sys

from PySide6.QtCore import QMimeData, Qt, QTimer, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from app.theme import SPACE_S, mono_font
from app.widgets.buttons import TextButton

_COPIED_MS = 1500
_MAY_BE_KEPT = "CanIncludeInClipboardHistory"


class SecretLine(QWidget):
    """A field that cannot be edited, with buttons that show and copy what it holds."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = QLineEdit()
        self.field.setReadOnly(True)
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.setFont(mono_font(12))
        self.field.setAccessibleName(name)
        self.field.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData)
        self.show_button = TextButton(self.tr("Show"), icon_name="eye")
        self.show_button.setAccessibleName(self.tr("Show {0}").format(name))
        self.show_button.clicked.connect(self._toggle)
        self.copy_button = CopyTextButton(self.tr("Copy"), is_secret=True)
        self.copy_button.setAccessibleName(self.tr("Copy {0}").format(name))
        self._name = name
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_S)
        row.addWidget(self.field, 1)
        row.addWidget(self.show_button)
        row.addWidget(self.copy_button)
        self.set_secret("")

    @property
    def is_shown(self) -> bool:
        """Whether the secret can be read."""
        return self.field.echoMode() is QLineEdit.EchoMode.Normal

    def set_secret(self, secret: str) -> None:
        """Hold another secret, masked; empty for none."""
        self.field.setText(secret)
        self.field.setCursorPosition(0)
        self.copy_button.set_copied(secret)
        self.show_button.setEnabled(bool(secret))
        self._show(False)

    @Slot()
    def _toggle(self) -> None:
        self._show(not self.is_shown)

    def _show(self, shown: bool) -> None:
        mode = QLineEdit.EchoMode
        self.field.setEchoMode(mode.Normal if shown else mode.Password)
        self.field.setCursorPosition(0)
        self.show_button.setText(self.tr("Hide") if shown else self.tr("Show"))
        words = self.tr("Hide {0}") if shown else self.tr("Show {0}")
        self.show_button.setAccessibleName(words.format(self._name))
        self.show_button.set_icon_name("eye-off" if shown else "eye")


class CopyTextButton(TextButton):
    """Copies a text, and says for a moment that it has."""

    def __init__(
        self, text: str, *, is_secret: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(text, icon_name="copy", parent=parent)
        self._label = text
        self._is_secret = is_secret
        self._copied = ""
        self._back = QTimer(self)
        self._back.setSingleShot(True)
        self._back.setInterval(_COPIED_MS)
        self._back.timeout.connect(self._show_label)
        self.clicked.connect(self._copy)

    def set_copied(self, text: str) -> None:
        """Take what is copied; empty for nothing."""
        self._copied = text
        self.setEnabled(bool(text))

    @Slot()
    def _copy(self) -> None:
        if self._is_secret:
            copy_secret(self._copied)
        else:
            QGuiApplication.clipboard().setText(self._copied)
        # As wide as before: what stands beside it must not move.
        self.setMinimumWidth(self.width())
        self.setText(self.tr("Copied"))
        self.set_icon_name("check")
        self._back.start()

    @Slot()
    def _show_label(self) -> None:
        self.setText(self._label)
        self.setMinimumWidth(0)
        self.set_icon_name("copy")


def copy_secret(text: str) -> None:
    """Put a secret on the clipboard, with the signs by which histories of it leave it out."""
    data = QMimeData()
    data.setText(text)
    # KDE's Klipper and those that follow it.
    data.setData("x-kde-passwordManagerHint", b"secret")
    if sys.platform == "win32":
        # Its own history and the cloud clipboard (learn.microsoft.com, "Clipboard formats").
        for name in ("ExcludeClipboardContentFromMonitorProcessing", _MAY_BE_KEPT):
            data.setData(f'application/x-qt-windows-mime;value="{name}"', bytes(4))
    QGuiApplication.clipboard().setMimeData(data)
