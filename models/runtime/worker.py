"""The engine child: reads requests, drives the backend, writes events. No Qt here.

Three threads: the main thread works requests off one at a time (llama.cpp runs here); the reader
takes requests from standard input, so that ``cancel`` and ``shutdown`` work in the middle of a long
prefill; the ticker sends live figures at 2 Hz while an answer runs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from models.errors import EngineError, EngineProtocolError, FathomError
from models.runtime.child_lines import (
    exit_soon,
    own_error,
    parse_request,
    read_lines,
    write_all,
)
from models.runtime.child_setup import prepare_environment, take_protocol_fd
from models.runtime.protocol import (
    PROTOCOL_VERSION,
    BenchRequest,
    Bye,
    CancelAccepted,
    Cancelled,
    Delta,
    DevicesRequest,
    Done,
    ErrorEvent,
    Event,
    EventBody,
    GenerateRequest,
    Hello,
    LoadSettings,
    Log,
    Pong,
    Request,
    Started,
    StatsEvent,
    Unloaded,
    decode_line,
    encode_line,
    event_to_json,
)
from models.runtime.wire import build
from models.version import VERSION

if TYPE_CHECKING:
    from models.runtime.llama.backend import LlamaBackend

_STATS_PERIOD_S = 0.5
_EXIT_GRACE_S = 1.5
_OPS_AT_ONCE = ("cancel", "ping", "shutdown")


class EventWriter:
    """Writes whole event lines to the protocol's own file descriptor, from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, request_id: int | None, body: EventBody) -> None:
        """Write one event; a parent that is gone is noticed by the reader, not here."""
        line = encode_line(event_to_json(Event(request_id, body)))
        with self._lock, contextlib.suppress(BrokenPipeError):
            write_all(self._fd, line)


class LogSender:
    """Sends llama.cpp's log; what it says while it starts waits until ``hello`` was sent."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self._waiting: list[Log] | None = []

    def send(self, level: str, text: str) -> None:
        """Send a line, or keep it for later."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.append(Log(level, text))
                return
        self._writer.send(None, Log(level, text))

    def open(self) -> None:
        """Send what waits; from now on nothing does."""
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
            for line in waiting:
                self._writer.send(None, line)


class RequestQueue:
    """Requests waiting for the main thread, and the one that it works on.

    ``on_cancel_running`` is called under the lock, so that a cancel can never hit the request that
    comes after the one it was meant for.
    """

    def __init__(
        self, *, on_begin: Callable[[], None], on_cancel_running: Callable[[], None]
    ) -> None:
        self._condition = threading.Condition()
        self._waiting: collections.deque[Request] = collections.deque()
        self._running: int | None = None
        self._closed = False
        self._on_begin = on_begin
        self._on_cancel_running = on_cancel_running

    def put(self, request: Request) -> None:
        """Add a request at the end."""
        with self._condition:
            self._waiting.append(request)
            self._condition.notify()

    def next(self) -> Request | None:
        """Wait for a request and mark it as running; None once the queue is closed."""
        with self._condition:
            self._running = None
            while not self._waiting and not self._closed:
                self._condition.wait()
            if self._closed:
                return None
            request = self._waiting.popleft()
            self._running = request.id
            self._on_begin()
            return request

    def withdraw(self, target: int) -> bool:
        """Take a request out that still waits; return whether it did."""
        with self._condition:
            found = [request for request in self._waiting if request.id == target]
            for request in found:
                self._waiting.remove(request)
            return bool(found)

    def cancel_running(self, target: int) -> bool:
        """Stop a request that the main thread works on; return whether it does."""
        with self._condition:
            if target != self._running:
                return False
            self._on_cancel_running()
            return True

    def close(self) -> None:
        """Stop what runs and let ``next`` return None."""
        with self._condition:
            self._closed = True
            self._on_cancel_running()
            self._condition.notify_all()


