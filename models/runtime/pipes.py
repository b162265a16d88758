"""The three pipes of a child, read and written without ever blocking for good. No Qt here.

Two ways to the same interface (``Pipes``):

- ``SelectorPipes`` (POSIX): one thread waits for both outputs, for room in the child's input and
  for other threads that wake it.
- ``ThreadedPipes`` (Windows, whose pipes cannot be selected): three small threads block in one
  pipe each and pass everything through a queue, so that the reader thread can still wait for all
  of it with a time limit. It works on POSIX too, which is how it is tested.

In both, a write only appends to a buffer. A child that hangs and no longer reads its input thus
blocks nobody; it is the watchdog's task to end it, and the end of the child empties the buffer.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import IO, Protocol

from models.errors import EngineProtocolError
from models.runtime.protocol import MAX_LINE_BYTES

STDERR_TAIL_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
STDOUT, STDERR = "stdout", "stderr"
_WAKE, _STDIN = "wake", "stdin"
_CLOSE_LIMIT_S = 1.0


@dataclass(frozen=True)
class Chunk:
    """Bytes of one output of the child; empty at its end."""

    stream: str
    data: bytes


class LineFramer:
    """Cuts a stream of chunks into lines; a line above 16 MiB is refused before it is complete."""

    def __init__(self, limit_bytes: int = MAX_LINE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes, without their newlines.

        Raises:
            EngineProtocolError: a line is above the limit.
        """
        # Only new bytes are searched: a long line must not cost its length squared.
        if b"\n" not in data:
            self._buffer += data
            self._check(len(self._buffer))
            return []
        first, *others, rest = data.split(b"\n")
        lines = [bytes(self._buffer) + first, *others]
        self._buffer = bytearray(rest)
        for line in lines:
            self._check(len(line))
        return lines

    def unfinished(self) -> bytes:
        """Return the start of a line whose end has not come."""
        return bytes(self._buffer)

    def _check(self, length_bytes: int) -> None:
        if length_bytes > self._limit_bytes:
            raise EngineProtocolError("The engine sent a line longer than 16 MiB.")


