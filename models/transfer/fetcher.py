"""Fetches the missing blocks of one file, several at a time. No Qt here.

One thread decides (``Fetcher.fetch``), and one for each block in flight fetches. Those ask
``halted`` all the time and are woken by having their sockets shut down, so that a stop is felt at
once; one that hangs in a name server or a dying disk is left behind, and finds the file closed.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from models.errors import (
    NetworkError,
    OfflineError,
    RateLimitedError,
    RemoteChangedError,
)
from models.stopping import POLL_S, Stop, check_stop
from models.transfer.blocks import Block, BlockMap
from models.transfer.connection import Connections
from models.transfer.hasher import hash_range
from models.transfer.limiter import RateLimiter
from models.transfer.part_file import PartFile
from models.transfer.patience import MIB, TransferPatience
from models.transfer.slots import Slots
from models.transfer.source import AgainError, Next, Part, Source

# How long threads whose sockets were shut down are given before they are left behind.
_CUT_GRACE_S = 0.06
# A connection that breaks after so many bytes is made again without a pause.
_MUCH_BYTES = MIB


@dataclass
class Counts:
    """What came over the line: in all, and of that what had been here before."""

    fetched_bytes: int = 0
    refetched_bytes: int = 0


@dataclass
class Wait:
    """What a transfer waits for: until when (``time.monotonic``), and why."""

    until: float = 0.0
    why: str = ""


@dataclass
class _Work:
    """One thread's work."""

    block: Block
    began: float = field(default_factory=time.monotonic)
    got_bytes: int = 0
    error: BaseException | None = None


