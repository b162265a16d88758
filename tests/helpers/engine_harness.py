"""Supervisors over the problem engine, with a listener that tests can wait on."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from models.runtime.pipes import SelectorPipes, ThreadedPipes
from models.runtime.protocol import Delta, Event, GenerateRequest, LoadSettings, PromptMessage
from models.runtime.supervisor import (
    EngineNotice,
    EngineState,
    EngineSupervisor,
    EventReceived,
    StateChanged,
)

# Generous: a busy machine must not fail a test. What is tested has limits of its own.
WAIT_S = 30.0
PROBLEM_ENGINE = Path(__file__).with_name("problem_engine.py")
PIPES = [ThreadedPipes] if sys.platform == "win32" else [SelectorPipes, ThreadedPipes]
SETTINGS = LoadSettings()
QUESTION = GenerateRequest((PromptMessage("user", "Why?"),))

_N = TypeVar("_N")


class Recorder:
    """Listener that keeps every notice and lets a test wait for one."""

    def __init__(self) -> None:
        self.notices: list[EngineNotice] = []
        self._arrived = threading.Condition()

    def __call__(self, notice: EngineNotice) -> None:
        """Take a notice."""
        with self._arrived:
            self.notices.append(notice)
            self._arrived.notify_all()

    def wait_for(self, wanted: Callable[[EngineNotice], bool]) -> EngineNotice:
        """Return the first notice that fits, however long ago it came."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: any(map(wanted, self.notices)), WAIT_S)
            assert found, f"never came; got {self.notices}"
            return next(filter(wanted, self.notices))

    def wait_for_event(self, body_type: type) -> Event:
        """Return the first event with a body of that type."""
        notice = self.wait_for(
            lambda n: isinstance(n, EventReceived) and isinstance(n.event.body, body_type)
        )
        assert isinstance(notice, EventReceived)
        return notice.event

    def wait_for_state(self, state: EngineState) -> None:
        """Wait until that state was reported."""
        self.wait_for(lambda n: isinstance(n, StateChanged) and n.state is state)

    def of(self, kind: type[_N]) -> list[_N]:
        """Return the notices of one kind so far."""
        return [notice for notice in list(self.notices) if isinstance(notice, kind)]

    def states(self) -> list[str]:
        """Return the names of the states that were reported, in order."""
        return [notice.state.name for notice in self.of(StateChanged)]

    def bodies(self, request_id: int | None) -> list[Any]:
        """Return the bodies of a request's events, in order."""
        events = [notice.event for notice in self.of(EventReceived)]
        return [event.body for event in events if event.request_id == request_id]

    def text(self, request_id: int) -> str:
        """Return what was answered."""
        return "".join(body.text for body in self.bodies(request_id) if isinstance(body, Delta))


class Harness:
    """A supervisor over a problem engine, and its listener."""

    def __init__(self, script: dict[str, Any], **options: Any) -> None:
        self.notes = Recorder()
        options.setdefault("listener", self.notes)
        self.engine = EngineSupervisor(problem_command(script), **options)

    def load(self, **settings: Any) -> int:
        """Load and wait until it is loaded."""
        request_id = self.engine.load("/models/x.gguf", LoadSettings(**settings))
        self.engine.wait(request_id, WAIT_S)
        return request_id


def problem_command(script: dict[str, Any]) -> list[str]:
    """Return the command line of a problem engine."""
    # -S: site packages are not needed, and the start is most of what these tests take.
    return [sys.executable, "-S", str(PROBLEM_ENGINE), json.dumps(script)]


def open_fds() -> set[str]:
    """Return what this process holds open; empty where the system does not say."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return set()
    found = set()
    for entry in folder.iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the descriptor of the listing itself
            continue
        if target.startswith(("pipe:", "anon_inode:", "socket:")):
            found.add(target)
    return found
