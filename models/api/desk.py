"""Questions of other programs, one after the other, to the engine that the chat asks too.

No Qt here. Every method may be called from any thread and returns at once. The lock is held for
bookkeeping only: whatever is called out (the engine, turns, replies, notes) is called without it,
replies and notes in the order in which they were decided.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterator
from functools import partial

from models.api.outbox import Outbox
from models.api.protocol import (
    Asked,
    AskedForModels,
    Begun,
    Ended,
    Failed,
    FromChild,
    Gone,
    ModelsKnown,
    Piece,
    Question,
    Queued,
    ServedModel,
    ToChild,
)
from models.api.requests import BUSY_RETRY_S, ApiRequest, Awaited, RequestNote, failed, stopped
from models.errors import FathomError, InvalidSettingError
from models.runtime.protocol import (
    Cancelled,
    Delta,
    Done,
    ErrorEvent,
    Event,
    GenerateRequest,
    Sampling,
    Started,
    Usage,
)
from models.runtime.request_book import error_from_event
from models.runtime.states import EngineFailed, EngineNotice, EngineState, EventReceived
from models.runtime.supervisor import EngineSupervisor
from models.runtime.turns import EngineTurns

__all__ = ["ApiDesk", "RequestNote"]

_LOG = logging.getLogger(__name__)
MAX_REQUESTS = 32

# The names of DeepSeek's own API, and whether they think before they answer there.
DEEPSEEK_NAMES = {"deepseek-chat": False, "deepseek-reasoner": True}
_THINKING_OPTIONS = ("enable_thinking", "thinking")
_COMING = (EngineState.STARTING, EngineState.LOADING)


class ApiDesk:
    """Has the questions that one child of the server brings answered, until it is closed."""

    def __init__(
        self,
        engine: EngineSupervisor,
        turns: EngineTurns,
        *,
        served: Callable[[], ServedModel | Awaited | None],
        defaults: Callable[[], tuple[Sampling, int]],
        send: Callable[[ToChild], None],
        noted: Callable[[RequestNote], None],
        numbers: Iterator[int] | None = None,
    ) -> None:
        """Prepare.

        Args:
            engine: who answers.
            turns: shared with everybody else who asks the engine.
            served: returns what is loaded, or is about to be; None: nothing, or not for other
                programs now.
            defaults: returns sampling and the longest answer in tokens (0: until the context is
                full) for what a question leaves open.
            send: hands a reply to the child; must not wait.
            noted: told when a request comes, begins to be answered and ends; must not wait.
            numbers: of requests, for people; shared by desks that come one after the other.
        """
        self._engine = engine
        self._turns = turns
        self._served = served
        self._defaults = defaults
        self._send = send
        self._noted = noted
        self._lock = threading.Lock()  # guards everything below
        self._outbox = Outbox(self._lock)
        self._numbers = itertools.count(1) if numbers is None else numbers
        self._requests: dict[int, ApiRequest] = {}
        self._is_closed = False

    def take(self, event: FromChild) -> None:
        """Take an event of the child; those that are no request of a client are passed over."""
        if isinstance(event, AskedForModels):
            served = self._served()
            known = (served,) if isinstance(served, ServedModel) else ()
            self._tell(ModelsKnown(event.id, known))
        elif isinstance(event, Asked):
            self._take_question(event)
        elif isinstance(event, Gone):
            with self._lock:
                request = self._requests.get(event.id)
            if request is not None:
                self._drop(request)

    def stop_current(self) -> None:
        """Stop the answer under way and refuse what waits: the checkpoint is about to go."""
        with self._lock:
            requests = list(self._requests.values())
            for request in requests:
                request.is_stopped = True
        for request in reversed(requests):  # the last ones first: else each would begin in turn
            self._stop(request)

    def close(self) -> None:
        """Stop everything without a word, for good: the child is gone, its clients with it."""
        with self._lock:
            self._is_closed = True
            requests = list(self._requests.values())
            for request in requests:
                request.is_gone = True
            self._requests.clear()
        for request in reversed(requests):
            self._stop(request)

    # --- a question comes -----------------------------------------------------------------------

    def _take_question(self, asked: Asked) -> None:
        refusal = self._refusal(asked.id, asked.question.model, self._served())
        with self._lock:
            if self._is_closed or asked.id in self._requests:
                return
            request = ApiRequest(asked.id, next(self._numbers), asked.question)
            self._requests[asked.id] = request
            self._note(request)
            if len(self._requests) > MAX_REQUESTS:
                words = f"{MAX_REQUESTS} requests are waiting already."
                refusal = Failed(
                    asked.id, 429, "too_many_requests", words, retry_after_s=BUSY_RETRY_S
                )
        self._outbox.deliver()
        if refusal is not None:
            self._end(request, refusal)
            return
        turn = self._turns.ask(
            partial(self._begin, request), moved=partial(self._tell_place, request)
        )
        with self._lock:
            request.turn = turn
            has_ended = request.has_ended
        if has_ended:
            # Before it was known here that it had begun.
            turn.end()
        self._tell_place(request)

    def _refusal(
        self, request_id: int, name: str, served: ServedModel | Awaited | None
    ) -> Failed | None:
        """Return why nothing answers to a name now; None when something does."""
        if served is None and self._engine.state in _COMING:
            served = Awaited(0.0)
        if isinstance(served, Awaited):
            words, retry_s = "The checkpoint is being loaded.", math.ceil(served.wait_s)
            retry_s = max(retry_s, BUSY_RETRY_S)
            return Failed(request_id, 503, "model_loading", words, retry_after_s=retry_s)
        if served is None:
            hint = "Load one in Fathom."
            return Failed(request_id, 503, "model_not_loaded", "No checkpoint is loaded.", hint)
        if name in ("", served.name, *DEEPSEEK_NAMES):
            return None
        words = f'There is no model "{name[:200]}" here; "{served.name}" is loaded.'
        return Failed(request_id, 404, "model_not_found", words)

    def _tell_place(self, request: ApiRequest) -> None:
        """Tell a client how many are before it, if fewer than it knows."""
        turn = request.turn
        if turn is None:
            return
        ahead = turn.ahead
        with self._lock:
            is_news = request.told_ahead is None or ahead < request.told_ahead
            if request.state == "waiting" and ahead and is_news:
                request.told_ahead = ahead
                self._reply(request, Queued(request.id, ahead))
        self._outbox.deliver()

    # --- its turn -------------------------------------------------------------------------------

    def _begin(self, request: ApiRequest) -> None:
        """Ask the engine; called by the thread that ended the turn before."""
        with self._lock:
            if request.state != "waiting":
                return
            request.state = "answering"
            must_end = request.must_end
        try:
            refusal = stopped(request.id) if must_end else self._hand_over(request)
        except FathomError as error:
            refusal = failed(request.id, error)
        except Exception:  # noqa: BLE001
            # A bug costs this request, and not everybody the engine.
            _LOG.exception("a question could not be handed to the engine")
            words = "The question could not be handed to the engine."
            refusal = Failed(request.id, 500, "internal", words, "See Fathom's log.")
        if refusal is not None:
            self._end(request, refusal)

    def _hand_over(self, request: ApiRequest) -> Failed | None:
        """Ask the engine; return why it cannot be asked, None when it was.

        Raises:
            FathomError: the engine does not take the question.
        """
        served = self._served()
        refusal = self._refusal(request.id, request.question.model, served)
        if refusal is None and isinstance(served, ServedModel):
            self._ask_engine(request, served)
        return refusal

    def _ask_engine(self, request: ApiRequest, served: ServedModel) -> None:
        sampling, max_tokens = self._defaults()
        asked = engine_request(request.question, sampling, max_tokens)
        with self._lock:
            request.model = served.name
            self._note(request)
        self._outbox.deliver()
        engine_id = self._engine.generate(asked, listener=partial(self._on_notice, request))
        with self._lock:
            request.engine_id = engine_id
            must_end = request.must_end
        if must_end:
            self._engine.cancel(engine_id)

    def _on_notice(self, request: ApiRequest, notice: EngineNotice) -> None:
        if isinstance(notice, EngineFailed):
            self._end(request, failed(request.id, notice.error))
        elif isinstance(notice, EventReceived):
            self._on_event(request, notice.event)

    def _on_event(self, request: ApiRequest, event: Event) -> None:
        body = event.body
        if isinstance(body, Started):
            self._on_started(request, body)
        elif isinstance(body, Delta):
            with self._lock:
                request.count(body)
                self._reply(request, Piece(request.id, body.text, body.reasoning))
            self._outbox.deliver()
        elif isinstance(body, Done):
            ending = Ended(request.id, body.stop_reason, request.usage(body.usage))
            self._end(request, ending, body.usage)
        elif isinstance(body, Cancelled):
            self._end(request, stopped(request.id), body.usage)
        elif isinstance(body, ErrorEvent):
            self._end(request, failed(request.id, error_from_event(body)))

    def _on_started(self, request: ApiRequest, started: Started) -> None:
        with self._lock:
            request.prompt_tokens = started.prompt_tokens
            # A crash before the first word is made good once, and then it starts twice.
            if not request.has_begun:
                request.has_begun = True
                self._reply(request, Begun(request.id, request.model, started.prompt_tokens))
        self._outbox.deliver()

    # --- the end --------------------------------------------------------------------------------

    def _drop(self, request: ApiRequest) -> None:
        with self._lock:
            request.is_gone = True
        self._stop(request)

    def _stop(self, request: ApiRequest) -> None:
        """End a request that nobody wants answered any more, or see to it that it ends soon."""
        with self._lock:
            is_waiting = request.state == "waiting"
            engine_id = request.engine_id if not request.has_ended else None
        if is_waiting:
            self._end(request, stopped(request.id), only_waiting=True)
        elif engine_id is not None:
            self._engine.cancel(engine_id)

    def _end(
        self,
        request: ApiRequest,
        ending: Ended | Failed,
        usage: Usage | None = None,
        *,
        only_waiting: bool = False,
    ) -> None:
        """Say the last word of a request and give its turn back, once."""
        with self._lock:
            if request.has_ended or (only_waiting and request.state != "waiting"):
                engine_id = request.engine_id if not request.has_ended else None
                turn = None
            else:
                engine_id, turn = None, request.turn
                self._settle(request, ending, usage)
        self._outbox.deliver()
        if engine_id is not None:
            # Its turn came while it was to be ended.
            self._engine.cancel(engine_id)
        if turn is not None:
            turn.end()

    def _settle(self, request: ApiRequest, ending: Ended | Failed, usage: Usage | None) -> None:
        """Take note of the end; lock held."""
        if self._requests.get(request.id) is request:
            del self._requests[request.id]
        self._reply(request, ending)
        error = ""
        if request.is_gone:
            request.state = "gone"
        elif isinstance(ending, Failed):
            request.state, error = "failed", ending.message
        else:
            request.state = "done"
        self._note(request, usage, error)

    # --- what is said, lock held ----------------------------------------------------------------

    def _reply(self, request: ApiRequest, reply: ToChild) -> None:
        if not request.is_gone and not request.has_ended:
            self._outbox.put(partial(self._send, reply))

    def _note(self, request: ApiRequest, usage: Usage | None = None, error: str = "") -> None:
        self._outbox.put(partial(self._noted, request.note(usage, error)))

    def _tell(self, reply: ToChild) -> None:
        """Reply to no request of the engine's; no lock held."""
        with self._lock:
            self._outbox.put(partial(self._send, reply))
        self._outbox.deliver()