class StatsTicker:
    """Calls ``send`` every 0.5 s while an answer runs."""

    def __init__(self, send: Callable[[int], None]) -> None:
        self._send = send
        self._condition = threading.Condition()
        self._request_id: int | None = None
        threading.Thread(target=self._run, name="stats", daemon=True).start()

    def start(self, request_id: int) -> None:
        """Begin ticking for a request."""
        with self._condition:
            self._request_id = request_id
            self._condition.notify()

    def stop(self) -> None:
        """Stop ticking; when this returns, no figure of the request is on its way any more."""
        with self._condition:
            self._request_id = None
            self._condition.notify()

    def _run(self) -> None:
        with self._condition:
            while True:
                while self._request_id is None:
                    self._condition.wait()
                self._condition.wait(_STATS_PERIOD_S)
                if self._request_id is not None:
                    self._send(self._request_id)


class Worker:
    """Works requests off until it is told to stop or its parent is gone."""

    def __init__(self, requests: BinaryIO, writer: EventWriter, backend: LlamaBackend) -> None:
        self._requests = requests
        self._writer = writer
        self._backend = backend
        self._queue = RequestQueue(on_begin=backend.allow, on_cancel_running=backend.cancel)
        self._ticker = StatsTicker(self._send_stats)
        self._shutdown_id: int | None = None

    def run(self) -> None:
        """Read and work until ``shutdown`` or end of input."""
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while (request := self._queue.next()) is not None:
            self._work_off(request)
        self._backend.unload()
        if self._shutdown_id is not None:
            self._writer.send(self._shutdown_id, Bye())

    # --- the reader thread ----------------------------------------------------------------------

    def _read(self) -> None:
        for line in read_lines(self._requests):
            try:
                self._accept(parse_request(line))
            except EngineProtocolError as error:
                self._writer.send(_request_id_of(line), _error_event(error))
            if self._shutdown_id is not None:
                break
        self._queue.close()
        # A backend that does not come back (a hung driver) must not keep the process alive.
        exit_soon(_EXIT_GRACE_S)

    def _accept(self, request: Request) -> None:
        if request.op not in _OPS_AT_ONCE:
            self._queue.put(request)
            return
        fields = dict(request.fields)
        target = fields.pop("target", None) if request.op == "cancel" else None
        _refuse_unknown(fields)
        if request.op == "ping":
            self._writer.send(request.id, Pong())
        elif request.op == "shutdown":
            self._shutdown_id = request.id
        elif isinstance(target, int):
            self._cancel(request.id, target)
        else:
            raise EngineProtocolError("cancel needs the id of a request as its target.")

    def _cancel(self, request_id: int, target: int) -> None:
        # In this order: a request only ever goes from waiting to running.
        withdrawn = self._queue.withdraw(target)
        found = withdrawn or self._queue.cancel_running(target)
        self._writer.send(request_id, CancelAccepted(target, found))
        if withdrawn:
            self._writer.send(target, Cancelled(None))

    # --- the main thread ------------------------------------------------------------------------

    def _work_off(self, request: Request) -> None:
        try:
            body = self._answer(request)
        except FathomError as error:
            kept = request.op == "load" and self._backend.is_loaded
            body = dataclasses.replace(_error_event(error), still_loaded=kept)
        except Exception as error:  # noqa: BLE001  The process boundary: a bug is reported.
            body = _error_event(own_error(error, "The engine", EngineError))
        self._writer.send(request.id, body)

    def _answer(self, request: Request) -> EventBody:
        handlers: dict[str, Callable[[Request], EventBody]] = {
            "devices": self._devices,
            "load": self._load,
            "unload": self._unload,
            "generate": self._generate,
            "bench": self._bench,
            "streams": self._streams,
        }
        handler = handlers.get(request.op)
        if handler is None:
            raise EngineProtocolError(f"There is no request named {request.op!r}.")
        return handler(request)

    def _devices(self, request: Request) -> EventBody:
        asked = build(DevicesRequest, request.fields, strict=True)
        return self._backend.devices(asked.rpc_hosts)

    def _load(self, request: Request) -> EventBody:
        from models.runtime.llama.abort import LoadCancelledError

        fields = dict(request.fields)
        path = fields.pop("path", None)
        if not isinstance(path, str):
            raise EngineProtocolError("load needs a path.")
        settings = build(LoadSettings, fields.pop("settings", {}), strict=True)
        _refuse_unknown(fields)
        try:
            loaded = self._backend.load(
                path, settings, lambda progress: self._writer.send(request.id, progress)
            )
        except LoadCancelledError:
            self._backend.unload()
            return Cancelled(None)
        self._writer.send(request.id, StatsEvent(self._backend.stats()))
        return loaded

    def _unload(self, request: Request) -> EventBody:
        _refuse_unknown(request.fields)
        self._backend.unload()
        return Unloaded()

    def _generate(self, request: Request) -> EventBody:
        generate = build(GenerateRequest, request.fields, strict=True)

        def on_started(started: Started) -> None:
            self._writer.send(request.id, started)
            self._ticker.start(request.id)

        try:
            outcome, usage = self._backend.generate(
                generate,
                on_started,
                lambda text, reasoning, tokens: self._writer.send(
                    request.id, Delta(text, reasoning, tokens)
                ),
            )
        finally:
            self._ticker.stop()
        self._writer.send(request.id, StatsEvent(self._backend.stats()))
        return Cancelled(usage) if outcome.cancelled else Done(outcome.stop_reason, usage)

    def _bench(self, request: Request) -> EventBody:
        bench = build(BenchRequest, request.fields, strict=True)
        results = self._backend.bench(
            bench, lambda progress: self._writer.send(request.id, progress)
        )
        return Cancelled(None) if results is None else results

    def _streams(self, request: Request) -> EventBody:
        fields = dict(request.fields)
        path = fields.pop("path", None)
        if not isinstance(path, str):
            raise EngineProtocolError("streams needs a path.")
        _refuse_unknown(fields)
        return self._backend.streams(path) or Cancelled(None)

    def _send_stats(self, request_id: int) -> None:
        self._writer.send(request_id, StatsEvent(self._backend.stats()))


