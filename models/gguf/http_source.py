"""The start of a file on a web server, read by bounded ranges. No Qt here.

Only ``models.hub`` and this module know the HTTP library, and load it when it is needed. What was
read is kept: a header is read from its start on, and whoever planned with it wants all its bytes.
Ranges are bounded because servers refuse to send files of some hundred GB at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from models.errors import (
    BadInputError,
    FathomError,
    NetworkError,
    NetworkTooSlowError,
    RemoteChangedError,
    ServerAnswerError,
    UnreachableError,
    UntrustedServerError,
)
from models.gguf.cursor import MAX_HEADER_BYTES
from models.gguf.http_range import RangeAnswer, checked_range
from models.network.answers import Asked, error_of_answer, may_pass
from models.network.calls import Line, call_stoppably
from models.network.patience import Attempts, Patience
from models.stopping import Stop, never

if TYPE_CHECKING:
    import httpx2

# The keys that decide about memory stand in the first 2 KB of every file looked at.
FIRST_BYTES = 64 * 1024
LARGEST_BYTES = 1024 * 1024

_GROWTH = 4
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_RANGE_STATUSES = (200, 206, 416)
# What a signed address answers once it has expired.
_EXPIRED = (400, 401, 403, 404, 410)
# Hashes and names of the file itself, which the hub sends beside its redirect.
_LINKED_ETAG = "x-linked-etag"


@dataclass
class _Request:
    """One request for bytes ``first`` to ``last``, and what has come of it so far.

    ``final_url`` is where redirects have led by now.
    """

    url: str
    first: int
    last: int
    if_range: str
    final_url: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    linked_etag: str = ""
    body: bytearray = field(default_factory=bytearray)


class HttpRangeSource:
    """A file behind an address, as a ``ByteSource``; use it as a context manager.

    The first request is made at once and gives the size. Reads from the start on are kept, and
    read ahead in steps that grow from 64 KB to 1 MB; a read beyond 64 MiB is not kept.

    Args:
        url: ``https`` or ``http``; redirects are followed, but never from the one to the other.
        token: sent to the host of ``url`` and to no other.
        name: what messages call the file; the last part of the address by default.
        page: where a person can ask for access, for messages.
        stop: is asked all the time; a read then ends within half a second.

    Raises:
        BadInputError: the address is none.
        RemoteNotFoundError, AccessError: there is no such file, or not for this user.
        NetworkError: no connection, too slow, refused, or not what was asked for; its subclasses
            say which. ``RemoteChangedError``: the file is another one than at the first read.
        StoppedError: ``stop`` said so.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        name: str = "",
        page: str = "",
        patience: Patience | None = None,
        stop: Stop = never,
    ) -> None:
        self._origin = _origin(url)
        self._url = url
        self._token = token
        self._name = name or unquote(urlsplit(url).path).rpartition("/")[2]
        self._asked = Asked(self._name, self._origin[1], token is not None, page)
        self._patience = patience or Patience()
        self._stop = stop
        self._line = Line()
        self._client: httpx2.Client | None = None
        # Where redirects led, until that address expires.
        self._located_url = ""
        self._etag = ""
        self._linked_etag = ""
        self._has_if_range = True
        self._size_bytes: int | None = None
        self._start = bytearray()
        self._step = FIRST_BYTES
        try:
            self._start += self._fetch(0, FIRST_BYTES - 1)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """The file's size, by the server's word."""
        assert self._size_bytes is not None
        return self._size_bytes

    @property
    def etag(self) -> str:
        """What tells this content from others at the same address, empty when nothing does."""
        return self._linked_etag or self._etag

    def read_at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on; fewer only at the end.

        Raises:
            NetworkError, RemoteNotFoundError, AccessError, StoppedError: as at the first read.
        """
        end = min(offset + size, self.size_bytes)
        if offset >= end:
            return b""
        if end > MAX_HEADER_BYTES:
            return self._fetch(offset, end - 1)
        while len(self._start) < end:
            self._step = min(self._step * _GROWTH, LARGEST_BYTES)
            have = len(self._start)
            wanted = min(max(end, have + self._step), self.size_bytes, have + LARGEST_BYTES)
            self._start += self._fetch(have, wanted - 1)
        return bytes(self._start[offset:end])

    def close(self) -> None:
        """Close its connections; what was read is gone."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _fetch(self, first: int, last: int) -> bytes:
        """Return the bytes from ``first`` to ``last``; fewer only at the end of the file."""
        got = bytearray()
        attempts = Attempts(self._patience, last + 1 - first, self._stop)
        while first + len(got) <= last:
            request = self._next_request(first + len(got), last)
            failure: FathomError | None = self._send(request, attempts.deadline)
            if request.url != self._url and request.status in _EXPIRED:
                self._located_url = ""
                continue
            if request.status:
                answer = self._checked(request, is_whole=failure is None)
                if isinstance(answer, RangeAnswer):
                    got += answer.data
                    last = min(last, answer.total_bytes - 1)
                    if answer.data:
                        attempts.got_on()
                else:
                    failure = answer
            if failure is not None:
                attempts.failed(failure)
        return bytes(got)

    def _next_request(self, first: int, last: int) -> _Request:
        # Weak ETags and dates may not be compared this way (RFC 9110, 13.1.5).
        is_strong = self._etag.startswith('"')
        use_if_range = self._located_url and self._has_if_range and is_strong
        url = self._located_url or self._url
        return _Request(url, first, last, self._etag if use_if_range else "", final_url=url)

    def _checked(self, request: _Request, *, is_whole: bool) -> RangeAnswer | FathomError:
        """Return what a request brought, or why it should be made again.

        Raises:
            FathomError: making it again makes no sense.
        """
        if request.status not in _RANGE_STATUSES:
            asked = self._asked
            if _origin(request.final_url) != self._origin:
                # Whoever was led to has not seen the token.
                asked = replace(asked, host=_origin(request.final_url)[1], has_token=False)
            error = error_of_answer(request.status, request.headers, asked)
            if not may_pass(request.status):
                raise error
            return error
        self._check_identity(request)
        answer = checked_range(
            request.status,
            request.headers,
            bytes(request.body),
            first=request.first,
            last=request.last,
            asked=self._asked,
            is_whole=is_whole,
        )
        if isinstance(answer, RangeAnswer):
            if self._size_bytes not in (None, answer.total_bytes):
                raise self._changed(f"{self._size_bytes:,} bytes became {answer.total_bytes:,}")
            self._size_bytes = answer.total_bytes
        return answer

    def _check_identity(self, request: _Request) -> None:
        """Keep where the file is and what it is called there; refuse another one."""
        etag = request.headers.get("etag", "") or request.headers.get("last-modified", "")
        known, now = self._etag, etag
        if self._linked_etag and request.linked_etag:
            # Asked anew where it is: the same file may have another ETag at another server.
            known, now = self._linked_etag, request.linked_etag
        if known and now and known != now:
            raise self._changed(f"{known} became {now}")
        if request.status == 200 and request.if_range:
            # The same file, sent whole: this server does not know the condition.
            self._has_if_range = False
        self._linked_etag = request.linked_etag or self._linked_etag
        self._etag = etag or self._etag
        self._located_url = request.final_url

    def _changed(self, details: str) -> RemoteChangedError:
        return RemoteChangedError(
            f"{self._name} changed on {self._asked.host} while it was read.",
            hint="Open it again.",
            details=details,
        )

    def _send(self, request: _Request, deadline: float) -> NetworkError | None:
        """Send a request and fill it; return what broke the connection, None when nothing did.

        Raises:
            NetworkTooSlowError, StoppedError.
        """
        import httpx2

        too_slow = f"{self._asked.host} sends too slowly."
        if time.monotonic() > deadline:
            raise NetworkTooSlowError(too_slow, hint="Check the connection, or try later.")
        try:
            client = self._opened_client()
            call_stoppably(
                lambda: self._transfer(client, request),
                line=self._line,
                stop=self._stop,
                deadline=deadline,
                too_slow=too_slow,
            )
        except httpx2.HTTPError as error:
            return http_failure(error, _origin(request.final_url)[1])
        except httpx2.InvalidURL as error:
            raise _redirected_astray(self._asked.host) from error
        return None

    def _opened_client(self) -> httpx2.Client:
        import httpx2

        if self._client is None:
            limits = self._patience
            timeout = httpx2.Timeout(limits.silence_s, connect=limits.connect_s)
            self._client = open_client(timeout)
        return self._client

    def _transfer(self, client: httpx2.Client, request: _Request) -> None:
        """Make the request in the call's thread, redirects included."""
        url = request.url
        for _ in range(_MAX_REDIRECTS + 1):
            response = client.send(
                client.build_request(
                    "GET",
                    url,
                    headers=self._headers(url, request),
                    extensions={"trace": self._line.trace},
                ),
                stream=True,
            )
            try:
                headers = {key.lower(): value for key, value in response.headers.items()}
                if _origin(url) == self._origin:
                    request.linked_etag = headers.get(_LINKED_ETAG, request.linked_etag)
                if response.status_code not in _REDIRECTS or "location" not in headers:
                    request.headers = headers
                    request.status = response.status_code
                    _read_body(response, request)
                    return
                target = str(response.url.join(headers["location"]))
            finally:
                response.close()
            url = request.final_url = self._checked_redirect(url, target)
        raise ServerAnswerError(f"{self._asked.host} sends Fathom round in circles.")

    def _headers(self, url: str, request: _Request) -> dict[str, str]:
        headers = {
            "Range": f"bytes={request.first}-{request.last}",
            # The bytes of the file themselves, not packed for the way.
            "Accept-Encoding": "identity",
            "User-Agent": "fathom",
        }
        if request.if_range:
            headers["If-Range"] = request.if_range
        if self._token is not None and _origin(url) == self._origin:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _checked_redirect(self, url: str, target: str) -> str:
        try:
            before, after = _origin(url), _origin(target)
        except BadInputError as error:
            raise _redirected_astray(self._asked.host) from error
        if before[0] == "https" and after[0] != "https":
            raise _redirected_astray(self._asked.host)
        return target


