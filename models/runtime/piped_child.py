"""A child that answers questions, and its pipes; used from one thread at a time. No Qt here."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from models.errors import EngineProtocolError, FathomError, error_from_json
from models.runtime.command import start_piped
from models.runtime.outcome import describe_end
from models.runtime.pipes import STDERR, STDOUT, Chunk, LineFramer, Tail, open_pipes
from models.runtime.protocol import Json, decode_line, encode_line, to_json
from models.runtime.wire import build
from models.stopping import POLL_S

_REAP_LIMIT_S = 5.0
_LAST_WORDS_S = 0.5
_T = TypeVar("_T")


class PipedChild:
    """A running child.

    Args:
        command: its command line.
        name: what it is to a person, at the begin of a sentence.
        error: the class of what goes wrong with it.

    Raises:
        FathomError: of the class ``error``: it cannot be started.
    """

    def __init__(self, command: Sequence[str], *, name: str, error: type[FathomError]) -> None:
        self._name, self._error = name, error
        try:
            self._process = start_piped(command)
        except (OSError, ValueError) as failure:
            raise error(f"{name} cannot be started.", details=str(failure)) from failure
        self._pipes = open_pipes(self._process)
        self._framer = LineFramer()
        self._tail = Tail()
        self._open_outputs = {STDOUT, STDERR}
        self._last_id = 0

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, as one may that nobody asked anything of for hours."""
        return self._process.poll() is None

    @property
    def cpu_s(self) -> float:
        """How long it has kept a processor busy, since it began; 0 where it has ended."""
        # Not with this module: the window's start does not wait for it.
        import psutil

        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    @property
    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        return self._tail.text()

    def ask(
        self, op: str, request: Any, answer: type[_T], check: Callable[[], None]
    ) -> _T | FathomError:
        """Return its answer, or the error that it reports; it goes on after either.

        Args:
            op: the request's name.
            request: its fields, a dataclass or a dictionary.
            answer: the dataclass of what is to come.
            check: called again and again meanwhile; raises what ends the wait.

        Raises:
            FathomError: of the class that was given: the child died, or said something that is not
                its protocol, and is of no more use.
        """
        self._last_id += 1
        self.send({"op": op, "id": self._last_id, **to_json(request)})
        try:
            event = self._event_of(self._last_id, check)
            if event.get("event") == "error":
                return error_from_json(event)
            return build(answer, event, strict=False)
        except EngineProtocolError as error:
            raise self._error(
                f"{self._name} sent something that is not its protocol.",
                details=error.details or error.message,
            ) from error

    def give_up(self) -> None:
        """Tell it that nobody waits for the last answer; a late one is dropped by its id.

        Raises:
            FathomError: as ``receive``.
        """
        self.send({"op": "cancel", "id": self._last_id})
        # Hands to the pipe what is to be sent.
        self.receive(0.0)

    def send(self, request: Json) -> None:
        """Hand a request to the pipe; returns at once."""
        self._pipes.write(encode_line(request))

    def wake(self) -> None:
        """Let ``receive`` return; from any thread."""
        self._pipes.wake()

    def receive(self, timeout_s: float) -> list[Json]:
        """Return the events that came, empty when the time is over.

        Raises:
            FathomError: of the class that was given: the child died; ``details`` are its last
                words.
            EngineProtocolError: it wrote something that is not the protocol.
        """
        events: list[Json] = []
        for chunk in self._pipes.wait(timeout_s):
            events += [decode_line(line) for line in self._framer.feed(self._take(chunk))]
        if not events and STDOUT not in self._open_outputs:
            raise self._death()
        return events

    def _event_of(self, request_id: int, check: Callable[[], None]) -> Json:
        while True:
            for event in self.receive(POLL_S):
                if event.get("id") == request_id:
                    return event
            check()

    def _take(self, chunk: Chunk) -> bytes:
        """Return what belongs to the protocol, and keep the rest."""
        if not chunk.data:
            self._open_outputs.discard(chunk.stream)
        elif chunk.stream == STDERR:
            self._tail.append(chunk.data)
        return chunk.data if chunk.stream == STDOUT else b""

    def _death(self) -> FathomError:
        """Put the end of the child into words, with what it said last."""
        limit_s = time.monotonic() + _LAST_WORDS_S
        while self._open_outputs and time.monotonic() < limit_s:
            for chunk in self._pipes.wait(_LAST_WORDS_S):
                self._take(chunk)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WORDS_S)
        words = self._tail.text()
        outcome = describe_end(self._process.poll(), words)
        reason = f": {outcome.reason}" if outcome.reason else ""
        said = [line for line in words.splitlines() if line.strip()]
        return self._error(
            f"{self._name} {outcome.verb}{reason} ({outcome.sign}).",
            hint=said[-1].strip()[:300] if said else "",
            details=words,
        )

    def close(self) -> None:
        """End the child at once and give everything back."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_LIMIT_S)
        self._pipes.close()
