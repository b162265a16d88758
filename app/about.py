"""What the window tells of itself, composed: newer versions, add-ons, what it is made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QStandardPaths, Slot
from PySide6.QtWidgets import QWidget

from app.actions.updates import Updates

if TYPE_CHECKING:
    from app.actions.addons import Addons
    from app.actions.load_model import LoadModel
    from app.core import Core
    from models.hardware.readouts import GpuReadout
    from models.updates.check import UpdateSource


class AboutParts(QObject):
    """Looks for updates when asked, keeps the add-ons, and opens the dialog about Fathom."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self._core = core
        self._parent: QWidget | None = None
        # Made with its row: nobody needs it before.
        self._addons: Addons | None = None
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

    def make_addons_row(self, loader: LoadModel) -> QWidget:
        """Return the row of the settings that lists GPU add-ons.

        Args:
            loader: loads again what is loaded, when the user wants it with a new add-on.
        """
        from app.actions.addons import Addons
        from app.views.addons_row import AddonsRow
        from models.updates.keys import load_keys

        core = self._core
        self._addons = Addons(
            folder=core.paths.addons_dir,
            read_keys=load_keys,
            gpus=self._gpus,
            stop_engine=core.supervisor.stop,
            loader=loader,
            runner=core.runner,
            messages=core.messages,
            parent=self,
        )
        return AddonsRow(self._addons)

    def stop(self) -> None:
        """End what is under way; returns at once."""
        self.updates.stop()
        if self._addons is not None:
            self._addons.cancel()

    @Slot()
    def show(self) -> None:
        """Open the dialog."""
        from app.views.about_dialog import AboutDialog

        parent = self._parent.window() if self._parent is not None else None
        AboutDialog(self._core.runner, parent).open()

    def _gpus(self) -> tuple[GpuReadout, ...]:
        latest = self._core.telemetry.latest
        return latest.gpus if latest is not None else ()

    def _source(self) -> UpdateSource:
        from models.updates.user_source import source_of_user

        return source_of_user(self._core.paths, self._core.settings, os.environ)


def download_folder() -> Path:
    """Return the folder that this user's downloads go to."""
    kind = QStandardPaths.StandardLocation
    found = QStandardPaths.writableLocation(kind.DownloadLocation)
    return Path(found or QStandardPaths.writableLocation(kind.HomeLocation))
