from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from app.bridges.downloads import DownloadsBridge
from helpers.download_samples import job_spec, job_view
from models.errors import DiskFullError, TransferError
from models.transfer.events import (
    JobChanged,
    JobGone,
    QueueReplaced,
    TransferDown,
    TransferTrouble,
)
from models.transfer.job import JobState, JobView


@pytest.fixture
def bridge(qtbot: QtBot) -> Iterator[DownloadsBridge]:
    bridge = DownloadsBridge()
    yield bridge
    bridge.detach()


class Heard:
    def __init__(self, bridge: DownloadsBridge) -> None:
        self.lists: list[tuple[JobView, ...]] = []
        self.steps: list[tuple[JobState | None, JobState]] = []
        bridge.jobs_changed.connect(self.lists.append)
        bridge.stepped.connect(self.take_step)

    def take_step(self, before: JobView | None, after: JobView) -> None:
        self.steps.append((before.state if before else None, after.state))


def running(share: float) -> JobView:
    return job_view(job_spec(1), JobState.DOWNLOADING, share=share, rate_bytes_s=1e6, eta_s=9.0)


def test_figures_are_handed_on_together(bridge: DownloadsBridge, qtbot: QtBot) -> None:
    heard = Heard(bridge)
    bridge.listener(QueueReplaced((running(0.0),)))
    qtbot.waitUntil(lambda: len(heard.lists) == 1)
    assert heard.steps == []

    def much() -> None:
        for step in range(1, 200):
            bridge.listener(JobChanged(running(step / 200)))

    thread = threading.Thread(target=much)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: heard.lists[-1][0].bytes_done == running(199 / 200).bytes_done)
    assert len(heard.lists) <= 3
    assert heard.steps == []


def test_a_step_is_told_at_once_and_in_order(bridge: DownloadsBridge, qtbot: QtBot) -> None:
    heard = Heard(bridge)
    for state in (JobState.QUEUED, JobState.RESOLVING, JobState.READY):
        bridge.listener(JobChanged(job_view(job_spec(1), state)))
    qtbot.waitUntil(lambda: len(heard.steps) == 3)
    assert heard.steps == [
        (None, JobState.QUEUED),
        (JobState.QUEUED, JobState.RESOLVING),
        (JobState.RESOLVING, JobState.READY),
    ]
    assert not bridge._timer.isActive()


def test_the_order_is_the_queues(bridge: DownloadsBridge, qtbot: QtBot) -> None:
    heard = Heard(bridge)
    views = [job_view(job_spec(n), JobState.QUEUED, position=n) for n in (3, 1, 2)]
    bridge.listener(QueueReplaced(tuple(views)))
    qtbot.waitUntil(lambda: bool(heard.lists))
    assert [view.position for view in bridge.jobs] == [1, 2, 3]
    bridge.listener(JobGone(views[1].job_id))
    qtbot.waitUntil(lambda: len(heard.lists) == 2)
    assert [view.position for view in bridge.jobs] == [2, 3]


def test_nothing_moves_while_there_is_no_child(bridge: DownloadsBridge, qtbot: QtBot) -> None:
    bridge.listener(QueueReplaced((running(0.5),)))
    with qtbot.waitSignal(bridge.went_down) as down:
        bridge.listener(TransferDown(TransferError("It ended."), is_final=False))
    assert down.args[1] is False
    assert bridge.jobs == (dataclasses.replace(running(0.5), rate_bytes_s=0.0, eta_s=None),)


def test_trouble_comes_and_goes(bridge: DownloadsBridge, qtbot: QtBot) -> None:
    with qtbot.waitSignal(bridge.trouble) as trouble:
        bridge.listener(TransferTrouble(DiskFullError("No room.", missing_bytes=1)))
    assert isinstance(trouble.args[0], DiskFullError)
    with qtbot.waitSignal(bridge.trouble) as trouble:
        bridge.listener(TransferTrouble(None))
    assert trouble.args == [None]


def test_after_detach_nothing_is_heard(bridge: DownloadsBridge, qtbot: QtBot) -> None:
    heard = Heard(bridge)
    bridge.listener(JobChanged(running(0.1)))
    bridge.detach()
    bridge.listener(JobChanged(running(0.2)))
    qtbot.wait(0)
    assert heard.lists == []
