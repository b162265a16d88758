"""One question that was admitted, from the parent's first word to its last. No Qt here."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable

from models.api.answer import (
    AnswerHead,
    AnswerStream,
    reading_comment,
    stream_error,
    waiting_comment,
    whole_answer,
)
from models.api.client import HttpClient, HungUpError
from models.api.protocol import Begun, Ended, Failed, Piece, Queued, ToChild
from models.api.question import ChatForm
from models.api.refusal import Refusal, RefusedRequestError, refusal_of

# What may wait for a client that reads slowly, in characters.
MAX_UNSENT_LENGTH = 1 << 20
# What a piece counts for besides its text: it takes memory by itself.
_PIECE_LENGTH = 64
# The same for an answer that is sent in one piece, which has to wait whole.
MAX_WHOLE_LENGTH = 16 << 20
# A stream in which nothing happens gets a comment so often: clients give up silent ones.
COMMENT_S = 10.0


class Inbox:
    """What the parent said of one request and nobody has looked at yet. Event loop only.

    Attributes:
        has_ended: the parent has said its last word.
        has_overflowed: more waited than may.
    """

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        """Prepare.

        Args:
            on_overflow: called once, when more waits than may; nothing is kept after it.
        """
        self._on_overflow = on_overflow
        self._items: deque[ToChild] = deque()
        self._length = 0
        self._has_news = asyncio.Event()
        self._hung_up = False
        self.has_ended = False
        self.has_overflowed = False

    def put(self, reply: ToChild) -> None:
        """Take what the parent said."""
        if self._hung_up or self.has_ended:
            return
        self.has_ended = isinstance(reply, (Ended, Failed))
        if isinstance(reply, Piece):
            self._length += len(reply.text) + len(reply.reasoning) + _PIECE_LENGTH
        self._items.append(reply)
        self._has_news.set()
        if self._length > MAX_UNSENT_LENGTH:
            self.has_overflowed = True
            self.hang_up()
            self._on_overflow()

    def hang_up(self) -> None:
        """Take note that the client is gone."""
        self._hung_up = True
        self._items.clear()
        self._has_news.set()

    async def take(self, limit_s: float | None = None) -> list[ToChild]:
        """Return what came, and wait for it; empty when nothing did in time.

        Raises:
            HungUpError: the client is gone.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._has_news.wait()
        if self._hung_up:
            raise HungUpError
        self._has_news.clear()
        items = list(self._items)
        self._items.clear()
        self._length = 0
        return items


class Exchange:
    """Turns what the parent says into one answer."""

    def __init__(
        self, client: HttpClient, form: ChatForm, inbox: Inbox, *, comment_s: float = COMMENT_S
    ) -> None:
        self._client = client
        self._form = form
        self._inbox = inbox
        self._comment_s = comment_s
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created_s = int(time.time())
        self._model = form.question.model
        self._ahead = 0
        self._stream: AnswerStream | None = None

    async def answer_whole(self) -> None:
        """Send the answer in one piece, at its end.

        Raises:
            RefusedRequestError: there is none.
            HungUpError: nobody waits for it any more.
        """
        texts: list[str] = []
        reasonings: list[str] = []
        length = 0
        while True:
            for reply in await self._inbox.take():
                if isinstance(reply, Begun):
                    self._model = reply.model
                elif isinstance(reply, Piece):
                    texts.append(reply.text)
                    reasonings.append(reply.reasoning)
                    length += len(reply.text) + len(reply.reasoning)
                elif isinstance(reply, Failed):
                    raise RefusedRequestError(refusal_of(reply))
                elif isinstance(reply, Ended):
                    text, reasoning = "".join(texts), "".join(reasonings)
                    body = whole_answer(
                        self._head(), text, reasoning, reply.stop_reason, reply.usage
                    )
                    await self._client.answer(200, body)
                    return
            if length > MAX_WHOLE_LENGTH:
                message = "The answer is too long for one piece: ask for a stream."
                raise RefusedRequestError(Refusal(500, "too_long", message))

    async def answer_stream(self) -> None:
        """Send the answer as it comes.

        Its status is sent when the engine begins, or when nothing was said for a while.

        Raises:
            RefusedRequestError: there is none, and nothing was sent yet.
            HungUpError: nobody waits for it any more.
        """
        while True:
            replies = await self._inbox.take(self._comment_s)
            if not replies:
                await self._keep_waiting()
            for reply in replies:
                if await self._sent_last(reply):
                    return

    async def _sent_last(self, reply: ToChild) -> bool:
        """Send what a reply means; return whether it was the last."""
        if isinstance(reply, Queued):
            self._ahead = reply.ahead
            if self._client.has_begun:
                await self._keep_waiting()
        elif isinstance(reply, Begun):
            self._model = reply.model
            await self._begin()
        elif isinstance(reply, Piece):
            stream = await self._begin()
            if data := stream.piece(reply.text, reply.reasoning):
                await self._client.send_piece(data)
        elif isinstance(reply, Ended):
            stream = await self._begin()
            await self._client.end_stream(stream.end(reply.stop_reason, reply.usage))
            return True
        elif isinstance(reply, Failed):
            refusal = refusal_of(reply)
            if not self._client.has_begun:
                raise RefusedRequestError(refusal)
            await self._client.end_stream(stream_error(refusal))
            return True
        return False

    async def _begin(self) -> AnswerStream:
        if self._stream is None:
            await self._begin_http()
            self._stream = AnswerStream(self._head(), include_usage=self._form.include_usage)
            await self._client.send_piece(self._stream.begin())
        return self._stream

    async def _begin_http(self) -> None:
        if not self._client.has_begun:
            await self._client.begin_stream()

    async def _keep_waiting(self) -> None:
        await self._begin_http()
        waits = self._stream is None and self._ahead > 0
        await self._client.send_piece(waiting_comment(self._ahead) if waits else reading_comment())

    def _head(self) -> AnswerHead:
        return AnswerHead(self._id, self._created_s, self._model)
