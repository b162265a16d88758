"""The server for other programs: the child that speaks HTTP, and the desk that answers. No Qt here.

The child owns the socket and nothing else. It is looked after by its reader thread
(models/runtime/client.py); the lock here is held for bookkeeping only, and what listens is called
without it, in order.
"""

from __future__ import annotations

import enum
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from models.api.desk import ApiDesk, RequestNote
from models.api.outbox import Outbox
from models.api.protocol import (
    FromChild,
    Listening,
    NotListening,
    ServedModel,
    ServerOptions,
    ToChild,
    TurnedAway,
    event_from_line,
    options_to_line,
    reply_to_line,
)
from models.api.requests import Awaited
from models.errors import EngineProtocolError, FathomError, ServerDownError, error_from_json
from models.runtime.client import ChildClient, ChildEnd
from models.runtime.command import engine_environment, program_command, repair_hint
from models.runtime.outcome import describe_end
from models.runtime.protocol import Sampling, decode_line, encode_line
from models.runtime.supervisor import EngineSupervisor
from models.runtime.turns import EngineTurns

_LOG = logging.getLogger(__name__)

BEGIN_LIMIT_S = 30.0
# From the end of its input to SIGTERM, to SIGKILL, to giving up.
_STEPS_S = (2.0, 1.0, 5.0)
_JOIN_MORE_S = 2.0


class ServerPhase(enum.Enum):
    """What the server is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    LISTENING = "listening"
    FAILED = "failed"


@dataclass(frozen=True)
class ServerState:
    """How the server is; address and port while it listens, the error when it failed."""

    phase: ServerPhase = ServerPhase.STOPPED
    address: str = ""
    port: int = 0
    error: FathomError | None = None

    @property
    def url(self) -> str:
        """What programs are told as their base URL; empty unless it listens."""
        return f"http://{self.address}:{self.port}/v1" if self.port else ""


class ApiServer:
    """At most one child that speaks HTTP, and the requests that it brings.

    Every method may be called from any thread. ``start`` and ``stop`` wait for a child to end and
    must not be called by what listens here; all others return at once.
    """

    def __init__(
        self,
        engine: EngineSupervisor,
        turns: EngineTurns,
        *,
        served: Callable[[], ServedModel | Awaited | None],
        defaults: Callable[[], tuple[Sampling, int]],
        noted: Callable[[RequestNote], None],
        on_state: Callable[[ServerState], None],
        on_turned_away: Callable[[TurnedAway], None],
        command: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; no child runs before ``start``.

        Args:
            engine: who answers.
            turns: shared with everybody else who asks the engine.
            served: as of ``ApiDesk``.
            defaults: as of ``ApiDesk``.
            noted: told of requests; like the next two in whatever thread, in order, and it must
                not wait.
            on_state: told each new state.
            on_turned_away: told of requests that were not admitted.
            command: the child's command line; None for this program's.
            env: variables laid over this process's environment for the child.
        """
        self._command = list(command or program_command("http-server"))
        self._env = dict(env or {})
        self._on_state = on_state
        self._on_turned_away = on_turned_away
        self._make_desk = partial(
            ApiDesk,
            engine,
            turns,
            served=served,
            defaults=defaults,
            noted=noted,
            numbers=itertools.count(1),
        )
        self._changing = threading.RLock()  # one start or stop at a time
        self._lock = threading.Lock()  # guards everything below
        self._outbox = Outbox(self._lock)
        self._state = ServerState()
        self._child: _ServerChild | None = None
        self._is_closed = False

    @property
    def state(self) -> ServerState:
        """What the server is doing."""
        with self._lock:
            return self._state

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        child = self._child
        return child.pid if child is not None else None

    def start(self, options: ServerOptions) -> None:
        """Open the server; one that is open is ended first. How it went comes as a state."""
        with self._changing:
            self.stop()
            child = _ServerChild(self, options, self._command, self._env)
            # One each: children count their requests from 1, and what is still said to the last
            # one's clients must not reach those of the next.
            child.desk = self._make_desk(send=child.send)
            with self._lock:
                if self._is_closed:
                    return
                self._child = child
                self._set(ServerState(ServerPhase.STARTING))
            self._outbox.deliver()
            child.begin()

    def stop_current(self) -> None:
        """Stop answers and refuse what waits, as before another checkpoint is loaded."""
        with self._lock:
            child = self._child
        if child is not None:
            child.desk.stop_current()

    def stop(self) -> None:
        """Close the server, cancel its answers, and wait until the child is gone; safe twice."""
        with self._changing:
            self._stop()
        self._outbox.deliver()

    def close(self) -> None:
        """As ``stop``, for good: also a ``start`` that is under way opens nothing after it."""
        with self._lock:
            self._is_closed = True
        self.stop()

    def _stop(self) -> None:
        with self._lock:
            child = self._child
        if child is not None:
            child.end()
            child.desk.close()
            child.join()
        with self._lock:
            if self._child is None and self._state.phase is ServerPhase.FAILED:
                self._set(ServerState())

    # --- from the child's reader thread ---------------------------------------------------------

    def take(self, child: _ServerChild, event: FromChild) -> None:
        """Take an event of a child."""
        with self._lock:
            if child is not self._child or child.is_ending:
                return
            if isinstance(event, Listening):
                self._set(ServerState(ServerPhase.LISTENING, event.address, event.port))
            elif isinstance(event, TurnedAway):
                self._outbox.put(partial(self._on_turned_away, event))
        self._outbox.deliver()
        child.desk.take(event)

    def take_end(self, child: _ServerChild, error: FathomError | None) -> None:
        """Take note that a child is gone; ``error``: it was not told to go."""
        child.desk.close()
        with self._lock:
            if child is not self._child:
                return
            self._child = None
            if error is None:
                self._set(ServerState())
            else:
                _LOG.info("%s\n%s", error.one_line(), error.details)
                self._set(ServerState(ServerPhase.FAILED, error=error))
        self._outbox.deliver()

    def _set(self, state: ServerState) -> None:
        """Go to another state; lock held."""
        self._state = state
        self._outbox.put(partial(self._on_state, state))


