"""Which parts of a file are there: blocks, what is in flight, what is noted down. No Qt here."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from models.errors import StoppedError
from models.stopping import POLL_S, Stop
from models.transfer.patience import Layout

if TYPE_CHECKING:
    from hashlib import _Hash

# Block digests only tell damage from soundness; nobody can choose both sides.
_DIGEST_BYTES = 16


@dataclass
class Block:
    """A part of the file that one request asks for.

    Attributes:
        first: where it begins in the file.
        position: how many of its bytes are in place, from its start on.
        noted: how many of them the sidecar tells of.
        digest: of all its bytes as they came, 32 hex digits; empty until it is complete.
        prefix_digest: of the first ``position`` bytes, from an earlier run; empty once ``hasher``
            knows it.
        is_taken: whether somebody fetches it now.
    """

    index: int
    first: int
    size_bytes: int
    position: int = 0
    noted: int = 0
    digest: str = ""
    prefix_digest: str = ""
    is_taken: bool = False
    hasher: _Hash | None = field(default=None, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.first + self.size_bytes

    @property
    def is_done(self) -> bool:
        """Whether all its bytes are in place."""
        return bool(self.digest)


@dataclass(frozen=True)
class Partial:
    """A block that is not complete: its bytes in place and their digest."""

    position: int
    digest: str


@dataclass(frozen=True)
class Snapshot:
    """What was there at one moment: digests of complete blocks ("" for others), and the rest."""

    digests: tuple[str, ...]
    partials: dict[int, Partial]

    @property
    def is_complete(self) -> bool:
        """Whether every block is."""
        return all(self.digests)


class BlockMap:
    """All blocks of one file; every method may be called from any thread."""

    def __init__(self, size_bytes: int, layout: Layout) -> None:
        self.size_bytes = size_bytes
        self.layout = layout
        step = layout.block_bytes
        self.all = tuple(
            Block(index, first, min(step, size_bytes - first))
            for index, first in enumerate(range(0, size_bytes, step))
        )
        self._changed = threading.Condition()
        self._missing = {block.index for block in self.all}
        self._taken = 0
        self._bytes_done = 0
        self._unnoted_bytes = 0

    @property
    def bytes_done(self) -> int:
        """How many bytes are in place."""
        return self._bytes_done

    @property
    def unnoted_bytes(self) -> int:
        """How many of them would be lost if the process were killed now."""
        return self._unnoted_bytes

    @property
    def is_complete(self) -> bool:
        """Whether every block is there."""
        return not self._missing

    def restore(self, snapshot: Snapshot) -> None:
        """Take over what an earlier run noted down; for an empty map."""
        with self._changed:
            for block in self.all:
                block.digest = snapshot.digests[block.index]
                partial = snapshot.partials.get(block.index)
                if block.digest:
                    block.position = block.noted = block.size_bytes
                    self._missing.discard(block.index)
                elif partial is not None and 0 < partial.position <= block.size_bytes:
                    block.position = block.noted = partial.position
                    block.prefix_digest = partial.digest
                self._bytes_done += block.position

    def take(self, *, only_one: bool = False) -> Block | None:
        """Take the first block that is missing and that nobody has, None when there is none now.

        Args:
            only_one: not as long as somebody has another one.
        """
        with self._changed:
            if not self._missing or (only_one and self._taken):
                return None
            first = min(self._missing)
            for index in range(first, min(first + self.layout.window_blocks, len(self.all))):
                if index in self._missing and not self.all[index].is_taken:
                    return self._take(self.all[index])
            return None

    def take_after(self, block: Block) -> Block | None:
        """Take the block that follows, if it is missing from its start on and nobody has it."""
        with self._changed:
            index = block.index + 1
            if index not in self._missing or self.all[index].is_taken:
                return None
            self._reset(self.all[index])
            return self._take(self.all[index])

    def give_back(self, block: Block) -> None:
        """Take note that nobody fetches it now, complete or not."""
        with self._changed:
            block.is_taken = False
            self._taken -= 1
            self._changed.notify_all()

    def wait_for_room(
        self, size_bytes: int, stop: Stop, request_flush: Callable[[], None] | None = None
    ) -> None:
        """Wait until so many bytes more may be written without being noted down.

        Args:
            request_flush: called while there is no room: there is less of it whenever another
                block ends, and then nobody else asks.

        Raises:
            StoppedError: ``stop`` said so.
        """
        with self._changed:
            while self._unnoted_bytes and self._unnoted_bytes + size_bytes > self._limit_bytes():
                if stop():
                    raise StoppedError
                if request_flush is not None:
                    request_flush()
                self._changed.wait(POLL_S)

    def wrote(self, block: Block, data: bytes) -> bool:
        """Take note of bytes that follow those in place; return whether noting down is due."""
        with block.lock:
            if block.hasher is None:
                block.hasher = hashlib.sha256()
            block.hasher.update(data)
            block.position += len(data)
            is_whole = block.position == block.size_bytes
            if is_whole:
                block.digest = block_digest_hex(block.hasher)
                block.hasher = None
        with self._changed:
            self._bytes_done += len(data)
            self._unnoted_bytes += len(data)
            if is_whole:
                self._missing.discard(block.index)
                self._changed.notify_all()
            return self._unnoted_bytes * 2 >= self._limit_bytes()

    def resume(self, block: Block, hash_prefix: Callable[[_Hash], int]) -> int:
        """Bring a block's digest up to what is in place, before more is written.

        Args:
            block: taken by the caller.
            hash_prefix: feeds the bytes in place from the disk; returns how many there were.

        Returns:
            How many bytes turned out not to be what was noted down, and are missing now.
        """
        if block.hasher is not None or not block.position:
            return 0
        hasher = hashlib.sha256()
        size_bytes = hash_prefix(hasher)
        if size_bytes == block.position and block_digest_hex(hasher) == block.prefix_digest:
            with block.lock:
                block.hasher, block.prefix_digest = hasher, ""
            return 0
        lost = block.position
        with self._changed:
            self._reset(block)
        return lost

    def lose(self, indices: Iterable[int]) -> int:
        """Take note that blocks are not there (any more); return how many bytes that were."""
        with self._changed:
            before = self._bytes_done
            for index in indices:
                self._reset(self.all[index])
            self._changed.notify_all()
            return before - self._bytes_done

    def wait_done(self, block: Block, stop: Stop) -> None:
        """Wait until a block is complete.

        Raises:
            StoppedError: ``stop`` said so.
        """
        with self._changed:
            while not block.is_done:
                if stop():
                    raise StoppedError
                self._changed.wait(POLL_S)

    def snapshot(self) -> tuple[Snapshot, list[tuple[Block, int]]]:
        """Return what is in place now, and the positions to give to ``noted``."""
        digests, partials, positions = [], {}, []
        for block in self.all:
            with block.lock:
                digests.append(block.digest)
                if not block.digest and block.position:
                    digest = (
                        block.prefix_digest
                        if block.hasher is None
                        else block_digest_hex(block.hasher)
                    )
                    partials[block.index] = Partial(block.position, digest)
                if block.position != block.noted:
                    positions.append((block, block.position))
        return Snapshot(tuple(digests), partials), positions

    def noted(self, positions: list[tuple[Block, int]]) -> None:
        """Take note that the sidecar tells of these positions."""
        with self._changed:
            for block, position in positions:
                # It may have been lost meanwhile.
                noted = min(position, block.position)
                self._unnoted_bytes -= max(0, noted - block.noted)
                block.noted = noted
            self._changed.notify_all()

    def _take(self, block: Block) -> Block:
        block.is_taken = True
        self._taken += 1
        return block

    def _reset(self, block: Block) -> None:
        with block.lock:
            self._bytes_done -= block.position
            self._unnoted_bytes -= max(0, block.position - block.noted)
            block.position = block.noted = 0
            block.digest = block.prefix_digest = ""
            block.hasher = None
            self._missing.add(block.index)

    def _limit_bytes(self) -> int:
        return self.layout.flush_bytes * max(1, self._taken)


def block_digest_hex(hasher: _Hash) -> str:
    """Return how a block's digest is kept: the first 16 bytes of its SHA-256."""
    return hasher.digest()[:_DIGEST_BYTES].hex()
