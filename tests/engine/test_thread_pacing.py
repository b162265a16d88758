"""The number of threads follows what other programs take, on described machines."""

from __future__ import annotations

import psutil
import pytest

from models.runtime.llama.thread_pacing import ThreadPacer, busy_cpu_s


class Machine:
    """Clocks that a test turns: wall, the whole system's CPU seconds, this process's."""

    def __init__(self) -> None:
        self.now_s = self.system_s = self.own_s = 0.0

    def run(self, elapsed_s: float, *, own: float, others: float) -> None:
        self.now_s += elapsed_s
        self.own_s += own * elapsed_s
        self.system_s += (own + others) * elapsed_s

    def pacer(self, n_threads: int, cpus: int) -> ThreadPacer:
        return ThreadPacer(
            n_threads,
            cpus,
            clock=lambda: self.now_s,
            system_s=lambda: self.system_s,
            own_s=lambda: self.own_s,
        )


@pytest.mark.parametrize(
    ("n_threads", "cpus", "others", "expected"),
    [
        (2, 2, 0.1, 2),  # the window paints
        (2, 2, 1.0, 1),
        (2, 2, 5.0, 1),  # never none
        (8, 16, 1.0, 8),  # the cores' second halves are free for others
        (8, 16, 10.0, 6),
        (8, 8, 2.2, 6),
        (4, 8, 0.0, 4),
    ],
)
def test_as_many_threads_as_find_a_core(
    n_threads: int, cpus: int, others: float, expected: int
) -> None:
    machine = Machine()
    pacer = machine.pacer(n_threads, cpus)
    for _ in range(3):
        machine.run(0.6, own=float(n_threads), others=others)
        pacer.update()
    assert pacer.n_threads == expected


def test_the_first_look_of_an_answer_counts_at_once() -> None:
    machine = Machine()
    pacer = machine.pacer(2, 2)
    machine.run(0.6, own=1.0, others=1.0)
    assert pacer.update()
    assert pacer.n_threads == 1


def test_a_burst_changes_nothing_and_lasting_load_does() -> None:
    machine = Machine()
    pacer = machine.pacer(2, 2)
    machine.run(0.6, own=2.0, others=0.0)
    assert not pacer.update()
    machine.run(0.6, own=1.0, others=1.0)
    assert not pacer.update()
    machine.run(0.6, own=2.0, others=0.0)
    assert not pacer.update()
    assert pacer.n_threads == 2
    machine.run(0.6, own=1.0, others=1.0)
    assert not pacer.update()
    machine.run(0.6, own=1.0, others=1.0)
    assert pacer.update()
    assert pacer.n_threads == 1


def test_the_threads_come_back_when_the_others_are_done() -> None:
    machine = Machine()
    pacer = machine.pacer(2, 2)
    for others in (1.0, 1.0, 0.0, 0.0):
        machine.run(0.6, own=1.0, others=others)
        pacer.update()
    assert pacer.n_threads == 2


def test_nothing_is_looked_at_more_than_twice_a_second() -> None:
    machine = Machine()
    pacer = machine.pacer(2, 2)
    for _ in range(4):
        machine.run(0.1, own=1.0, others=1.0)
        assert not pacer.update()


def test_what_happened_between_two_answers_does_not_count() -> None:
    machine = Machine()
    pacer = machine.pacer(2, 2)
    machine.run(60.0, own=0.0, others=2.0)
    pacer.begin()
    machine.run(0.6, own=2.0, others=0.0)
    assert not pacer.update()
    machine.run(0.6, own=2.0, others=0.0)
    assert not pacer.update()


def test_the_clocks_of_this_machine() -> None:
    before = busy_cpu_s()
    sum(range(200_000))
    assert busy_cpu_s() >= before > 0


def test_a_system_that_keeps_its_counters_to_itself_is_taken_for_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses() -> None:
        # As psutil does on Windows where per-CPU times cannot be read.
        raise OSError(1, "Invalid function")

    monkeypatch.setattr(psutil, "cpu_times", refuses)
    assert busy_cpu_s() == busy_cpu_s() == 0.0
