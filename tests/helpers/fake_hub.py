"""A hub on loopback: lists, redirects to a "CDN" of another origin, ranges, and faults on demand.

Two real servers with a thread for each connection, also with TLS. Faults are queued for one of
them and used up by its next requests, one each. Waiting is always for an event that ``close``
sets, so that no test waits longer than it asked for.

As a program: ``python -m helpers.fake_hub --serve FOLDER --port N [--rate BYTES_S]`` serves
``FOLDER/owner/name/...``; its address is what HF_ENDPOINT wants.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from helpers.fake_hub_content import Content, FileContent, RemoteFileContent, SparseContent
from helpers.fake_hub_faults import Fault, SeenRequest
from helpers.fake_hub_lists import Facts
from helpers.fake_hub_server import Server, shut_down

_TLS_DIR = Path(__file__).resolve().parent.parent / "data" / "tls"
CERTIFICATE = (str(_TLS_DIR / "cert.pem"), str(_TLS_DIR / "key.pem"))
COMMIT = "c0ffee" + "0" * 34
# What a hub knows of its users: one who may read everything, one who asked for access and waits,
# one who never asked. Any other token is none.
TOKEN = "hf_good"
PENDING_TOKEN = "hf_pending"
STRANGER_TOKEN = "hf_stranger"
_USERS = {TOKEN: "reader", PENDING_TOKEN: "waiter", STRANGER_TOKEN: "stranger"}
_URL_LIFE_S = 3600.0

__all__ = [
    "CERTIFICATE",
    "COMMIT",
    "PENDING_TOKEN",
    "STRANGER_TOKEN",
    "TOKEN",
    "FakeHub",
    "Fault",
    "RemoteFileContent",
    "SeenRequest",
    "SparseContent",
    "fake_hub",
    "stop_after",
]


@dataclass
class _Rule:
    """Faults for the requests that a pattern finds."""

    where: str
    fault: Fault
    path: re.Pattern[str] | None
    method: str
    left: int | None


@dataclass
class _Signature:
    """An address at the CDN that works for a while."""

    generation: int
    ends: float


@dataclass
class FakeHub:
    """The hub, its CDN, what they hold, and what they were asked.

    Attributes:
        certificate: files of a certificate and its key; both servers then speak TLS.
        port: of the hub; 0 takes a free one.
        files: by repository and path; a name outside of a repository lies at the CDN alone.
        facts: what the lists say of a repository; made with its first file.
        gated: repositories that need ``TOKEN``; ``facts[name].gate`` says how it is given.
        private: repositories that nobody but ``TOKEN`` sees.
        granted: who else may read a gated repository, as pairs of repository and token.
        shows_gated: whether lists of gated repositories are shown to everybody.
        endpoint: address of the hub.
        cdn: address of the CDN.
        requests: everything both were asked, in order.
        redirects: whether the hub sends readers of large files to the CDN.
        knows_if_range: whether the CDN follows If-Range; else it then sends the whole file.
        has_ranges: whether the CDN knows ranges at all.
        signature: raise it, and the CDN takes no address that was given out before.
        url_life_s: how long an address at the CDN works.
        whole_limit_bytes: the CDN answers 400 to a GET without Range of a larger file.
        rate_bytes_s: how fast a connection to the CDN is, None for as fast as it goes.
        most_bytes: where the CDN stops sending until it is raised; only with ``rate_bytes_s``.
        page_size: entries in one page of a list.
        most_at_once: the most answers that the CDN has sent at the same time.
    """

    certificate: tuple[str, str] | None = None
    port: int = 0
    files: dict[tuple[str, str], Content] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    granted: set[tuple[str, str]] = field(default_factory=set)
    shows_gated: bool = False
    requests: list[SeenRequest] = field(default_factory=list)
    redirects: bool = True
    knows_if_range: bool = True
    has_ranges: bool = True
    signature: int = 1
    url_life_s: float = _URL_LIFE_S
    whole_limit_bytes: int | None = None
    rate_bytes_s: float | None = None
    most_bytes: int | None = None
    page_size: int = 20
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        self.users = dict(_USERS)
        self._rules: list[_Rule] = []
        self._signatures: dict[str, _Signature] = {}
        self._history: dict[tuple[str, str], dict[str, Content]] = {}
        self._at_once = 0
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._connections: set[socket.socket] = set()
        ports = {"hub": self.port, "cdn": 0}
        self._servers = [Server(self, name, port, self.certificate) for name, port in ports.items()]
        scheme = "https" if self.certificate else "http"
        self.endpoint, self.cdn = (
            f"{scheme}://127.0.0.1:{server.server_address[1]}" for server in self._servers
        )

    # --- what it holds --------------------------------------------------------------------------

    def add(
        self, repository: str, path: str, data: bytes | str | Content, *, size_bytes: int = 0
    ) -> str:
        """Put a file there and return its address at the hub; the commit stays the same."""
        if isinstance(data, str):
            data = data.encode()
        content = RemoteFileContent(data, size_bytes) if isinstance(data, bytes) else data
        self.files[repository, path] = content
        facts = self.facts.setdefault(repository, Facts(COMMIT))
        return f"{self.endpoint}/{repository}/resolve/{facts.commit}/{path}"

    def add_plain(self, path: str, data: bytes, *, size_bytes: int = 0) -> str:
        """Put a file on the CDN alone, as on any web server, and return its address."""
        self.files["", path] = RemoteFileContent(data, size_bytes)
        return f"{self.cdn}/{path}"

    def add_folder(self, folder: Path) -> None:
        """Put all files of ``folder/owner/name`` there."""
        for path in sorted(folder.glob("*/*/**/*")):
            if path.is_file():
                owner, name, *rest = path.relative_to(folder).parts
                self.add(f"{owner}/{name}", "/".join(rest), FileContent(path))

    def describe(self, repository: str, **facts: Any) -> None:
        """Change what the lists say of a repository; see ``Facts``."""
        known = self.facts.setdefault(repository, Facts(COMMIT))
        self.facts[repository] = replace(known, **facts)

    def replace(self, repository: str, path: str, data: bytes | str | Content) -> str:
        """Put another file in a file's place with a new commit; return that.

        The old commit can still be read.
        """
        facts = self.facts[repository]
        self._history[repository, facts.commit] = self.files_at(repository, facts.commit)
        old = facts.commit + path
        facts.commit = hashlib.sha1(old.encode(), usedforsecurity=False).hexdigest()
        self.add(repository, path, data)
        return facts.commit

    def forget_history(self, repository: str) -> None:
        """Let nothing but the latest commit be readable, as when a repository was made anew."""
        for key in [key for key in self._history if key[0] == repository]:
            del self._history[key]

    def files_at(self, repository: str, revision: str) -> dict[str, Content]:
        """Return the files of a repository at a commit or ``main``; nothing when there is none."""
        facts = self.facts.get(repository)
        if facts is None or revision not in ("main", facts.commit):
            return self._history.get((repository, revision), {})
        return {path: content for (name, path), content in self.files.items() if name == repository}

    def may_read(self, repository: str, token: str) -> bool:
        """Whether a user may read a gated repository."""
        return token == TOKEN or (repository, token) in self.granted

    # --- faults ---------------------------------------------------------------------------------

    def fail(
        self,
        where: str,
        *faults: Fault,
        path: str | None = None,
        method: str = "",
        times: int | None = 1,
    ) -> None:
        """Queue faults for the next requests at ``hub``, ``api`` (its lists) or ``cdn``.

        Args:
            where: the server that fails.
            faults: one for each request, in order.
            path: a regular expression that is searched in what is asked for; others do not fail.
            method: ``GET`` or ``HEAD`` only.
            times: how often each of them happens; None for ever.
        """
        pattern = re.compile(path) if path is not None else None
        with self._lock:
            self._rules += [_Rule(where, fault, pattern, method, times) for fault in faults]

    def mend(self) -> None:
        """Let nothing fail any more."""
        with self._lock:
            self._rules.clear()

    def next_fault(self, where: str, method: str, path: str) -> Fault | None:
        """Take the next fault that fits a request off the queue."""
        with self._lock:
            for rule in self._rules:
                if rule.where != where or rule.method not in ("", method):
                    continue
                if rule.path is not None and rule.path.search(path) is None:
                    continue
                if rule.left is not None:
                    rule.left -= 1
                    if rule.left <= 0:
                        self._rules.remove(rule)
                return rule.fault
        return None

    # --- signed addresses -----------------------------------------------------------------------

    def sign(self) -> str:
        """Return the query of a new address at the CDN."""
        with self._lock:
            name = str(len(self._signatures) + 1)
            ends = time.monotonic() + self.url_life_s
            self._signatures[name] = _Signature(self.signature, ends)
        return f"Expires={int(time.time() + self.url_life_s)}&Signature={name}"

    def is_signed(self, name: str) -> bool:
        """Whether an address still works."""
        with self._lock:
            known = self._signatures.get(name)
        if known is None or known.generation != self.signature:
            return False
        return time.monotonic() < known.ends

    # --- what it saw ----------------------------------------------------------------------------

    def saw(self, request: SeenRequest) -> None:
        """Take note of a request."""
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()

    def sent(self, request: SeenRequest, size_bytes: int) -> None:
        """Take note of bytes of a file that were sent."""
        with self._arrived:
            request.sent_bytes.append(size_bytes)
            self._arrived.notify_all()

    def wait_for(self, condition: Callable[[], bool], limit_s: float = 30.0) -> None:
        """Wait until something is so; looked at with every request and every piece sent."""
        with self._arrived:
            assert self._arrived.wait_for(condition, limit_s), "the fake hub waited in vain"

    def wait_for_requests(self, count: int, limit_s: float = 30.0) -> None:
        """Wait until both have been asked so often together."""
        self.wait_for(lambda: len(self.requests) >= count, limit_s)

    def wait_for_bytes(self, count: int, limit_s: float = 30.0) -> None:
        """Wait until so many bytes of files were sent."""
        self.wait_for(lambda: self.sent_bytes >= count, limit_s)

    def seen(self, origin: str) -> list[SeenRequest]:
        """Return what one of them was asked: ``hub``, ``api`` or ``cdn``."""
        return [request for request in self.requests if request.origin == origin]

    @property
    def sent_bytes(self) -> int:
        """Return how many bytes of files were sent in all."""
        return sum(sum(request.sent_bytes) for request in self.requests)

    @property
    def is_held(self) -> bool:
        """Whether as much was sent as may be."""
        return self.most_bytes is not None and self.sent_bytes >= self.most_bytes

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

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Count an answer of the CDN while it is sent."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def drop_connections(self) -> None:
        """Break every connection there is now, as when a network goes away."""
        with self._lock:
            for connection in self._connections:
                shut_down(connection)

    def close(self) -> None:
        """End both servers and every connection."""
        self.closing.set()
        for server in self._servers:
            server.shutdown()
        self.drop_connections()
        for server in self._servers:
            server.server_close()
            server.thread.join()


@contextmanager
def fake_hub(certificate: tuple[str, str] | None = None, *, port: int = 0) -> Iterator[FakeHub]:
    """Run a hub for the length of a ``with`` block."""
    hub = FakeHub(certificate, port)
    try:
        yield hub
    finally:
        hub.close()


def stop_after(server: FakeHub, requests: int) -> Callable[[], bool]:
    """Return a stop that is asked for once the server has got so many requests."""
    return lambda: len(server.requests) >= requests


def main() -> None:
    """Serve a folder until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A hub on loopback that serves a folder.")
    parser.add_argument("--serve", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=None, metavar="BYTES_S")
    options = parser.parse_args()
    with fake_hub(port=options.port) as hub:
        hub.rate_bytes_s = options.rate
        hub.add_folder(options.serve)
        print(hub.endpoint, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            hub.closing.wait()


if __name__ == "__main__":
    main()
