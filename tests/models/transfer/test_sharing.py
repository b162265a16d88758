"""What transfers share: slots and bandwidth."""

from __future__ import annotations

import threading
import time

import pytest

from models.errors import StoppedError
from models.stopping import never
from models.transfer.limiter import RateLimiter
from models.transfer.slots import Slots


def silent() -> None:
    """Wake nobody."""


def test_as_many_slots_as_there_are():
    slots = Slots(3)
    owner = object()
    assert [slots.try_take(owner, silent) for _ in range(4)] == [True] * 3 + [False]
    slots.give_back(owner)
    assert slots.try_take(owner, silent)


@pytest.mark.parametrize(("given", "count"), [(0, 1), (-5, 1), (5, 5), (99, 8)])
def test_the_number_of_slots_is_bounded(given: int, count: int):
    assert Slots(given).count == count
    slots = Slots()
    slots.set_count(given)
    assert slots.count == count


def test_a_newcomer_gets_the_next_slot():
    slots = Slots(2)
    first, second = object(), object()
    assert slots.try_take(first, silent)
    assert slots.try_take(first, silent)
    assert not slots.try_take(second, silent)
    slots.give_back(first)
    assert not slots.try_take(first, silent)
    assert slots.try_take(second, silent)


def test_who_waited_longest_comes_first():
    slots = Slots(1)
    holder, early, late = object(), object(), object()
    assert slots.try_take(holder, silent)
    assert not slots.try_take(early, silent)
    assert not slots.try_take(late, silent)
    slots.give_back(holder)
    assert not slots.try_take(late, silent)
    assert slots.try_take(early, silent)


def test_who_has_left_keeps_nobody_waiting():
    slots = Slots(2)
    holder, gone = object(), object()
    assert slots.try_take(holder, silent)
    assert slots.try_take(object(), silent)
    assert not slots.try_take(gone, silent)
    slots.give_back(holder)
    slots.leave(gone)
    assert slots.try_take(holder, silent)


def test_who_waits_is_woken_by_every_slot_that_comes_free():
    slots = Slots(1)
    holder = object()
    woken: list[int] = []
    assert slots.try_take(holder, silent)
    assert not slots.try_take(object(), lambda: woken.append(1))
    slots.give_back(holder)
    assert len(woken) == 1
    slots.set_count(2)
    assert len(woken) == 2


def test_files_share_evenly():
    slots = Slots(4)
    owners = [object() for _ in range(2)]
    held = {id(owner): 0 for owner in owners}
    for _ in range(8):
        for owner in owners:
            if slots.try_take(owner, silent):
                held[id(owner)] += 1
    assert sorted(held.values()) == [2, 2]


def test_without_a_limit_nothing_waits():
    RateLimiter().take(10**12, lambda: True)


def test_the_limit_holds_over_all_threads():
    # 64 KB at 4 MB/s beyond the first 256 KB: each piece is paid for once, whoever takes it.
    limiter = RateLimiter(4_000_000)
    began = time.monotonic()

    def take() -> None:
        for _ in range(8):
            limiter.take(65_536, never)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    least_s = (32 * 65_536 - 256 * 1024 - 65_536) / 4_000_000
    assert time.monotonic() - began >= least_s


def test_who_waits_can_be_stopped_and_freed():
    limiter = RateLimiter(1)
    limiter.take(10**9, never)
    with pytest.raises(StoppedError):
        limiter.take(1, lambda: True)
    waiting = threading.Thread(target=lambda: limiter.take(1, never))
    waiting.start()
    limiter.set_limit(0)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_debt_is_not_carried_over_to_another_limit():
    limiter = RateLimiter(1_000_000_000)
    limiter.take(10**10, never)
    limiter.set_limit(500_000)
    thread = threading.Thread(target=lambda: limiter.take(1, never))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
