"""One run of a transfer: go on where the last one ended, fetch, check, repair, publish. No Qt."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import CorruptDownloadError, DiskError, FathomError, StoppedError
from models.stopping import POLL_S, Stop, check_stop
from models.transfer.blocks import BlockMap, Snapshot
from models.transfer.fetcher import Counts, Fetcher, Wait
from models.transfer.flusher import Flusher
from models.transfer.hasher import FrontierHasher, file_digest
from models.transfer.limiter import RateLimiter
from models.transfer.part_file import PartFile
from models.transfer.patience import Layout, TransferPatience
from models.transfer.remote import FileProgress, Listener, Locator, RemoteObject
from models.transfer.repair import damaged_blocks, last_blocks, tail_bytes
from models.transfer.sidecar import Sidecar, forget_sidecar, read_sidecar, write_sidecar
from models.transfer.slots import Slots
from models.transfer.source import Source

# How long a stop waits for the last flush; a slow disk goes on with it alone.
_FLUSH_GRACE_S = 0.05


@dataclass(frozen=True)
class Means:
    """What all transfers share."""

    locator: Locator
    slots: Slots
    limiter: RateLimiter
    patience: TransferPatience


class FileRun:
    """Owns ``part`` and everything that runs meanwhile; good for one ``run``."""

    def __init__(
        self,
        remote: RemoteObject,
        target: Path,
        part: PartFile,
        *,
        means: Means,
        layout: Layout,
        listen: Listener,
        notes: Mapping[str, Any],
    ) -> None:
        self._remote = remote
        self._target = target
        self._part = part
        self._means = means
        self._layout = layout
        self._listen = listen
        self._notes = notes
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._blocks = BlockMap(0, layout)
        self._flusher: Flusher | None = None
        self._fetcher: Fetcher | None = None
        self._hasher: FrontierHasher | None = None
        self._reported = 0.0
        self._is_repairing = False
        self._is_new = False

    def run(self, stop: Stop) -> BlockMap:
        """Return when the file has its final name: its blocks, with their digests.

        Raises:
            FathomError: as ``FileTransfer.run``.
        """
        try:
            lost_bytes = self._prepare(stop)
            self._fetcher = self._new_fetcher()
            self._fetcher.lost(lost_bytes)
            self._flusher = self._new_flusher()
            self._fetch_and_hash(stop)
            if not self._is_right():
                self._repair(stop)
            self._publish(stop)
        except StoppedError:
            raise
        except FathomError:
            self._leave_nothing_empty()
            raise
        finally:
            self._close()
        return self._blocks

    def _prepare(self, stop: Stop) -> int:
        """Take up what an earlier run left; return how many bytes of it are fetched again."""
        file = self._remote.file
        known = read_sidecar(self._target)
        if known is not None:
            before = known.remote.file
            is_same = (before.digest, before.size_bytes) == (file.digest, file.size_bytes)
            if not is_same or self._part.size_bytes != file.size_bytes:
                known = None
        self._is_new = known is None
        if known is None:
            # Whatever lies there belongs to something else, or nobody knows what it is.
            forget_sidecar(self._target)
            self._part.empty()
        else:
            self._layout = replace(self._layout, block_bytes=known.block_bytes)
        # Before anything is made that grows with the size, which is only the hub's word so far.
        self._part.reserve(file.size_bytes, allocates=self._layout.allocates, stop=stop)
        self._blocks = BlockMap(file.size_bytes, self._layout)
        lost_bytes = 0
        if known is not None:
            self._blocks.restore(known.snapshot)
            lost_bytes = tail_bytes(self._part.read, self._blocks, stop)
            suspects = last_blocks(self._blocks)
            damaged = damaged_blocks(self._part.read, suspects, stop)
            lost_bytes += self._blocks.lose(damaged)
        self._write_sidecar(self._blocks.snapshot()[0])
        return lost_bytes

    def _leave_nothing_empty(self) -> None:
        """Remove what holds nothing when a transfer fails: no space is kept for a lost cause."""
        if self._is_new and not self._blocks.bytes_done:
            with contextlib.suppress(DiskError, OSError):
                forget_sidecar(self._target)
                self._part.remove()

    def _new_fetcher(self) -> Fetcher:
        means = self._means
        return Fetcher(
            Source(self._remote, means.locator, refusals=means.patience.refusals),
            self._part,
            self._blocks,
            slots=means.slots,
            limiter=means.limiter,
            patience=means.patience,
            inbox=self._inbox,
            request_flush=lambda: self._flusher.request() if self._flusher else None,
        )

    def _new_flusher(self) -> Flusher:
        flusher = Flusher(
            self._part,
            self._blocks,
            self._write_sidecar,
            flush_s=self._means.patience.flush_s,
            wake=self._wake,
        )
        flusher.start()
        return flusher

    def _wake(self) -> None:
        self._inbox.put(None)

    def _write_sidecar(self, snapshot: Snapshot) -> None:
        sidecar = Sidecar(self._remote, self._layout.block_bytes, snapshot, self._notes)
        write_sidecar(self._target, sidecar)

    def _fetch_and_hash(self, stop: Stop) -> None:
        """Return when all blocks are there and the whole is hashed."""
        assert self._fetcher is not None
        file = self._remote.file
        digest = file_digest(file.digest_kind, file.size_bytes)
        self._hasher = FrontierHasher(
            self._part.read, self._blocks, digest, self._fetcher.halted, self._wake
        )
        self._hasher.start()
        self._fetcher.fetch(stop, self._tick)
        while self._hasher.is_alive():
            check_stop(stop)
            with contextlib.suppress(queue.Empty):
                self._inbox.get(timeout=POLL_S)
            self._tick(is_verifying=True)
        self._check_helpers()

    def _is_right(self) -> bool:
        assert self._hasher is not None
        return self._hasher.digest_hex == self._remote.file.digest_hex

    def _repair(self, stop: Stop) -> None:
        """Find out what is wrong and fetch it again.

        First what the disk holds is compared with what came over the line. If that is the same,
        the line or the server is to blame, and only fetching again tells where: a few blocks at a
        time, until the whole is right.

        Raises:
            CorruptDownloadError: nothing helped; what was fetched is kept.
        """
        self._is_repairing = True
        damaged = damaged_blocks(self._part.read, self._blocks.all, stop, self._tick)
        if damaged:
            self._refetch(damaged, stop)
            self._fetch_and_hash(stop)
            if self._is_right():
                return
        step = self._layout.window_blocks
        for first in range(0, len(self._blocks.all), step):
            indices = range(first, min(first + step, len(self._blocks.all)))
            if self._refetch(indices, stop):
                self._fetch_and_hash(stop)
                if self._is_right():
                    return
        raise CorruptDownloadError(
            f"{self._remote.file.target} is not what the hub lists, also after it was fetched "
            "again.",
            hint="The server, or something before it, sends other bytes. Try later or elsewhere.",
            details=f"wanted {self._remote.file.digest}, "
            f"got {self._hasher.digest_hex if self._hasher else ''}",
        )

    def _refetch(self, indices: Iterable[int], stop: Stop) -> bool:
        """Fetch blocks again; return whether any of them came as another one than before."""
        assert self._fetcher is not None
        before = {index: self._blocks.all[index].digest for index in indices}
        self._fetcher.lost(self._blocks.lose(before))
        # Told at once: who is killed now must not believe what is being overwritten.
        self._write_sidecar(self._blocks.snapshot()[0])
        self._fetcher.fetch(stop, self._tick)
        return any(self._blocks.all[index].digest != digest for index, digest in before.items())

    def _publish(self, stop: Stop) -> None:
        """Give the file its name, now that it is right."""
        assert self._flusher is not None
        self._flusher.end(closes=False)
        while self._flusher.is_alive():
            check_stop(stop)
            self._flusher.join(POLL_S)
        self._check_helpers()
        # The file's own time and length have to be safe, too, before the old one is gone.
        self._part.sync()
        self._part.publish(self._target)
        forget_sidecar(self._target)

    def progress(self, *, is_verifying: bool = False) -> FileProgress:
        """Return where it stands now."""
        fetcher, now = self._fetcher, time.monotonic()
        counts, wait = (fetcher.counts, fetcher.wait) if fetcher else (Counts(), Wait())
        is_busy = is_verifying or (fetcher is not None and fetcher.is_busy)
        waits = wait.until > now and not is_busy
        return FileProgress(
            bytes_done=self._blocks.bytes_done,
            bytes_fetched=counts.fetched_bytes,
            bytes_refetched=counts.refetched_bytes,
            hashed_bytes=self._hasher.hashed_bytes if self._hasher else 0,
            is_verifying=is_verifying,
            is_repairing=self._is_repairing,
            waits_until_s=time.time() + wait.until - now if waits else None,
            why=wait.why if waits else "",
        )

    def _tick(self, *, is_verifying: bool = False) -> None:
        """Report now and then, and see whether a helper has failed."""
        self._check_helpers()
        now = time.monotonic()
        if now - self._reported >= self._means.patience.progress_s:
            self._reported = now
            self._listen(self.progress(is_verifying=is_verifying))

    def _check_helpers(self) -> None:
        for helper in (self._flusher, self._hasher):
            if helper is not None and helper.error is not None:
                raise helper.error

    def _close(self) -> None:
        """End everything that runs; what was fetched is noted down, as far as that goes fast."""
        if self._fetcher is not None:
            self._fetcher.close()
        if self._flusher is not None and self._flusher.is_alive():
            self._flusher.end(closes=True)
            self._flusher.join(_FLUSH_GRACE_S)
        else:
            self._part.close()
