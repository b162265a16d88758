"""The table of states and the ladder, as data."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import EngineProtocolError
from models.runtime.core import EngineCore
from models.runtime.ladder import Ladder, Rung
from models.runtime.pipes import open_pipes
from models.runtime.protocol import Cancelled, Done, Event, Pong, Usage
from models.runtime.request_book import OpenRequest, RequestBook
from models.runtime.states import TRANSITIONS, EngineState, Limits

LIMITS = Limits(stop_cancel_s=1, stop_shutdown_s=2, stop_terminate_s=3, stop_kill_s=4)


def test_the_table_names_every_state():
    assert set(TRANSITIONS) == set(EngineState)


def test_from_everywhere_there_is_a_way_to_stopped():
    for state in EngineState:
        reached = {state}
        while more := set().union(*(TRANSITIONS[each] for each in reached)) - reached:
            reached |= more
        assert EngineState.STOPPED in reached


def test_every_state_with_a_child_can_stop_and_can_crash():
    alive = set(EngineState) - {EngineState.STOPPED, EngineState.CRASHED, EngineState.STOPPING}
    for state in alive:
        assert {EngineState.STOPPING, EngineState.CRASHED} <= TRANSITIONS[state]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pair
        for pair in itertools.permutations(EngineState, 2)
        if pair[1] not in TRANSITIONS[pair[0]]
    ],
    ids=lambda state: state.name,
)
def test_an_illegal_step_is_a_bug(before, after):
    core = EngineCore([], lambda notice: None, Limits(), None, open_pipes)
    core.state = before
    with core.changed, pytest.raises(RuntimeError, match="cannot go"):
        core.set_state(after)
    assert core.state is before


def climb_down(ladder, *, works):
    """Return (seconds, rung) for each step, looking whenever the ladder says so."""
    now, steps = 0.0, []
    while True:
        rung = ladder.climb(now, LIMITS, works=works)
        if rung is not None:
            steps.append((now, rung.name))
        if rung is Rung.GIVE_UP:
            return steps
        now = ladder.deadline


def test_the_ladder_with_work():
    assert climb_down(Ladder(Rung.CANCEL), works=True) == [
        (0, "CANCEL"), (1, "SHUTDOWN"), (3, "TERMINATE"), (6, "KILL"), (10, "GIVE_UP"),
    ]  # fmt: skip


def test_nothing_to_cancel_without_work():
    assert climb_down(Ladder(Rung.CANCEL), works=False)[0] == (0, "SHUTDOWN")


def test_the_ladder_goes_on_as_soon_as_the_work_has_ended():
    ladder = Ladder(Rung.CANCEL)
    assert ladder.climb(0.0, LIMITS, works=True) is Rung.CANCEL
    assert ladder.climb(0.1, LIMITS, works=True) is None
    assert ladder.climb(0.2, LIMITS, works=False) is Rung.SHUTDOWN
    assert ladder.climb(0.3, LIMITS, works=False) is None


@given(st.sampled_from(Rung), st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=30))
def test_the_ladder_only_gets_firmer(first, looks):
    ladder, now, last = Ladder(first), 0.0, -1
    for step_s, works in looks:
        now += step_s
        rung = ladder.climb(now, LIMITS, works=works)
        if rung is not None:
            assert rung > last
            last = rung


# --- the book of requests -----------------------------------------------------------------------


def test_results_are_kept_for_a_while_only():
    book = RequestBook()
    ids = [book.new_id() for _ in range(100)]
    for request_id in ids:
        request = OpenRequest(request_id, "ping", {})
        book.add(request)
        assert book.result(request_id) is None
        book.finish(request, Event(request_id, Pong()))
    assert book.result(ids[-1]) == Event(ids[-1], Pong())
    with pytest.raises(LookupError):
        book.result(ids[0])
    assert len(set(ids)) == 100


def test_only_the_right_final_event_ends_a_request():
    request = OpenRequest(1, "generate", {})
    request.check(Event(1, Done("end", Usage())))
    request.check(Event(1, Cancelled(None)))
    with pytest.raises(EngineProtocolError, match="answered generate with Pong"):
        request.check(Event(1, Pong()))


def test_work_is_what_somebody_asked_for():
    book = RequestBook()
    book.add(OpenRequest(1, "devices", {}))
    book.add(OpenRequest(2, "load", {}, internal=True))
    assert book.work() is None
    book.add(OpenRequest(3, "generate", {}))
    assert book.work() is book.get(3)


def test_deadlines():
    book = RequestBook()
    book.add(OpenRequest(1, "load", {}))
    assert book.next_deadline() is None
    book.add(OpenRequest(2, "ping", {}, deadline=5.0))
    book.add(OpenRequest(3, "ping", {}, deadline=4.0))
    assert book.next_deadline() == 4.0
    assert book.overdue(3.9) is None
    assert book.overdue(4.5) is book.get(3)
