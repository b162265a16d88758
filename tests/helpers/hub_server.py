"""A hub on loopback: lists, redirects to a "CDN" of another origin, ranges, and faults on demand.

Two real servers with a thread for each connection. Faults are queued for one of them and used up
by its next requests, one each. Waiting is always for an event that ``close`` sets, so that no test
waits longer than it asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_TLS_DIR = Path(__file__).resolve().parent.parent / "data" / "tls"
CERTIFICATE = (str(_TLS_DIR / "cert.pem"), str(_TLS_DIR / "key.pem"))
COMMIT = "c0ffee" + "0" * 34
TOKEN = "hf_good"
PENDING_TOKEN = "hf_pending"
_DRIP_S = 0.01
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        kind: ``status`` (answers with ``status`` and ``headers``), ``reset`` and ``cut`` (the
            connection breaks after ``after`` bytes of the body, hard or politely), ``stall``
            (silence after ``after`` bytes), ``drip`` (a byte now and then, without end),
            ``headers`` (``headers`` replace those of a good answer), ``no_range`` (200 with the
            whole file), ``other_bytes`` (206 of another range), ``changed`` (the file is another
            one from now on), ``page`` (a web page), ``silent`` (no answer at all).
    """

    kind: str
    status: int = 500
    after: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SeenRequest:
    """A request as a server got it."""

    origin: str
    path: str
    range: str | None
    if_range: str | None
    authorization: str | None
    sent_bytes: list[int] = field(default_factory=list)


@dataclass
class RemoteFileContent:
    """A file of a repository; ``size_bytes`` beyond the data is zeros that are never stored."""

    data: bytes
    size_bytes: int = 0
    version: int = 1

    def __post_init__(self) -> None:
        self.size_bytes = max(self.size_bytes, len(self.data))

    @property
    def etag(self) -> str:
        """Return a strong ETag that depends on the content."""
        digest = hashlib.sha256(self.data + bytes([self.version])).hexdigest()
        return f'"{digest}"'

    def part(self, first: int, last: int) -> bytes:
        """Return the bytes from ``first`` to ``last``."""
        part = self.data[first : last + 1]
        return part + bytes(last + 1 - first - len(part))


