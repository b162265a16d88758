"""What is known of a file that was fetched and verified: ``.fathom/<name>.json`` beside it. No Qt.

The record belongs to the content, not to the name: it holds the digest of the whole and of each
block, so that one rotten block of 400 GB costs one block.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.transfer.disk import translated, write_whole
from models.transfer.remote import GIT_SHA1, SHA256
from models.transfer.small_json import read_small_json

FOLDER = ".fathom"

# The year 5138: what claims to be later (or infinite) is damage, and no calendar takes it.
LATEST_S = 1e11

_FORMAT = 1
_MAX_BYTES = 256 * 1024 * 1024
_DIGEST = re.compile(rf"{SHA256}:[0-9a-f]{{64}}|{GIT_SHA1}:[0-9a-f]{{40}}")


@dataclass(frozen=True)
class FileRecord:
    """A verified file.

    Attributes:
        endpoint, repository, commit, path: where it came from; may be empty for a file that the
            user added.
        digest: as ``FileSpec.digest``.
        block_bytes: how it is cut into blocks; 0 without block digests.
        block_digests: the first 16 bytes of each block's SHA-256, in hex.
        verified_s: when its content was last compared with ``digest``, on the clock of
            ``time.time``; None when never.
        is_independent: whether the digest came from somebody else than who sent the bytes.
        modified_ns: the file's time of change when the record was written; 0 when not known. Only
            ever a reason for more distrust.
    """

    endpoint: str
    repository: str
    commit: str
    path: str
    size_bytes: int
    digest: str
    block_bytes: int
    block_digests: tuple[str, ...]
    verified_s: float | None
    is_independent: bool
    modified_ns: int = 0


def record_path(target: Path) -> Path:
    """Return where the record of a file lies."""
    return target.parent / FOLDER / f"{target.name}.json"


def read_record(target: Path) -> FileRecord | None:
    """Return the record of a file; None when there is none that can be used."""
    # Not there, or not ours: the file is then one that nobody vouches for.
    return read_small_json(record_path(target), _parsed, limit_bytes=_MAX_BYTES)


def write_record(target: Path, record: FileRecord) -> None:
    """Write it whole or not at all, readable by its owner only.

    Raises:
        DiskFullError, DiskError.
    """
    data = {"format": _FORMAT} | asdict(record)
    data["block_digests"] = list(record.block_digests)
    path = record_path(target)
    with translated(path):
        # Whatever the umask is, nobody else decides what was verified.
        path.parent.mkdir(mode=0o755, exist_ok=True)
    write_whole(path, json.dumps(data).encode())


def forget_record(target: Path) -> None:
    """Remove the record of a file, if there is one.

    Raises:
        DiskError: it cannot be removed.
    """
    path = record_path(target)
    with translated(path):
        path.unlink(missing_ok=True)


def _parsed(data: Any) -> FileRecord:
    """Return what a record holds.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    if data["format"] != _FORMAT:
        raise ValueError("another format")
    verified_s = data["verified_s"]
    record = FileRecord(
        endpoint=str(data["endpoint"]),
        repository=str(data["repository"]),
        commit=str(data["commit"]),
        path=str(data["path"]),
        size_bytes=int(data["size_bytes"]),
        digest=str(data["digest"]),
        block_bytes=int(data["block_bytes"]),
        block_digests=tuple(str(digest) for digest in data["block_digests"]),
        verified_s=None if verified_s is None else float(verified_s),
        is_independent=data["is_independent"] is True,
        modified_ns=int(data.get("modified_ns", 0)),
    )
    if record.size_bytes < 0 or record.block_bytes < 0:
        raise ValueError("no size")
    if _DIGEST.fullmatch(record.digest) is None:
        raise ValueError("no digest")
    if record.verified_s is not None and not 0 <= record.verified_s < LATEST_S:
        raise ValueError("no time")
    count = -(-record.size_bytes // record.block_bytes) if record.block_bytes else 0
    if len(record.block_digests) != count:
        raise ValueError("another number of blocks")
    return record
