"""The file of the queue: opening it safely, writing it whole, errors in words. No Qt here.

Write-ahead log with ``synchronous=FULL``, held by one process (``locking_mode=EXCLUSIVE``, which
also spares SQLite the file of shared memory: one file less that a full disk could refuse).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import (
    DiskError,
    DiskFullError,
    DownloadBusyError,
    FathomError,
    StoreCorruptError,
    StoreVersionError,
)
from models.private_files import make_private_folder

QUEUE_FILE = "downloads.sqlite3"

_VERSION = 1
_BUSY_S = 3.0
_COMPANIONS = ("", "-wal", "-shm", "-journal")
_TABLE = """CREATE TABLE IF NOT EXISTS job (
    job_id TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,
    stand TEXT NOT NULL
) STRICT"""
_SELECT = "SELECT job_id, position, state, spec, stand FROM job ORDER BY position, job_id"
_UPSERT = "INSERT OR REPLACE INTO job (job_id, position, state, spec, stand) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class StoredJob:
    """A row.

    Attributes:
        spec: the spec as JSON.
        stand: everything else that is worth remembering, as JSON.
    """

    job_id: str
    position: int
    state: str
    spec: str
    stand: str


class QueueStore:
    """The file; used by one thread."""

    def __init__(self, path: Path, *, busy_s: float = _BUSY_S) -> None:
        self.path = path
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._written: dict[str, StoredJob] = {}

    @property
    def is_open(self) -> bool:
        """Whether it can be written."""
        return self._connection is not None

    def open(self, *, adopts: bool = True) -> tuple[StoredJob, ...]:
        """Open the file, made new when there is none, and return what it holds.

        Args:
            adopts: whether what it holds is the caller's from now on, and goes when ``write`` is
                not given it.

        Raises:
            DownloadBusyError: another Fathom holds it.
            StoreCorruptError: it is damaged, or no queue.
            StoreVersionError: a newer Fathom wrote it; nothing was changed.
            DiskFullError, DiskError: it can be read or written no further.
        """
        with _translated(self.path):
            is_new = not self.path.exists()
            if is_new:
                make_private_folder(self.path.parent)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = _connect(f"{self.path.absolute().as_uri()}?mode=rw", self._busy_s)
            try:
                rows = _prepare(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self._written = {row.job_id: row for row in rows} if adopts else {}
        return rows

    def read_only(self) -> tuple[StoredJob, ...]:
        """Return what can be read where nothing can be written; empty when that is nothing."""
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        if not _size(self.path.with_name(f"{self.path.name}-wal")):
            uri += "&immutable=1"
        try:
            with contextlib.closing(_connect(uri, self._busy_s)) as connection:
                return _rows(connection)
        except sqlite3.Error:
            return ()

    def write(self, jobs: Mapping[str, StoredJob]) -> None:
        """Make the file hold exactly these jobs; in one transaction.

        Raises:
            DiskFullError, DiskError, StoreCorruptError: as ``open``; the file is as before.
        """
        if self._connection is None:
            raise DiskError("The list of downloads is not open.")
        changed = [row for key, row in jobs.items() if self._written.get(key) != row]
        gone = [key for key in self._written if key not in jobs]
        if not changed and not gone:
            return
        with _translated(self.path), _transaction(self._connection):
            self._connection.executemany("DELETE FROM job WHERE job_id = ?", [(k,) for k in gone])
            rows = [(r.job_id, r.position, r.state, r.spec, r.stand) for r in changed]
            self._connection.executemany(_UPSERT, rows)
        self._written = dict(jobs)

    def close(self) -> None:
        """Close the file; a closed one stays closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # On a full disk the log cannot be taken into the file; it is read at the next start.
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def set_aside(self) -> Path | None:
        """Give a damaged file another name, so that a new one can be begun; return the name."""
        self.close()
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        with _translated(self.path):
            for suffix in _COMPANIONS:
                part = self.path.with_name(self.path.name + suffix)
                if part.exists():
                    part.rename(aside.with_name(aside.name + suffix))
        return aside


def holds_any(path: Path, ended: tuple[str, ...]) -> bool:
    """Whether the file at ``path`` holds a job in another state than ``ended``; a quick look.

    When that cannot be said (held by a child, damaged), it is assumed.
    """
    if not path.exists():
        return False
    marks = ", ".join("?" for _ in ended)
    try:
        with contextlib.closing(_connect(f"{path.absolute().as_uri()}?mode=ro", 0.1)) as connection:
            found = connection.execute(
                f"SELECT count(*) FROM job WHERE state NOT IN ({marks})",
                ended,
            ).fetchone()
    except sqlite3.Error:
        return _size(path) > 0
    return bool(found[0])


def _connect(uri: str, busy_s: float) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None)


def _prepare(connection: sqlite3.Connection) -> tuple[StoredJob, ...]:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise StoreVersionError(
            "The list of downloads was written by a newer Fathom.",
            hint="Update Fathom to go on with them. Nothing was changed.",
            details=f"version {version}, this Fathom knows {_VERSION}",
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    with _transaction(connection):
        connection.execute(_TABLE)
        # Written always: it takes the lock that is kept from now on, and shows a full disk.
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    return _rows(connection)


def _rows(connection: sqlite3.Connection) -> tuple[StoredJob, ...]:
    return tuple(StoredJob(*row) for row in connection.execute(_SELECT))


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _words_for(error, path) from error
    except OSError as error:
        raise DiskError(
            f"The list of downloads cannot be kept ({error.strerror or error}).", details=str(path)
        ) from error


def _words_for(error: sqlite3.Error, path: Path) -> FathomError:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    details = f"{path}: {error}"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DownloadBusyError(
            "Another Fathom keeps the list of downloads.",
            hint="What is begun here goes on, but is not remembered.",
            details=details,
        )
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(
            "The disk is full: the list of downloads cannot be kept.",
            hint="Free some room. Downloads go on where there is any.",
            details=details,
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or (
        code == sqlite3.SQLITE_ERROR and "no such" in str(error)
    ):
        return StoreCorruptError("The list of downloads is damaged.", details=details)
    return DiskError("The list of downloads cannot be kept.", hint=str(error), details=details)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
