"""Compares a file with what it was when it was fetched. No Qt here."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.errors import DiskError
from models.stopping import Stop, check_stop, never
from models.transfer.blocks import block_digest_hex
from models.transfer.disk import translated
from models.transfer.hasher import READ_BYTES, Digest, file_digest
from models.transfer.patience import Layout
from models.transfer.record import FileRecord
from models.transfer.remote import SHA256


@dataclass(frozen=True)
class Verification:
    """What a file holds now.

    Attributes:
        digest_hex: of the whole, of the kind that the record names; SHA-256 without one.
        damaged_blocks: those that are not what they were; empty without a record.
        is_good: whether the whole is what the record says; without one there is nothing to
            contradict it.
        size_bytes: as it is now.
        block_bytes, block_digests: as a record has them, for one that is still to be written.
        modified_ns: its time of change, before it was read.
    """

    digest_hex: str
    damaged_blocks: tuple[int, ...]
    is_good: bool
    size_bytes: int
    block_bytes: int = 0
    block_digests: tuple[str, ...] = ()
    modified_ns: int = 0


def verify_file(
    target: Path,
    record: FileRecord | None,
    *,
    stop: Stop = never,
    listen: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Read a whole file and compare it with its record.

    Args:
        listen: hears how many bytes were looked at, after each MiB.

    Raises:
        DiskError: it cannot be read.
        StoppedError: ``stop`` said so.
    """
    kind = record.digest.partition(":")[0] if record else SHA256
    block_bytes = (record.block_bytes if record else 0) or Layout().block_bytes
    with translated(target, reads=True):
        handle = os.open(target, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise DiskError(f"{target} is no plain file.")
            _distrust_cache(handle)
            whole = file_digest(kind, facts.st_size)
            digests = _digests(handle, whole, block_bytes, stop, listen)
        finally:
            os.close(handle)
    damaged = _damaged(record, digests) if record else ()
    digest_hex = whole.hexdigest()
    is_good = record is None or (
        facts.st_size == record.size_bytes and record.digest == f"{kind}:{digest_hex}"
    )
    return Verification(
        digest_hex,
        damaged,
        is_good,
        facts.st_size,
        block_bytes=block_bytes,
        block_digests=digests,
        modified_ns=facts.st_mtime_ns,
    )


def _digests(
    handle: int, whole: Digest, block_bytes: int, stop: Stop, listen: Callable[[int], None]
) -> tuple[str, ...]:
    """Feed a file into ``whole``; return the digests of its blocks."""
    digests: list[str] = []
    block, left_bytes, done_bytes = hashlib.sha256(), block_bytes, 0
    while data := os.read(handle, min(READ_BYTES, left_bytes)):
        check_stop(stop)
        whole.update(data)
        block.update(data)
        left_bytes -= len(data)
        done_bytes += len(data)
        if not left_bytes:
            digests.append(block_digest_hex(block))
            block, left_bytes = hashlib.sha256(), block_bytes
        listen(done_bytes)
    if left_bytes < block_bytes:
        digests.append(block_digest_hex(block))
    return tuple(digests)


def _damaged(record: FileRecord, digests: tuple[str, ...]) -> tuple[int, ...]:
    found = dict(enumerate(digests))
    return tuple(
        index for index, digest in enumerate(record.block_digests) if found.get(index) != digest
    )


def _distrust_cache(handle: int) -> None:
    """Have the disk read, not the system's memory of it, as far as nobody uses it now."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