class _ServerChild:
    """One child from its birth to its end; ``ClientOwner`` of its client.

    Attributes:
        desk: answers its clients; given before it begins.
    """

    desk: ApiDesk

    def __init__(
        self,
        server: ApiServer,
        options: ServerOptions,
        command: Sequence[str],
        env: Mapping[str, str],
    ) -> None:
        self._server = server
        self._options = options
        self._error: FathomError | None = None
        # In monotonic seconds; before it listens, and while it ends.
        self._begin_deadline: float | None = None
        self._steps: list[tuple[float, Callable[[], None]]] = []
        self._wants_end = threading.Event()
        self._was_told = False
        self._is_climbing = False
        self._client: ChildClient[FromChild] = ChildClient(
            command,
            env=engine_environment(env),
            owner=self,
            decode=_event_of,
            subject="server",
        )

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._client.pid

    @property
    def is_ending(self) -> bool:
        """Whether it was told to go, or has to."""
        return self._wants_end.is_set() or self._error is not None

    def begin(self) -> None:
        """Start the child."""
        self._begin_deadline = time.monotonic() + BEGIN_LIMIT_S
        try:
            self._client.begin()
        except RuntimeError as error:  # the system has no thread left
            self._server.take_end(self, _cannot_start(str(error)))

    def send(self, reply: ToChild) -> None:
        """Hand a reply to the child."""
        self._client.send(encode_line(reply_to_line(reply)))

    def end(self) -> None:
        """Let it end; ``join`` waits for that."""
        self._wants_end.set()
        self._client.wake()

    def join(self) -> None:
        """Wait until it is gone."""
        if not self._client.join(sum(_STEPS_S) + _JOIN_MORE_S):
            _LOG.error("the server's reader thread does not end")

    # --- the reader thread ----------------------------------------------------------------------

    def on_event(self, event: FromChild) -> None:
        """Take an event of the child."""
        if isinstance(event, NotListening):
            self._error = error_from_json(vars(event))
            return
        if isinstance(event, Listening) != (self._begin_deadline is not None):
            raise EngineProtocolError("The server's child spoke out of turn.")
        self._begin_deadline = None
        self._server.take(self, event)

    def on_broken(self, error: EngineProtocolError) -> None:
        """End a child that does not speak the protocol."""
        self._fail("does not speak Fathom's protocol", f"{error.message} {error.details}")

    def on_pass(self, now: float) -> None:
        """Do what is due."""
        if not self._was_told:
            # The first pass is the first moment at which there is a pipe.
            self._was_told = True
            self._client.send(encode_line(options_to_line(self._options)))
        if self._begin_deadline is not None and now >= self._begin_deadline:
            self._begin_deadline = None
            self._fail(f"did not open its address within {BEGIN_LIMIT_S:g} s")
        if self.is_ending and not self._is_climbing:
            self._is_climbing = True
            self._plan_steps(now)
        while self._steps and now >= self._steps[0][0]:
            _, step = self._steps.pop(0)
            step()

    def next_deadline(self) -> float | None:
        """Return when something is due."""
        return self._steps[0][0] if self._steps else self._begin_deadline

    def on_ended(self, end: ChildEnd) -> None:
        """Say how it ended."""
        words = self._client.stderr_tail()
        if words:
            _LOG.info("the server's last words:\n%s", words)
        error = self._error
        if self._wants_end.is_set():
            error = None
        elif end.start_failure:
            error = _cannot_start(f"{end.start_failure}\n{words}")
        elif error is None:
            outcome = describe_end(end.returncode, words)
            error = _ended(f"{outcome.verb} ({outcome.sign})", words)
        self._server.take_end(self, error)

    def _fail(self, words: str, details: str = "") -> None:
        if self._error is None:
            tail = self._client.stderr_tail()
            self._error = _ended(words, "\n".join(filter(None, [details, tail])))

    def _plan_steps(self, now: float) -> None:
        to_term_s, to_kill_s, to_leave_s = _STEPS_S
        self._client.close_input()
        steps = (self._client.terminate, self._client.kill, self._client.abandon)
        due_s = now
        for wait_s, step in zip((to_term_s, to_kill_s, to_leave_s), steps, strict=True):
            due_s += wait_s
            self._steps.append((due_s, step))


def _event_of(line: bytes) -> FromChild:
    return event_from_line(decode_line(line))


def _cannot_start(details: str) -> ServerDownError:
    return ServerDownError(
        "The server cannot be started.", hint=repair_hint(), details=details.strip()
    )


def _ended(words: str, details: str) -> ServerDownError:
    return ServerDownError(f"The server {words}.", hint="Start it again.", details=details)
