"""Controls of the settings page for one line of text and for one folder."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QWidget

from app.theme import SPACE_S, mono_font
from app.widgets.buttons import TextButton
from app.widgets.labels import ElidedLabel, set_tone
from app.widgets.setting_controls import Control


class LineControl(Control):
    """One line of text; told when it is left or Return is pressed."""

    def __init__(self, name: str, placeholder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.edit = QLineEdit()
        self.edit.setAccessibleName(name)
        self.edit.setPlaceholderText(placeholder)
        self.edit.editingFinished.connect(self._tell)
        self._value = ""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit)
        self.setFocusProxy(self.edit)

    def set_value(self, value: object) -> None:
        """Show a text."""
        self._value = str(value)
        if self.edit.text() != self._value:
            self.edit.setText(self._value)

    @Slot()
    def _tell(self) -> None:
        # Qt says so twice when Return is pressed and the field is left then.
        if self.edit.text() != self._value:
            self._value = self.edit.text()
            self.edited.emit(self._value)


class FolderControl(Control):
    """One folder, chosen in the system's dialog; empty for the one that is meant by default."""

    def __init__(self, name: str, default_words: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._default_words = default_words
        self._label = ElidedLabel(default_words)
        self._label.setProperty("tone", "quiet")
        self.choose_button = TextButton(self.tr("Choose"), icon_name="folder")
        self.choose_button.setAccessibleName(f"{self.choose_button.text()}: {name}")
        self.choose_button.clicked.connect(self._ask)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self._label, 1)
        layout.addWidget(self.choose_button)
        self.setFocusProxy(self.choose_button)

    def set_value(self, value: object) -> None:
        """Show a folder."""
        text = str(value)
        if text:
            self._label.setFont(mono_font(12))
        else:
            self._label.setFont(self.font())
        set_tone(self._label, "" if text else "quiet")
        self._label.set_full_text(text or self._default_words)

    @property
    def shown(self) -> str:
        """What is shown, in full."""
        return self._label.full_text

    @Slot()
    def _ask(self) -> None:
        dialog = QFileDialog(self, self._name)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self._chosen)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    @Slot(str)
    def _chosen(self, name: str) -> None:
        self.set_value(name)
        self.edited.emit(name)
