"""What works without a window, composed: stores, engine, library, hub, background work."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.bridges.engine import EngineBridge
from app.bridges.settings import SettingsBridge
from app.bridges.telemetry import Telemetry
from app.messages import Messages
from app.tasks import TaskRunner
from models.chat.store import ConversationStore
from models.errors import FathomError
from models.hub.tokens import TokenStore
from models.hub_access import HubAccess
from models.library.roots import library_roots
from models.paths import Paths
from models.runtime.command import engine_command, engine_environment
from models.runtime.supervisor import EngineSupervisor
from models.runtime.turns import EngineTurns
from models.settings import Settings
from models.transfer_settings import library_of_user

if TYPE_CHECKING:
    from pathlib import Path

    from app.bridges.telemetry import Sampler


class Core:
    """What works without a window: stores, engine, library, background work."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.messages = Messages()
        self.runner = TaskRunner()
        self.settings = Settings(paths.settings_file)
        self._load_settings()
        self.settings_bridge = SettingsBridge(self.settings, self.runner, self.messages)
        self.store = ConversationStore(paths.conversations_file)
        self.bridge = EngineBridge()
        self.supervisor = EngineSupervisor(
            engine_command(paths.addons_dir),
            listener=self.bridge.listener,
            env=engine_environment(),
        )
        self.turns = EngineTurns()
        self.library = library_of_user(paths, self.settings, os.environ)
        self.tokens = TokenStore(os.environ)
        self.hub_access = HubAccess(paths, self.settings, os.environ, self.tokens)
        self.telemetry = Telemetry(self.runner, _open_sampler, self._engine_pid)

    def roots(self) -> tuple[Path, ...]:
        """Return the folders of the library: Fathom's own, then the user's."""
        return library_roots(self.paths, self.settings)

    def _load_settings(self) -> None:
        try:
            problems = self.settings.load()
        except FathomError as error:
            self.messages.error(error)
            return
        for problem in problems:
            self.messages.warning(problem)

    def _engine_pid(self) -> int | None:
        return self.supervisor.pid


def _open_sampler() -> Sampler:
    from models.hardware.sampler import HardwareSampler

    return HardwareSampler()
