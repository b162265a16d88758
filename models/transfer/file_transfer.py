"""One remote file becomes one verified local file, whatever happens on the way. No Qt here.

What lies on the disk meanwhile, and in which order it is written, is in docs/transfer.md.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import DiskError, UnsafeNameError
from models.stopping import Stop, check_stop
from models.transfer.blocks import Snapshot
from models.transfer.disk import translated
from models.transfer.file_run import FileRun, Means
from models.transfer.hasher import file_digest
from models.transfer.limiter import RateLimiter
from models.transfer.part_file import PartFile, open_part, part_path
from models.transfer.patience import Layout, TransferPatience
from models.transfer.record import FileRecord, read_record, write_record
from models.transfer.remote import FileProgress, Listener, Locator, RemoteObject
from models.transfer.sidecar import Sidecar, bytes_in_place, forget_sidecar, write_sidecar
from models.transfer.slots import Slots
from models.transfer.verifying import Verification, verify_file

__all__ = ["FileTransfer", "bytes_in_place"]


class FileTransfer:
    """Fetches one file; ``run`` may be called again after it ended, however it did.

    Args:
        remote: what is wanted.
        target: where it is to lie. Until it is verified, ``<target>.part`` and its sidecar lie
            beside it, and a file that is there already stays as it is.
        locator: asks the hub where the bytes are; its errors end the transfer, but those of the
            network.
        slots, limiter: shared with all other transfers.
        listen: hears how it goes, from the thread that runs it.
        verify_existing: whether a file that is there is read and compared even if its record says
            that it was; what is damaged is fetched again.
        is_independent: kept in the record, see there.
        notes: kept in the sidecar, for whoever finds it; must be possible as JSON.
    """

    def __init__(
        self,
        remote: RemoteObject,
        target: Path,
        *,
        locator: Locator,
        slots: Slots,
        limiter: RateLimiter,
        listen: Listener,
        patience: TransferPatience | None = None,
        layout: Layout | None = None,
        verify_existing: bool = False,
        is_independent: bool = True,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self._remote = remote
        self._target = target
        self._listen = listen
        self._patience = patience or TransferPatience()
        self._layout = layout or Layout()
        self._means = Means(locator, slots, limiter, self._patience)
        self._verify_existing = verify_existing
        self._is_independent = is_independent
        self._notes = dict(notes or {})

    def run(self, stop: Stop) -> FileRecord:
        """Return when the file is verified and has its name; at once when it has that already.

        Failures of the network never end it while there was progress in the last day; ``listen``
        hears what it waits for, and until when.

        Raises:
            StoppedError: ``stop`` said so; within 200 ms whatever it was doing.
            AccessError, RemoteNotFoundError, RemoteChangedError, OfflineError: the hub's answers.
            CorruptDownloadError: what the server sends is not what the hub promised, twice.
            DiskFullError, DiskError: it cannot be written.
            DownloadBusyError: another process fetches the same file.
            UnsafeNameError: its name does not fit, or nothing says how to check it.
            NetworkError: no progress for a day.
        """
        check_stop(stop)
        self._check_sound()
        before = self._facts()
        record = self._settled(stop)
        if record is not None:
            return record
        part = open_part(self._target, lock_s=self._patience.lock_s, stop=stop)
        try:
            record = self._settled_meanwhile(before, part, stop)
            if record is not None:
                part.close()
                return record
        except BaseException:
            part.close()
            raise
        run = FileRun(
            self._remote,
            self._target,
            part,
            means=self._means,
            layout=self._layout,
            listen=self._listen,
            notes=self._notes,
        )
        blocks = run.run(stop)
        record = self._record(self._layout.block_bytes, ())
        record = replace(
            record,
            block_bytes=blocks.layout.block_bytes,
            block_digests=tuple(block.digest for block in blocks.all),
        )
        record = self._recorded(record)
        self._listen(run.progress())
        return record

    def discard(self) -> None:
        """Remove what was fetched so far; a file that has its final name stays.

        Raises:
            DownloadBusyError: it is being fetched.
            DiskError: it cannot be removed.
        """
        path = part_path(self._target)
        with translated(path):
            is_there = os.path.lexists(path)
        if not is_there:
            forget_sidecar(self._target)
            return
        part = open_part(self._target, lock_s=self._patience.lock_s, stop=lambda: False)
        try:
            # The sidecar first: without it the rest is worth nothing, and nobody goes on with it.
            forget_sidecar(self._target)
            part.remove()
        finally:
            part.close()

    def _check_sound(self) -> None:
        wanted = PurePosixPath(self._remote.file.target).parts
        is_odd = any(name in ("", ".", "..", "/") or "\\" in name for name in wanted)
        if not wanted or is_odd or self._target.parts[-len(wanted) :] != wanted:
            raise UnsafeNameError(
                f"{self._target} is no place for {self._remote.file.target}.",
                hint="The repository holds a name that no file here should get.",
            )
        file_digest(self._remote.file.digest_kind, self._remote.file.size_bytes)

    def _by_record(self, facts: os.stat_result | None) -> FileRecord | None:
        """Return the record of the file that is there, if it is of what is wanted."""
        file, record = self._remote.file, read_record(self._target)
        if facts is None or record is None:
            return None
        is_same = (record.digest, record.size_bytes) == (file.digest, file.size_bytes)
        return record if is_same else None

    def _settled_meanwhile(
        self, before: os.stat_result | None, part: PartFile, stop: Stop
    ) -> FileRecord | None:
        """Return the record, if who had the lock before has just fetched the file."""
        now = self._facts()
        if now is None or (before is not None and os.path.samestat(before, now)):
            return None
        if part.size_bytes:
            return None
        record = self._settled(stop)
        if record is not None:
            part.remove()
        return record

    def _settled(self, stop: Stop) -> FileRecord | None:
        """Return the record of a file that is there and is the right one; None when it is not."""
        facts = self._facts()
        if facts is None:
            return None
        file = self._remote.file
        known = self._by_record(facts)
        is_same = facts.st_size == file.size_bytes
        is_trusted = known is not None and known.modified_ns in (0, facts.st_mtime_ns)
        if is_trusted and is_same and not self._verify_existing:
            self._forget_leftovers()
            self._listen(FileProgress(file.size_bytes, hashed_bytes=file.size_bytes))
            return known
        if known is None and not is_same:
            return None
        found = self._verified(known, stop)
        if found.is_good:
            self._forget_leftovers()
            record = self._recorded(self._record(found.block_bytes, found.block_digests))
            self._listen(FileProgress(file.size_bytes, hashed_bytes=file.size_bytes))
            return record
        if known is not None and known.block_digests:
            self._begin_repair(known, found)
        return None

    def _facts(self) -> os.stat_result | None:
        """Return what is known of a file that is there."""
        with translated(self._target):
            try:
                facts = self._target.lstat()
            except FileNotFoundError:
                return None
        if stat.S_ISDIR(facts.st_mode):
            raise DiskError(
                f"{self._target} is a folder.", hint="Rename it, or choose another folder."
            )
        return facts if stat.S_ISREG(facts.st_mode) else None

    def _verified(self, known: FileRecord | None, stop: Stop) -> Verification:
        file = self._remote.file

        def listen(hashed_bytes: int) -> None:
            now = time.monotonic()
            if now - heard[0] >= self._patience.progress_s:
                heard[0] = now
                self._listen(
                    FileProgress(file.size_bytes, hashed_bytes=hashed_bytes, is_verifying=True)
                )

        heard = [time.monotonic()]
        wanted = known or self._record(self._layout.block_bytes, ())
        return verify_file(self._target, wanted, stop=stop, listen=listen)

    def _begin_repair(self, known: FileRecord, found: Verification) -> None:
        """Make a damaged file one that is being fetched, with the blocks that are sound.

        The sidecar first, then the name: whoever is interrupted finds the old file, or all of it.
        """
        if os.path.lexists(part_path(self._target)):
            # An earlier transfer has got somewhere already.
            return
        damaged = set(found.damaged_blocks)
        digests = tuple(
            "" if index in damaged else digest for index, digest in enumerate(known.block_digests)
        )
        sidecar = Sidecar(self._remote, known.block_bytes, Snapshot(digests, {}), self._notes)
        write_sidecar(self._target, sidecar)
        with translated(self._target):
            if found.size_bytes != known.size_bytes:
                os.truncate(self._target, known.size_bytes)
            self._target.rename(part_path(self._target))

    def _forget_leftovers(self) -> None:
        """Remove the sidecar of a run that was interrupted after the file had got its name."""
        if not os.path.lexists(part_path(self._target)):
            with contextlib.suppress(DiskError):
                forget_sidecar(self._target)

    def _record(self, block_bytes: int, block_digests: tuple[str, ...]) -> FileRecord:
        remote = self._remote
        return FileRecord(
            endpoint=remote.endpoint,
            repository=remote.repository,
            commit=remote.commit,
            path=remote.file.path,
            size_bytes=remote.file.size_bytes,
            digest=remote.file.digest,
            block_bytes=block_bytes,
            block_digests=block_digests,
            verified_s=None,
            is_independent=self._is_independent,
        )

    def _recorded(self, record: FileRecord) -> FileRecord:
        with translated(self._target):
            modified_ns = self._target.stat().st_mtime_ns
        record = replace(record, verified_s=time.time(), modified_ns=modified_ns)
        write_record(self._target, record)
        return record
