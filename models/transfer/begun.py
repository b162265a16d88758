"""Downloads that lie unfinished on the disk and are in no list of ours: what was begun elsewhere.

``fathom pull``, a window with other data, a list that was cleared: what they left is found by its
own small files, and offered. Nobody goes on with it unasked. No Qt here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.file_locks import try_lock, unlock
from models.gguf.shards import parse_shard_name
from models.transfer.job import JobSpec
from models.transfer.part_file import part_path
from models.transfer.rebuild import find_begun, find_lone
from models.transfer.record import read_record
from models.transfer.remote import FileSpec
from models.transfer.sidecar import bytes_in_place


@dataclass(frozen=True)
class BegunDownload:
    """One download that somebody began.

    Attributes:
        spec: what was wanted, as far as the disk tells.
        bytes_done: how much of it is here.
        is_busy: whether another Fathom fetches it at this moment.
        lacks_parts: whether only one shard of a set is known of; the hub has to be asked for the
            others.
    """

    spec: JobSpec
    bytes_done: int
    is_busy: bool = False
    lacks_parts: bool = False


def find_elsewhere(roots: Iterable[Path]) -> tuple[BegunDownload, ...]:
    """Return the begun downloads below some folders, by title; each file counts once."""
    roots = tuple(roots)
    known = [job.spec for job in find_begun(roots)]
    found: list[BegunDownload] = []
    seen: set[object] = set()
    for spec in (*known, *find_lone(roots, known)):
        keys = _keys(spec)
        if seen.isdisjoint(keys):
            seen |= keys
            found.append(_looked_at(spec))
    return tuple(sorted(found, key=lambda begun: (begun.spec.title, str(begun.spec.folder))))


def not_among(
    begun: Iterable[BegunDownload], specs: Iterable[JobSpec]
) -> tuple[BegunDownload, ...]:
    """Return those of which no file belongs to any of ``specs``."""
    known = {key for spec in specs for key in _keys(spec)}
    return tuple(one for one in begun if known.isdisjoint(_keys(one.spec)))


def _keys(spec: JobSpec) -> set[object]:
    """Return what two downloads of the same checkpoint have in common: places, or their set."""
    keys: set[object] = set()
    for file in spec.files:
        if not spec.is_extra(file):
            target = spec.folder / file.target
            name = parse_shard_name(target.name)
            is_set = name is not None and name.count > 1
            keys.add((target.parent, name.stem, name.count) if name and is_set else target)
    return keys


def _looked_at(spec: JobSpec) -> BegunDownload:
    names = [parse_shard_name(Path(file.target).name) for file in spec.files]
    shards = [name for name in names if name is not None and name.count > 1]
    targets = [spec.folder / file.target for file in spec.files]
    return BegunDownload(
        spec,
        bytes_done=sum(_bytes_here(spec.folder / file.target, file) for file in spec.files),
        is_busy=any(_is_taken(part_path(target)) for target in targets),
        lacks_parts=bool(shards) and len(shards) < shards[0].count,
    )


def _bytes_here(target: Path, file: FileSpec) -> int:
    record = read_record(target)
    if record is not None and record.digest == file.digest and target.is_file():
        return file.size_bytes
    return min(bytes_in_place(target), file.size_bytes)


def _is_taken(part: Path) -> bool:
    """Whether somebody holds the lock of a ``.part``; what cannot be opened is nobody's."""
    flags = os.O_RDWR
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    try:
        handle = os.open(part, flags)
    except OSError:
        return False
    try:
        is_free = try_lock(handle)
        if is_free:
            unlock(handle)
        return not is_free
    except OSError:
        return False
    finally:
        os.close(handle)
