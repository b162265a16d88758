"""The conversation file: opening it safely, transactions, errors in words. No Qt here.

Write-ahead log with ``synchronous=FULL``: what was committed survives a crash of the program and
a power loss. The file and its companions can be read by their owner only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from models.chat.schema import SCHEMA_VERSION, is_foreign, migrate, user_version
from models.chat.search import search_text
from models.errors import StoreCorruptError, StoreError, StoreLockedError, StoreVersionError
from models.whole_files import sync_folder

_COMPANIONS = ("-wal", "-journal", "-shm")
_DAMAGED_HINT = "It can be kept aside under another name and a new one begun."


class Database:
    """One connection to the conversation file."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        # One worker uses the store, but its pool may replace the thread behind it.
        self._lock = threading.RLock()

    def open(self) -> None:
        """Open the file, create it when there is none, and bring it to this version.

        Raises:
            StoreVersionError: a newer Fathom wrote it; the file was not touched.
            StoreCorruptError: it is no conversation file, or damaged.
            StoreLockedError: another program holds it.
            StoreError: the folder is missing, or the file cannot be written.
        """
        with self._lock, self._translated():
            if self._connection is not None:
                return
            if prepare_file(self.path):
                self._check_version()
            connection = self._connect(f"{self.path.absolute().as_uri()}?mode=rw")
            try:
                self._configure(connection)
                migrate(connection)
                # Touches the tables, so that damage shows now and not in mid-answer.
                connection.execute("SELECT count(*) FROM conversation").fetchone()
            except BaseException:
                connection.close()
                raise
            self._connection = connection

    def close(self) -> None:
        """Close the file; a closed one stays closed."""
        with self._lock, self._translated():
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection in a write transaction, committed at the end, else rolled back."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the file from first to last statement."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def outside_transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the bare connection, for what SQLite does not do in a transaction."""
        with self._lock, self._translated():
            if self._connection is None:
                raise StoreError("The conversations are not open.")
            yield self._connection

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self.outside_transaction() as connection:
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _connect(self, uri: str) -> sqlite3.Connection:
        return sqlite3.connect(
            uri,
            uri=True,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )

    def _check_version(self) -> None:
        """Look at the file without writing to it or beside it."""
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        if not any(_size(file) for file in _companions(self.path)[:2]):
            # No log to read: SQLite need not make one.
            uri += "&immutable=1"
        connection = self._connect(uri)
        try:
            version = user_version(connection)
            foreign = is_foreign(connection)
        finally:
            connection.close()
        if foreign:
            raise StoreCorruptError(
                "The conversation file belongs to another program.",
                hint=_DAMAGED_HINT,
                details=str(self.path),
            )
        if version > SCHEMA_VERSION:
            raise StoreVersionError(
                "The conversations were written by a newer Fathom.",
                hint="Update Fathom to open them. Nothing was changed.",
                details=f"{self.path}: version {version}, this Fathom knows {SCHEMA_VERSION}",
            )

    def _configure(self, connection: sqlite3.Connection) -> None:
        connection.create_function("search_text", 1, search_text, deterministic=True)
        self._set_wal(connection)
        for pragma in (
            "synchronous = FULL",
            "foreign_keys = ON",
            # Triggers call search_text(); some builds distrust functions there by default.
            "trusted_schema = ON",
            # What a user deletes for good is overwritten, not only unlinked.
            "secure_delete = ON",
            "journal_size_limit = 16777216",
        ):
            connection.execute(f"PRAGMA {pragma}")

    def _set_wal(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log.

        SQLite does not wait for locks here, as it does elsewhere: two programs that open a new
        file at once would fail.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > deadline:
                    raise
                # Taking the write lock waits, and is given up at once.
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            else:
                return

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.path) from error


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """Turn SQLite's error into one with words."""
    details = f"{path}: {type(error).__name__}: {error}"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorruptError(
            "The conversation file is damaged.", hint=_DAMAGED_HINT, details=details
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLockedError(
            "Another program is using the conversation file.",
            hint="Close other windows of Fathom or wait, then try again.",
            details=details,
        )
    words = {
        sqlite3.SQLITE_FULL: ("The disk is full.", "Free some space, then try again."),
        sqlite3.SQLITE_CANTOPEN: (
            "The conversation file cannot be opened.",
            "Check that its folder exists and can be written to.",
        ),
        sqlite3.SQLITE_READONLY: (
            "The conversation file cannot be written to.",
            "Check the permissions of the file and its folder.",
        ),
        sqlite3.SQLITE_IOERR: (
            "The conversation file could not be read or written.",
            "Check the drive it is on.",
        ),
        sqlite3.SQLITE_CONSTRAINT: ("That message or conversation is no longer there.", ""),
    }
    message, hint = words.get(code, ("The conversations cannot be read or written.", ""))
    return StoreError(message, hint=hint, details=details)


def prepare_file(path: Path) -> bool:
    """Make sure that the file is there and its owner's only; return whether it has content.

    Raises:
        StoreError: the folder is missing, or the file is none or cannot be written.
    """
    try:
        # Only the last folder: a drive that is not there must not be made up.
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # Never open and close a file that exists: on POSIX that drops the locks which another
        # connection of this process holds (sqlite.org/howtocorrupt.html, 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            sync_folder(path.parent)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise StoreError("The conversation file is not a file.", details=str(path))
        for file in (path, *_companions(path)):
            _close_to_others(file)
    except OSError as error:
        raise StoreError(
            "The conversation file cannot be opened.",
            hint="Check that its folder exists and can be written to.",
            details=f"{path}: {error}",
        ) from error
    return status.st_size > 0


def set_aside(path: Path) -> Path:
    """Rename a damaged conversation file, so that a new one can be begun; return its new path.

    Its companions move along. Nothing is deleted and no file is replaced. No connection may be
    open.

    Raises:
        StoreError: it cannot be renamed.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 0
    target = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    while any(file.exists() for file in (target, *_companions(target))):
        number += 1
        target = path.with_name(f"{path.stem}.damaged-{stamp}-{number}{path.suffix}")
    try:
        # The log first: if only the file had moved, SQLite would throw away a log without one.
        for source, name in zip(_companions(path), _companions(target), strict=True):
            if source.exists():
                source.rename(name)
        path.rename(target)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            "The damaged conversation file cannot be renamed.",
            hint="Check the permissions of its folder, and close other windows of Fathom.",
            details=f"{path}: {error}",
        ) from error
    return target


def _companions(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in _COMPANIONS)


def _close_to_others(path: Path) -> None:
    if os.name != "posix":
        return
    # A log that another program just removed; another user's file, lent to us: its owner decides.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