class Fetcher:
    """Fetches what is missing; ``fetch`` may be called several times, by one thread.

    Args:
        inbox: where whatever ends a wait is put; shared with others who want to end it.
        request_flush: has what was written noted down soon.
    """

    def __init__(
        self,
        source: Source,
        part: PartFile,
        blocks: BlockMap,
        *,
        slots: Slots,
        limiter: RateLimiter,
        patience: TransferPatience,
        inbox: queue.SimpleQueue[object],
        request_flush: Callable[[], None],
    ) -> None:
        self.counts = Counts()
        self.wait = Wait()
        self._source = source
        self._part = part
        self._blocks = blocks
        self._slots = slots
        self._limiter = limiter
        self._patience = patience
        self._inbox = inbox
        self._request_flush = request_flush
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._random = random.Random()
        self._working: dict[int, _Work] = {}
        self._connections = Connections(patience)
        self._failures = 0
        self._failed = 0.0
        self._progressed = time.monotonic()

    @property
    def is_busy(self) -> bool:
        """Whether anything is in flight."""
        return bool(self._working)

    def halted(self) -> bool:
        """Whether the threads are to end; a ``Stop`` for everything that runs beside."""
        return self._halt.is_set()

    def lost(self, size_bytes: int) -> None:
        """Take note that bytes that were here are fetched again."""
        with self._lock:
            self.counts.refetched_bytes += size_bytes

    def fetch(self, stop: Stop, listen: Callable[[], None]) -> None:
        """Return when every block is there.

        Args:
            listen: called at least every ``POLL_S``; may raise to end it.

        Raises:
            StoppedError: ``stop`` said so.
            FathomError: no use going on.
        """
        try:
            while not self._blocks.is_complete or self._working:
                check_stop(stop)
                self._start()
                self._take_in(POLL_S)
                listen()
        finally:
            self._slots.leave(self)

    def close(self) -> None:
        """End all threads; those that do not end at once are left behind."""
        self._halt.set()
        self._connections.cut()
        end = time.monotonic() + _CUT_GRACE_S
        while self._working and (left_s := end - time.monotonic()) > 0:
            self._take_in(left_s, raises=False)
        for work in list(self._working.values()):
            self._forget(work)
        self._connections.close()

    def _wake(self) -> None:
        self._inbox.put(None)

    def _start(self) -> None:
        """Start a thread for every block that may be fetched now."""
        while time.monotonic() >= self.wait.until:
            # While nothing works, one connection is enough to find out when it does again; and as
            # long as nobody knows where the bytes are, one asks.
            source = self._source
            only_one = source.gives_no_parts or self._failures > 0 or not source.is_located
            block = self._blocks.take(only_one=only_one)
            if block is None:
                break
            if not self._slots.try_take(self, self._wake):
                self._blocks.give_back(block)
                return
            work = _Work(block)
            self._working[id(work)] = work
            self._connections.begin()
            threading.Thread(
                target=self._run, args=(work,), name="transfer block", daemon=True
            ).start()
        # Who wants nothing must not keep others waiting.
        self._slots.leave(self)

    def _take_in(self, wait_s: float, *, raises: bool = True) -> None:
        """Wait for something to happen, and see to threads that have ended."""
        event = self._next_event(wait_s)
        while event is not None:
            if isinstance(event, _Work) and id(event) in self._working:
                self._forget(event)
                if raises:
                    self._judge(event)
            event = self._next_event(0)

    def _forget(self, work: _Work) -> None:
        # Not by the thread itself: the block would be begun anew before its failure is judged.
        del self._working[id(work)]
        self._blocks.give_back(work.block)
        self._slots.give_back(self)

    def _next_event(self, wait_s: float) -> object:
        try:
            return self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
        except queue.Empty:
            return None

    def _judge(self, work: _Work) -> None:
        """Decide what follows from how a thread ended.

        Raises:
            BaseException: what ended it, if going on makes no sense.
        """
        now = time.monotonic()
        if work.got_bytes:
            self._progressed = now
            self._failures = 0
        if work.error is None:
            self.wait = Wait()
            return
        if isinstance(work.error, AgainError):
            if work.error.when is Next.AT_ONCE:
                return
            if work.error.when is Next.NEVER:
                raise work.error.cause
            error, after_s = work.error.cause, work.error.after_s
        elif isinstance(work.error, NetworkError) and _may_pass(work.error):
            error, after_s = work.error, None
        else:
            raise work.error
        if isinstance(error, RateLimitedError):
            after_s = error.retry_after_s
        if now - self._progressed > self._patience.give_up_s:
            raise error
        pause_s = self._pause_s(work, now, after_s)
        if now + pause_s > self.wait.until:
            self.wait = Wait(now + pause_s, error.one_line())

    def _pause_s(self, work: _Work, now: float, after_s: float | None) -> float:
        """Return how long to wait after a failure: the server's word, or longer each time."""
        patience = self._patience
        if after_s is not None:
            return min(after_s, patience.longest_retry_after_s)
        if work.got_bytes:
            share = max(0.0, 1 - work.got_bytes / _MUCH_BYTES)
            return patience.first_pause_s * share * self._random.random()
        if work.began >= self._failed:
            # Several connections that break together are one failure.
            self._failures += 1
            self._failed = now
        longest_s = min(
            patience.first_pause_s * 2.0 ** min(self._failures - 1, 30), patience.longest_pause_s
        )
        return longest_s * self._random.uniform(0.5, 1.0)

    def _run(self, work: _Work) -> None:
        """Fetch a block; the main function of a thread."""
        try:
            self._fetch(work)
        except BaseException as error:  # noqa: BLE001 - judged by the thread that decides
            work.error = error
        finally:
            self._connections.end()
            self._inbox.put(work)

    def _fetch(self, work: _Work) -> None:
        block = work.block
        lost_bytes = self._blocks.resume(
            block,
            lambda digest: hash_range(
                self._part.read, block.first, block.position, digest, self.halted
            ),
        )
        self.lost(lost_bytes)
        first = block.first + block.position
        part = self._source.ask(self._connections, first, block.end - 1, self.halted)
        with closing(part.answer):
            self._receive(work, part)

    def _receive(self, work: _Work, part: Part) -> None:
        """Write what comes to its place, until the block is whole or the answer ends."""
        at, is_enough = part.first, False
        for chunk in part.answer.chunks:
            check_stop(self.halted)
            if is_enough:
                return
            self._limiter.take(len(chunk), self.halted)
            with self._lock:
                self.counts.fetched_bytes += len(chunk)
            at, is_enough = self._placed(work, part, chunk, at)
        if not work.got_bytes or (not work.block.is_done and at < part.end):
            raise NetworkError(
                f"The connection to {part.answer.host} broke.",
                hint="Check the connection to the internet, or try later.",
                details=f"{part.end - at:,} bytes of an answer are missing",
            )

    def _placed(self, work: _Work, part: Part, data: bytes, at: int) -> tuple[int, bool]:
        """Write bytes that begin at ``at``; return where the next begin, and if that is enough."""
        while data:
            block = work.block
            position = block.first + block.position
            if at < position:
                # Sent from the file's start on, although not asked for.
                unwanted = min(position - at, len(data))
                self.lost(unwanted)
            else:
                unwanted = min(block.end - at, len(data))
                self._store(work, data[:unwanted], at)
            at += unwanted
            data = data[unwanted:]
            if block.is_done and not self._goes_on(work, part):
                return at, True
        return at, False

    def _store(self, work: _Work, data: bytes, at: int) -> None:
        self._blocks.wait_for_room(len(data), self.halted, self._request_flush)
        self._part.write(data, at)
        work.got_bytes += len(data)
        if self._blocks.wrote(work.block, data):
            self._request_flush()

    def _goes_on(self, work: _Work, part: Part) -> bool:
        """Whether the answer holds the next block, too, and it is wanted."""
        if part.end <= work.block.end or not self._source.gives_no_parts:
            return False
        following = self._blocks.take_after(work.block)
        if following is None:
            return False
        self._blocks.give_back(work.block)
        work.block = following
        return True


def _may_pass(error: NetworkError) -> bool:
    """Whether asking again later makes sense."""
    return not isinstance(error, (OfflineError, RemoteChangedError))
