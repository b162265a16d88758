"""The row of the settings that says which Fathom this is, and looks for a newer one."""

from __future__ import annotations

from PySide6.QtCore import QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.actions.updates import Updates, UpdateStage, UpdateStatus
from app.theme import SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS
from app.widgets.buttons import TextButton
from app.widgets.labels import Weight, set_tone, text_label
from models.units import format_bytes
from models.version import VERSION

_BUSY = (UpdateStage.ASKING, UpdateStage.FETCHING)


class UpdateRow(QFrame):
    """Version, how it stands, and what can be done about it."""

    about_requested = Signal()

    def __init__(self, updates: Updates, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._updates = updates
        self.check_button = TextButton(self.tr("Check for updates"), icon_name="refresh-cw")
        self.check_button.clicked.connect(updates.check)
        self.fetch_button = TextButton(self.tr("Download"), kind="primary", icon_name="download")
        self.fetch_button.clicked.connect(updates.fetch)
        self.cancel_button = TextButton(self.tr("Cancel"))
        self.cancel_button.clicked.connect(updates.cancel)
        self.notes_button = TextButton(self.tr("What is new"), icon_name="external-link")
        self.notes_button.clicked.connect(self._open_notes)
        self.folder_button = TextButton(self.tr("Show in folder"), icon_name="folder")
        self.folder_button.clicked.connect(self._open_folder)
        self.about_button = TextButton(self.tr("About and licences"), icon_name="info")
        self.about_button.clicked.connect(self.about_requested)
        self._state = text_label(size=SIZE_SMALL, weight=Weight.Medium, wrap=True)
        self._notes = text_label(tone="quiet", wrap=True)
        self._lay_out()
        updates.status_changed.connect(self.show_status)
        self.show_status(updates.status)

    @property
    def words(self) -> str:
        """What is said about how it stands."""
        return self._state.text()

    @Slot(UpdateStatus)
    def show_status(self, status: UpdateStatus) -> None:
        """Show how looking for a newer version stands."""
        words, tone = self._words(status)
        self._state.setText(words)
        self._state.setVisible(bool(words))
        set_tone(self._state, tone)
        manifest = status.answer.manifest if status.answer is not None else None
        is_newer = manifest is not None and status.stage is not UpdateStage.UP_TO_DATE
        self._notes.setText(manifest.notes if manifest and is_newer else "")
        self._notes.setVisible(bool(self._notes.text()))
        is_busy = status.stage in _BUSY
        has_file = status.answer is not None and status.answer.file is not None
        focused = self.focusWidget()
        had_focus = focused is not None and focused.hasFocus()
        self.cancel_button.setVisible(is_busy)
        self.check_button.setVisible(not is_busy)
        self.notes_button.setVisible(is_newer and not is_busy)
        can_fetch = is_newer and has_file and not is_busy
        self.fetch_button.setVisible(can_fetch and status.stage is not UpdateStage.FETCHED)
        self.folder_button.setVisible(status.stage is UpdateStage.FETCHED)
        if had_focus and focused is not None and not focused.isVisibleTo(self):
            # The keyboard stays where the next step is.
            (self.cancel_button if is_busy else self._next_button(status)).setFocus()

    def _next_button(self, status: UpdateStatus) -> TextButton:
        if status.stage is UpdateStage.FETCHED:
            return self.folder_button
        return self.fetch_button if self.fetch_button.isVisibleTo(self) else self.check_button

    def _words(self, status: UpdateStatus) -> tuple[str, str]:
        answer, stage = status.answer, status.stage
        if stage is UpdateStage.ASKING:
            return self.tr("Asking"), "quiet"
        if stage is UpdateStage.FAILED:
            return status.error, "fail"
        if answer is None:
            return "", "quiet"
        version = answer.manifest.version
        if stage is UpdateStage.UP_TO_DATE:
            return self.tr("This is the newest version."), "good"
        if stage is UpdateStage.FETCHING:
            whole = answer.file.size_bytes if answer.file else 0
            return self.tr("Fetching {0}: {1} of {2}").format(
                version, format_bytes(status.bytes_done), format_bytes(whole)
            ), "quiet"
        if stage is UpdateStage.FETCHED:
            return self.tr(
                "Fathom {0} is signed and whole. Close Fathom and open {1} to install it."
            ).format(version, status.path), "good"
        words = self.tr("Fathom {0} of {1} is there.").format(
            version, answer.manifest.date.date().isoformat()
        )
        if answer.file is None:
            words += " " + self.tr("It cannot be installed over this version; see what is new.")
        return words, "good"

    def _lay_out(self) -> None:
        title = text_label(self.tr("Fathom {0}").format(VERSION), weight=Weight.Medium)
        promise = text_label(
            self.tr("Nobody is asked before you press the button, and nothing is installed."),
            tone="quiet",
            wrap=True,
        )
        line = QHBoxLayout()
        line.setSpacing(SPACE_S)
        for button in (
            self.check_button,
            self.cancel_button,
            self.fetch_button,
            self.folder_button,
            self.notes_button,
        ):
            line.addWidget(button)
        line.addStretch(1)
        line.addWidget(self.about_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        layout.setSpacing(SPACE_XS)
        layout.addWidget(title)
        layout.addWidget(promise)
        layout.addWidget(self._state)
        layout.addWidget(self._notes)
        layout.addSpacing(SPACE_XS)
        layout.addLayout(line)

    @Slot()
    def _open_notes(self) -> None:
        answer = self._updates.status.answer
        if answer is not None:
            QDesktopServices.openUrl(QUrl(answer.manifest.notes_url))

    @Slot()
    def _open_folder(self) -> None:
        path = self._updates.status.path
        if path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))
