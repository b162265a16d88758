"""Finds out which blocks on the disk are not what came over the line. No Qt, no network here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from models.stopping import Stop, check_stop
from models.transfer.blocks import Block, BlockMap, block_digest_hex
from models.transfer.hasher import READ_BYTES, hash_range

# How many of the blocks that were written last are looked at before going on.
_LAST = 2

_Read = Callable[[int, int], bytes]


def last_blocks(blocks: BlockMap) -> list[Block]:
    """Return the complete blocks that were written last, as far as that can be known."""
    return [block for block in reversed(blocks.all) if block.is_done][:_LAST]


def damaged_blocks(
    read: _Read, blocks: Iterable[Block], stop: Stop, listen: Callable[[], None] = lambda: None
) -> list[int]:
    """Return those of the complete blocks that the disk does not hold as they came.

    Args:
        listen: called after each.

    Raises:
        DiskError, StoppedError.
    """
    damaged = []
    for block in blocks:
        digest = hashlib.sha256()
        hash_range(read, block.first, block.size_bytes, digest, stop)
        if block.is_done and block_digest_hex(digest) != block.digest:
            damaged.append(block.index)
        listen()
    return damaged


def tail_bytes(read: _Read, blocks: BlockMap, stop: Stop) -> int:
    """Return how many bytes were written and not noted down before the process was killed.

    The space was full of zeros: whatever is not zero behind what is noted down had been fetched.
    Only for being honest about what is fetched twice.

    Raises:
        DiskError, StoppedError.
    """
    missing = [block for block in blocks.all if not block.is_done]
    return sum(
        _tail_of(read, block, blocks.layout.flush_bytes, stop)
        for block in missing[: blocks.layout.window_blocks]
    )


def _tail_of(read: _Read, block: Block, most_bytes: int, stop: Stop) -> int:
    first = block.first + block.position
    end = min(block.end, first + most_bytes * 2)
    while end > first:
        check_stop(stop)
        start = max(first, end - READ_BYTES)
        data = read(start, end - start).rstrip(b"\0")
        if data:
            return start + len(data) - first
        end = start
    return 0
