"""Whose turn it is to ask the engine."""

from __future__ import annotations

import threading

from helpers.engine_harness import WAIT_S
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
