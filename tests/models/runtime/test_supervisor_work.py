"""What a child that behaves is asked, and what its listener and its waiters learn."""

from __future__ import annotations

import threading

import pytest

from helpers.engine_harness import QUESTION, SETTINGS, WAIT_S, Recorder
from models.errors import EngineBusyError, LoadError, PromptTooLongError
from models.runtime.protocol import (
    CancelAccepted,
    Delta,
    DeviceList,
    Done,
    ErrorEvent,
    GenerateRequest,
    Loaded,
    LoadProgress,
    Pong,
    PromptMessage,
    Started,
    Unloaded,
)
from models.runtime.supervisor import (
    EngineFailed,
    EngineNotice,
    EngineState,
    EventReceived,
    StateChanged,
)


def test_load_and_answer(any_pipes):
    h = any_pipes({"words": 3})
    load_id = h.engine.load("/models/ü \udcff.gguf", SETTINGS)
    loaded = h.engine.wait(load_id, WAIT_S)
    assert isinstance(loaded.body, Loaded)
    assert loaded.body.settings == SETTINGS
    assert h.engine.state is EngineState.READY
    assert h.engine.model is not None
    assert h.engine.model.path == "/models/ü \udcff.gguf"
    assert h.engine.safe_mode is False
    answer_id = h.engine.generate(QUESTION)
    done = h.engine.wait(answer_id, WAIT_S)
    assert isinstance(done.body, Done)
    h.engine.stop()
    assert h.notes.text(answer_id) == "word0 word1 word2 "
    assert h.notes.states() == [
        "STARTING", "IDLE", "LOADING", "READY", "GENERATING", "READY", "STOPPING", "STOPPED",
    ]  # fmt: skip
    kinds = [type(body) for body in h.notes.bodies(load_id)]
    assert kinds == [LoadProgress, LoadProgress, Loaded]
    kinds = [type(body) for body in h.notes.bodies(answer_id)]
    assert kinds == [Started, Delta, Delta, Delta, Done]
    assert not h.notes.of(EngineFailed)


def test_start_is_idempotent_and_loads_nothing(harness):
    h = harness()
    h.engine.start()
    pid = h.engine.pid
    h.engine.start()
    assert h.engine.pid == pid is not None
    assert h.engine.state is EngineState.IDLE
    assert h.engine.model is None


def test_devices_start_the_child(harness):
    h = harness()
    event = h.engine.wait(h.engine.request_devices(), WAIT_S)
    assert isinstance(event.body, DeviceList)
    assert event.body.devices[0].name == "CPU"
    assert h.engine.state is EngineState.IDLE


def test_unload(harness):
    h = harness()
    h.load()
    event = h.engine.wait(h.engine.unload(), WAIT_S)
    assert isinstance(event.body, Unloaded)
    assert h.engine.state is EngineState.IDLE
    assert h.engine.model is None
    with pytest.raises(EngineBusyError, match="No checkpoint"):
        h.engine.generate(QUESTION)


def test_load_while_ready_replaces_the_checkpoint(harness):
    h = harness()
    h.load()
    h.load()
    h.engine.stop()
    assert h.notes.states()[2:6] == ["LOADING", "READY", "LOADING", "READY"]


def test_ping_in_the_middle_of_a_load(harness):
    h = harness({"load": "slow"})
    h.engine.load("x", SETTINGS)
    assert isinstance(h.engine.wait(h.engine.ping(), WAIT_S).body, Pong)
    assert h.engine.state is EngineState.LOADING


def test_one_thing_at_a_time(harness):
    h = harness({"load": "slow"})
    h.engine.load("x", SETTINGS)
    for ask in (lambda: h.engine.load("y", SETTINGS), h.engine.unload):
        with pytest.raises(EngineBusyError, match="loading"):
            ask()
    with pytest.raises(EngineBusyError):
        h.engine.generate(QUESTION)


def test_no_second_answer_meanwhile(harness):
    h = harness({"generate": "flood"})
    h.load()
    h.engine.generate(QUESTION)
    with pytest.raises(EngineBusyError, match="answering"):
        h.engine.generate(QUESTION)


@pytest.mark.parametrize("ask", ["ping", "unload"])
def test_nothing_to_ask_without_a_child(harness, ask):
    h = harness()
    with pytest.raises(EngineBusyError, match="not running"):
        getattr(h.engine, ask)()
    with pytest.raises(EngineBusyError, match="not running"):
        h.engine.generate(QUESTION)


