from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject, Slot
from pytestqt.qtbot import QtBot

from app.tasks import TaskRunner, expected
from models.errors import StoppedError

LIMIT_S = 20.0


class Receiver(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.results: list[object] = []
        self.errors: list[Exception] = []
        self.threads: list[threading.Thread] = []

    @Slot(object)
    def take(self, result: object) -> None:
        self.results.append(result)
        self.threads.append(threading.current_thread())

    @Slot(object)
    def fail(self, error: Exception) -> None:
        self.errors.append(error)
        self.threads.append(threading.current_thread())


@pytest.fixture
def runner(qapp: QCoreApplication) -> Iterator[TaskRunner]:
    runner = TaskRunner()
    yield runner
    runner.shutdown()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def test_the_operation_runs_elsewhere_and_the_result_arrives_here(
    runner: TaskRunner, receiver: Receiver, qtbot: QtBot
) -> None:
    runner.run(threading.current_thread, done=receiver.take, error=receiver.fail)
    qtbot.waitUntil(lambda: bool(receiver.results))
    assert receiver.results[0] is not threading.main_thread()
    assert receiver.threads == [threading.main_thread()]
    assert runner.is_idle


def test_a_failure_arrives_as_the_exception(
    runner: TaskRunner, receiver: Receiver, qtbot: QtBot
) -> None:
    def fail() -> None:
        raise ValueError("no")

    runner.run(fail, done=receiver.take, error=receiver.fail)
    qtbot.waitUntil(lambda: bool(receiver.errors))
    assert isinstance(receiver.errors[0], ValueError)
    assert receiver.results == []
    assert receiver.threads == [threading.main_thread()]


def test_nothing_is_delivered_inside_run(runner: TaskRunner, receiver: Receiver) -> None:
    ran = threading.Event()
    runner.run(ran.set, done=receiver.take, error=receiver.fail)
    assert ran.wait(LIMIT_S)
    assert receiver.results == []


@pytest.mark.parametrize("lane", ["store", "engine"])
def test_a_lane_of_one_thread_keeps_the_order(
    runner: TaskRunner, receiver: Receiver, qtbot: QtBot, lane: str
) -> None:
    first_may_end = threading.Event()
    order: list[int] = []
    runner.run(
        lambda: (first_may_end.wait(LIMIT_S), order.append(0)),
        done=receiver.take,
        error=receiver.fail,
        lane=lane,
    )
    for number in range(1, 20):
        runner.run(
            lambda number=number: order.append(number),
            done=receiver.take,
            error=receiver.fail,
            lane=lane,
        )
    first_may_end.set()
    qtbot.waitUntil(lambda: len(receiver.results) == 20)
    assert order == list(range(20))


def test_a_busy_lane_does_not_hold_up_another(
    runner: TaskRunner, receiver: Receiver, qtbot: QtBot
) -> None:
    may_end = threading.Event()
    runner.run(
        lambda: may_end.wait(LIMIT_S), done=receiver.take, error=receiver.fail, lane="engine"
    )
    runner.run(lambda: "general", done=receiver.take, error=receiver.fail)
    runner.run(lambda: "store", done=receiver.take, error=receiver.fail, lane="store")
    qtbot.waitUntil(lambda: len(receiver.results) == 2)
    assert set(receiver.results) == {"general", "store"}
    may_end.set()
    qtbot.waitUntil(lambda: len(receiver.results) == 3)


def test_a_task_whose_receiver_is_gone_is_dropped(runner: TaskRunner, qtbot: QtBot) -> None:
    gone, other = Receiver(), Receiver()
    may_end = threading.Event()
    runner.run(lambda: may_end.wait(LIMIT_S), done=gone.take, error=gone.fail)
    gone.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    may_end.set()
    runner.run(lambda: 1, done=other.take, error=other.fail, lane="store")
    qtbot.waitUntil(lambda: runner.is_idle)
    assert gone.results == []
    assert other.results == [1]


def test_a_dropped_task_is_never_heard_of(
    runner: TaskRunner, receiver: Receiver, qtbot: QtBot
) -> None:
    task = runner.run(lambda: 1, done=receiver.take, error=receiver.fail)
    task.drop()
    qtbot.waitUntil(lambda: runner.is_idle)
    assert receiver.results == []


def test_shutdown_finishes_the_store_lane_and_forgets_what_has_not_begun(
    receiver: Receiver, qapp: QCoreApplication
) -> None:
    runner = TaskRunner()
    may_end = threading.Event()
    begun = threading.Semaphore(0)
    written: list[int] = []

    def block() -> None:
        begun.release()
        may_end.wait(LIMIT_S)

    for _ in range(2):
        runner.run(block, done=receiver.take, error=receiver.fail)
    runner.run(block, done=receiver.take, error=receiver.fail, lane="store")
    for _ in range(3):
        assert begun.acquire(timeout=LIMIT_S)
    never = threading.Event()
    runner.run(never.set, done=receiver.take, error=receiver.fail)
    for number in range(5):
        runner.run(
            lambda number=number: written.append(number),
            done=receiver.take,
            error=receiver.fail,
            lane="store",
        )
    threading.Timer(0.05, may_end.set).start()
    runner.shutdown()
    qapp.processEvents()
    assert written == [0, 1, 2, 3, 4]
    assert not never.is_set()
    assert receiver.results == []


def test_after_shutdown_nothing_runs(receiver: Receiver, qapp: QCoreApplication) -> None:
    runner = TaskRunner()
    runner.shutdown()
    task = runner.run(lambda: 1, done=receiver.take, error=receiver.fail)
    assert task.dropped
    runner.shutdown()


def test_many_tasks_from_many_lanes_all_arrive(
    runner: TaskRunner, receiver: Receiver, qtbot: QtBot
) -> None:
    for number in range(300):
        lane = ("general", "store", "engine")[number % 3]
        runner.run(lambda number=number: number, done=receiver.take, error=receiver.fail, lane=lane)
    qtbot.waitUntil(lambda: len(receiver.results) == 300, timeout=20_000)
    assert sorted(receiver.results) == list(range(300))  # type: ignore[type-var]


def test_a_failure_can_be_shown_and_a_bug_is_raised() -> None:
    failure = StoppedError()
    assert expected(failure) is failure
    bug = KeyError("nothing")
    with pytest.raises(KeyError) as raised:
        expected(bug)
    assert raised.value is bug
