"""The two servers of the fake hub: HTTP, access, ranges, and bodies that break off."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from helpers.fake_hub_content import Content, FileContent, RemoteFileContent, etag_of, is_lfs
from helpers.fake_hub_faults import Fault, SeenRequest
from helpers.fake_hub_lists import is_wanted, list_entry, model_json, sort_key, tree_json

if sys.platform == "linux":
    import fcntl
    import termios

if TYPE_CHECKING:
    from helpers.fake_hub import FakeHub

_DRIP_S = 0.01
_PIECE_BYTES = 256 * 1024
_SENDFILE_BYTES = 1024 * 1024
_SLOW_PIECE_S = 0.02
_DELIVERY_LOOK_S, _DELIVERY_LOOKS = 0.001, 1000
_BREAKS_OFF = ("reset", "cut", "stall", "drip")


class Server(ThreadingHTTPServer):
    """One of the two: ``hub`` (and its lists) or ``cdn``."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(
        self, hub: FakeHub, origin: str, port: int, certificate: tuple[str, str] | None
    ) -> None:
        self.hub = hub
        self.origin = origin
        super().__init__(("127.0.0.1", port), _Handler)
        self.tls: ssl.SSLContext | None = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
        self.thread = threading.Thread(
            target=lambda: self.serve_forever(poll_interval=0.005), name=f"fake {origin}"
        )
        self.thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, through TLS where it is wanted."""
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


@dataclass
class _Body:
    """A part of a file that is to be sent; ``flipped`` is the place of a wrong byte, or -1."""

    content: Content
    first: int
    size_bytes: int
    flipped: int = -1

    def part(self, at: int, size_bytes: int) -> bytes:
        """Return bytes from ``at`` on, counted from the start of the part."""
        begin = self.first + at
        data = self.content.part(begin, begin + size_bytes - 1)
        place = self.flipped - at
        if 0 <= place < len(data):
            data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        return data


@dataclass(frozen=True)
class _Found:
    """A file that was asked for, and where it is."""

    repository: str
    commit: str
    path: str
    content: Content


@dataclass
class _Asked:
    """A request taken apart."""

    seen: SeenRequest
    fault: Fault | None
    query: dict[str, list[str]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The fault's, empty when there is none."""
        return self.fault.kind if self.fault else ""

    @property
    def changed_headers(self) -> dict[str, str]:
        """Headers that replace those of a good answer."""
        return self.fault.headers if self.fault else {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.do_GET()

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
            method=self.command,
        )
        hub.saw(seen)
        asked = _Asked(seen, hub.next_fault(origin, self.command, self.path))
        asked.query = parse_qs(url.query, keep_blank_values=True)
        if asked.fault is not None and self._failed_at_once(asked.fault):
            return
        {"api": self._answer_api, "hub": self._resolve, "cdn": self._send_file}[origin](asked)

    def _failed_at_once(self, fault: Fault) -> bool:
        closing = self.server.hub.closing
        if fault.kind == "status":
            self._answer(fault.status, fault.headers)
        elif fault.kind == "page":
            self._answer(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
        elif fault.kind == "silent":
            closing.wait()
            self.close_connection = True
        elif fault.kind == "delay":
            self.close_connection = closing.wait(fault.delay_s)
            return self.close_connection
        elif fault.kind == "expire":
            self.server.hub.signature += 1
            return False
        else:
            return False
        return True

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _token(self) -> str:
        return (self.headers["Authorization"] or "").removeprefix("Bearer ")

    def _unknown_user(self) -> bool:
        given = self._token()
        if given and given not in self.server.hub.users:
            message = "Invalid credentials in Authorization header"
            self._answer(401, {"X-Error-Message": message})
            return True
        return False

    def _refused(self, repository: str, *, is_list: bool = False) -> bool:
        """Answer as the hub does where a reader may not see a repository (measured cases)."""
        hub, given = self.server.hub, self._token()
        if self._unknown_user():
            return True
        is_there = any(name == repository for name, _ in hub.files)
        if not is_there or (repository in hub.private and not hub.may_read(repository, given)):
            code = 404 if given else 401
            self._answer(code, {"X-Error-Code": "RepoNotFound"})
        elif is_list and hub.shows_gated:
            return False
        elif repository in hub.gated and not hub.may_read(repository, given):
            self._refuse_gated(repository, given)
        else:
            return False
        return True

    def _refuse_gated(self, repository: str, given: str) -> None:
        words = f"Access to model {repository} is restricted."
        if given and "waiter" in self.server.hub.users[given]:
            words = (
                f"Your request to access model {repository} is awaiting a review from the "
                "repo authors."
            )
        headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": words}
        self._answer(403 if given else 401, headers)

    # --- lists ----------------------------------------------------------------------------------

    def _answer_api(self, asked: _Asked) -> None:
        path = urlsplit(self.path).path
        parts = [unquote(part) for part in path.split("/")][2:]
        if parts[0] == "whoami-v2":
            self._whoami()
        elif parts[0] != "models":
            self._answer(404, {})
        elif len(parts) == 1:
            self._search(asked)
        elif parts[3:4] == ["auth-check"]:
            if not self._refused("/".join(parts[1:3])):
                self._answer(200, {})
        else:
            self._list(asked, "/".join(parts[1:3]), parts[3:])

    def _whoami(self) -> None:
        if self._unknown_user():
            return
        if not self._token():
            self._answer(401, {"X-Error-Message": "Invalid username or password."})
            return
        name = self.server.hub.users[self._token()]
        body = json.dumps({"type": "user", "name": name, "auth": {}}).encode()
        self._answer(200, {"Content-Type": "application/json"}, body)

    def _search(self, asked: _Asked) -> None:
        if self._unknown_user():
            return
        hub, query = self.server.hub, asked.query
        found = [
            name
            for name, facts in hub.facts.items()
            if (name not in hub.private or self._token())
            and is_wanted(name, facts, hub.files_at(name, "main"), query)
        ]
        found.sort(key=lambda name: sort_key(hub.facts[name], query), reverse=True)
        begin = int(query.get("cursor", ["0"])[0])
        size = min(int(query.get("limit", [str(hub.page_size)])[0]), hub.page_size)
        headers = {}
        if begin + size < len(found):
            onward = urlencode({**query, "cursor": [str(begin + size)]}, doseq=True)
            headers["Link"] = f'<{hub.endpoint}/api/models?{onward}>; rel="next"'
        entries = [
            list_entry(
                name,
                hub.facts[name],
                hub.files_at(name, "main"),
                query,
                is_gated=name in hub.gated,
                is_private=name in hub.private,
            )
            for name in found[begin : begin + size]
        ]
        self._send_json(entries, asked, headers)

    def _list(self, asked: _Asked, repository: str, rest: list[str]) -> None:
        hub = self.server.hub
        if self._refused(repository, is_list=True):
            return
        revision = rest[1] if len(rest) > 1 else "main"
        files = hub.files_at(repository, revision)
        facts = hub.facts[repository]
        if not files and revision not in ("main", facts.commit):
            self._answer(404, {"X-Error-Code": "RevisionNotFound"})
        elif rest[:1] == ["tree"]:
            self._send_json(tree_json(files, "/".join(rest[2:])), asked)
        else:
            answer = model_json(
                repository,
                facts,
                files,
                asked.query,
                commit=facts.commit if revision == "main" else revision,
                is_gated=repository in hub.gated,
                is_private=repository in hub.private,
            )
            self._send_json(answer, asked)

    def _send_json(self, answer: Any, asked: _Asked, headers: dict[str, str] | None = None) -> None:
        content = RemoteFileContent(json.dumps(answer).encode())
        body = _Body(content, 0, content.size_bytes)
        silent = SeenRequest("", "", None, None, None)
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        self._send(200, all_headers, body, _Asked(silent, asked.fault))

    # --- files ----------------------------------------------------------------------------------

    def _resolve(self, asked: _Asked) -> None:
        hub = self.server.hub
        whole = unquote(urlsplit(self.path).path)[1:]
        view = "/raw/" if "/raw/" in whole else "/resolve/"
        repository, _, rest = whole.partition(view)
        revision, _, path = rest.partition("/")
        if self._refused(repository):
            return
        files = hub.files_at(repository, revision)
        content = files.get(path)
        commit = hub.facts[repository].commit if revision == "main" else revision
        if not files:
            self._answer(404, {"X-Error-Code": "RevisionNotFound"})
        elif content is None:
            self._answer(404, {"X-Error-Code": "EntryNotFound"})
        else:
            headers = {} if asked.kind == "no_commit" else {"X-Repo-Commit": commit}
            if hub.redirects and is_lfs(path, content):
                self._redirect(asked, _Found(repository, commit, path, content), headers)
            else:
                self._send_content(path, content, asked, headers)

    def _redirect(self, asked: _Asked, found: _Found, headers: dict[str, str]) -> None:
        hub = self.server.hub
        size_bytes = found.content.size_bytes
        if asked.kind == "wrong_size" and asked.fault:
            size_bytes += asked.fault.after or 1
        where = f"{hub.cdn}/{found.repository}/{quote(found.path)}"
        headers |= {
            "Location": f"{where}?commit={found.commit}&{hub.sign()}",
            "X-Linked-Etag": etag_of(found.path, found.content),
            "X-Linked-Size": str(size_bytes),
        }
        self._answer(302, headers | asked.changed_headers)

    def _send_file(self, asked: _Asked) -> None:
        hub = self.server.hub
        whole = unquote(urlsplit(self.path).path)[1:]
        parts = whole.split("/")
        repository, path = "/".join(parts[:2]), "/".join(parts[2:])
        content: Content | None = hub.files.get(("", whole))
        if content is None:
            commit = asked.query.get("commit", ["main"])[0]
            content = hub.files_at(repository, commit).get(path)
            if content is not None and not self._is_signed(asked):
                self._answer(403, {"Content-Type": "application/xml"}, b"<Error>expired</Error>")
                return
        limit = hub.whole_limit_bytes
        if content is None:
            self._answer(404, {})
        elif limit is not None and asked.seen.range is None and content.size_bytes > limit:
            self._answer(400, {"Content-Type": "application/xml"}, b"<Error>too large</Error>")
        else:
            with hub.sending():
                self._send_content(path or whole, content, asked, {})

    def _is_signed(self, asked: _Asked) -> bool:
        return self.server.hub.is_signed(asked.query.get("Signature", [""])[0])

    def _send_content(
        self, path: str, content: Content, asked: _Asked, headers: dict[str, str]
    ) -> None:
        hub, seen = self.server.hub, asked.seen
        if asked.kind == "changed":
            content.version += 1
        total = content.size_bytes
        etag = etag_of(path, content)
        headers |= {"ETag": etag, "Content-Type": "application/octet-stream"}
        headers |= {"Accept-Ranges": "bytes"}
        wants_other = seen.if_range not in (None, etag)
        is_ignored = seen.if_range is not None and not hub.knows_if_range
        is_whole = seen.range is None or asked.kind == "no_range" or not hub.has_ranges
        if is_whole or wants_other or is_ignored:
            self._send(200, headers, _Body(content, 0, total), asked)
            return
        assert seen.range is not None
        begin, _, end = seen.range.removeprefix("bytes=").partition("-")
        first, last = int(begin), min(int(end or total - 1), total - 1)
        if first >= total:
            self._answer(416, headers | {"Content-Range": f"bytes */{total}"})
            return
        self._send_part(headers, content, (first, last), asked)

    def _send_part(
        self, headers: dict[str, str], content: Content, part: tuple[int, int], asked: _Asked
    ) -> None:
        first, last = part
        total = content.size_bytes
        if asked.kind == "short":
            last = first + (last - first) // 2
        shift = 7 if asked.kind in ("other_bytes", "garbage_range") else 0
        said = 0 if asked.kind == "garbage_range" else shift
        if asked.kind == "wrong_size" and asked.fault:
            total += asked.fault.after or 1
        headers["Content-Range"] = f"bytes {first + said}-{last}/{total}"
        size_bytes = last + 1 - first - said
        begin = min(first + shift, max(content.size_bytes - size_bytes, 0))
        if begin == first and shift:
            begin = max(first - shift, 0)
        self._send(206, headers, _Body(content, begin, size_bytes), asked)

    def _send(self, status: int, headers: dict[str, str], body: _Body, asked: _Asked) -> None:
        fault = asked.fault
        if fault is not None and fault.kind == "corrupt":
            body.flipped = min(fault.after, body.size_bytes - 1)
        self.send_response(status)
        every = {"Content-Length": str(body.size_bytes), **headers, **asked.changed_headers}
        for key, value in every.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.kind in _BREAKS_OFF:
            self._break_off(body, fault, asked.seen)
            return
        rate = fault.rate_bytes_s if asked.kind == "slow" and fault else None
        if rate is None and self.server.origin == "cdn":
            rate = self.server.hub.rate_bytes_s
        self._write(body, 0, body.size_bytes, asked.seen, rate)

    def _write(
        self, body: _Body, at: int, end: int, seen: SeenRequest, rate: float | None = None
    ) -> None:
        # In pieces: a sparse file may be larger than memory, and its reader leaves early.
        hub = self.server.hub
        began = time.monotonic()
        start = at
        piece_bytes = _PIECE_BYTES if rate is None else max(1, int(rate * _SLOW_PIECE_S))
        while at < end:
            if rate is not None:
                due_s = (at - start) / rate - (time.monotonic() - began)
                is_closing = due_s > 0 and hub.closing.wait(due_s)
                while hub.is_held and not is_closing:
                    is_closing = hub.closing.wait(_SLOW_PIECE_S)
                if is_closing:
                    self.close_connection = True
                    return
            if rate is None and self._has_sendfile(body):
                assert isinstance(body.content, FileContent)
                size = min(_SENDFILE_BYTES, end - at)
                size = body.content.send(self.connection.fileno(), body.first + at, size)
            else:
                piece = body.part(at, min(piece_bytes, end - at))
                self.wfile.write(piece)
                size = len(piece)
            at += size
            hub.sent(seen, size)

    def _has_sendfile(self, body: _Body) -> bool:
        is_plain = self.server.tls is None and body.flipped < 0
        return is_plain and isinstance(body.content, FileContent)

    def _wait_for_delivery(self) -> None:
        """Wait until the other side's system has everything; a reset throws the rest away.

        Bounded, because one that has gone takes nothing any more.
        """
        if sys.platform != "linux":
            return
        for _ in range(_DELIVERY_LOOKS):
            left = fcntl.ioctl(self.connection.fileno(), termios.TIOCOUTQ, bytes(4))
            if left == bytes(4) or self.server.hub.closing.wait(_DELIVERY_LOOK_S):
                return

    def _break_off(self, body: _Body, fault: Fault, seen: SeenRequest) -> None:
        self.close_connection = True
        at = min(fault.after, body.size_bytes)
        self._write(body, 0, at, seen)
        closing = self.server.hub.closing
        if fault.kind == "stall":
            closing.wait()
        elif fault.kind == "drip":
            while at < body.size_bytes and not closing.wait(_DRIP_S):
                self._write(body, at, at + 1, seen)
                at += 1
        elif fault.kind == "reset":
            self._wait_for_delivery()
            # No waiting for what was not read: the other side sees a reset.
            option = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self.connection.close()


def shut_down(connection: socket.socket) -> None:
    """Break a connection; it may have been closed meanwhile."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
