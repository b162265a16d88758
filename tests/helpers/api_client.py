"""A child that speaks HTTP with a scripted parent, and clients that write every byte themselves."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from models.api.protocol import (
    Asked,
    FromChild,
    Listening,
    ServerOptions,
    ToChild,
    TurnedAway,
    event_from_line,
    options_to_line,
    reply_to_line,
)
from models.runtime.command import program_command, start_piped
from models.runtime.protocol import decode_line, encode_line

KEY = "fathom-a-key-for-tests"
PAGE = "https://chat.example"
# For what is sure to come; only a test that fails waits for so long.
LIMIT_S = 60.0

_E = TypeVar("_E", bound=FromChild)
Script = Callable[[FromChild], Iterable[ToChild]]


def say_nothing(_event: FromChild) -> Iterable[ToChild]:
    """Let the test itself answer."""
    return ()


class ScriptedParent:
    """A real child, and a parent that says what a test wants.

    Attributes:
        script: what to answer to an event at once; such events are kept for ``expect`` too.
    """

    def __init__(self, first_line: bytes, script: Script = say_nothing) -> None:
        """Start the child and send its first line."""
        self.script = script
        self.stderr = b""
        self.process: subprocess.Popen[bytes] = start_piped(program_command("http-server"))
        self._events: queue.SimpleQueue[FromChild | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._read, name="api-events"),
            threading.Thread(target=self._keep_stderr, name="api-stderr"),
        ]
        self.send(first_line)
        for thread in self._threads:
            thread.start()

    def send(self, line: bytes) -> None:
        """Write any bytes to the child."""
        assert self.process.stdin is not None
        self.process.stdin.write(line)

    def say(self, *replies: ToChild) -> None:
        """Write replies."""
        for reply in replies:
            self.send(encode_line(reply_to_line(reply)))

    def next_event(self) -> FromChild | None:
        """Return what the child said next; None: it ended."""
        return self._events.get(timeout=LIMIT_S)

    def so_far(self) -> list[FromChild]:
        """Return what has come and was not looked at; what a client was answered to has come."""
        events = []
        while not self._events.empty():
            if (event := self._events.get()) is not None:
                events.append(event)
        return events

    def expect(self, kind: type[_E]) -> _E:
        """Return what the child said next, past pages that were turned away."""
        event = self.next_event()
        while isinstance(event, TurnedAway) and kind is not TurnedAway:
            event = self.next_event()
        assert isinstance(event, kind), event
        return event

    def close(self) -> int:
        """End the child as a parent does that ends, and return its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        """Wait for the child's end and give everything back; safe twice."""
        try:
            self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            for thread in self._threads:
                thread.join()
            for file in (self.process.stdin, self.process.stdout, self.process.stderr):
                assert file is not None
                file.close()
        return self.process.returncode

    def _read(self) -> None:
        assert self.process.stdout is not None
        unfinished = b""
        # Unbuffered, so that an event is there as soon as it was written.
        while data := self.process.stdout.read(1 << 16):
            *lines, unfinished = (unfinished + data).split(b"\n")
            for line in lines:
                event = event_from_line(decode_line(line))
                self._events.put(event)
                self.say(*self.script(event))
        self._events.put(None)

    def _keep_stderr(self) -> None:
        assert self.process.stderr is not None
        while data := self.process.stderr.read(1 << 16):
            self.stderr += data


class RunningServer(ScriptedParent):
    """One that listens."""

    def __init__(self, script: Script = say_nothing, **options: Any) -> None:
        options = {
            "port": 0,
            "key": KEY,
            "allowed_origins": (PAGE,),
            # No test that is not about it is held up for so long.
            "patience_s": 600.0,
            **options,
        }
        super().__init__(encode_line(options_to_line(ServerOptions(**options))), script)
        self.listening = self.expect(Listening)
        self.port = self.listening.port

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)

    def ask(self, raw: bytes) -> Answer:
        """Send bytes in a connection of their own and return what comes up to its end."""
        with self.connect() as client:
            client.sendall(raw)
            return read_answer(client)

    def head(self, method: str = "GET", path: str = "/health", **headers: str | None) -> bytes:
        """Return an honest request without its body; ``None`` leaves a header out.

        Names in capitals or small, with ``_`` for ``-``.
        """
        fields: dict[str, str | None] = {
            "host": f"127.0.0.1:{self.port}",
            "authorization": f"Bearer {KEY}",
            "connection": "close",
        }
        if method == "POST":
            fields["content-type"] = "application/json"
        fields.update({name.replace("_", "-").lower(): value for name, value in headers.items()})
        pairs = [(name, value) for name, value in fields.items() if value is not None]
        return raw_head(method, path, pairs)

    def question(self, body: Any = None, *, path: str = "/v1/chat/completions") -> bytes:
        """Return an honest question."""
        if not isinstance(body, bytes):
            body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], **(body or {})})
            body = body.encode()
        return self.head("POST", path, content_length=str(len(body))) + body

    def asked(self) -> Asked:
        """Return the question that the child admitted next."""
        return self.expect(Asked)


@dataclass(frozen=True)
class Answer:
    """What a client was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """What is wrong, in OpenAI's shape."""
        error: dict[str, Any] = self.data["error"]
        assert set(error) == {"message", "type", "code", "param"}
        return error

    @property
    def events(self) -> list[str]:
        """The lines of a stream of server-sent events that are not empty."""
        return [line for line in self.body.decode().split("\n") if line]


def raw_head(method: str, path: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return the head of a request, byte for byte."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read_all(client: socket.socket) -> bytes:
    """Read up to the end of a connection."""
    data = b""
    while more := client.recv(1 << 16):
        data += more
    return data


def read_answer(client: socket.socket) -> Answer:
    """Read the one answer that a connection ends with."""
    answer, rest = parse_answer(read_all(client))
    assert rest == b"", rest
    return answer


def parse_answer(data: bytes) -> tuple[Answer, bytes]:
    """Take one answer off the begin of what was read."""
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs), "a header was sent twice"
    if headers.get("transfer-encoding") == "chunked":
        body, rest = _unchunk(rest)
    else:
        length = int(headers.get("content-length", "0"))
        body, rest = rest[:length], rest[length:]
        assert len(body) == length, "the answer is cut off"
    return Answer(int(first.split(" ")[1]), headers, body), rest


def _unchunk(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size_line, _, data = data.partition(b"\r\n")
        size = int(size_line, 16)
        chunk, data = data[:size], data[size + 2 :]
        if not size:
            return body, data
        body += chunk
