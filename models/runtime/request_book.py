"""Which requests a child still owes an answer to, and how the finished ones ended. No Qt here."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from models.errors import EngineProtocolError, FathomError, error_from_json
from models.runtime.protocol import (
    Benched,
    Bye,
    CancelAccepted,
    Cancelled,
    Delta,
    DeviceList,
    Done,
    ErrorEvent,
    Event,
    Json,
    Loaded,
    Pong,
    Streams,
    Unloaded,
)
from models.runtime.states import EngineListener

# What the engine does one at a time; everything else may be asked for meanwhile.
_WORK_OPS = ("load", "unload", "generate", "bench", "streams")
_FINAL_BODIES: dict[str, type] = {
    "devices": DeviceList,
    "load": Loaded,
    "unload": Unloaded,
    "generate": Done,
    "bench": Benched,
    "streams": Streams,
    "cancel": CancelAccepted,
    "ping": Pong,
    "shutdown": Bye,
}
# How many results are kept for somebody who waits late; the window never waits.
_RESULTS_KEPT = 64

Result = Event | FathomError


@dataclass
class OpenRequest:
    """A request without its final event.

    Attributes:
        internal: the supervisor's own (cancel, shutdown, the reload in safe mode).
        has_answer: a part of the answer has come; it cannot be begun again unseen.
        deadline: when a cancelled request must have ended, in monotonic seconds.
        listener: who hears of it instead of the engine's listener; None: that one does.
    """

    id: int
    op: str
    fields: Json
    internal: bool = False
    has_answer: bool = False
    cancelled: bool = False
    deadline: float | None = None
    listener: EngineListener | None = None

    @property
    def is_work(self) -> bool:
        """Whether the engine can do nothing else until this has ended."""
        return self.op in _WORK_OPS and not self.internal

    def check(self, event: Event) -> None:
        """Take note of an event.

        Raises:
            EngineProtocolError: it is the final event of another kind of request.
        """
        if isinstance(event.body, Delta):
            self.has_answer = True
        expected = (_FINAL_BODIES[self.op], Cancelled, ErrorEvent)
        if event.is_final and not isinstance(event.body, expected):
            raise EngineProtocolError(
                f"The engine answered {self.op} with {type(event.body).__name__}."
            )


class RequestBook:
    """Open requests by id, and the last results. Not thread-safe: its owner's lock guards it."""

    def __init__(self) -> None:
        self._next_id = 1
        self._open: dict[int, OpenRequest] = {}
        self._results: OrderedDict[int, Result] = OrderedDict()

    def new_id(self) -> int:
        """Return an id that was never used, not for an earlier child either."""
        self._next_id += 1
        return self._next_id - 1

    def add(self, request: OpenRequest) -> None:
        """Take note that a request was sent."""
        self._open[request.id] = request

    def get(self, request_id: int) -> OpenRequest | None:
        """Return the open request of that id."""
        return self._open.get(request_id)

    def work(self) -> OpenRequest | None:
        """Return the work that somebody asked for and that is not finished."""
        return next((request for request in self._open.values() if request.is_work), None)

    def all(self) -> list[OpenRequest]:
        """Return every open request."""
        return list(self._open.values())

    def finish(self, request: OpenRequest, result: Result) -> None:
        """Take note how a request ended."""
        del self._open[request.id]
        if request.internal:
            return
        self._results[request.id] = result
        while len(self._results) > _RESULTS_KEPT:
            self._results.popitem(last=False)

    def result(self, request_id: int) -> Event | None:
        """Return the final event of a request, None while it is open.

        Raises:
            FathomError: the request failed.
            LookupError: there is no such request, or it ended too long ago.
        """
        if request_id in self._open:
            return None
        if request_id not in self._results:
            raise LookupError(f"no request has the id {request_id}")
        result = self._results[request_id]
        if isinstance(result, FathomError):
            raise result.with_traceback(None)
        if isinstance(result.body, ErrorEvent):
            raise error_from_event(result.body)
        return result

    def next_deadline(self) -> float | None:
        """Return when the first cancelled request must have ended."""
        deadlines = [request.deadline for request in self._open.values() if request.deadline]
        return min(deadlines, default=None)

    def overdue(self, now: float) -> OpenRequest | None:
        """Return a request that was cancelled and did not end in time."""
        for request in self._open.values():
            if request.deadline is not None and request.deadline <= now:
                return request
        return None


def error_from_event(body: ErrorEvent) -> FathomError:
    """Return the failure that an ``error`` event speaks of."""
    return error_from_json(vars(body))
