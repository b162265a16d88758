"""A request with a listener of its own: who hears what of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.engine_harness import QUESTION, WAIT_S, Harness, Recorder
from models.errors import EngineError
from models.runtime.protocol import Cancelled, Delta, Done, Started
from models.runtime.states import OthersAnswerEnded
from models.runtime.supervisor import EngineFailed, EngineState, StateChanged

MakeHarness = Callable[..., Harness]


def test_its_events_come_to_its_listener_alone(harness: MakeHarness) -> None:
    made, own = harness({"words": 3}), Recorder()
    made.load()
    request_id = made.engine.generate(QUESTION, listener=own)
    own.wait_for_event(Done)
    assert own.text(request_id) == "word0 word1 word2 "
    assert [type(body) for body in own.bodies(request_id)] == [Started, Delta, Delta, Delta, Done]
    assert made.notes.bodies(request_id) == []
    # States are everybody's business, and the engine's listener's.
    made.notes.wait_for(
        lambda n: isinstance(n, StateChanged) and n.previous is EngineState.GENERATING
    )
    assert own.of(StateChanged) == []


def test_that_it_ended_and_its_last_figures_are_told_to_all(harness: MakeHarness) -> None:
    made, own = harness({"words": 3}), Recorder()
    made.load()
    request_id = made.engine.generate(QUESTION, listener=own)
    ended = made.notes.wait_for(lambda n: isinstance(n, OthersAnswerEnded))
    (done,) = [body for body in own.bodies(request_id) if isinstance(body, Done)]
    assert ended == OthersAnswerEnded(request_id, done.usage)
    assert own.of(OthersAnswerEnded) == []


def test_without_a_listener_of_its_own_all_goes_to_the_engine_s(harness: MakeHarness) -> None:
    made, own = harness({"words": 1}), Recorder()
    made.load()
    first = made.engine.generate(QUESTION, listener=own)
    made.engine.wait(first, WAIT_S)
    second = made.engine.generate(QUESTION)
    made.notes.wait_for_event(Done)
    assert made.notes.text(second) == "word0 "
    assert [n.request_id for n in made.notes.of(OthersAnswerEnded)] == [first]
    assert own.bodies(second) == []


def test_the_next_request_can_be_asked_for_in_the_end_of_the_one_before(
    harness: MakeHarness,
) -> None:
    made = harness({"words": 1})
    made.load()
    second = Recorder()

    def ask_again(notice: object) -> None:
        event = getattr(notice, "event", None)
        if event is not None and isinstance(event.body, Done):
            made.engine.generate(QUESTION, listener=second)

    made.engine.generate(QUESTION, listener=ask_again)
    second.wait_for_event(Done)


@pytest.mark.parametrize("kind", ["segv_late", "exit"])
def test_a_child_that_dies_is_told_to_both(harness: MakeHarness, kind: str) -> None:
    made, own = harness({"generate": kind}), Recorder()
    made.load()
    request_id = made.engine.generate(QUESTION, listener=own)
    for notes in (own, made.notes):
        failure = notes.wait_for(lambda n: isinstance(n, EngineFailed))
        assert isinstance(failure, EngineFailed)
        assert failure.request_id == request_id
        assert isinstance(failure.error, EngineError)


def test_a_cancelled_request_ends_for_its_listener(harness: MakeHarness) -> None:
    made, own = harness({"generate": "flood", "rate_words_s": 100}), Recorder()
    made.load()
    request_id = made.engine.generate(QUESTION, listener=own)
    own.wait_for_event(Delta)
    made.engine.cancel(request_id)
    own.wait_for_event(Cancelled)


def test_a_stopped_engine_ends_the_request_for_its_listener(harness: MakeHarness) -> None:
    made, own = harness({"generate": "flood", "rate_words_s": 100}), Recorder()
    made.load()
    made.engine.generate(QUESTION, listener=own)
    own.wait_for_event(Delta)
    made.engine.stop()
    own.wait_for_event(Cancelled)


def test_a_retry_in_safe_mode_goes_on_for_its_listener(harness: MakeHarness) -> None:
    made, own = harness({"generate": "segv_early_repacked", "words": 2}), Recorder()
    made.load()
    request_id = made.engine.generate(QUESTION, listener=own)
    own.wait_for_event(Done)
    assert own.text(request_id) == "word0 word1 "
    assert made.engine.safe_mode
