"""The engine bridge: from any thread to the main one, in order, not too often."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QThread
from pytestqt.qtbot import QtBot

from app.bridges.engine import EngineBridge
from models.errors import EngineCrashedError, FathomError
from models.runtime.protocol import (
    Delta,
    Done,
    ErrorEvent,
    Event,
    LoadProgress,
    Log,
    Started,
    Stats,
    StatsEvent,
    Usage,
)
from models.runtime.states import OthersAnswerEnded
from models.runtime.supervisor import (
    EngineFailed,
    EngineState,
    EventReceived,
    SafeModeRetry,
    StateChanged,
)


@pytest.fixture
def bridge(qapp: object) -> Any:
    made = EngineBridge()
    yield made
    made.detach()


def tell(bridge: EngineBridge, *notices: Any) -> None:
    """Tell it in another thread, as the supervisor does."""
    thread = threading.Thread(target=lambda: [bridge.listener(notice) for notice in notices])
    thread.start()
    thread.join()


def event(body: Any, request_id: int | None = 1) -> EventReceived:
    return EventReceived(Event(request_id, body))


def test_deltas_are_joined_and_come_before_the_end(qtbot: QtBot, bridge: EngineBridge) -> None:
    heard: list[Any] = []
    bridge.started.connect(lambda request_id, _body: heard.append(("started", request_id)))
    bridge.delta.connect(lambda *args: heard.append(args))
    bridge.finished.connect(lambda request_id, body: heard.append((request_id, type(body))))
    deltas = [event(Delta(f"w{number} ", "", 1)) for number in range(500)]
    with qtbot.waitSignal(bridge.finished):
        tell(bridge, event(Started(7, 0, False)), *deltas, event(Done("end", Usage())))
    assert heard[0] == ("started", 1)
    assert heard[-1] == (1, Done)
    texts = [entry for entry in heard[1:-1] if len(entry) == 4]
    assert "".join(entry[1] for entry in texts) == "".join(f"w{n} " for n in range(500))
    assert sum(entry[3] for entry in texts) == 500
    assert len(texts) < 10


def test_answers_are_not_mixed(qtbot: QtBot, bridge: EngineBridge) -> None:
    heard: list[Any] = []
    bridge.delta.connect(lambda *args: heard.append(args))
    with qtbot.waitSignal(bridge.finished):
        tell(
            bridge,
            event(Delta("a", "", 1), 1),
            event(Delta("b", "thought", 1), 2),
            event(Done("end", Usage()), 2),
        )
    assert heard == [(1, "a", "", 1), (2, "b", "thought", 1)]


def test_slots_run_in_the_main_thread(qtbot: QtBot, bridge: EngineBridge) -> None:
    threads: list[QThread] = []
    bridge.state_changed.connect(lambda _state: threads.append(QThread.currentThread()))
    with qtbot.waitSignal(bridge.state_changed):
        tell(bridge, StateChanged(EngineState.IDLE, EngineState.STARTING))
    assert threads == [QCoreApplication.instance().thread()]


def test_figures_are_thinned_and_the_last_one_arrives(qtbot: QtBot, bridge: EngineBridge) -> None:
    heard: list[Stats] = []
    bridge.stats.connect(heard.append)
    for number in range(100):
        tell(bridge, event(StatsEvent(Stats("decode", completion_tokens=number))))
    qtbot.waitUntil(lambda: bool(heard) and heard[-1].completion_tokens == 99)
    assert len(heard) <= 3


def test_the_end_of_another_program_s_answer_comes_after_its_last_live_figures(
    qtbot: QtBot, bridge: EngineBridge
) -> None:
    heard: list[Any] = []
    bridge.stats.connect(lambda stats: heard.append(stats.completion_tokens))
    bridge.others_answer_ended.connect(heard.append)
    live = [event(StatsEvent(Stats("decode", completion_tokens=number))) for number in range(10)]
    usage = Usage(completion_tokens=10, decode_tok_s=8.0)
    with qtbot.waitSignal(bridge.others_answer_ended):
        tell(bridge, *live, OthersAnswerEnded(1, usage))
    assert heard[-2:] == [9, usage]
    with qtbot.waitSignal(bridge.others_answer_ended):
        tell(bridge, OthersAnswerEnded(2, None))
    assert heard[-1] is None


def test_progress_is_thinned_and_the_last_one_comes_before_the_end(
    qtbot: QtBot, bridge: EngineBridge
) -> None:
    heard: list[int] = []
    bridge.load_progress.connect(lambda progress: heard.append(progress.bytes_done))
    steps = [event(LoadProgress("reading", number, 100, 0.1, None)) for number in range(100)]
    with qtbot.waitSignal(bridge.failed):
        tell(bridge, *steps, event(ErrorEvent("load", "No.", "Another.", "d")))
    assert heard[-1] == 99
    assert len(heard) <= 2


def test_errors_become_exceptions(qtbot: QtBot, bridge: EngineBridge) -> None:
    heard: list[tuple[Any, FathomError]] = []
    bridge.failed.connect(lambda request_id, error: heard.append((request_id, error)))
    crash = EngineCrashedError("It died.")
    with qtbot.waitSignals([bridge.failed, bridge.failed, bridge.safe_mode_retry]):
        tell(
            bridge,
            event(ErrorEvent("out_of_memory", "Full.", "Less.", ""), 3),
            SafeModeRetry(crash),
            EngineFailed(crash, None),
        )
    assert [(request_id, error.code) for request_id, error in heard] == [
        (3, "out_of_memory"),
        (None, "engine_crashed"),
    ]


def test_log_lines_disturb_nothing(qtbot: QtBot, bridge: EngineBridge) -> None:
    with qtbot.waitSignal(bridge.unloaded):
        from models.runtime.protocol import Unloaded

        tell(bridge, event(Log("error", "something"), None), event(Unloaded()))


def test_nothing_is_heard_after_detaching(qtbot: QtBot, bridge: EngineBridge) -> None:
    tell(bridge, event(Delta("a", "", 1)))
    bridge.detach()
    with qtbot.assertNotEmitted(bridge.delta, wait=100):
        tell(bridge, event(Delta("b", "", 1)), event(Done("end", Usage())))
