"""The planning parts of the window over real settings, tasks and supervisor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytestqt.qtbot import QtBot

from app.actions.plan import PlanCheckpoint
from app.actions.plan_status import PlanState, PlanStatus
from app.bridges.engine import EngineBridge
from app.bridges.settings import SettingsBridge
from app.messages import Messages, Notice
from app.planning import PlanParts
from app.tasks import TaskRunner
from helpers.gated_planning import GatedPlanning, described_machine
from helpers.tiny_gguf import TinyModel, write_tiny
from models.hub.hub import Hub
from models.library.library import Library, LibraryEntry
from models.paths import paths_under
from models.planner.machine import Machine
from models.planning.desk import PlanningService
from models.runtime.command import engine_command
from models.runtime.supervisor import EngineSupervisor
from models.settings import Settings

WAIT_MS = 60_000


@dataclass
class PlanWindow:
    """What a test of planning needs."""

    qtbot: QtBot
    parts: PlanParts
    runner: TaskRunner
    bridge: EngineBridge
    supervisor: EngineSupervisor
    settings: SettingsBridge
    folder: Path
    gated: GatedPlanning | None
    notices: list[Notice] = field(default_factory=list)
    seen: list[PlanStatus] = field(default_factory=list)

    @property
    def plan(self) -> PlanCheckpoint:
        """The action under test."""
        return self.parts.plan

    @property
    def status(self) -> PlanStatus:
        """What it shows now."""
        return self.plan.status

    @property
    def gates(self) -> GatedPlanning:
        """The gates, where the window was made with them."""
        assert self.gated is not None
        return self.gated

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait, with the event loop running, until something is true."""
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)

    def until_state(self, *states: PlanState) -> PlanStatus:
        """Wait until the plan is in one of these states."""
        self.until(lambda: self.status.state in states)
        return self.status

    def tiny(self, name: str = "tiny", model: TinyModel | None = None) -> LibraryEntry:
        """Write a checkpoint and return it as the library would."""
        path = self.folder / "data" / "models" / f"{name}.gguf"
        if not path.exists():
            write_tiny(path, model or TinyModel(architecture="deepseek2"))
        return LibraryEntry(name, name, path, path.stat().st_size)

    def choose(self, entry: LibraryEntry, *, watched: bool = False) -> PlanStatus:
        """Choose a checkpoint and wait for its plan."""
        if watched:
            self.plan.watch()
        self.plan.choose_entry(entry)
        return self.until_state(PlanState.EXACT if watched else PlanState.READY)

    def close(self) -> None:
        """End everything in the order of the program."""
        self.parts.stop()
        self.parts.stop_children()
        self.supervisor.stop()
        self.bridge.detach()
        self.runner.shutdown()
        self.supervisor.stop()


def make_plan_window(
    qtbot: QtBot,
    folder: Path,
    *,
    machine: Machine | None = None,
    engine: Sequence[str] | None = None,
    gated: bool = True,
) -> PlanWindow:
    """Build the parts; not ``gated``, they plan for this machine, as the program does."""
    paths = paths_under(folder)
    paths.create()
    messages = Messages()
    notices: list[Notice] = []
    messages.posted.connect(notices.append)
    messages.attach()
    runner = TaskRunner()
    settings = SettingsBridge(Settings(paths.settings_file), runner, messages)
    bridge = EngineBridge()
    supervisor = EngineSupervisor(engine or engine_command(), listener=bridge.listener)
    gates = GatedPlanning(paths.cache_dir, machine or described_machine()) if gated else None
    make: Callable[[], PlanningService] | None = (lambda: gates) if gates is not None else None
    parts = PlanParts(
        paths=paths,
        supervisor=supervisor,
        bridge=bridge,
        library=Library([paths.models_dir], None),
        settings=settings,
        runner=runner,
        messages=messages,
        make_planning=make,
        hub=lambda: Hub(is_offline=True),
    )
    window = PlanWindow(qtbot, parts, runner, bridge, supervisor, settings, folder, gates, notices)
    parts.plan.status_changed.connect(window.seen.append)
    return window
