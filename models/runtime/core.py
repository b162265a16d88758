"""What is known of the engine child, and what its reader thread does about it. No Qt here.

The caller's side is models/runtime/supervisor.py; the locking is described there. Methods whose
docstring says "lock held" belong to both sides.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Condition

from models.errors import (
    EngineCrashedError,
    EngineError,
    EngineProtocolError,
    EngineStartError,
    EngineUnresponsiveError,
    EngineVersionError,
    FathomError,
)
from models.runtime.client import ChildEnd, EngineClient, OpenPipes
from models.runtime.command import engine_environment
from models.runtime.ladder import Ladder, Rung
from models.runtime.notices import Notices
from models.runtime.outcome import Outcome, describe_end
from models.runtime.protocol import (
    PROTOCOL_VERSION,
    Cancelled,
    ErrorEvent,
    Event,
    Hello,
    Json,
    Loaded,
    ModelInfo,
    Unloaded,
    encode_line,
)
from models.runtime.request_book import OpenRequest, RequestBook
from models.runtime.states import (
    TRANSITIONS,
    EngineListener,
    EngineState,
    EventReceived,
    Limits,
    SafeModeRetry,
    StateChanged,
)

_LOG = logging.getLogger(__name__)
_S = EngineState

# Requests that compute with the loaded checkpoint.
ON_CHECKPOINT = ("generate", "bench")
_DOING = {
    "load": "while it loaded the checkpoint",
    "unload": "while it unloaded the checkpoint",
    "generate": "while it answered",
    "bench": "while it measured",
    "streams": "while it measured",
}


@dataclass
class StartAttempt:
    """One attempt to start a child, for everybody who waits for it."""

    deadline: float
    done: bool = False
    error: FathomError | None = None


class EngineCore:
    """One engine child at a time, the requests it owes answers to, and its state."""

    def __init__(
        self,
        command: Sequence[str],
        listener: EngineListener,
        limits: Limits,
        env: Mapping[str, str] | None,
        pipes: OpenPipes,
    ) -> None:
        self._command = list(command)
        self._env = env
        self._open_pipes = pipes
        self._reload: OpenRequest | None = None
        self.limits = limits
        self.changed = Condition()  # its lock guards everything here
        self._notices = Notices(self.changed, listener)
        self.state = _S.STOPPED
        self.client: EngineClient | None = None
        self.last_client: EngineClient | None = None
        self.starting: StartAttempt | None = None
        self.ladder: Ladder | None = None
        self.book = RequestBook()
        self.load_fields: Json = {}
        self.model: ModelInfo | None = None
        self.safe_mode = False
        self._before_load: tuple[Json, ModelInfo | None, bool] = ({}, None, False)
        self.crash_times: deque[float] = deque(maxlen=max(limits.crash_limit, 1))

    # --- both sides -----------------------------------------------------------------------------

    def set_state(self, state: EngineState) -> None:
        """Go to another state; lock held. An illegal step is a bug and raises RuntimeError."""
        previous = self.state
        if state is previous:
            return
        if state not in TRANSITIONS[previous]:
            raise RuntimeError(f"the engine cannot go from {previous.name} to {state.name}")
        self.state = state
        self._notices.tell(StateChanged(state, previous))
        self.changed.notify_all()

    def forget_model(self) -> None:
        """Take note that nothing is loaded; lock held."""
        self.model = None
        self.safe_mode = False

    def begin_load(self, fields: Json) -> None:
        """Take note of a load that was sent, and of what was loaded before; lock held."""
        self._before_load = (self.load_fields, self.model, self.safe_mode)
        self.load_fields = fields
        self.forget_model()
        self.set_state(_S.LOADING)

    def spawn(self) -> StartAttempt:
        """Start a child and its reader thread; lock held."""
        attempt = StartAttempt(time.monotonic() + self.limits.hello_s)
        client = EngineClient(
            self._command,
            env=engine_environment(self._env),
            owner=self,
            silence_limit_s=self.limits.silence_s,
            pipes=self._open_pipes,
        )
        self.client = self.last_client = client
        self.starting = attempt
        self.set_state(_S.STARTING)
        try:
            client.begin()
        except RuntimeError as error:  # the system has no thread left
            self.client = None
            self._fail(EngineStartError("The engine could not be started.", details=str(error)))
        return attempt

    def send(self, request: OpenRequest) -> None:
        """Hand a request to the pipe; lock held."""
        if self.client is None:
            raise RuntimeError("there is no engine child")
        line = encode_line({"id": request.id, "op": request.op, **request.fields})
        self.book.add(request)
        self.client.send(line)

    def cancel(self, request: OpenRequest) -> None:
        """See to it that a request ends soon; lock held."""
        if request.cancelled or request.internal:
            return
        request.cancelled = True
        if self.ladder is not None:
            return
        if self.starting is not None:
            # Between the crash and the retry in safe mode: no child has it.
            self._finish(request, Event(request.id, Cancelled(None)))
            return
        target = self._target(request)
        load_s, other_s = self.limits.cancel_load_s, self.limits.cancel_s
        now_s = time.monotonic()
        target.deadline = now_s + (load_s if target.op == "load" else other_s)
        reply = self._send_internal("cancel", {"target": target.id})
        reply.deadline = now_s + self.limits.cancel_reply_s

    def end_child(self, ladder: Ladder) -> None:
        """Begin to end the child; the reader thread climbs down on its next passes; lock held.

        A child that is being ended goes on down its own ladder, whoever else wants it to end.
        """
        if self.ladder is None:
            self.ladder = ladder
            self.set_state(_S.STOPPING)
        elif ladder.by_user:
            self.ladder.by_user = True

    def deliver(self) -> None:
        """Call the listeners with what is queued, in order, one thread at a time; no lock held."""
        self._notices.deliver()

    # --- the reader thread ----------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """Take an event of the child."""
        with self.changed:
            if self.starting is None:
                self._take_answer(event)
            elif self.ladder is None:
                self._take_hello(event, self.starting)
        self.deliver()

    def on_broken(self, error: EngineProtocolError) -> None:
        """End a child that does not speak the protocol: an answer may have been lost."""
        with self.changed:
            if self.ladder is not None:
                return
            reason: EngineError = error
            if self.starting is not None:
                reason = EngineStartError(
                    "The engine did not start: it does not speak Fathom's protocol.",
                    hint="Run `fathom doctor` to check the installation.",
                    details=f"{error.message} {error.details}",
                )
            self.end_child(Ladder(Rung.TERMINATE, reason=reason))
        self.deliver()

    def on_pass(self, now: float) -> None:
        """Do what is due."""
        with self.changed:
            if self.ladder is None:
                self._check_deadlines(now)
            if self.ladder is not None:
                works = self.book.work() is not None and self.starting is None
                self._step(self.ladder.climb(now, self.limits, works=works))
        self.deliver()

    def next_deadline(self) -> float | None:
        """Return when something is due."""
        with self.changed:
            if self.ladder is not None:
                return self.ladder.deadline
            if self.starting is not None:
                return self.starting.deadline
            return self.book.next_deadline()

    def on_ended(self, end: ChildEnd) -> None:
        """Settle everything that the child left open."""
        with self.changed:
            tail = self.last_client.stderr_tail() if self.last_client else ""
            if end.unfinished:
                tail += f"\nunfinished line: {end.unfinished}"
            ladder, self.ladder, self.client = self.ladder, None, None
            if tail and (ladder is None or ladder.reason is not None):
                # Also for a crash that the retry makes good, whose details nobody is shown.
                _LOG.info("the engine's last words:\n%s", tail)
            if ladder is not None:
                self._ended_by_ladder(ladder, end, tail)
            elif self.starting is not None:
                self._fail(_start_error(end, tail))
            else:
                self._ended_by_itself(describe_end(end.returncode, tail), tail)
            self.changed.notify_all()
        self.deliver()

    # --- its parts, lock held -------------------------------------------------------------------

    def _send_internal(self, op: str, fields: Json) -> OpenRequest:
        request = OpenRequest(self.book.new_id(), op, fields, internal=True)
        self.send(request)
        return request

    def _target(self, request: OpenRequest) -> OpenRequest:
        """Return what the child is doing for the sake of a request."""
        return self._reload if self._reload and request.op in ON_CHECKPOINT else request

    def _finish(self, request: OpenRequest, event: Event) -> None:
        self.book.finish(request, event)
        if not request.internal:
            self._notices.tell_event(event, request)
        self.changed.notify_all()

    def _take_hello(self, event: Event, attempt: StartAttempt) -> None:
        hello = event.body
        if isinstance(hello, ErrorEvent):
            # A child that cannot even say hello may say why; then it ends.
            error = EngineStartError(hello.message, hint=hello.hint, details=hello.details)
            self.end_child(Ladder(Rung.TERMINATE, reason=error))
            return
        if not isinstance(hello, Hello):
            raise EngineProtocolError("The engine's first event was not hello.")
        if hello.protocol != PROTOCOL_VERSION:
            old = EngineVersionError(
                f"The engine speaks protocol {hello.protocol}, "
                f"this Fathom speaks {PROTOCOL_VERSION}.",
                hint="Two versions of Fathom are mixed. Install it again.",
                details=f"engine of Fathom {hello.app_version}, {hello.engine_version}",
            )
            self.end_child(Ladder(Rung.TERMINATE, reason=old))
            return
        attempt.done = True
        self.starting = None
        self.set_state(_S.IDLE)
        self._resume()

    def _take_answer(self, event: Event) -> None:
        if isinstance(event.body, Hello):
            raise EngineProtocolError("The engine said hello twice.")
        if event.request_id is None:
            self._notices.tell(EventReceived(event))
            return
        request = self.book.get(event.request_id)
        if request is None:
            _LOG.debug("dropped a late %s", type(event.body).__name__)
            return
        request.check(event)
        if not event.is_final:
            self._notices.tell_event(event, request)
        elif request is self._reload:
            self._end_reload(request, event)
        else:
            self._finish(request, event)
            self._settle(request, event)

    def _settle(self, request: OpenRequest, event: Event) -> None:
        """Go to the state that a finished request leads to."""
        if self.ladder is not None:
            return
        if request.op in ON_CHECKPOINT:
            self.set_state(_S.READY)
        elif isinstance(event.body, Loaded):
            self.model = event.body.model
            self.set_state(_S.READY)
        elif isinstance(event.body, ErrorEvent) and event.body.still_loaded:
            self.load_fields, self.model, self.safe_mode = self._before_load
            self.set_state(_S.READY if self.model is not None else _S.IDLE)
        elif request.op == "load" or isinstance(event.body, Unloaded):
            self.forget_model()
            self.set_state(_S.IDLE)

    def _check_deadlines(self, now: float) -> None:
        if self.starting is not None:
            if now >= self.starting.deadline:
                error = EngineStartError(
                    f"The engine did not start within {self.limits.hello_s:g} s.",
                    hint="Try again; the first start after an installation takes longest.",
                )
                self.end_child(Ladder(Rung.TERMINATE, reason=error))
            return
        request = self.book.overdue(now)
        if request is None:
            return
        work = self.book.work()
        remark = None
        is_loading = self._reload is not None or (work is not None and work.op == "load")
        if not is_loading:
            # The request ends as cancelled, but the checkpoint is gone, which nobody asked for.
            remark = EngineUnresponsiveError(
                "The engine did not react and was ended.", hint="Load the checkpoint again."
            )
        self.end_child(Ladder(Rung.TERMINATE, remark=remark))

    def _step(self, rung: Rung | None) -> None:
        work, client = self.book.work(), self.client
        if rung is None or client is None:
            return
        _LOG.info("ending the engine child: %s", rung.name)
        if rung is Rung.CANCEL and work is not None:
            self._send_internal("cancel", {"target": self._target(work).id})
        elif rung is Rung.SHUTDOWN:
            self._send_internal("shutdown", {})
        elif rung is Rung.TERMINATE:
            client.terminate()
        elif rung is Rung.KILL:
            client.kill()
        elif rung is Rung.GIVE_UP:
            _LOG.warning("the engine child %s could not be ended", client.pid)
            client.abandon()

    def _ended_by_ladder(self, ladder: Ladder, end: ChildEnd, tail: str) -> None:
        _LOG.info("the engine child was ended; exit status %s", end.returncode)
        if ladder.reason is not None:
            error = ladder.reason
            error.details = "\n".join(filter(None, [error.details, tail]))
            self._fail(error, _S.STOPPED if ladder.by_user else _S.CRASHED)
            return
        self._reload = None
        for request in self.book.all():
            self._finish(request, Event(request.id, Cancelled(None)))
        self._end_start(EngineStartError("The engine was stopped while it was starting."))
        self.forget_model()
        self.set_state(_S.STOPPED)
        if ladder.remark is not None:
            ladder.remark.details = tail
            self._notices.tell_failure(ladder.remark, None)

    def _ended_by_itself(self, outcome: Outcome, tail: str) -> None:
        work = self.book.work()
        doing = _DOING[work.op] if work else ""
        if self.safe_mode:
            doing = f"in safe mode {doing}".strip()
        error = outcome.error(doing, tail)
        if (
            work is not None
            and outcome.is_native_crash
            and isinstance(error, EngineCrashedError)
            and self._may_retry(work)
        ):
            self._retry(work, error)
        else:
            self._fail(error)

    def _fail(self, error: FathomError, state: EngineState = _S.CRASHED) -> None:
        """End every request and every wait with the child's failure."""
        self._reload = None
        work = self.book.work()
        # Whoever waits in ``start`` is told there.
        is_told = self._end_start(error) and work is None
        if work is not None and work.cancelled:
            self._finish(work, Event(work.id, Cancelled(None)))
            work = None
        for request in self.book.all():
            self.book.finish(request, error)
        self.forget_model()
        if state is _S.CRASHED:
            self.crash_times.append(time.monotonic())
        self.set_state(state)
        if not is_told:
            self._notices.tell_failure(error, work)

    def _end_start(self, error: FathomError) -> bool:
        attempt, self.starting = self.starting, None
        if attempt is None:
            return False
        attempt.error, attempt.done = error, True
        return True

    # --- the retry in safe mode, lock held ------------------------------------------------------

    def _may_retry(self, work: OpenRequest) -> bool:
        is_safe = not self.load_fields["settings"]["use_extra_bufts"]
        return work.op not in ("unload", "streams") and not (
            is_safe or work.cancelled or work.has_answer
        )

    def _retry(self, work: OpenRequest, error: EngineCrashedError) -> None:
        """Start another child that takes the work over, under the id that its caller knows."""
        self._reload = None
        for request in self.book.all():
            if request is not work:
                self.book.finish(request, error)
        # Once per load: what is loaded like this crashes for good the next time.
        settings = {**self.load_fields["settings"], "use_extra_bufts": False}
        self.load_fields = {**self.load_fields, "settings": settings}
        if work.op == "load":
            work.fields = self.load_fields
        self.model = None
        self.safe_mode = True
        self._notices.tell(SafeModeRetry(error))
        self.spawn()

    def _resume(self) -> None:
        work = self.book.work()
        if work is None:
            self.safe_mode = False
            return
        if work.op == "load":
            self.send(work)
        else:
            self._reload = self._send_internal("load", self.load_fields)
        self.set_state(_S.LOADING)

    def _end_reload(self, reload: OpenRequest, event: Event) -> None:
        """The checkpoint is back, or is not: go on with the answer, or end it too."""
        self._reload = None
        self.book.finish(reload, event)
        answer = self.book.work()
        if self.ladder is not None or answer is None:
            return
        if not isinstance(event.body, Loaded):
            self._finish(answer, Event(answer.id, event.body))
            self.forget_model()
            self.set_state(_S.IDLE)
            return
        self._notices.tell(EventReceived(event))
        self.model = event.body.model
        self.set_state(_S.READY)
        if answer.cancelled:
            self._finish(answer, Event(answer.id, Cancelled(None)))
        else:
            self.send(answer)
            self.set_state(_S.GENERATING)


def _start_error(end: ChildEnd, tail: str) -> EngineStartError:
    if end.start_failure:
        return EngineStartError(
            "The engine could not be started.",
            hint="Run `fathom doctor` to check the installation.",
            details="\n".join(filter(None, [end.start_failure, tail])),
        )
    outcome = describe_end(end.returncode, tail)
    return EngineStartError(
        outcome.sentence("while it was starting"), hint=outcome.hint, details=tail
    )
