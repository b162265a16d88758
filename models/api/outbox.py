"""Calls that are decided under a lock and made without it, in order. No Qt here."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


class Outbox:
    """A queue of calls, filled with its owner's lock held and emptied without it."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._calls: deque[Callable[[], None]] = deque()
        self._is_delivering = False

    def put(self, call: Callable[[], None]) -> None:
        """Queue a call; lock held."""
        self._calls.append(call)

    def deliver(self) -> None:
        """Make the calls, one thread at a time; no lock held.

        A thread that finds another one at it returns at once: that one makes these calls too.
        """
        while True:
            with self._lock:
                if self._is_delivering or not self._calls:
                    return
                self._is_delivering = True
                call = self._calls.popleft()
            try:
                call()
            except Exception:  # noqa: BLE001
                # A bug of who listens must not keep the others from hearing, nor cost a turn.
                _LOG.exception("a listener of the server failed")
            finally:
                with self._lock:
                    self._is_delivering = False
