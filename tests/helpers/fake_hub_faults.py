"""What can go wrong at the fake hub, and what it remembers of a request."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        kind: one of

            - ``status``: answers with ``status`` and ``headers``;
            - ``reset``, ``cut``: the connection breaks after ``after`` bytes of the body, hard
              (RST) or politely (FIN);
            - ``stall``: silence after ``after`` bytes;
            - ``drip``: after them a byte now and then, without end;
            - ``slow``: the body comes at ``rate_bytes_s``;
            - ``delay``: nothing for ``delay_s``, then all as it should be;
            - ``silent``: no answer at all;
            - ``headers``: ``headers`` replace those of a good answer;
            - ``corrupt``: one bit of the body's byte ``after`` is another one;
            - ``no_range``: 200 with the whole file;
            - ``other_bytes``: 206 of another range, which it says;
            - ``garbage_range``: 206 of another range that claims to be the right one;
            - ``short``: 206 with half of the range, which it says;
            - ``wrong_size``: the file is said to be ``after`` (or 1) bytes longer than it is;
            - ``changed``: the file is another one from now on;
            - ``page``: a web page, as of a network that wants a login;
            - ``expire``: all addresses at the CDN that were given out so far stop working;
            - ``no_commit``: the hub's answer does not say which commit it means.
    """

    kind: str
    status: int = 500
    after: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    rate_bytes_s: float = 100_000.0
    delay_s: float = 1.0


@dataclass(frozen=True)
class SeenRequest:
    """A request as a server got it; ``sent_bytes`` are the pieces of a file that it was sent."""

    origin: str
    path: str
    range: str | None
    if_range: str | None
    authorization: str | None
    sent_bytes: list[int] = field(default_factory=list)
    method: str = "GET"

    @property
    def size_sent_bytes(self) -> int:
        """How much of the file it was sent."""
        return sum(self.sent_bytes)
