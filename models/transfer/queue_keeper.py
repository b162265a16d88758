"""The thread that writes the queue down, so that nobody waits for the disk. No Qt here.

It has the newest state of the queue and writes that; what came in between is never written. When
it cannot, the queue lives on in memory, its owner is told, and it is tried again now and then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import DownloadBusyError, FathomError, StoreCorruptError, StoreVersionError
from models.transfer.job_book import Job
from models.transfer.job_rows import jobs_of
from models.transfer.queue_store import QueueStore, StoredJob
from models.transfer.rebuild import find_begun

_LOG = logging.getLogger(__name__)
_RETRY_S = 5.0


@dataclass(frozen=True)
class Opened:
    """What the queue held; ``trouble`` says why nothing can be written."""

    jobs: tuple[Job, ...]
    trouble: FathomError | None


@dataclass(frozen=True)
class Kept:
    """These requests are written down."""

    request_ids: tuple[int, ...]


@dataclass(frozen=True)
class Trouble:
    """The queue cannot be written, or (None) can be again."""

    error: FathomError | None


KeeperNotice = Opened | Kept | Trouble


class QueueKeeper:
    """Owns the queue's file.

    Args:
        path: of the file.
        roots: where begun downloads are looked for when the file is missing or damaged.
        tell: hears what happens, in the keeper's thread.
        retry_s: how soon a failed write is tried again.
    """

    def __init__(
        self,
        path: Path,
        roots: tuple[Path, ...],
        tell: Callable[[KeeperNotice], None],
        *,
        retry_s: float = _RETRY_S,
    ) -> None:
        self._store = QueueStore(path)
        self._roots = roots
        self._tell = tell
        self._retry_s = retry_s
        self._condition = threading.Condition()
        self._rows: Mapping[str, StoredJob] | None = None
        self._request_ids: list[int] = []
        self._is_closed = False
        self._trouble: FathomError | None = None
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def begin(self) -> None:
        """Open the file in the background; ``tell`` hears ``Opened`` first."""
        self._thread.start()

    def keep(self, rows: Mapping[str, StoredJob], request_ids: tuple[int, ...] = ()) -> None:
        """Write the queue down soon; then ``tell`` hears of the requests."""
        with self._condition:
            self._rows = rows
            self._request_ids += request_ids
            self._condition.notify()

    def close(self, limit_s: float) -> None:
        """Write what is left, close the file, and wait for that no longer than ``limit_s``."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        self._thread.join(limit_s)

    # --- the keeper's thread --------------------------------------------------------------------

    def _run(self) -> None:
        jobs = self._open()
        self._tell(Opened(tuple(jobs), self._trouble))
        rows: Mapping[str, StoredJob] | None = None
        while True:
            with self._condition:
                # What could not be written waits a while, what is new does not.
                self._condition.wait_for(
                    lambda: self._rows is not None or self._is_closed,
                    self._retry_s if rows is not None else None,
                )
                if self._rows is not None:
                    rows, self._rows = self._rows, None
                request_ids = tuple(self._request_ids)
                is_closed = self._is_closed
            if rows is not None and self._write(rows):
                rows = None
                self._answer(request_ids)
            if is_closed:
                self._store.close()
                return

    def _open(self) -> list[Job]:
        try:
            is_new = not self._store.path.exists()
            jobs = jobs_of(self._store.open())
        except StoreCorruptError as error:
            _LOG.warning("%s %s", error.message, error.details)
            return self._open_anew()
        except (DownloadBusyError, StoreVersionError) as error:
            # Another Fathom works on what is in there, or a newer one knows what it means.
            self._trouble = error
            return []
        except FathomError as error:
            self._trouble = error
            return jobs_of(self._store.read_only()) or find_begun(self._roots)
        return find_begun(self._roots) if is_new else jobs

    def _open_anew(self) -> list[Job]:
        try:
            self._store.set_aside()
            self._store.open()
        except FathomError as error:
            self._trouble = error
        return find_begun(self._roots)

    def _write(self, rows: Mapping[str, StoredJob]) -> bool:
        try:
            if not self._store.is_open:
                self._store.open(adopts=not isinstance(self._trouble, DownloadBusyError))
            self._store.write(rows)
        except FathomError as error:
            if self._trouble is None or self._trouble.code != error.code:
                self._trouble = error
                self._tell(Trouble(error))
            return False
        if self._trouble is not None:
            self._trouble = None
            self._tell(Trouble(None))
        return True

    def _answer(self, request_ids: tuple[int, ...]) -> None:
        with self._condition:
            self._request_ids = self._request_ids[len(request_ids) :]
        if request_ids:
            self._tell(Kept(request_ids))
