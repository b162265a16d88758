"""Whose turn it is to ask the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from helpers.engine_harness import WAIT_S
from helpers.lock_gap import LockWithGap
from models.runtime.turns import EngineTurns, Turn


def test_turns_begin_in_the_order_of_asking() -> None:
    turns = EngineTurns()
    began: list[str] = []
    first = turns.ask(lambda: began.append("first"))
    second = turns.ask(lambda: began.append("second"))
    third = turns.ask(lambda: began.append("third"))
    assert began == ["first"]
    assert first.has_begun
    assert not second.has_begun
    assert [first.ahead, second.ahead, third.ahead] == [0, 1, 2]
    first.end()
    assert began == ["first", "second"]
    assert [second.ahead, third.ahead] == [0, 1]
    second.end()
    third.end()
    assert began == ["first", "second", "third"]


def test_who_leaves_the_queue_never_begins() -> None:
    turns = EngineTurns()
    began: list[str] = []
    first = turns.ask(lambda: None)
    second = turns.ask(lambda: began.append("second"))
    third = turns.ask(lambda: began.append("third"))
    second.end()
    assert third.ahead == 1
    first.end()
    assert began == ["third"]


def test_an_end_counts_once() -> None:
    turns = EngineTurns()
    first = turns.ask(lambda: None)
    second = turns.ask(lambda: None)
    third = turns.ask(lambda: None)
    first.end()
    first.end()
    assert second.has_begun
    assert not third.has_begun


def test_those_behind_are_told_that_they_moved_and_those_before_are_not() -> None:
    turns = EngineTurns()
    told: list[tuple[str, int]] = []
    waiting: dict[str, Turn] = {}

    def ask(name: str) -> None:
        waiting[name] = turns.ask(
            lambda: None, moved=lambda: told.append((name, waiting[name].ahead))
        )

    first = turns.ask(lambda: None)
    for name in ("a", "b", "c"):
        ask(name)
    assert told == []
    waiting["b"].end()
    assert told == [("c", 2)]
    told.clear()
    first.end()
    assert waiting["a"].has_begun
    assert told == [("c", 1)]


def test_a_turn_may_end_in_its_own_beginning() -> None:
    turns = EngineTurns()
    began: list[int] = []
    made: list[Turn] = []

    def begin(number: int) -> None:
        began.append(number)
        made[number].end()

    made.append(turns.ask(lambda: None))
    made.extend(turns.ask(lambda number=number: begin(number)) for number in (1, 2, 3))
    made[0].end()
    assert began == [1, 2, 3]


def test_one_at_a_time_however_many_threads_ask() -> None:
    turns = EngineTurns()
    guard = threading.Lock()
    at_once, most, count = 0, 0, 0

    def work() -> None:
        nonlocal at_once, most, count
        for _ in range(200):
            begun = threading.Event()
            turn = turns.ask(begun.set)
            assert begun.wait(WAIT_S)
            with guard:
                at_once += 1
                most = max(most, at_once)
                count += 1
            with guard:
                at_once -= 1
            turn.end()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, count) == (1, 800)


def test_who_asks_at_the_moment_of_an_end_does_not_begin_another_one_s_turn() -> None:
    """A window that asks would else send a program's whole question to the engine."""
    turns = EngineTurns()
    lock = LockWithGap()
    turns._lock = lock  # type: ignore[assignment]
    began: dict[str, int] = {}

    def begin(name: str) -> Callable[[], None]:
        return lambda: began.setdefault(name, threading.get_ident())

    first = turns.ask(begin("first"))
    turns.ask(begin("program"))
    lock.in_gap = lambda: turns.ask(begin("window"))
    first.end()
    assert list(began) == ["first", "program"]
    assert began["program"] == threading.get_ident()


def test_who_left_the_queue_in_the_meantime_is_not_told_that_it_moved() -> None:
    turns = EngineTurns()
    told: list[str] = []
    behind: list[Turn] = []
    first = turns.ask(lambda: None)

    def begin_by_stopping_another() -> None:
        behind[0].end()

    turns.ask(begin_by_stopping_another)
    for name in ("gone", "waits"):
        behind.append(turns.ask(lambda: None, moved=lambda name=name: told.append(name)))
    first.end()
    assert set(told) == {"waits"}


class _Queue(RuleBasedStateMachine):
    """Turns beside a list that says what they should be, with ends in the midst of beginnings."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = EngineTurns()
        self.asked: list[Turn] = []
        self.expected: list[int] = []  # who has the turn, and who waits
        self.began: list[int] = []

    @rule(ends_at_once=st.booleans())
    def ask(self, ends_at_once: bool) -> None:
        number = len(self.asked)

        def begin() -> None:
            self.began.append(number)
            # The first in an empty queue begins before it is known here which turn it is.
            if ends_at_once and number < len(self.asked):
                self._end(number)

        self.expected.append(number)
        self.asked.append(self.turns.ask(begin))

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if self.asked:
            self._end(data.draw(st.integers(0, len(self.asked) - 1)))

    def _end(self, number: int) -> None:
        if number in self.expected:
            self.expected.remove(number)
        self.asked[number].end()

    @invariant()
    def it_is_the_turn_of_the_first(self) -> None:
        for number, turn in enumerate(self.asked):
            assert turn.has_begun == (self.expected[:1] == [number])
            assert turn.ahead == (self.expected.index(number) if number in self.expected else 0)

    @invariant()
    def each_begins_once_and_in_order(self) -> None:
        assert self.began == sorted(set(self.began))
        assert self.expected[:1] <= self.began[-1:]


TestQueue = _Queue.TestCase
TestQueue.settings = settings(max_examples=40, stateful_step_count=25)
