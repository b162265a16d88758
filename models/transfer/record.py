"""What was verified of a file, kept beside it in ``.fathom``. No Qt here."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = ".fathom"
_MAX_BYTES = 32_000_000


@dataclass(frozen=True)
class FileRecord:
    """A file's content and where it was fetched from.

    Attributes:
        endpoint: of the hub or mirror; empty for a file that Fathom did not fetch.
        repository, commit, path: of the file there.
        size_bytes: its length.
        digest: of the whole, as in ``FileSpec``.
        block_bytes: length of a block, the last one may be shorter; 0 without block digests.
        block_digests: SHA-256 of each block cut to 16 bytes, as hex.
        verified_s: when the content was last found to be this, as of ``time.time``.
        is_independent: whether the digest came from somebody else than who sent the bytes.
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


def record_path(target: Path) -> Path:
    """Return where the record of a file is kept."""
    return target.parent / FOLDER / f"{target.name}.json"


def read_record(target: Path) -> FileRecord | None:
    """Return what is known of a file, None when nothing is or it cannot be understood."""
    try:
        with record_path(target).open("rb") as file:
            document: Any = json.loads(file.read(_MAX_BYTES))
        return FileRecord(**{**document, "block_digests": tuple(document["block_digests"])})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def write_record(target: Path, record: FileRecord) -> None:
    """Keep what is known of a file, in one step and readable by its owner only.

    Raises:
        OSError: it cannot be written.
    """
    place = record_path(target)
    place.parent.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
