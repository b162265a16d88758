"""What is told of an engine that ends, whenever the event loop happens to run in between."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from app.actions.load_model import LoadPhase, ModelStatus
from helpers.paint_counter import settle
from helpers.window_parts import Parts
from models.errors import EngineCrashedError, OutOfMemoryError, PromptTooLongError
from models.library.library import LibraryEntry
from models.runtime.supervisor import EngineFailed, EngineState, StateChanged

CRASH = StateChanged(EngineState.CRASHED, EngineState.GENERATING)
WHY = OutOfMemoryError("The engine was killed by the system.")


@pytest.fixture
def ready(parts: Parts) -> Parts:
    entry = LibraryEntry("r1", "R1", parts.folder / "r1.gguf", 1)
    parts.loader._set(ModelStatus(LoadPhase.READY, entry))
    return parts


def test_the_reason_may_come_long_after_the_state(ready: Parts, qtbot: QtBot) -> None:
    """The supervisor says both, one after the other, in its own thread."""
    with qtbot.waitSignal(ready.bridge.state_changed):
        ready.bridge.listener(CRASH)
    settle()
    with qtbot.waitSignal(ready.loader.status_changed):
        ready.bridge.listener(EngineFailed(WHY, 7))
    assert ready.loader.status.phase is LoadPhase.FAILED
    assert ready.loader.status.error is WHY


def test_an_earlier_failure_is_not_taken_for_the_reason(ready: Parts, qtbot: QtBot) -> None:
    with qtbot.waitSignal(ready.bridge.failed):
        ready.bridge.listener(EngineFailed(PromptTooLongError("Too long."), 6))
    with qtbot.waitSignal(ready.loader.status_changed):
        ready.bridge.listener(CRASH)
        ready.bridge.listener(EngineFailed(WHY, 7))
    assert ready.loader.status.error is WHY


def test_a_failed_start_is_told_by_the_lane_that_asked_for_it(ready: Parts, qtbot: QtBot) -> None:
    loader = ready.loader
    loader._set(ModelStatus(LoadPhase.LOADING, loader.status.entry))
    with qtbot.waitSignal(ready.bridge.state_changed):
        ready.bridge.listener(StateChanged(EngineState.CRASHED, EngineState.STARTING))
    settle()
    assert loader.status.phase is LoadPhase.LOADING
    error = EngineCrashedError("No libllama.")
    loader._on_load_refused(error)
    assert loader.status.error is error