def test_an_error_event_fails_the_request_and_not_the_child(harness):
    h = harness({"load": "error"})
    request_id = h.engine.load("x", SETTINGS)
    for _ in range(2):  # the result can be asked for again
        with pytest.raises(LoadError) as caught:
            h.engine.wait(request_id, WAIT_S)
        assert caught.value.one_line() == "No. Another one."
    assert h.engine.state is EngineState.IDLE
    assert isinstance(h.notes.wait_for_event(ErrorEvent).body, ErrorEvent)
    assert not h.notes.of(EngineFailed)


def test_waiting_has_a_limit(harness):
    h = harness({"load": "slow"})
    request_id = h.engine.load("x", SETTINGS)
    with pytest.raises(TimeoutError):
        h.engine.wait(request_id, 0.01)
    with pytest.raises(LookupError):
        h.engine.wait(request_id + 100)


def test_late_events_of_an_old_request_are_dropped(harness):
    h = harness({"generate": "late", "words": 1})
    load_id = h.load()
    first = h.engine.generate(QUESTION)
    h.engine.wait(first, WAIT_S)
    second = h.engine.generate(QUESTION)
    h.engine.wait(second, WAIT_S)
    h.engine.stop()
    assert h.notes.text(first) == h.notes.text(second) == "word0 "
    assert h.notes.text(load_id) == ""
    assert [type(body) for body in h.notes.bodies(first)] == [Started, Delta, Done]


def test_a_request_too_long_for_a_line_is_refused_here(harness):
    h = harness()
    h.load()
    with pytest.raises(PromptTooLongError):
        h.engine.generate(GenerateRequest((PromptMessage("user", "x" * (17 * 1024 * 1024)),)))
    assert h.engine.state is EngineState.READY


def test_a_long_request_goes_through(any_pipes):
    h = any_pipes()
    h.load()
    long_question = GenerateRequest((PromptMessage("user", "ü" * (3 * 1024 * 1024)),))
    assert isinstance(h.engine.wait(h.engine.generate(long_question), WAIT_S).body, Done)


def test_standard_error_keeps_its_tail(any_pipes):
    h = any_pipes({"stderr": "x" * 100_000 + "last words\n"})
    h.load()
    h.engine.stop()
    tail = h.engine.stderr_tail()
    assert tail.endswith("last words\n")
    assert len(tail) == 64 * 1024


def test_the_listener_may_ask_for_more(harness):
    answers = Recorder()

    def listen(notice: EngineNotice) -> None:
        answers(notice)
        if isinstance(notice, StateChanged) and notice.state is EngineState.READY:
            if notice.previous is EngineState.LOADING:
                h.engine.generate(QUESTION)
        elif isinstance(notice, EventReceived) and isinstance(notice.event.body, Delta):
            assert notice.event.request_id is not None
            h.engine.cancel(notice.event.request_id)
        elif isinstance(notice, EventReceived) and isinstance(notice.event.body, Done):
            h.engine.stop()

    h = harness({"words": 1}, listener=listen)
    h.engine.load("x", SETTINGS)
    answers.wait_for_state(EngineState.STOPPED)
    assert h.engine.pid is None
    # The supervisor's own cancel is nobody else's business.
    assert not [n for n in answers.of(EventReceived) if isinstance(n.event.body, CancelAccepted)]


def test_the_listener_must_not_wait(harness, allow_logs):
    allow_logs("listener failed")
    refused = threading.Event()

    def listen(notice: EngineNotice) -> None:
        if isinstance(notice, StateChanged) and notice.state is EngineState.LOADING:
            try:
                h.engine.wait(1)
            except RuntimeError:
                refused.set()
                raise

    h = harness({}, listener=listen)
    h.load()  # and a listener that raises does no harm
    assert refused.wait(WAIT_S)


def test_a_flood_of_events_arrives_in_order(any_pipes):
    h = any_pipes({"words": 5000})
    h.load()
    answer_id = h.engine.generate(QUESTION)
    h.engine.wait(answer_id, WAIT_S)
    h.engine.stop()
    assert h.notes.text(answer_id) == "".join(f"word{number} " for number in range(5000))
