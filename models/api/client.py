"""The client of one request: what it sends, and what it is sent. No Qt here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from models.api.admission import Head
from models.api.connection import JSON_TYPE, LINGER_S, ServerConnection, response_headers
from models.api.refusal import Refusal, RefusedRequestError

STREAM_TYPE = "text/event-stream; charset=utf-8"
# A client that takes nothing for so long, with its part of the network full, is given up.
UNREAD_LIMIT_S = 60.0

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class HungUpError(Exception):
    """The client is gone: nobody is there to be answered."""


class HttpClient:
    """One request as ASGI has it, and its answer.

    Attributes:
        head: the request without its body.
        more_headers: what all answers to this request have besides the usual.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.head = Head(
            method=scope["method"],
            path=scope["path"],
            headers=tuple(scope["headers"]),
            http_version=scope["http_version"],
        )
        self.more_headers: list[tuple[str, str]] = []
        self._connection: ServerConnection = scope["state"]["connection"]
        self._receive = receive
        self._send = send
        self._has_whole_body = False
        self._has_begun = False

    def let_in(self) -> bool:
        """Take note that the key was shown; return whether there is room for the client."""
        return self._connection.let_in()

    @property
    def has_begun(self) -> bool:
        """Whether the status of the answer has been sent."""
        return self._has_begun

    def drop(self) -> None:
        """Cut the client off."""
        self._connection.drop()

    async def read_some(self) -> bytes:
        """Return more of the body; empty at its end.

        Raises:
            HungUpError: the client went away before.
        """
        while not self._has_whole_body:
            message = await self._receive()
            if message["type"] != "http.request":
                raise HungUpError
            self._has_whole_body = not message["more_body"]
            if message["body"]:
                body: bytes = message["body"]
                return body
        return b""

    async def wait_for_hang_up(self) -> None:
        """Return when the client is gone; for requests whose body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(
        self,
        status: int,
        body: bytes,
        headers: Sequence[tuple[str, str]] = (),
        kind: str = JSON_TYPE,
    ) -> None:
        """Send a whole answer.

        Raises:
            HungUpError: the client does not take it.
        """
        await self._begin(status, kind, [*headers, ("Content-Length", str(len(body)))])
        await self._put({"type": "http.response.body", "body": body})

    async def begin_stream(self) -> None:
        """Begin an answer of many pieces.

        Raises:
            HungUpError: as for ``answer``.
        """
        await self._begin(200, STREAM_TYPE, [])

    async def send_piece(self, data: bytes) -> None:
        """Send a piece of a stream; returns when there is room for another.

        Raises:
            HungUpError: as for ``answer``.
        """
        await self._put({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self, data: bytes) -> None:
        """Send the last piece.

        Raises:
            HungUpError: as for ``answer``.
        """
        await self._put({"type": "http.response.body", "body": data})

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal and close the connection.

        Raises:
            HungUpError: as for ``answer``.
        """
        body = refusal.body()
        fixed = [("Content-Length", str(len(body))), ("Connection", "close")]
        await self._begin(refusal.status, JSON_TYPE, [*refusal.headers, *fixed])
        await self._put({"type": "http.response.body", "body": body, "more_body": True})
        if refusal.status != 408 and not self.head.values(b"expect"):
            # The body is thrown away as it comes, and bounded by time alone.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while await self.read_some():
                        pass
        await self._put({"type": "http.response.body", "body": b""})

    async def _begin(self, status: int, kind: str, headers: Sequence[tuple[str, str]]) -> None:
        self._has_begun = True
        headers = [*self.more_headers, *headers]
        await self._put(
            {
                "type": "http.response.start",
                "status": status,
                "headers": response_headers(kind, headers),
            }
        )

    async def _put(self, message: Message) -> None:
        try:
            async with asyncio.timeout(UNREAD_LIMIT_S):
                await self._send(message)
        except TimeoutError as error:
            self.drop()
            raise HungUpError from error


async def read_body(client: HttpClient, limit_bytes: int, patience_s: float) -> bytes:
    """Read the whole body of a request.

    Raises:
        RefusedRequestError: 413 or 408.
        HungUpError: the client went away before its end.
    """
    announced = client.head.values(b"content-length")
    # h11 has seen to it that there is one at most, of digits, and of bounded length.
    if announced and int(announced[0]) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(patience_s):
            while data := await client.read_some():
                body += data
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError:
        refusal = Refusal(408, "too_slow", "The question did not come in time.", reason="too_slow")
        raise RefusedRequestError(refusal) from None
    return bytes(body)


def _too_large(limit_bytes: int) -> RefusedRequestError:
    message = f"The question is larger than {limit_bytes} bytes."
    return RefusedRequestError(Refusal(413, "too_large", message, reason="too_large"))
