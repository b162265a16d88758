"""A lock whose release lets another thread in at once: the interleaving that a race needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from helpers.engine_harness import WAIT_S


class LockWithGap:
    """In the place of a ``threading.Lock`` that is used in ``with`` statements.

    Attributes:
        in_gap: run once in a thread of its own after a release, before its holder goes on.
        when: whether it is this release's gap; asked after each.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.in_gap: Callable[[], object] | None = None
        self.when: Callable[[], bool] = lambda: True

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
        in_gap = self.in_gap
        if in_gap is None or not self.when():
            return
        self.in_gap = None
        other = threading.Thread(target=in_gap)
        other.start()
        other.join(WAIT_S)
