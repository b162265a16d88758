"""One child from its birth to its end, and the one thread that looks after it. No Qt here.

The engine child is one such child, the transfer child (models/transfer) another: they differ in
what a line means.

Everything that touches the process happens in the reader thread: it starts the child, reads both
of its outputs, writes its input, watches the deadlines its owner names, signals it and reaps it.
So there is no second thread that could signal a process id which the system has already given to
somebody else, and no timer: the next deadline is the limit of the wait for output.

The parent's death needs no help: the child's input ends and the child exits (docs/protocol.md,
rule 6). PR_SET_PDEATHSIG is not used. It fires when the *thread* that started the child ends, not
the process; it exists on Linux only; and it would have to be set between fork and exec, where
running Python is unsafe in a program with threads.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from models.errors import EngineProtocolError
from models.runtime.command import start_piped
from models.runtime.pipes import STDERR, STDOUT, Chunk, LineFramer, Pipes, Tail, open_pipes
from models.runtime.protocol import Event, decode_line, event_from_json

_LOG = logging.getLogger(__name__)

# How often the reader thread looks whether the child is still there although nothing happens.
# The end of its outputs says so at once, unless a process it left behind holds them open.
_IDLE_TICK_S = 1.0
# The same while the child is known to be about to end.
_ENDING_TICK_S = 0.02
_DRAIN_LIMIT_S = 1.0
_DRAIN_TICK_S = 0.1
_REAP_LIMIT_S = 0.5
_UNFINISHED_SHOWN_BYTES = 200

OpenPipes = Callable[[subprocess.Popen[bytes]], Pipes]
_E = TypeVar("_E")
_E_contra = TypeVar("_E_contra", contravariant=True)


@dataclass(frozen=True)
class ChildEnd:
    """How a child's life ended.

    Attributes:
        returncode: as ``subprocess`` has it; None when the child never ran or could not be ended.
        start_failure: why the child never ran, empty when it did.
        unfinished: the start of a line that the child did not complete, shortened.
    """

    returncode: int | None
    start_failure: str = ""
    unfinished: str = ""


class ClientOwner(Protocol[_E_contra]):
    """Whom the reader thread tells; every call comes from that thread, with no lock held."""

    def on_event(self, event: _E_contra) -> None:
        """Take an event; ``EngineProtocolError`` means that it breaks the protocol."""

    def on_broken(self, error: EngineProtocolError) -> None:
        """Take note that the child does not speak the protocol; it is not listened to any more."""

    def on_pass(self, now: float) -> None:
        """Do what is due at ``now`` (monotonic seconds); called at least once a second."""

    def next_deadline(self) -> float | None:
        """Return when ``on_pass`` has something to do, in monotonic seconds."""

    def on_ended(self, end: ChildEnd) -> None:
        """Take note that the child is gone and everything it held is given back; the last call."""


class ChildClient(Generic[_E]):
    """A child that speaks a protocol of JSON lines.

    ``begin``, ``send``, ``wake``, ``join`` and the properties may be used from any thread;
    ``terminate``, ``kill`` and ``abandon`` belong to the owner's calls in the reader thread
    (``kill`` may be used elsewhere when the reader thread is stuck in the owner).
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        owner: ClientOwner[_E],
        decode: Callable[[bytes], _E],
        subject: str = "engine",
        silence_limit_s: float = 2.0,
        pipes: OpenPipes = open_pipes,
    ) -> None:
        """Prepare; nothing runs before ``begin``.

        Args:
            command: the child's command line.
            env: the child's whole environment.
            owner: whom to tell.
            decode: a line into an event; raises ``EngineProtocolError``.
            subject: what the child is called in messages and logs.
            silence_limit_s: how long the child may live after it closed its standard output.
            pipes: how to open the child's pipes.
        """
        self._command = list(command)
        self._env = dict(env)
        self._owner = owner
        self._decode = decode
        self._subject = subject
        self._silence_limit_s = silence_limit_s
        self._open_pipes = pipes
        self._tail = Tail()
        self._framer = LineFramer()
        self._lock = threading.Lock()  # guards _process and _pipes while they appear and go
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: Pipes | None = None
        self._pid: int | None = None
        self._broken = False
        self._abandoned = False
        self._signalled = False
        self._open_outputs = 2
        self._silent_since: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"{subject}-reader", daemon=True)

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._pid

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller is the reader thread."""
        return threading.current_thread() is self._thread

    def begin(self) -> None:
        """Start the reader thread, which starts the child."""
        self._thread.start()

    def send(self, line: bytes) -> None:
        """Hand a line to the pipe; returns at once even when the child reads nothing."""
        with self._lock:
            if self._pipes is not None:
                self._pipes.write(line)

    def close_input(self) -> None:
        """End the child's input once it has everything that was sent."""
        with self._lock:
            if self._pipes is not None:
                self._pipes.close_input()

    def wake(self) -> None:
        """Let the reader thread call ``on_pass`` now."""
        with self._lock:
            if self._pipes is not None:
                self._pipes.wake()

    def stderr_tail(self) -> str:
        """Return the last 64 KiB of the child's standard error."""
        return self._tail.text()

    def join(self, timeout_s: float) -> bool:
        """Wait until the reader thread has ended; False when it has not in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def terminate(self) -> None:
        """Ask the system to end the child (SIGTERM, or TerminateProcess on Windows)."""
        self._signal(subprocess.Popen.terminate)

    def kill(self) -> None:
        """End the child."""
        self._signal(subprocess.Popen.kill)

    def abandon(self) -> None:
        """Stop waiting for a child that survives even SIGKILL (stuck in a driver)."""
        self._abandoned = True

    def _signal(self, send: Callable[[subprocess.Popen[bytes]], None]) -> None:
        self._signalled = True
        with self._lock:
            process = self._process
        if process is not None:
            # Windows refuses to end a process that is just ending.
            with contextlib.suppress(PermissionError):
                send(process)

    # --- the reader thread ----------------------------------------------------------------------

    def _run(self) -> None:
        end = ChildEnd(returncode=None, start_failure="The reader thread failed.")
        try:
            end = self._live()
        finally:
            self._pid = None
            self._owner.on_ended(end)

    def _live(self) -> ChildEnd:
        try:
            process = start_piped(self._command, self._env)
        except (OSError, ValueError) as error:
            return ChildEnd(returncode=None, start_failure=str(error))
        try:
            pipes = self._open_pipes(process)
            with self._lock:
                self._process, self._pipes = process, pipes
            self._pid = process.pid
            self._watch(process, pipes)
            self._drain(pipes)
        finally:
            # Also when something above failed: no child may stay without its watchdog.
            self._give_back(process)
        _LOG.info("the %s child %d ended: %s", self._subject, process.pid, process.returncode)
        unfinished = self._framer.unfinished()[:_UNFINISHED_SHOWN_BYTES]
        return ChildEnd(process.returncode, unfinished=repr(unfinished) if unfinished else "")

    def _watch(self, process: subprocess.Popen[bytes], pipes: Pipes) -> None:
        while True:
            now = time.monotonic()
            self._owner.on_pass(now)
            if self._abandoned or process.poll() is not None:
                return
            for chunk in pipes.wait(self._timeout_s(now)):
                self._take(chunk)
            silent_since = self._silent_since
            if silent_since is not None and now > silent_since + self._silence_limit_s:
                self._break(
                    EngineProtocolError(
                        f"The {self._subject} closed its output but went on running."
                    )
                )

    def _timeout_s(self, now: float) -> float:
        ending = self._silent_since is not None or self._signalled
        tick_s = _ENDING_TICK_S if ending else _IDLE_TICK_S
        deadline = self._owner.next_deadline()
        return tick_s if deadline is None else max(0.0, min(deadline - now, tick_s))

    def _drain(self, pipes: Pipes) -> None:
        """Read what the child wrote before it ended."""
        limit = time.monotonic() + _DRAIN_LIMIT_S
        while self._open_outputs and time.monotonic() < limit:
            chunks = pipes.wait(_DRAIN_TICK_S)
            if not chunks:
                return
            for chunk in chunks:
                self._take(chunk)

    def _take(self, chunk: Chunk) -> None:
        if not chunk.data:
            self._open_outputs -= 1
            if chunk.stream == STDOUT:
                self._silent_since = time.monotonic()
        elif chunk.stream == STDERR:
            self._tail.append(chunk.data)
        elif not self._broken:
            self._take_lines(chunk.data)

    def _take_lines(self, data: bytes) -> None:
        try:
            for line in self._framer.feed(data):
                self._owner.on_event(self._decode(line))
        except EngineProtocolError as error:
            self._break(error)

    def _break(self, error: EngineProtocolError) -> None:
        if not self._broken:
            self._broken = True
            self._framer = LineFramer()
            self._owner.on_broken(error)

    def _give_back(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
            # Abandoned: nothing more can be done about it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_REAP_LIMIT_S)
        with self._lock:
            pipes, self._pipes, self._process = self._pipes, None, None
        if pipes is not None:
            pipes.close()
            return
        for file in (process.stdin, process.stdout, process.stderr):
            if file is not None:
                file.close()


class EngineClient(ChildClient[Event]):
    """A child that speaks the engine protocol."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        owner: ClientOwner[Event],
        silence_limit_s: float = 2.0,
        pipes: OpenPipes = open_pipes,
    ) -> None:
        """Prepare; the arguments are those of ``ChildClient``."""
        super().__init__(
            command,
            env=env,
            owner=owner,
            decode=_engine_event,
            silence_limit_s=silence_limit_s,
            pipes=pipes,
        )


def _engine_event(line: bytes) -> Event:
    return event_from_json(decode_line(line))
