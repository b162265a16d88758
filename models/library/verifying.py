"""Whether a checkpoint's files are what they were, and how to mend those that are not. No Qt here.

A time or a size proves nothing: every byte is read. A file is compared with the record that was
written when it was fetched, or with the digest in its name in another program's store, or with
what was taken down of it before. Where there is nothing of the kind, it is taken down now: that
says nothing about today, and everything about changes from now on.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from models.errors import CheckpointNotFoundError, ChecksumError, FathomError, LibraryError
from models.gguf.shards import parse_shard_name
from models.hub.names import RepositoryPlace
from models.hub.pages import RepositoryPage
from models.hub.quants import RemoteFile
from models.library.entry import LibraryEntry
from models.library.ownership import set_paths
from models.library.records import Records
from models.stopping import Stop, check_stop, never
from models.transfer.job import JobSpec
from models.transfer.record import FileRecord, read_record, write_record
from models.transfer.remote import FileSpec
from models.transfer.verifying import Verification, verify_file

Listen = Callable[[int], None]

_log = logging.getLogger(__name__)


class PageReader(Protocol):
    """What of a hub is needed to mend a set that lacks files."""

    @property
    def endpoint(self) -> str:
        """Address of the hub, without a slash at its end."""

    def page(self, place: RepositoryPlace, *, stop: Stop = never) -> RepositoryPage:
        """Return a repository's files with their digests."""


@dataclass(frozen=True)
class FileVerification:
    """What became of one file.

    Attributes:
        has_reference: whether there was something to compare it with.
        is_good: whether it is what that says; True without a reference.
        damaged_blocks: which blocks of ``block_bytes`` differ; may be empty for a damaged file
            whose blocks nobody knows.
        digest: what it is now, as in ``FileSpec``.
    """

    path: Path
    has_reference: bool
    is_good: bool
    damaged_blocks: tuple[int, ...]
    block_bytes: int
    size_bytes: int
    digest: str


@dataclass(frozen=True)
class LibraryVerification:
    """What became of a checkpoint.

    Attributes:
        is_good: whether no file is damaged or missing.
        has_reference: whether all files could be compared with something. Without, nothing is
            known about today; what they are now was taken down for the next time.
        missing: names of the files that are not there.
        verified_s: when, on the clock of ``time.time``.
    """

    entry: LibraryEntry
    is_good: bool
    has_reference: bool
    files: tuple[FileVerification, ...]
    missing: tuple[str, ...]
    verified_s: float

    @property
    def damaged(self) -> dict[Path, tuple[int, ...]]:
        """The damaged blocks of every damaged file; empty where its blocks are not known."""
        return {file.path: file.damaged_blocks for file in self.files if not file.is_good}


def verify(
    entry: LibraryEntry,
    *,
    listen: Listen = lambda _: None,
    stop: Stop = never,
    records: Records | None = None,
) -> LibraryVerification:
    """Read all files of a checkpoint and compare them with what they should be.

    Whoever calls it tells the library when all is good (``Library.note_verified``).

    Args:
        listen: hears how many of ``entry.size_bytes`` were looked at.
        records: the library's (``Library.records``), for files that Fathom did not fetch; without
            it nothing is taken down of them.

    Raises:
        CheckpointNotFoundError: its drive is not there.
        DiskError: a file cannot be read.
        StoppedError: ``stop`` said so.
    """
    if entry.is_offline:
        raise CheckpointNotFoundError(f"{entry.name} is not there now.", hint=entry.note)
    kept = records or Records()
    files: list[FileVerification] = []
    done_bytes = 0
    for path in entry.paths:
        files.append(_verify_one(path, kept, _after(done_bytes, listen), stop))
        done_bytes += files[-1].size_bytes
    present = set(entry.paths)
    missing = tuple(path.name for path in set_paths(entry) if path not in present)
    return LibraryVerification(
        entry,
        is_good=not missing and all(file.is_good for file in files),
        has_reference=all(file.has_reference for file in files),
        files=tuple(files),
        missing=missing,
        verified_s=time.time(),
    )


def take_down(
    entry: LibraryEntry,
    digests: Sequence[str],
    records: Records,
    *,
    listen: Listen = lambda _: None,
    stop: Stop = never,
) -> bool:
    """Read a checkpoint whose digests nobody knows; return whether it has these.

    What it is is taken down, so that the next question needs no reading.

    Args:
        digests: of its files in their order, ``sha256:HEX``.

    Raises:
        CheckpointNotFoundError, DiskError, StoppedError: as ``verify``.
    """
    found = verify(entry, listen=listen, stop=stop, records=records)
    return tuple(file.digest for file in found.files) == tuple(digests)


