"""Loads that are held back until somebody decides, with a real supervisor and child."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.actions.checks import Checks
from app.actions.load_model import LoadModel, LoadPhase
from app.bridges.engine import EngineBridge
from app.bridges.settings import SettingsBridge
from app.messages import Messages, Notice
from app.tasks import TaskRunner
from helpers.chat_window import TALKING_ENGINE
from helpers.logcheck import LogCheck
from models.checks.decisions import Choice, Decisions
from models.checks.findings import CheckFindings, Finding, FindingKind, Weight
from models.errors import TemplateCheckError
from models.library.library import Library, LibraryEntry
from models.runtime.supervisor import EngineSupervisor
from models.settings import Settings

WAIT_MS = 15_000
KNOWN = "{{ messages[0].content }}"
HIDDEN = Finding(FindingKind.HIDDEN_TEXT, Weight.WARNING, "Text added", "It says more.", "x", True)
DIFFERS = Finding(FindingKind.TEMPLATE, Weight.WARNING, "Chat template differs", "Somewhat.")
SOUND = Finding(FindingKind.FILE, Weight.GOOD, "Whole", "It is.")
REFUSED = Finding(FindingKind.FILE, Weight.REFUSED, "Cannot be loaded", "No.", needs_decision=True)


@dataclass
class Bench:
    """Checks before a loader; ``looks`` counts how often a file was looked at."""

    qtbot: QtBot
    folder: Path
    finding: Finding
    known: str = KNOWN
    error: Exception | None = None
    looks: list[Path] = field(default_factory=list)
    shown: list[tuple[LibraryEntry, CheckFindings]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)

    def open(self) -> None:
        """Build everything; again for a restart of the program."""
        self.messages = Messages()
        self.messages.posted.connect(self.notices.append)
        self.messages.withdrawn.connect(self.withdrawn.append)
        self.messages.attach()
        self.runner = TaskRunner()
        settings = SettingsBridge(
            Settings(self.folder / "settings.toml"), self.runner, self.messages
        )
        self.settings = settings
        self.bridge = EngineBridge()
        command = [sys.executable, str(TALKING_ENGINE), json.dumps({"text": "Hi"})]
        self.supervisor = EngineSupervisor(command, listener=self.bridge.listener)
        self.checks = Checks(
            look=self.look,
            decisions=Decisions(self.folder / "checks.json"),
            runner=self.runner,
            messages=self.messages,
        )
        self.checks.show_requested.connect(lambda *what: self.shown.append(what))
        self.loader = LoadModel(
            supervisor=self.supervisor,
            bridge=self.bridge,
            library=Library([self.folder], None),
            settings=settings,
            runner=self.runner,
            messages=self.messages,
            gate=self.checks,
        )
        self.checks.load_requested.connect(self.loader.load)

    def close(self) -> None:
        """End everything in the order of the program."""
        self.supervisor.stop()
        QApplication.processEvents()
        self.bridge.detach()
        self.runner.shutdown()
        self.settings.flush()

    def look(self, path: Path) -> CheckFindings:
        """Return what is to be found."""
        self.looks.append(path)
        if self.error is not None:
            raise self.error
        return CheckFindings(
            "a", path, (self.finding, SOUND), template_sha256="5" * 64, known_template=self.known
        )

    @property
    def entry(self) -> LibraryEntry:
        """The one checkpoint."""
        path = self.folder / "a.gguf"
        return LibraryEntry("a", "A model", path, path.stat().st_size)

    def load(self) -> None:
        """Load it, and wait until that ended in some way."""
        self.loader.load(self.entry)
        self.until(lambda: not self.loader.status.is_loading)

    def template(self) -> str:
        """The template that the engine was given."""
        self.until(lambda: self.loader.status.is_ready)
        loaded = self.loader.status.loaded
        assert loaded is not None
        return loaded.settings.template

    def until(self, condition: Callable[[], Any]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)


@pytest.fixture
def make(qtbot: QtBot, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + bytes(64))

    def one(finding: Finding, **more: Any) -> Bench:
        bench = Bench(qtbot, tmp_path, finding, **more)
        bench.open()
        benches.append(bench)
        return bench

    yield one
    for bench in benches:
        bench.close()


Make = Callable[..., Bench]


def test_a_load_that_needs_a_decision_is_held_and_told(make: Make) -> None:
    bench = make(HIDDEN)
    bench.load()
    assert bench.loader.status.phase is LoadPhase.NONE
    assert bench.supervisor.pid is None
    (notice,) = bench.notices
    assert notice.text == "A model was not loaded: text added."
    assert notice.action is not None
    notice.action.run()
    assert bench.shown[0][0] == bench.entry


def test_a_decision_loads_it_and_holds_after_a_restart(make: Make) -> None:
    bench = make(HIDDEN)
    bench.load()
    bench.checks.decide(bench.entry, bench.look(bench.entry.path), Choice.OWN)
    assert bench.template() == ""
    assert bench.withdrawn == [bench.notices[0].id]
    bench.close()
    bench.open()
    bench.load()
    assert bench.loader.status.is_ready
    assert len(bench.notices) == 1


def test_the_known_template_is_what_the_engine_is_given(make: Make) -> None:
    bench = make(HIDDEN)
    bench.load()
    bench.checks.decide(bench.entry, bench.look(bench.entry.path), Choice.KNOWN)
    assert bench.template() == KNOWN
    bench.load()
    assert bench.template() == KNOWN


def test_a_held_load_keeps_the_model_from_before(make: Make) -> None:
    bench = make(SOUND, known="")
    bench.load()
    assert bench.loader.status.is_ready
    bench.finding = HIDDEN
    other = bench.folder / "b.gguf"
    other.write_bytes(b"GGUF" + bytes(32))
    bench.loader.load(LibraryEntry("b", "Another", other, 36))
    bench.until(lambda: bench.notices)
    assert bench.loader.status.is_ready
    assert bench.loader.status.entry == bench.entry


def test_a_sound_file_is_looked_at_once_until_it_changes(make: Make) -> None:
    bench = make(SOUND, known="")
    bench.load()
    bench.load()
    bench.close()
    bench.open()
    bench.load()
    assert len(bench.looks) == 1
    bench.entry.path.write_bytes(b"GGUF" + bytes(128))
    bench.load()
    assert len(bench.looks) == 2
    assert bench.notices == []


def test_a_warning_is_told_once_and_does_not_hold(make: Make) -> None:
    bench = make(DIFFERS)
    bench.load()
    assert bench.template() == ""
    bench.load()
    assert [notice.text for notice in bench.notices] == ["A model: chat template differs."]
    bench.checks.decide(bench.entry, bench.look(bench.entry.path), Choice.KNOWN)
    bench.until(lambda: bench.loader.status.is_ready and bench.template() == KNOWN)


def test_what_cannot_be_loaded_is_left_to_the_engine_to_refuse(make: Make) -> None:
    bench = make(REFUSED)
    bench.load()
    assert bench.loader.status.is_ready
    assert bench.notices == []


def test_a_failed_look_does_not_keep_anybody_from_loading(make: Make, allow_logs: LogCheck) -> None:
    bench = make(SOUND, error=TemplateCheckError("It does not start."))
    allow_logs("Loading without a look at the file")
    bench.load()
    assert bench.loader.status.is_ready


def test_a_load_can_be_stopped_while_it_is_looked_at(make: Make) -> None:
    bench = make(SOUND)
    bench.loader.load(bench.entry)
    bench.loader.cancel()
    assert bench.loader.status.phase is LoadPhase.NONE
    bench.until(lambda: bench.runner.is_idle)
    assert bench.supervisor.pid is None


def test_a_look_can_be_asked_for_without_a_load(make: Make) -> None:
    bench = make(DIFFERS)
    with bench.qtbot.waitSignal(bench.checks.noted, timeout=WAIT_MS) as found:
        bench.checks.ask(bench.entry)
    assert found.args[0] == bench.entry
    bench.checks.show(bench.entry)
    bench.until(lambda: bench.shown)
    assert len(bench.looks) == 1
