"""What the window tells of itself, composed: newer versions, and what it is made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QStandardPaths, Slot
from PySide6.QtWidgets import QWidget

from app.actions.updates import Updates

if TYPE_CHECKING:
    from app.core import Core
    from models.updates.check import UpdateSource


class AboutParts(QObject):
    """Looks for updates when asked, and opens the dialog about Fathom."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self._core = core
        self._parent: QWidget | None = None
        self.updates = Updates(
            read_source=self._source, folder=download_folder, runner=core.runner, parent=self
        )

    def make_row(self) -> QWidget:
        """Return the row of the settings."""
        from app.views.update_row import UpdateRow

        row = UpdateRow(self.updates)
        row.about_requested.connect(self.show)
        self._parent = row
        return row

    @Slot()
    def show(self) -> None:
        """Open the dialog."""
        from app.views.about_dialog import AboutDialog

        parent = self._parent.window() if self._parent is not None else None
        AboutDialog(self._core.runner, parent).open()

    def _source(self) -> UpdateSource:
        from models.updates.user_source import source_of_user

        return source_of_user(self._core.paths, self._core.settings, os.environ)


def download_folder() -> Path:
    """Return the folder that this user's downloads go to."""
    kind = QStandardPaths.StandardLocation
    found = QStandardPaths.writableLocation(kind.DownloadLocation)
    return Path(found or QStandardPaths.writableLocation(kind.HomeLocation))
