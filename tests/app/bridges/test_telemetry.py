from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bridges.telemetry import INTERVAL_MS, Telemetry
from app.tasks import TaskRunner
from helpers.logcheck import LogCheck
from helpers.window_parts import snapshot
from models.hardware.readouts import HardwareSnapshot
from models.hardware.sampler import HardwareSampler

LIMIT_S = 20.0


class RecordingSampler:
    """Samples in the way it is told to and remembers where it ran."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.pids: list[int | None] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.fails = False
        self.closed = False

    def sample(self, engine_pid: int | None = None) -> HardwareSnapshot:
        self.threads.append(threading.current_thread())
        self.pids.append(engine_pid)
        self.may_go.wait(LIMIT_S)
        if self.fails:
            raise OSError("the driver is gone")
        return snapshot()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def runner(qapp: QApplication) -> Iterator[TaskRunner]:
    runner = TaskRunner()
    yield runner
    runner.shutdown()


def test_the_real_sampler_delivers(runner: TaskRunner, qtbot: QtBot) -> None:
    telemetry = Telemetry(runner, HardwareSampler, lambda: None)
    with qtbot.waitSignal(telemetry.sampled, timeout=20_000) as sampled:
        telemetry.start()
    telemetry.stop()
    assert sampled.args is not None
    taken = sampled.args[0]
    assert taken.ram.total_bytes > 0
    assert taken.ram.source
    assert telemetry.latest == taken
    qtbot.waitUntil(lambda: runner.is_idle)
    telemetry.close()


def test_it_samples_in_the_background_and_never_twice_at_once(
    runner: TaskRunner, qtbot: QtBot
) -> None:
    sampler = RecordingSampler()
    sampler.may_go.clear()
    telemetry = Telemetry(runner, lambda: sampler, lambda: 4711)
    telemetry.start()
    for _ in range(5):
        telemetry._tick()
    qtbot.waitUntil(lambda: len(sampler.threads) == 1)
    with qtbot.waitSignal(telemetry.sampled):
        sampler.may_go.set()
    assert sampler.threads[0] is not threading.main_thread()
    assert sampler.pids == [4711]
    telemetry.close()
    assert sampler.closed
    assert not telemetry.is_running


def test_a_failure_ends_the_readouts_and_nothing_else(
    runner: TaskRunner, qtbot: QtBot, allow_logs: LogCheck
) -> None:
    allow_logs("Hardware readouts stopped")
    sampler = RecordingSampler()
    sampler.fails = True
    telemetry = Telemetry(runner, lambda: sampler, lambda: None)
    telemetry.start()
    qtbot.waitUntil(lambda: not telemetry.is_running)
    assert telemetry.latest is None


def test_it_never_samples_more_than_once_a_second() -> None:
    assert INTERVAL_MS >= 1000
