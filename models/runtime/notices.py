"""What the engine's listeners are still to be told, in order. No Qt here."""

from __future__ import annotations

import logging
from collections import deque
from threading import Condition

from models.errors import FathomError
from models.runtime.protocol import Cancelled, Done, Event, StatsEvent
from models.runtime.request_book import OpenRequest
from models.runtime.states import (
    EngineFailed,
    EngineListener,
    EngineNotice,
    EventReceived,
    OthersAnswerEnded,
)

_LOG = logging.getLogger(__name__)


class Notices:
    """A queue that is filled with the engine's lock held and emptied without it."""

    def __init__(self, changed: Condition, listener: EngineListener) -> None:
        """Prepare.

        Args:
            changed: guards the queue.
            listener: hears everything but the events of requests that have a listener of their own,
                of whose it hears the live figures and the last ones.
        """
        self._changed = changed
        self._listener = listener
        self._queue: deque[tuple[EngineListener, EngineNotice]] = deque()
        self._delivering = False

    def tell(self, notice: EngineNotice) -> None:
        """Queue a notice; lock held."""
        self._queue.append((self._listener, notice))

    def tell_event(self, event: Event, request: OpenRequest) -> None:
        """Queue an event for whom its request belongs to; live figures are for both; lock held."""
        notice = EventReceived(event)
        if request.listener is None:
            self.tell(notice)
            return
        self._queue.append((request.listener, notice))
        if isinstance(event.body, StatsEvent):
            self.tell(notice)
        elif event.is_final:
            usage = event.body.usage if isinstance(event.body, (Done, Cancelled)) else None
            self.tell(OthersAnswerEnded(request.id, usage))

    def tell_failure(self, error: FathomError, work: OpenRequest | None) -> None:
        """Queue the child's failure for whom its work belonged to, and for all; lock held."""
        notice = EngineFailed(error, work.id if work else None)
        if work is not None and work.listener is not None:
            self._queue.append((work.listener, notice))
        self.tell(notice)

    def deliver(self) -> None:
        """Call the listeners with what is queued, in order, one thread at a time; no lock held."""
        while True:
            with self._changed:
                if self._delivering or not self._queue:
                    return
                self._delivering = True
                listener, notice = self._queue.popleft()
            try:
                listener(notice)
            except Exception:  # noqa: BLE001
                # A bug in the listener must not leave the child without its watchdog.
                _LOG.exception("the engine's listener failed on %s", type(notice).__name__)
            finally:
                with self._changed:
                    self._delivering = False
