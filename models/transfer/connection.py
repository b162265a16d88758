"""Ranges of a remote file as streams: the only part of transfers that knows HTTP. No Qt."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from models.errors import NetworkError, NetworkTooSlowError, ServerAnswerError
from models.gguf.http_source import http_failure, open_client
from models.network.calls import Line
from models.transfer.patience import TransferPatience
from models.transfer.remote import Location

if TYPE_CHECKING:
    import httpx2

_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
# Less than this within the time of a stall counts as one: some servers hold a line open with a
# byte now and then.
_LEAST_BYTES = 1024


@dataclass(frozen=True)
class Wanted:
    """One request: bytes ``first`` to ``last``, of the content that ``if_range`` names if any."""

    location: Location
    first: int
    last: int
    if_range: str = ""


@dataclass
class Answer:
    """What a server answered, before its body is read.

    Attributes:
        host: who answered, redirects followed.
        headers: the keys in lower case.
        chunks: the body, as it comes; raises ``NetworkError``.
        close: gives the connection back; a body that was not read to its end breaks it.
    """

    host: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    close: Callable[[], None] = lambda: None

    @property
    def etag(self) -> str:
        """What tells this content from others, with its quotes; empty when nothing does."""
        etag = self.headers.get("etag", "")
        # Weak ones may not be compared byte by byte (RFC 9110, 13.1.5).
        return etag if etag.startswith('"') else ""

    @property
    def content_range(self) -> tuple[int, int, int] | None:
        """First byte, last byte and size of the whole; None when it does not say."""
        match = _RANGE.fullmatch(self.headers.get("content-range", "").strip())
        if match is None or match[3] == "*":
            return None
        return int(match[1]), int(match[2]), int(match[3])

    @property
    def length_bytes(self) -> int | None:
        """Of the body; None when it does not say."""
        length = self.headers.get("content-length", "").strip()
        return int(length) if length.isdecimal() and len(length) <= 18 else None

    @property
    def is_page(self) -> bool:
        """Whether it is a web page, as of a network that wants a login first."""
        return self.headers.get("content-type", "").lower().startswith("text/html")

    @property
    def is_packed(self) -> bool:
        """Whether the body is not the bytes themselves."""
        return self.headers.get("content-encoding", "").lower() not in ("", "identity")


class Connections:
    """A client that keeps its connections to the servers, used by several threads.

    Each of them says ``begin`` before and ``end`` after: sockets are only closed when nobody can
    be reading from them any more, since their numbers are given to others at once.
    """

    def __init__(self, patience: TransferPatience) -> None:
        self._patience = patience
        self._line = Line()
        self._client: httpx2.Client | None = None
        self._lock = threading.Lock()
        self._users = 0
        self._is_closing = False

    def begin(self) -> None:
        """Take note of one more user."""
        with self._lock:
            self._users += 1

    def end(self) -> None:
        """Take note of one user less; the last one closes what is to be closed."""
        with self._lock:
            self._users -= 1
        self._close_if_unused()

    def cut(self) -> None:
        """End whatever its users wait for; nothing can be asked any more."""
        self._line.cut()

    def close(self) -> None:
        """Close its sockets, as soon as nobody uses them."""
        self._is_closing = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        with self._lock:
            if not self._is_closing or self._users or self._client is None:
                return
            client, self._client = self._client, None
        client.close()

    def get(self, wanted: Wanted) -> Answer:
        """Ask for a range, redirects followed; close the answer, its body may be left anywhere.

        Raises:
            NetworkError: no answer, or a broken one.
        """
        url = wanted.location.url
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._sent(url, wanted)
            target = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not target:
                return self._answer(response)
            response.close()
            url = _checked_redirect(url, target)
        raise ServerAnswerError(f"{_host(url)} sends Fathom round in circles.")

    def _sent(self, url: str, wanted: Wanted) -> httpx2.Response:
        import httpx2

        client = self._opened()
        try:
            request = client.build_request(
                "GET", url, headers=_headers(url, wanted), extensions={"trace": self._line.trace}
            )
            return client.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise http_failure(error, _host(url)) from error
        except httpx2.InvalidURL as error:
            raise _astray(_host(url)) from error

    def _opened(self) -> httpx2.Client:
        import httpx2

        with self._lock:
            # One for all threads: reading the certificates of the system takes 60 ms.
            if self._client is None:
                patience = self._patience
                timeout = httpx2.Timeout(patience.stall_s, connect=patience.connect_s)
                self._client = open_client(timeout)
            return self._client

    def _answer(self, response: httpx2.Response) -> Answer:
        headers = {key.lower(): value for key, value in response.headers.items()}
        host = response.url.host
        chunks = self._chunks(response, host)
        return Answer(host, response.status_code, headers, chunks, response.close)

    def _chunks(self, response: httpx2.Response, host: str) -> Iterator[bytes]:
        import httpx2

        since, got_bytes = time.monotonic(), 0
        try:
            # In the pieces that come from the socket: gathering them costs half as much again.
            for chunk in response.iter_raw():
                got_bytes += len(chunk)
                if got_bytes >= _LEAST_BYTES:
                    since, got_bytes = time.monotonic(), 0
                elif time.monotonic() - since > self._patience.stall_s:
                    raise NetworkTooSlowError(f"{host} sends next to nothing.")
                yield chunk
        except httpx2.HTTPError as error:
            raise http_failure(error, host) from error


def _headers(url: str, wanted: Wanted) -> dict[str, str]:
    headers = {
        "Range": f"bytes={wanted.first}-{wanted.last}",
        # The bytes of the file themselves, not packed for the way.
        "Accept-Encoding": "identity",
        "User-Agent": "fathom",
    }
    if wanted.if_range:
        headers["If-Range"] = wanted.if_range
    if _origin(url) == _origin(wanted.location.url):
        headers.update(wanted.location.headers)
    return headers


def _checked_redirect(url: str, target: str) -> str:
    try:
        target = urljoin(url, target)
        before, after = _origin(url), _origin(target)
    except ValueError as error:
        raise _astray(_host(url)) from error
    if after[0] not in ("http", "https") or not after[1]:
        raise _astray(_host(url))
    if before[0] == "https" and after[0] != "https":
        raise _astray(_host(url))
    return target


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(scheme)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url[:100]
    except ValueError:
        return url[:100]


def _astray(host: str) -> NetworkError:
    return ServerAnswerError(f"{host} leads to an address that cannot be followed.")
