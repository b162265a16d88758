"""What is known of a file's content: its own record, one taken down here, or its name. No Qt here.

A file that Fathom fetched has a record beside it (``.fathom``). For any other file a record can be
taken down, in Fathom's own folder: nobody else's folders are written to. Hugging Face's cache and
Ollama name files by their digests.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from models.library.hugging_face_cache import digest_of_cached
from models.library.ollama_store import digest_of_blob
from models.private_files import make_private_folder
from models.transfer.disk import translated
from models.transfer.patience import Layout
from models.transfer.record import FileRecord, read_record, record_path, write_record

# How much later than its check a file may seem to have been written: FAT keeps even seconds.
_CLOCK_STEP_S = 2.0


@dataclass(frozen=True)
class KnownFile:
    """The short of a record; ``digest`` as in ``FileSpec``."""

    digest: str
    size_bytes: int
    repository: str
    commit: str
    verified_s: float | None


class Records:
    """Records of files, wherever they are kept; every method may be called from any thread.

    Args:
        folder: where records are kept of files that were not fetched by Fathom; None keeps them
            as long as the program runs.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._taken: dict[Path, FileRecord] = {}
        # Records have a line for every 64 MiB: they are read once, not at every look.
        self._short: dict[Path, tuple[int, KnownFile | None]] = {}

    def of(self, path: Path) -> KnownFile | None:
        """Return what the record beside a file says, None without one."""
        try:
            written_ns = record_path(path).stat().st_mtime_ns
        except OSError:
            return None
        with self._lock:
            kept = self._short.get(path)
        if kept is not None and kept[0] == written_ns:
            return kept[1]
        record = read_record(path)
        known = _short(record) if record else None
        with self._lock:
            self._short[path] = (written_ns, known)
        return known

    def full(self, path: Path) -> FileRecord | None:
        """Return all that is known to compare a file with, None when there is nothing."""
        record = read_record(path) or self._reference(path)
        return record or _by_name(path)

    def digest_of(self, path: Path) -> str:
        """Return the digest that a file has by all that is known, empty when nothing is.

        A file that was written to since it was recorded has none.
        """
        try:
            status = path.stat()
        except OSError:
            return ""
        record = self.full(path)
        if record is None or record.size_bytes != status.st_size:
            return ""
        if record.modified_ns and record.modified_ns != status.st_mtime_ns:
            return ""
        is_newer = record.verified_s is not None and (
            status.st_mtime > record.verified_s + _CLOCK_STEP_S
        )
        return "" if is_newer else record.digest

    def take_down(self, path: Path, record: FileRecord) -> None:
        """Keep what a file is now, to compare it with later.

        Raises:
            DiskFullError, DiskError: it cannot be written; it is known as long as the program runs.
        """
        with self._lock:
            self._taken[path] = record
        if self._folder is not None:
            with translated(self._folder):
                make_private_folder(self._folder)
            write_record(self._place(path, self._folder), record)

    def drop(self, path: Path) -> None:
        """Forget what was taken down of a file; the record beside it is not touched."""
        with self._lock:
            self._taken.pop(path, None)
        if self._folder is not None:
            record_path(self._place(path, self._folder)).unlink(missing_ok=True)

    def _reference(self, path: Path) -> FileRecord | None:
        with self._lock:
            taken = self._taken.get(path)
        if taken is not None or self._folder is None:
            return taken
        return read_record(self._place(path, self._folder))

    def _place(self, path: Path, folder: Path) -> Path:
        """Return the stand-in whose record is that of ``path``."""
        key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
        return folder / key


def _short(record: FileRecord) -> KnownFile:
    return KnownFile(
        record.digest, record.size_bytes, record.repository, record.commit, record.verified_s
    )


def _by_name(path: Path) -> FileRecord | None:
    digest_hex = digest_of_cached(path) or digest_of_blob(path)
    if not digest_hex:
        return None
    try:
        size_bytes = path.stat().st_size
    except OSError:
        return None
    return FileRecord(
        endpoint="",
        repository="",
        commit="",
        path="",
        size_bytes=size_bytes,
        digest=f"sha256:{digest_hex}",
        block_bytes=Layout().block_bytes,
        block_digests=(),
        verified_s=None,
        is_independent=True,
    )
