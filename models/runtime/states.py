"""The engine's states, what may follow what, and what the listener is told. No Qt here."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.errors import EngineCrashedError, FathomError
from models.runtime.protocol import Event, Usage


class EngineState(enum.Enum):
    """What the engine child is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    IDLE = "idle"
    LOADING = "loading"
    READY = "ready"
    GENERATING = "generating"
    STOPPING = "stopping"
    CRASHED = "crashed"


_S = EngineState

# From LOADING and GENERATING back to STARTING: the retry in safe mode. From STOPPING to CRASHED:
# a child that had to be ended because it hung at start or broke the protocol.
TRANSITIONS: Mapping[EngineState, frozenset[EngineState]] = MappingProxyType(
    {
        _S.STOPPED: frozenset({_S.STARTING}),
        _S.STARTING: frozenset({_S.IDLE, _S.STOPPING, _S.CRASHED}),
        _S.IDLE: frozenset({_S.LOADING, _S.STOPPING, _S.CRASHED}),
        _S.LOADING: frozenset({_S.READY, _S.IDLE, _S.STARTING, _S.STOPPING, _S.CRASHED}),
        _S.READY: frozenset({_S.GENERATING, _S.LOADING, _S.IDLE, _S.STOPPING, _S.CRASHED}),
        _S.GENERATING: frozenset({_S.READY, _S.STARTING, _S.STOPPING, _S.CRASHED}),
        _S.STOPPING: frozenset({_S.STOPPED, _S.CRASHED}),
        _S.CRASHED: frozenset({_S.STARTING, _S.STOPPED}),
    }
)


@dataclass(frozen=True)
class Limits:
    """How long the supervisor waits for what, in seconds; docs/protocol.md, "Time limits".

    Attributes:
        hello_s: from the start of the process to ``hello``.
        cancel_load_s: from ``cancel`` to the end of a load; then the child is ended.
        cancel_s: the same for every other request; a GPU finishes its physical batch first.
        cancel_reply_s: from ``cancel`` to its answer, which the child gives at once whatever it
            computes; a child that does not is frozen.
        stop_cancel_s, stop_shutdown_s, stop_terminate_s: the rungs of the ladder.
        stop_kill_s: how long a killed child may take to be gone before it is given up.
        listener_s: how much longer ``stop`` waits when the listener does not return.
        silence_s: how long a child may live after it closed its standard output.
        crash_window_s, crash_limit: so many crashes within so many seconds, and no further
            child is started until the oldest is that long ago.
    """

    hello_s: float = 30.0
    cancel_load_s: float = 5.0
    cancel_s: float = 10.0
    cancel_reply_s: float = 2.0
    stop_cancel_s: float = 0.5
    stop_shutdown_s: float = 2.0
    stop_terminate_s: float = 1.0
    stop_kill_s: float = 5.0
    listener_s: float = 5.0
    silence_s: float = 2.0
    crash_window_s: float = 60.0
    crash_limit: int = 5

    def ladder_s(self) -> float:
        """Return how long the whole ladder takes at most."""
        return self.stop_cancel_s + self.stop_shutdown_s + self.stop_terminate_s + self.stop_kill_s


@dataclass(frozen=True)
class StateChanged:
    """The engine is now in ``state``."""

    state: EngineState
    previous: EngineState


@dataclass(frozen=True)
class SafeModeRetry:
    """The child crashed with ``error`` and what it did is tried once more in safe mode."""

    error: EngineCrashedError


@dataclass(frozen=True)
class EngineFailed:
    """The child failed; the request it was working on, if any, ended with that.

    An ``error`` event of a request is no failure of the child: it comes as an EventReceived.
    """

    error: FathomError
    request_id: int | None


@dataclass(frozen=True)
class EventReceived:
    """An event of a request, or one that belongs to none (``log``)."""

    event: Event


@dataclass(frozen=True)
class OthersAnswerEnded:
    """A request with a listener of its own has ended, by itself or not.

    Its events are for that listener; this is for whoever showed its live figures, which come to
    all.

    Attributes:
        usage: its final figures; None where it has none.
    """

    request_id: int
    usage: Usage | None


EngineNotice = StateChanged | SafeModeRetry | EngineFailed | EventReceived | OthersAnswerEnded
EngineListener = Callable[[EngineNotice], None]
