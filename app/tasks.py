"""Background work: an operation, what to do with its result, what to do with its failure.

The operation runs in a thread of its lane and touches no widget; ``done`` and ``error`` run in
the main thread. Lanes keep apart what must not wait for each other, and keep in order what must
not overtake.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, Signal, Slot

from models.errors import FathomError

T = TypeVar("T")

# A thread that computes in Python lets another one run only this often, and the main thread takes
# the interpreter lock many times to paint a page. Measured with benchmarks/judging_latency.py
# (Discover painted sixty times a second on two cores while the catalogue is judged), the 99th
# percentile of a paint in two runs: 14 and 15 ms with nothing judged, 70 and 134 at Python's own
# 5 ms, 29 and 30 at this; of an event's wait 185 and 196 ms, and 43 and 39. Judging takes 9 to 12 s
# then in place of 6. 0.5 ms is much the same as this.
_SWITCH_INTERVAL_S = 0.0002

# ``control`` is for what stops something: never behind a slow disk or driver. ``plan`` must answer
# while a slider moves, so what may take seconds (``verify``) does not stand before it. ``hub``
# waits for the network, ``judge`` plans a whole catalogue, ``disk`` hashes and moves files,
# ``formulas`` waits for the child that draws them, ``server`` for the one that speaks HTTP. A lane
# that nobody uses has no threads.
LANES = {
    "general": 2,
    "store": 1,
    "engine": 1,
    "control": 1,
    "plan": 1,
    "verify": 1,
    "hub": 2,
    "judge": 1,
    "disk": 1,
    "formulas": 1,
    "server": 1,
}

_log = logging.getLogger(__name__)


class Task:
    """One piece of background work; ``drop()`` makes sure that nobody hears of it again."""

    def __init__(self, done: Callable[[Any], None], error: Callable[[Exception], None]) -> None:
        self.done = done
        self.error = error
        self.dropped = False

    def drop(self) -> None:
        """Forget the task: its result will not be delivered. What runs is not interrupted."""
        self.dropped = True


class TaskRunner(QObject):
    """Runs operations in the lanes of ``LANES``. Lives in the main thread."""

    _finished = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        sys.setswitchinterval(min(_SWITCH_INTERVAL_S, sys.getswitchinterval()))
        self._closed = False
        self._unfinished = 0
        self._pools = {
            lane: ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"fathom-{lane}")
            for lane, threads in LANES.items()
        }
        self._finished.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    @property
    def is_idle(self) -> bool:
        """Whether every task has ended and been delivered."""
        return self._unfinished == 0

    def run(
        self,
        op: Callable[[], T],
        *,
        done: Callable[[T], None],
        error: Callable[[Exception], None],
        lane: str = "general",
    ) -> Task:
        """Run ``op`` in a lane, then ``done(result)`` or ``error(exception)`` in the main thread.

        Nothing is delivered when the QObject that ``done`` or ``error`` is bound to is gone by
        then, when the task was dropped, or after ``shutdown``.
        """
        task = Task(done, error)
        if self._closed:
            task.drop()
            return task
        self._unfinished += 1
        self._pools[lane].submit(self._work, op, task)
        return task

    def shutdown(self) -> None:
        """Finish what has begun and the whole store lane, forget the rest, and wait for it."""
        self._closed = True
        for lane, pool in self._pools.items():
            pool.shutdown(wait=False, cancel_futures=lane != "store")
        for pool in self._pools.values():
            pool.shutdown(wait=True)

    def _work(self, op: Callable[[], Any], task: Task) -> None:
        try:
            result, failure = op(), None
        # Every failure, expected or a bug, belongs to the task's error callback.
        except Exception as exception:  # noqa: BLE001
            result, failure = None, exception
        if not self._closed and shiboken6.isValid(self):
            self._finished.emit(task, result, failure)

    @Slot(object, object, object)
    def _deliver(self, task: Task, result: object, failure: Exception | None) -> None:
        self._unfinished -= 1
        callback: Callable[[Any], None] = task.done if failure is None else task.error
        if task.dropped or self._closed or _is_gone(callback):
            if failure is not None:
                _log.info("A task failed after its receiver was gone: %r", failure)
            return
        callback(result if failure is None else failure)


def _is_gone(callback: Callable[..., None]) -> bool:
    while isinstance(callback, partial):
        callback = callback.func
    receiver = getattr(callback, "__self__", None)
    return isinstance(receiver, QObject) and not shiboken6.isValid(receiver)


def expected(error: Exception) -> FathomError:
    """Return a failure of background work that can be shown; anything else is a bug and raised."""
    if isinstance(error, FathomError):
        return error
    raise error
