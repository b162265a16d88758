"""What the server answers: the way of a request from its head to its last byte. No Qt here.

Admission comes first and looks at the head alone (``admission.py``). There is no way from a
request to a file, an address or another program: what was admitted is read (``question.py``) and
told to the parent, and what the parent says is written (``exchange.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from models.api import admission
from models.api.answer import models_list, one_model
from models.api.client import HttpClient, HungUpError, Message, Receive, Send, read_body
from models.api.exchange import Exchange, Inbox
from models.api.protocol import (
    Asked,
    AskedForModels,
    FromChild,
    Gone,
    ModelsKnown,
    ServedModel,
    ServerOptions,
    ToChild,
    TurnedAway,
)
from models.api.question import ChatForm, read_question
from models.api.refusal import Refusal, RefusedRequestError

_LOG = logging.getLogger(__name__)

_MODELS_PATHS = ("/v1/models", "/models")
# DeepSeek's own API hears `prefix` under the third only.
_CHAT_PATHS = ("/v1/chat/completions", "/chat/completions", "/beta/chat/completions")
_HEALTH_PATH = "/health"
_TOLD_EVERY_S = 1.0
_KINDS_AT_ONCE = 3
_KINDS_KNOWN = 32
# The parent looks the answer up; it waits for nothing.
_MODELS_LIMIT_S = 30.0
# All bodies together, in multiples of the largest single one.
_BODIES_FACTOR = 8


class HttpApp:
    """The ASGI application, and the place where requests wait for the parent. Event loop only."""

    def __init__(
        self, options: ServerOptions, port: int, tell: Callable[[FromChild], None]
    ) -> None:
        """Prepare.

        Args:
            port: the one that the socket is bound to.
            tell: says something to the parent.
        """
        origins = frozenset(map(admission.normal_origin, options.allowed_origins)) - {""}
        self._door = admission.Door(port, options.key, origins)
        self._options = options
        self._tell = tell
        self._notes = TurnAwayNotes(tell)
        self._ids = itertools.count(1)
        self._inboxes: dict[int, Inbox] = {}
        self._asked_models: dict[int, asyncio.Future[tuple[ServedModel, ...]]] = {}
        self._began_s = int(time.time())
        self._reading = 0

    def turn_away(self, reason: str, shown: str) -> None:
        """Take note of a request that was not admitted."""
        self._notes.take(reason, shown)

    def take(self, reply: ToChild) -> None:
        """Hand on what the parent says; what it says of a request that is over is dropped."""
        if isinstance(reply, ModelsKnown):
            asked = self._asked_models.get(reply.id)
            if asked is not None and not asked.done():
                asked.set_result(reply.models)
        elif (inbox := self._inboxes.get(reply.id)) is not None:
            inbox.put(reply)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        client = HttpClient(scope, receive, send)
        # Nobody is left to be told anything.
        with contextlib.suppress(HungUpError):
            try:
                await self._answer(client)
            except RefusedRequestError as error:
                refusal = error.refusal
                if refusal.reason:
                    self.turn_away(refusal.reason, refusal.shown)
                await client.refuse(refusal)
            except HungUpError:
                return
            # Whatever is wrong in here costs one request, and its client is told in JSON too.
            except Exception:  # noqa: BLE001
                _LOG.exception("a request could not be answered")
                if client.has_begun:
                    client.drop()
                else:
                    message = "The server made a mistake: see its log."
                    await client.refuse(Refusal(500, "internal_error", message))

    async def _answer(self, client: HttpClient) -> None:
        head = client.head
        admission.check_head(head)
        admission.check_host(self._door, head)
        origin = admission.check_origin(self._door, head)
        client.more_headers += admission.cors_headers(origin)
        if head.method == "OPTIONS":
            await client.answer(204, b"", admission.preflight_headers(head, origin), kind="")
            return
        admission.check_key(self._door, head)
        if head.method == "POST":
            admission.check_content_type(head)
        if not client.let_in():
            raise _busy("There are too many connections at once.")
        await self._route(client)

    async def _route(self, client: HttpClient) -> None:
        head = client.head
        path = head.path
        base, _, model = path.partition("/models/")
        if path in _CHAT_PATHS:
            _check_method(head, "POST")
            await self._chat(client)
        elif path in _MODELS_PATHS:
            _check_method(head, "GET")
            await client.answer(200, models_list(await self._models(), self._began_s))
        elif base in ("", "/v1") and model:
            _check_method(head, "GET")
            await self._one_model(client, model)
        elif path == _HEALTH_PATH:
            _check_method(head, "GET")
            await client.answer(200, b'{"status":"ok"}')
        else:
            raise RefusedRequestError(
                Refusal(404, "not_found", "There is nothing here: see /v1/chat/completions.")
            )

    # --- which models there are -----------------------------------------------------------------

    async def _models(self) -> tuple[ServedModel, ...]:
        request_id = next(self._ids)
        known: asyncio.Future[tuple[ServedModel, ...]]
        known = self._asked_models[request_id] = asyncio.get_running_loop().create_future()
        try:
            self._tell(AskedForModels(request_id))
            async with asyncio.timeout(_MODELS_LIMIT_S):
                return await known
        except TimeoutError:
            raise _busy("Fathom does not answer.") from None
        finally:
            del self._asked_models[request_id]

    async def _one_model(self, client: HttpClient, name: str) -> None:
        found = [model for model in await self._models() if model.name == name]
        if not found:
            message = "There is no such model here: see /v1/models."
            raise RefusedRequestError(Refusal(404, "model_not_found", message, param="model"))
        await client.answer(200, one_model(found[0], self._began_s))

    # --- questions ------------------------------------------------------------------------------

    async def _chat(self, client: HttpClient) -> None:
        form = await self._read(client)
        request_id = next(self._ids)

        def overflow() -> None:
            # Slower than the engine by a whole book; it is not kept for it.
            self._tell(Gone(request_id))
            client.drop()

        inbox = self._inboxes[request_id] = Inbox(overflow)
        watch = asyncio.create_task(_watch(client, inbox))
        try:
            self._tell(Asked(request_id, form.question))
            exchange = Exchange(client, form, inbox)
            await (exchange.answer_stream() if form.stream else exchange.answer_whole())
        finally:
            watch.cancel()
            del self._inboxes[request_id]
            if not (inbox.has_ended or inbox.has_overflowed):
                self._tell(Gone(request_id))

    async def _read(self, client: HttpClient) -> ChatForm:
        if self._reading >= _BODIES_FACTOR:
            raise _busy("Too many questions are being read at once.")
        self._reading += 1
        try:
            body = await read_body(client, self._options.max_body_bytes, self._options.patience_s)
        finally:
            self._reading -= 1
        return read_question(body)


class TurnAwayNotes:
    """Tells the parent of requests that were not admitted.

    Of the same kind (reason, and what is shown of it) once a second at most, and of few kinds a
    second: who asks under ever new names is not to fill anything. A count is of its own kind only,
    so that no page is said to have done what another one did.
    """

    def __init__(
        self,
        tell: Callable[[FromChild], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            clock: monotonic seconds.
        """
        self._tell = tell
        self._clock = clock
        # The kinds that were heard of last, how often since they were told, and when that was.
        self._kinds: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        # When was told of each reason, of any kind.
        self._told_s: dict[str, deque[float]] = {}

    def take(self, reason: str, shown: str) -> None:
        """Tell of a request, or count it for the next time."""
        kind, now_s = (reason, shown), self._clock()
        count, told_s = self._kinds.pop(kind, (0, -math.inf))
        others_s = self._told_s.setdefault(reason, deque(maxlen=_KINDS_AT_ONCE))
        is_full = len(others_s) == _KINDS_AT_ONCE and now_s - others_s[0] < _TOLD_EVERY_S
        waits = is_full or now_s - told_s < _TOLD_EVERY_S
        self._kinds[kind] = (count + 1, told_s) if waits else (0, now_s)
        if len(self._kinds) > _KINDS_KNOWN:
            self._kinds.popitem(last=False)
        if not waits:
            others_s.append(now_s)
            self._tell(TurnedAway(reason, shown, count + 1))


async def _watch(client: HttpClient, inbox: Inbox) -> None:
    await client.wait_for_hang_up()
    inbox.hang_up()


def _check_method(head: admission.Head, method: str) -> None:
    """Refuse other methods, and bodies where none belongs.

    Raises:
        RefusedRequestError: 405 or 400.
    """
    if head.method != method:
        raise RefusedRequestError(
            Refusal(405, "method_not_allowed", f"Use {method} here.", headers=(("Allow", method),))
        )
    lengths = head.values(b"content-length")
    if method == "GET" and (head.values(b"transfer-encoding") or any(map(int, lengths))):
        raise RefusedRequestError(Refusal(400, "bad_request", "A GET has no body here."))


def _busy(message: str) -> RefusedRequestError:
    return RefusedRequestError(
        Refusal(503, "server_busy", message, headers=(("Retry-After", "1"),), reason="too_many")
    )