def engine_request(question: Question, sampling: Sampling, max_tokens: int) -> GenerateRequest:
    """Return what the engine is asked.

    Args:
        question: of a client; the child has looked at it, and is not believed for that.
        sampling: for what the question leaves open.
        max_tokens: the same; 0: until the context is full.

    Raises:
        InvalidSettingError: a number is none, or there is no such setting.
    """
    options = dict(question.template_options)
    thinks = DEEPSEEK_NAMES.get(question.model)
    if thinks is not None and not options:
        options = dict.fromkeys(_THINKING_OPTIONS, thinks)
    return GenerateRequest(
        messages=question.messages,
        sampling=_sampling(question.sampling, sampling),
        max_tokens=max_tokens if question.max_tokens is None else max(question.max_tokens, 0),
        stop=question.stop,
        template_options=options,
        continue_answer=question.continue_answer,
    )


def _sampling(given: dict[str, float], defaults: Sampling) -> Sampling:
    known = dataclasses.asdict(defaults)
    values: dict[str, float] = {}
    for name, number in given.items():
        if name not in known or not math.isfinite(number):
            raise InvalidSettingError(f"{name[:80]} cannot be {number}.")
        values[name] = int(number) if isinstance(known[name], int) else number
    return dataclasses.replace(defaults, **values)  # type: ignore[arg-type]  # checked above