def _request_id_of(line: bytes) -> int | None:
    try:
        request_id = decode_line(line).get("id")
    except EngineProtocolError:
        return None
    return request_id if isinstance(request_id, int) else None


def _refuse_unknown(fields: dict[str, object]) -> None:
    if fields:
        raise EngineProtocolError(f"The request has an unknown field {min(fields)!r}.")


def _error_event(error: FathomError) -> ErrorEvent:
    return build(ErrorEvent, error.to_json(), strict=True)


def _addons_dir(arguments: Sequence[str]) -> Path | None:
    parser = argparse.ArgumentParser(prog="fathom engine", allow_abbrev=False)
    parser.add_argument("--addons", type=Path, metavar="DIR")
    found: Path | None = parser.parse_args(arguments).addons
    return found


def main(arguments: Sequence[str] = ()) -> int:
    """Run the engine child on standard input and output; return its exit status.

    Args:
        arguments: ``--addons DIR`` names the folder of the user's add-ons.
    """
    addons_dir = _addons_dir(arguments)
    writer = EventWriter(take_protocol_fd())
    log = LogSender(writer)
    prepare_environment()
    try:
        from models.runtime.llama.backend import LlamaBackend

        backend = LlamaBackend(log.send, addons_dir)
    except FathomError as error:
        writer.send(None, _error_event(error))
        return 1
    writer.send(None, Hello(PROTOCOL_VERSION, VERSION, "llama.cpp", backend.version(), os.getpid()))
    log.open()
    status = 1
    try:
        Worker(sys.stdin.buffer, writer, backend).run()
        status = 0
    except BaseException:  # noqa: BLE001  Leaving through the interpreter aborts, see below.
        traceback.print_exc()
    # Skips the interpreter's own tear-down: it aborts while the reader thread holds standard input,
    # and ctypes libraries may call freed callbacks in it.
    sys.stderr.flush()
    os._exit(status)