def repair_spec(entry: LibraryEntry, hub: PageReader, *, stop: Stop = never) -> JobSpec:
    """Return the download that mends a checkpoint: damaged blocks and missing files only.

    Args:
        hub: is asked about files that are missing, and nothing else; the download goes to it.

    Raises:
        LibraryError: it is not Fathom's to change, or nobody knows where it is from.
        ChecksumError: its files are of different commits.
        NetworkError, AccessError, RemoteNotFoundError, StoppedError: files are missing, and the
            hub does not say what they should be.
    """
    known = [(path, _fetched(path, entry)) for path in entry.paths]
    first = known[0][1]
    if any((it.repository, it.commit) != (first.repository, first.commit) for _, it in known):
        raise ChecksumError(
            f"The files of {entry.name} are of different versions of {first.repository}.",
            hint="Delete it and fetch it again.",
        )
    folder = _job_folder(entry, first)
    specs = {
        path: FileSpec(it.path, _below(path, folder), it.size_bytes, it.digest)
        for path, it in known
    }
    for path in set_paths(entry):
        if path not in specs:
            check_stop(stop)
            specs[path] = _missing_file(path, folder, first, hub, stop)
    return JobSpec(
        job_id=uuid.uuid4().hex,
        title=entry.title,
        endpoint=hub.endpoint,
        repository=first.repository,
        commit=first.commit,
        quant=entry.quant,
        root=_root_of(entry),
        folder=folder,
        files=tuple(specs[path] for path in sorted(specs)),
        is_independent=all(it.is_independent for _, it in known),
        repairs=True,
    )


def _verify_one(path: Path, records: Records, listen: Listen, stop: Stop) -> FileVerification:
    own = read_record(path)
    record = own or records.full(path)
    seen = verify_file(path, record, stop=stop, listen=listen)
    kind = record.digest.partition(":")[0] if record else "sha256"
    digest = f"{kind}:{seen.digest_hex}"
    if seen.is_good:
        _keep(path, own, _updated(record, seen, digest), records)
    return FileVerification(
        path,
        has_reference=record is not None,
        is_good=seen.is_good,
        damaged_blocks=seen.damaged_blocks,
        block_bytes=seen.block_bytes,
        size_bytes=seen.size_bytes,
        digest=digest,
    )


def _updated(record: FileRecord | None, seen: Verification, digest: str) -> FileRecord:
    """Return what is known of a file that was found good."""
    if record is None:
        return FileRecord(
            endpoint="",
            repository="",
            commit="",
            path="",
            size_bytes=seen.size_bytes,
            digest=digest,
            block_bytes=seen.block_bytes,
            block_digests=seen.block_digests,
            verified_s=time.time(),
            is_independent=False,
            modified_ns=seen.modified_ns,
        )
    blocks = record.block_digests or seen.block_digests
    return replace(
        record, block_digests=blocks, verified_s=time.time(), modified_ns=seen.modified_ns
    )


def _keep(path: Path, own: FileRecord | None, new: FileRecord, records: Records) -> None:
    """Write down what was found: beside a file that Fathom fetched, else in its own folder."""
    try:
        if own is not None:
            write_record(path, new)
        else:
            records.take_down(path, new)
    except FathomError as error:
        # A full disk or one that can only be read: the check itself was done.
        _log.info("What was verified cannot be written down: %s", error.one_line())


def _fetched(path: Path, entry: LibraryEntry) -> FileRecord:
    if entry.is_read_only or entry.is_offline or entry.is_demo:
        raise LibraryError(f"{entry.name} is not Fathom's to repair.", hint=entry.note)
    record = read_record(path)
    if record is None or not (record.repository and record.commit and record.path):
        raise LibraryError(
            f"Fathom did not fetch {path.name} and does not know where it is from.",
            hint="Fetch the checkpoint again from its repository.",
        )
    return record


def _missing_file(
    path: Path, folder: Path, sibling: FileRecord, hub: PageReader, stop: Stop
) -> FileSpec:
    """Ask the hub what a missing shard should be, at the commit of those that are there."""
    name = parse_shard_name(path.name)
    remote_folder, _, remote_name = sibling.path.rpartition("/")
    remote = parse_shard_name(remote_name)
    if name is None or remote is None:
        raise LibraryError(f"Fathom does not know where {path.name} is from.")
    wanted = "/".join(part for part in (remote_folder, remote.sibling(name.number)) if part)
    page = hub.page(RepositoryPlace(sibling.repository, revision=sibling.commit), stop=stop)
    found = next((file for file in page.files if _is_complete(file, wanted)), None)
    if found is None:
        raise LibraryError(
            f"{sibling.repository} has no {wanted} at the commit that the other parts are of.",
            hint="Delete the checkpoint and fetch it again.",
        )
    return FileSpec(wanted, _below(path, folder), found.size_bytes, found.digest)


def _is_complete(file: RemoteFile, path: str) -> bool:
    return file.path == path and bool(file.digest)


def _job_folder(entry: LibraryEntry, record: FileRecord) -> Path:
    """Return ``ROOT/owner/name`` where the files lie below it, else the folder they are in."""
    usual = _root_of(entry) / Path(*record.repository.split("/"))
    return usual if entry.path.is_relative_to(usual) else entry.path.parent


def _root_of(entry: LibraryEntry) -> Path:
    if entry.root is None or entry.root in entry.paths:
        return entry.path.parent
    return entry.root


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _after(start_bytes: int, listen: Listen) -> Listen:
    return lambda count: listen(start_bytes + count)