class Tail:
    """Keeps the last bytes of a stream; safe to read from any thread."""

    def __init__(self, limit_bytes: int = STDERR_TAIL_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._buffer = bytearray()

    def append(self, data: bytes) -> None:
        """Add bytes; the oldest go when there are too many."""
        with self._lock:
            self._buffer += data
            excess = len(self._buffer) - self._limit_bytes
            if excess > 0:
                del self._buffer[:excess]

    def text(self) -> str:
        """Return what is kept, as text; bytes that are not UTF-8 are replaced."""
        with self._lock:
            data = bytes(self._buffer)
        return data.decode(errors="replace")


class Pipes(Protocol):
    """What the client needs of a child's pipes."""

    def wait(self, timeout_s: float) -> list[Chunk]:
        """Return what arrived, after ``timeout_s`` at the latest; for the reader thread only."""

    def write(self, data: bytes) -> None:
        """Queue bytes for the child's input; returns at once, from any thread."""

    def close_input(self) -> None:
        """End the child's input once it has what was queued; nothing can be written after it."""

    def wake(self) -> None:
        """Let ``wait`` return; from any thread."""

    def close(self) -> None:
        """Give everything back; for the reader thread only."""


def open_pipes(process: subprocess.Popen[bytes]) -> Pipes:
    """Return the pipes of a new child in the way that this system offers."""
    pipes = ThreadedPipes if sys.platform == "win32" else SelectorPipes
    return pipes(process)


def _stream(file: IO[bytes] | None) -> IO[bytes]:
    if file is None:
        raise ValueError("the child was started without a pipe")
    return file


class SelectorPipes:
    """All pipes in one thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._stdin = _stream(process.stdin)
        self._outputs = [_stream(process.stdout), _stream(process.stderr)]
        self._lock = threading.Lock()
        self._outbound = bytearray()
        self._closed = False
        self._stdin_works = True
        self._stdin_ends = False
        self._wake_fd, self._wake_write_fd = os.pipe()
        self._selector = selectors.DefaultSelector()
        for fd in (self._wake_fd, self._wake_write_fd, self._stdin.fileno()):
            os.set_blocking(fd, False)
        self._selector.register(self._wake_fd, selectors.EVENT_READ, _WAKE)
        for file, stream in zip(self._outputs, (STDOUT, STDERR), strict=True):
            os.set_blocking(file.fileno(), False)
            self._selector.register(file.fileno(), selectors.EVENT_READ, stream)

    def wait(self, timeout_s: float) -> list[Chunk]:
        """Return what arrived; empty when the time is over or somebody woke the thread."""
        self._flush()
        chunks = []
        for key, _ in self._selector.select(max(timeout_s, 0.0)):
            if key.data == _STDIN:
                continue
            data = self._read(key.fd)
            if data is None or key.data == _WAKE:
                continue
            if not data:
                self._selector.unregister(key.fd)
            chunks.append(Chunk(key.data, data))
        self._flush()
        return chunks

    def write(self, data: bytes) -> None:
        """Queue bytes for the child."""
        with self._lock:
            if not self._stdin_ends:
                self._outbound += data
        self.wake()

    def close_input(self) -> None:
        """End the child's input once it has what was queued; nothing can be written after it."""
        with self._lock:
            self._stdin_ends = True
        self.wake()

    def wake(self) -> None:
        """Let ``wait`` return."""
        with self._lock:
            if not self._closed:
                # A full pipe means that the thread is about to wake up anyway.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_write_fd, b"w")

    def close(self) -> None:
        """Close every descriptor."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._selector.close()
        for file in (self._stdin, *self._outputs):
            file.close()
        os.close(self._wake_fd)
        os.close(self._wake_write_fd)

    @staticmethod
    def _read(fd: int) -> bytes | None:
        try:
            return os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _flush(self) -> None:
        """Write what fits; ask the selector to tell when there is room for the rest."""
        with self._lock:
            while self._outbound and self._stdin_works:
                try:
                    written = os.write(self._stdin.fileno(), bytes(self._outbound[:_CHUNK_BYTES]))
                except BlockingIOError:
                    break
                except OSError:
                    # The child is gone or closed its input; its end is seen elsewhere.
                    self._stdin_works = False
                    self._outbound.clear()
                else:
                    del self._outbound[:written]
            if self._stdin.closed:
                return
            self._watch_stdin(bool(self._outbound) and self._stdin_works)
            if self._stdin_ends and not self._outbound:
                self._stdin_works = False
                self._stdin.close()

    def _watch_stdin(self, wanted: bool) -> None:
        fd = self._stdin.fileno()
        watched = fd in self._selector.get_map()
        if wanted and not watched:
            self._selector.register(fd, selectors.EVENT_WRITE, _STDIN)
        elif watched and not wanted:
            self._selector.unregister(fd)


class ThreadedPipes:
    """One blocking thread a pipe, and a queue between them and the reader thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        stdin, stdout, stderr = map(_stream, (process.stdin, process.stdout, process.stderr))
        # Bounded: when the reader thread is slow the child has to wait, not the memory to grow.
        self._chunks: queue.Queue[Chunk | None] = queue.Queue(maxsize=64)
        self._outbound: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._pump, args=(STDOUT, stdout), daemon=True),
            threading.Thread(target=self._pump, args=(STDERR, stderr), daemon=True),
            threading.Thread(target=self._feed, args=(stdin,), daemon=True),
        ]
        for thread in self._threads:
            thread.name = "engine-pipe"
            thread.start()

    def wait(self, timeout_s: float) -> list[Chunk]:
        """Return what arrived; empty when the time is over or somebody woke the thread."""
        chunks = []
        try:
            chunks.append(self._chunks.get(timeout=max(timeout_s, 0.0)))
            while True:
                chunks.append(self._chunks.get_nowait())
        except queue.Empty:
            return [chunk for chunk in chunks if chunk is not None]

    def write(self, data: bytes) -> None:
        """Queue bytes for the child."""
        self._outbound.put(data)

    def close_input(self) -> None:
        """End the child's input once it has what was queued; nothing can be written after it."""
        self._outbound.put(None)

    def wake(self) -> None:
        """Let ``wait`` return."""
        # A full queue wakes the thread just as well.
        with contextlib.suppress(queue.Full):
            self._chunks.put_nowait(None)

    def close(self) -> None:
        """End the threads, each of which closes its pipe.

        A process that the child left behind may hold the other end of a pipe open; then a thread
        stays until that process ends. They are daemons, and the engine starts no processes.
        """
        self._outbound.put(None)
        limit = time.monotonic() + _CLOSE_LIMIT_S
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < limit:
            self.wait(0.005)

    def _pump(self, stream: str, file: IO[bytes]) -> None:
        with file:
            while True:
                try:
                    data = file.read(_CHUNK_BYTES)
                except OSError:
                    data = b""
                self._chunks.put(Chunk(stream, data))
                if not data:
                    return

    def _feed(self, file: IO[bytes]) -> None:
        # The child may be gone at any write, and at the close too.
        with contextlib.suppress(OSError), file:
            while (data := self._outbound.get()) is not None:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