def open_client(timeout: httpx2.Timeout, *, keeps_connections: bool = True) -> httpx2.Client:
    """Return a client that follows no redirect by itself.

    Raises:
        NetworkError: the proxy that the environment names cannot be used.
    """
    import httpx2

    try:
        limits = httpx2.Limits(max_keepalive_connections=None if keeps_connections else 0)
        return httpx2.Client(timeout=timeout, limits=limits, follow_redirects=False)
    except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
        # A SOCKS proxy needs a package that is not there; a proxy's address may be none, and the
        # file of certificates that SSL_CERT_FILE names may be missing.
        raise NetworkError(
            f"The network cannot be used as the environment says ({error}).",
            hint="Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and SSL_CERT_FILE.",
        ) from error


def http_failure(error: httpx2.HTTPError, host: str) -> NetworkError:
    """Return the error for a request that got no (whole) answer."""
    import httpx2

    details = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx2.TimeoutException):
        return NetworkTooSlowError(
            f"{host} does not answer.",
            hint="Check the connection, or try later.",
            details=details,
        )
    if isinstance(error, httpx2.ProxyError):
        hint = "Check HTTPS_PROXY and HTTP_PROXY."
        return UnreachableError(
            "The proxy does not let Fathom through.", hint=hint, details=details
        )
    if _is_certificate_error(error):
        return UntrustedServerError(
            f"{host} cannot prove that it is {host}.",
            hint="Something may stand between; behind a company's proxy, set SSL_CERT_FILE.",
            details=details,
        )
    if isinstance(error, httpx2.ConnectError):
        hint = "Check the connection to the internet."
        return UnreachableError(f"{host} cannot be reached.", hint=hint, details=details)
    return NetworkError(
        f"The connection to {host} broke.",
        hint="Check the connection to the internet, or try later.",
        details=details,
    )


def _is_certificate_error(error: BaseException | None) -> bool:
    import ssl

    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _read_body(response: httpx2.Response, request: _Request) -> None:
    """Read what is of use; the whole of a part, so that its connection can be used again."""
    if request.status not in (200, 206):
        return
    # A 200 starts at byte 0. One byte more than wanted shows an answer that is too long.
    limit = request.last + 1 if request.status == 200 else request.last + 2 - request.first
    for chunk in response.iter_raw():
        request.body += chunk
        if len(request.body) >= limit:
            return


def _origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an address.

    Raises:
        BadInputError: it is no web address.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise _no_address(url) from error
    if scheme not in ("http", "https") or not host:
        raise _no_address(url)
    return scheme, host, port or {"http": 80, "https": 443}[scheme]


def _no_address(url: str) -> BadInputError:
    return BadInputError(
        f'"{url[:200]}" is not a web address.',
        hint="It should look like https://host/folder/file.gguf.",
    )


def _redirected_astray(host: str) -> ServerAnswerError:
    return ServerAnswerError(f"{host} leads to an address that cannot be followed.")
