"""The row of the settings that lists GPU add-ons, adds one from a file and removes one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.actions.addons import Addons, AddonsStatus
from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS
from app.widgets.buttons import TextButton
from app.widgets.labels import Weight, text_label
from models.addons.installed import Addon
from models.units import format_bytes


class AddonsRow(QFrame):
    """What is there, whether it can be used, and what can be done about it."""

    def __init__(self, addons: Addons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._addons = addons
        self._shown: tuple[Addon, ...] | None = None
        self.remove_buttons: dict[str, TextButton] = {}
        self.add_button = TextButton(self.tr("Add from a file"), icon_name="plus")
        self.add_button.setAccessibleName(self.tr("Add a GPU add-on from a file"))
        self.add_button.clicked.connect(self.ask_for_file)
        self.cancel_button = TextButton(self.tr("Cancel"))
        self.cancel_button.clicked.connect(addons.cancel)
        self._state = text_label(size=SIZE_SMALL, weight=Weight.Medium, wrap=True)
        self._error = text_label(size=SIZE_SMALL, tone="fail", wrap=True)
        self._advice = text_label(
            self.tr(
                "This machine has an NVIDIA GPU. The CUDA add-on is the fastest way to use it."
            ),
            wrap=True,
        )
        self._list = QVBoxLayout()
        self._list.setSpacing(SPACE_XS)
        self._lay_out()
        addons.status_changed.connect(self.show_status)
        self.show_status(addons.status)
        addons.refresh()

    @property
    def words(self) -> list[str]:
        """Everything that is said now, besides what the row is for."""
        labels = (self._advice, self._state, self._error)
        return [label.text() for label in labels if label.isVisibleTo(self)]

    @Slot(AddonsStatus)
    def show_status(self, status: AddonsStatus) -> None:
        """Show which add-ons there are, and what is being done."""
        if status.addons != self._shown:
            self._show_addons(status.addons)
        self._advice.setVisible(status.wants_cuda)
        self._state.setText(self._words(status))
        self._state.setVisible(bool(self._state.text()))
        self._error.setText(status.error)
        self._error.setVisible(bool(status.error))
        had_focus = self.cancel_button.hasFocus() or self.add_button.hasFocus()
        is_adding = status.is_busy
        self.cancel_button.setVisible(is_adding)
        self.add_button.setVisible(not is_adding)
        for button in self.remove_buttons.values():
            button.setEnabled(not is_adding)
        if had_focus:
            (self.cancel_button if is_adding else self.add_button).setFocus()

    @Slot()
    def ask_for_file(self) -> None:
        """Let a file be chosen, and add it."""
        dialog = QFileDialog(self, self.tr("Add a GPU add-on"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter(self.tr("Add-ons of Fathom (*.tar.gz)"))
        dialog.fileSelected.connect(self._chosen)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    @Slot(str)
    def _chosen(self, name: str) -> None:
        self._addons.add(Path(name))

    def _words(self, status: AddonsStatus) -> str:
        if status.bytes_total:
            return self.tr("Unpacking: {0} of {1}").format(
                format_bytes(status.bytes_done), format_bytes(status.bytes_total)
            )
        return self.tr("One moment") if status.is_busy else ""

    def _show_addons(self, addons: tuple[Addon, ...]) -> None:
        self._shown = addons
        self.remove_buttons.clear()
        while (item := self._list.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for addon in addons:
            self._list.addWidget(self._line(addon))

    def _line(self, addon: Addon) -> QWidget:
        line = QFrame()
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(text_label(self._title(addon), weight=Weight.Medium, wrap=True))
        if addon.problem:
            words.addWidget(text_label(addon.problem, size=SIZE_SMALL, tone="tight", wrap=True))
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_S)
        row.addLayout(words, 1)
        if not addon.comes_with_program:
            button = TextButton(self.tr("Remove"), kind="danger")
            button.setAccessibleName(self.tr("Remove {0}").format(addon.title))
            button.clicked.connect(partial(self._addons.remove, addon.name))
            row.addWidget(button)
            self.remove_buttons[addon.name] = button
        return line

    def _title(self, addon: Addon) -> str:
        if addon.manifest is None:
            return addon.title
        size = format_bytes(addon.manifest.size_bytes)
        return f"{addon.title}, {addon.manifest.version}, {size}"

    def _lay_out(self) -> None:
        help_label = text_label(
            self.tr(
                "Libraries for the GPUs of one maker. They are added only when the makers of "
                "Fathom signed them, and are used where a driver is there."
            ),
            tone="quiet",
            wrap=True,
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.cancel_button)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_XS)
        layout.addWidget(text_label(self.tr("GPU add-ons"), weight=Weight.Medium))
        layout.addWidget(help_label)
        layout.addWidget(self._advice)
        layout.addLayout(self._list)
        layout.addWidget(self._state)
        layout.addWidget(self._error)
        layout.addSpacing(SPACE_XS)
        layout.addLayout(buttons)
