"""The server for other programs, composed for the window: what it answers with, and its page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QWidget

from app.actions.server import ServerStatus, Serving
from app.views.main_window import MODELS, SERVER

if TYPE_CHECKING:
    from app.actions.load_model import LoadModel
    from app.core import Core
    from app.views.main_window import MainWindow
    from app.views.status_bar import StatusBar


class ServingParts(QObject):
    """Shares the engine with other programs while the user wants that."""

    def __init__(self, core: Core, loader: LoadModel) -> None:
        super().__init__()
        self._core = core
        self._window: MainWindow | None = None
        self.serving = Serving(
            engine=core.supervisor,
            turns=core.turns,
            loader=loader,
            settings=core.settings_bridge,
            key_folder=core.paths.data_dir,
            runner=core.runner,
            messages=core.messages,
            parent=self,
        )
        self.serving.status_changed.connect(self._mark)

    def connect_window(self, window: MainWindow, status_bar: StatusBar) -> None:
        """Let it be seen everywhere whether the server is on."""
        self._window = window
        self.serving.status_changed.connect(status_bar.set_server)
        status_bar.server_clicked.connect(partial(window.show_page, SERVER))

    def make_page(self) -> QWidget:
        """Return the server's page, wired."""
        from app.views.server_page import ServerPage

        page = ServerPage(self.serving, self._core.settings_bridge)
        if self._window is not None:
            page.models_requested.connect(partial(self._window.show_page, MODELS))
        return page

    def start(self) -> None:
        """Open the server when the user wants that with every start."""
        if self._core.settings.get_bool("server.starts_with_window"):
            self.serving.switch(True)

    def close(self) -> None:
        """Open nothing any more; returns at once."""
        self.serving.close()

    def stop_child(self) -> None:
        """End the server and wait for that; in any thread, safe twice."""
        self.serving.stop_server()

    def detach(self) -> None:
        """Hear nothing any more."""
        self.serving.bridge.detach()

    @Slot(ServerStatus)
    def _mark(self, status: ServerStatus) -> None:
        if self._window is None:
            return
        button = self._window.rail.button(SERVER)
        if status.error is not None:
            button.set_mark("fail", self.tr("The server failed."))
        elif status.url:
            button.set_mark("good", self.tr("The server is on: {0}").format(status.url))
        else:
            button.set_mark("", "")
