"""One connection of a client, bounded: how slow, how many, how much at once. No Qt here.

uvicorn answers whatever it is sent for as long as that takes. Here a request's head has to be
there in time, one request is answered before the next is looked at, and what cannot be read is
answered in the same form as everything else.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from models.api.admission import MAX_HEAD_BYTES
from models.api.protocol import ServerOptions
from models.api.refusal import Refusal

JSON_TYPE = "application/json"
_KEEP_ALIVE_S = 15
# For how long a refused client may go on sending: who is cut off while sending sees no answer.
LINGER_S = 2.0
# Above max_connections a client with the key is told so; above that many times as many somebody
# without it is cut off.
_CUT_OFF_FACTOR = 2
# The last one is of clients that would rather speak another protocol, which nobody does here.
_WHOLE_REQUEST = (
    h11.DONE,
    h11.MUST_CLOSE,
    h11.MIGHT_SWITCH_PROTOCOL,  # type: ignore[attr-defined]  # documented, yet not declared
)
_SAFE_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'"),
)

TurnAway = Callable[[str, str], None]
Headers = list[tuple[bytes, bytes]]


def response_headers(kind: str, more: Sequence[tuple[str, str]] = ()) -> Headers:
    """Return what every answer has, and what this one has besides.

    Args:
        kind: its content type; empty: it has no body.
    """
    headers = [("Date", formatdate(usegmt=True)), *_SAFE_HEADERS, *more]
    if kind:
        headers.append(("Content-Type", kind))
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]


class ServerConfig(Config):
    """uvicorn's, with everything that it would do by itself switched off.

    Args:
        app: what is asked.
        options: its bounds.
        turn_away: is told the reason and what to show of it.
    """

    def __init__(self, app: Any, options: ServerOptions, turn_away: TurnAway) -> None:
        super().__init__(
            app,
            http=ServerConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            # Else read from WEB_CONCURRENCY.
            workers=1,
            log_config=None,
            log_level="error",
            access_log=False,
            # Else a client could say whose request it passes on.
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self.patience_s = options.patience_s
        self.max_connections = options.max_connections
        self.turn_away = turn_away
        self.numbers = itertools.count()


class ServerConnection(H11Protocol):
    """uvicorn's protocol with bounds; made by uvicorn for each connection."""

    config: ServerConfig

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "connection": self}, _loop)
        self._head_timer: asyncio.TimerHandle | None = None
        self._has_said_last = False
        self._has_shown_key = False
        self._number = next(config.numbers)

    def let_in(self) -> bool:
        """Take note that the client has shown the key; return whether there is room for it.

        Only those who have the key take up room: no stranger can keep the others out.
        """
        self._has_shown_key = True
        return sum(one._has_shown_key for one in self._all()) <= self.config.max_connections

    def drop(self) -> None:
        """Cut the client off, whatever it has not read yet."""
        self.transport.abort()

    # --- asyncio's side -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > _CUT_OFF_FACTOR * self.config.max_connections:
            self.config.turn_away("too_many", "")
            self._cut_off_stranger()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what comes while an answer is under way is not looked at."""
        if self._has_said_last:
            return
        if self._answers():
            self._end_after_answer()
            return
        super().data_received(data)
        if self._answers() and self.conn.trailing_data[0]:
            self._end_after_answer()
        self._watch()

    # --- uvicorn's side -------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Say that a request cannot be read, where an answer has not begun."""
        self._say(Refusal(400, "bad_request", f"{msg} It is not HTTP as this server reads it."))

    # --- our own --------------------------------------------------------------------------------

    def _all(self) -> list[ServerConnection]:
        return [one for one in self.connections if isinstance(one, ServerConnection)]

    def _cut_off_stranger(self) -> None:
        """Cut off who has been here longest without the key.

        Not the newcomer: whoever keeps silent connections open would keep everybody else out.
        """
        strangers = [
            one for one in self._all() if not one._has_shown_key and not one.transport.is_closing()
        ]
        min(strangers, key=lambda one: one._number, default=self).drop()

    def _answers(self) -> bool:
        """Whether a whole request has come and its answer has not ended."""
        return self.cycle is not None and self.conn.their_state in _WHOLE_REQUEST

    def _end_after_answer(self) -> None:
        """Close after the answer; go on reading, so that a client that hangs up is noticed."""
        self.cycle.keep_alive = False
        self.flow.resume_reading()

    def _watch(self) -> None:
        """Run the timer exactly while a request's head is waited for."""
        is_over = self._has_said_last or self.transport.is_closing()
        if is_over or self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.config.patience_s, self._on_late_head)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_late_head(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if not self.conn.trailing_data[0]:
            # It never began to ask; browsers open such connections for later.
            self.transport.close()
            return
        self.config.turn_away("too_slow", "")
        self._say(Refusal(408, "too_slow", "The request did not come in time."))

    def _say(self, refusal: Refusal) -> None:
        """Answer below ASGI, and close when the client has done so, or soon."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.drop()
            return
        body = refusal.body()
        length = ("Content-Length", str(len(body)))
        headers = response_headers(JSON_TYPE, [length, ("Connection", "close")])
        reason = HTTPStatus(refusal.status).phrase.encode()
        response = h11.Response(status_code=refusal.status, headers=headers, reason=reason)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            # Who still reads the body of this request learns that there will be no more of it.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._has_said_last = True
        self._stop_timer()
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.close)