class HubServer:
    """The hub, its CDN, what they hold, and what they were asked.

    Attributes:
        files: by repository and path; a name outside of a repository lies at the CDN alone.
        gated: repositories that need ``TOKEN``.
        endpoint: address of the hub.
        cdn: address of the CDN.
        requests: everything both were asked, in order.
        redirects: whether the hub sends readers of large files to the CDN.
        knows_if_range: whether the CDN follows If-Range; else it then sends the whole file.
        expired: signatures that the CDN no longer takes.
    """

    def __init__(self, certificate: tuple[str, str] | None = None) -> None:
        self.files: dict[tuple[str, str], RemoteFileContent] = {}
        self.gated: set[str] = set()
        self.requests: list[SeenRequest] = []
        self.redirects = True
        self.knows_if_range = True
        self.signature = 1
        self.closing = threading.Event()
        self._faults: dict[str, deque[Fault]] = {"hub": deque(), "cdn": deque(), "api": deque()}
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._connections: set[socket.socket] = set()
        self._servers = [_Server(self, "hub", certificate), _Server(self, "cdn", certificate)]
        scheme = "https" if certificate else "http"
        self.endpoint, self.cdn = (
            f"{scheme}://127.0.0.1:{server.server_address[1]}" for server in self._servers
        )

    def add(self, repository: str, path: str, data: bytes, *, size_bytes: int = 0) -> str:
        """Put a file there and return its address at the hub."""
        self.files[repository, path] = RemoteFileContent(data, size_bytes)
        return f"{self.endpoint}/{repository}/resolve/{COMMIT}/{path}"

    def add_plain(self, path: str, data: bytes, *, size_bytes: int = 0) -> str:
        """Put a file on the CDN alone, as on any web server, and return its address."""
        self.files["", path] = RemoteFileContent(data, size_bytes)
        return f"{self.cdn}/{path}"

    def fail(self, where: str, *faults: Fault) -> None:
        """Queue faults for the next requests at ``hub``, ``api`` (its lists) or ``cdn``."""
        self._faults[where].extend(faults)

    def next_fault(self, where: str) -> Fault | None:
        """Take the next fault off its queue."""
        with self._lock:
            return self._faults[where].popleft() if self._faults[where] else None

    def saw(self, request: SeenRequest) -> None:
        """Take note of a request."""
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()

    def wait_for_requests(self, count: int, limit_s: float = 30.0) -> None:
        """Wait until both have been asked so often together."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.requests) >= count, limit_s)

    def seen(self, origin: str) -> list[SeenRequest]:
        """Return what one of them was asked."""
        return [request for request in self.requests if request.origin == origin]

    @property
    def sent_bytes(self) -> int:
        """Return how many bytes of files were sent in all."""
        return sum(sum(request.sent_bytes) for request in self.requests)

    @contextmanager
    def connection(self, connection: socket.socket) -> Iterator[None]:
        """Remember a connection while it is served."""
        with self._lock:
            self._connections.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)

    def close(self) -> None:
        """End both servers and every connection."""
        self.closing.set()
        for server in self._servers:
            server.shutdown()
        with self._lock:
            for connection in self._connections:
                _shut_down(connection)
        for server in self._servers:
            server.server_close()
            server.thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, hub: HubServer, origin: str, certificate: tuple[str, str] | None) -> None:
        self.hub = hub
        self.origin = origin
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tls: ssl.SSLContext | None = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
        self.thread = threading.Thread(
            target=lambda: self.serve_forever(poll_interval=0.02), name=f"fake {origin}"
        )
        self.thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            with self.hub.connection(request):
                if self.tls is None:
                    super().finish_request(request, client_address)
                    return
                secured = self.tls.wrap_socket(request, server_side=True)
                with secured, self.hub.connection(secured):
                    super().finish_request(secured, client_address)
        except (OSError, ValueError):
            # The reader went away, as many tests want it to.
            pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a request."""
        hub, url = self.server.hub, urlsplit(self.path)
        origin = "api" if url.path.startswith("/api/") else self.server.origin
        seen = SeenRequest(
            origin,
            self.path,
            self.headers["Range"],
            self.headers["If-Range"],
            self.headers["Authorization"],
        )
        hub.saw(seen)
        fault = hub.next_fault(origin)
        if fault is not None and self._failed_at_once(fault):
            return
        {"api": self._list, "hub": self._resolve, "cdn": self._send_file}[origin](seen, fault)

    def _failed_at_once(self, fault: Fault) -> bool:
        if fault.kind == "status":
            self._answer(fault.status, fault.headers)
        elif fault.kind == "page":
            self._answer(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
        elif fault.kind == "silent":
            self.server.hub.closing.wait()
            self.close_connection = True
        else:
            return False
        return True

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def _refused(self, repository: str) -> bool:
        """Answer as the hub does where a reader may not see a repository (measured cases)."""
        hub = self.server.hub
        given = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if given and given not in (TOKEN, PENDING_TOKEN):
            message = "Invalid credentials in Authorization header"
            self._answer(401, {"X-Error-Message": message})
        elif not any(name == repository for name, _ in hub.files):
            code = 404 if given else 401
            self._answer(code, {"X-Error-Code": "RepoNotFound"})
        elif repository in hub.gated and given != TOKEN:
            words = "Your request is awaiting a review" if given else "Access is restricted"
            headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": words}
            self._answer(403 if given else 401, headers)
        else:
            return False
        return True

    def _list(self, _seen: SeenRequest, fault: Fault | None) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")]
        repository, revision = "/".join(parts[3:5]), parts[6]
        if self._refused(repository):
            return
        if revision not in ("main", COMMIT):
            self._answer(404, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [
            {"rfilename": path, "size": content.size_bytes}
            for (name, path), content in self.server.hub.files.items()
            if name == repository
        ]
        answer = {"id": repository, "sha": COMMIT, "siblings": siblings}
        body = json.dumps(answer).encode()
        self._send(200, {"Content-Type": "application/json"}, RemoteFileContent(body), fault, [])

    def _resolve(self, seen: SeenRequest, fault: Fault | None) -> None:
        hub = self.server.hub
        repository, _, rest = unquote(urlsplit(self.path).path)[1:].partition("/resolve/")
        path = rest.partition("/")[2]
        if self._refused(repository):
            return
        content = hub.files.get((repository, path))
        if content is None:
            self._answer(404, {"X-Error-Code": "EntryNotFound"})
        elif hub.redirects:
            location = f"{hub.cdn}/{repository}/{path}?signature={hub.signature}"
            headers = {"Location": location, "X-Linked-Etag": content.etag}
            headers |= {"X-Linked-Size": str(content.size_bytes), "X-Repo-Commit": COMMIT}
            self._answer(302, headers | (fault.headers if fault else {}))
        else:
            self._send_content(content, seen, fault)

    def _send_file(self, seen: SeenRequest, fault: Fault | None) -> None:
        hub, url = self.server.hub, urlsplit(self.path)
        path = unquote(url.path)[1:]
        parts = path.split("/")
        content = hub.files.get(("/".join(parts[:2]), "/".join(parts[2:])))
        content = content or hub.files.get(("", path))
        signature = parse_qs(url.query).get("signature", [str(hub.signature)])[0]
        if content is None:
            self._answer(404, {})
        elif signature != str(hub.signature):
            self._answer(403, {"Content-Type": "application/xml"}, b"<Error>expired</Error>")
        else:
            self._send_content(content, seen, fault)

    def _send_content(
        self, content: RemoteFileContent, seen: SeenRequest, fault: Fault | None
    ) -> None:
        kind = fault.kind if fault else ""
        if kind == "changed":
            content.version += 1
        total = content.size_bytes
        headers = {"ETag": content.etag, "Content-Type": "application/octet-stream"}
        wants_other = seen.if_range not in (None, content.etag)
        is_ignored = seen.if_range is not None and not self.server.hub.knows_if_range
        if seen.range is None or kind == "no_range" or wants_other or is_ignored:
            self._send(200, headers, content, fault, seen.sent_bytes)
            return
        first, last = (int(part) for part in seen.range.removeprefix("bytes=").split("-"))
        if first >= total:
            self._answer(416, headers | {"Content-Range": f"bytes */{total}"})
            return
        last = min(last, total - 1)
        shift = 7 if kind == "other_bytes" else 0
        headers["Content-Range"] = f"bytes {first + shift}-{last}/{total}"
        body = RemoteFileContent(content.part(first + shift, last))
        self._send(206, headers, body, fault, seen.sent_bytes)

    def _send(
        self,
        status: int,
        headers: dict[str, str],
        body: RemoteFileContent,
        fault: Fault | None,
        sent: list[int],
    ) -> None:
        changed = fault.headers if fault else {}
        self.send_response(status)
        for key, value in {"Content-Length": str(body.size_bytes), **headers, **changed}.items():
            self.send_header(key, value)
        self.end_headers()
        if fault is not None and fault.kind in ("reset", "cut", "stall", "drip"):
            self._break_off(body, fault, sent)
            return
        self._write(body, body.size_bytes, sent)

    def _write(self, body: RemoteFileContent, size: int, sent: list[int]) -> None:
        # In pieces: a sparse file may be larger than memory, and its reader leaves early.
        for first in range(0, size, _PIECE_BYTES):
            piece = body.part(first, min(first + _PIECE_BYTES, size) - 1)
            self.wfile.write(piece)
            sent.append(len(piece))

    def _break_off(self, body: RemoteFileContent, fault: Fault, sent: list[int]) -> None:
        self.close_connection = True
        self._write(body, fault.after, sent)
        closing = self.server.hub.closing
        if fault.kind == "stall":
            closing.wait()
        elif fault.kind == "drip":
            while not closing.wait(_DRIP_S):
                self._write(body, 1, sent)
        elif fault.kind == "reset":
            # No waiting for what was not read: the other side sees a reset.
            option = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self.connection.close()


@contextmanager
def hub_server(certificate: tuple[str, str] | None = None) -> Iterator[HubServer]:
    """Run a hub for the length of a ``with`` block."""
    hub = HubServer(certificate)
    try:
        yield hub
    finally:
        hub.close()


def stop_after(server: HubServer, requests: int) -> Callable[[], bool]:
    """Return a stop that is asked for once the server has got so many requests."""
    return lambda: len(server.requests) >= requests


def _shut_down(connection: socket.socket) -> None:
    # It may have been closed meanwhile.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
