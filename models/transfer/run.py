"""What is done for a download in a thread of its own, and what it needs for that. No Qt here."""

from __future__ import annotations

import abc
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.errors import FathomError, TransferError
from models.stopping import Stop
from models.transfer.job import JobState
from models.transfer.job_book import FileStand
from models.transfer.remote import Listener, Locator, RemoteObject
from models.transfer.space import SpaceLedger


class Transfer(Protocol):
    """One file on its way; models/transfer/file_transfer.py."""

    def run(self, stop: Stop) -> object:
        """Fetch and verify the file."""

    def discard(self) -> None:
        """Remove what was fetched of it."""


class FileTools(Protocol):
    """Everything that touches one file; the real ones are in models/transfer/file_tools.py."""

    def transfer(
        self,
        remote: RemoteObject,
        target: Path,
        *,
        locator: Locator,
        listen: Listener,
        verify_existing: bool,
        is_independent: bool,
        is_extra: bool = False,
    ) -> Transfer:
        """Return a transfer that was not begun; ``is_extra``: it is not worth a long wait."""

    def is_done(self, remote: RemoteObject, target: Path) -> bool:
        """Whether the verified file lies there, by its record."""

    def bytes_in_place(self, target: Path) -> int:
        """Return what an earlier run left."""

    def remove(self, target: Path) -> None:
        """Remove a finished file and its record."""


@dataclass(frozen=True)
class RunTools:
    """What every download needs."""

    files: FileTools
    locator: Locator
    ledger: SpaceLedger


@dataclass(frozen=True)
class Snapshot:
    """Where a run stands now.

    Attributes:
        state: what the download is doing.
        bytes_fetched: over the line in this run.
        lacks: what could not be fetched and may be missing, in a sentence; may be empty.
    """

    state: JobState
    files: tuple[FileStand, ...]
    bytes_fetched: int = 0
    bytes_refetched: int = 0
    waits_until_s: float | None = None
    why: str = ""
    lacks: str = ""


class Run(Protocol):
    """Something that is being done for a download."""

    def begin(self) -> None:
        """Start."""

    def stop(self) -> None:
        """Ask it to end; from any thread, returns at once."""

    def snapshot(self) -> Snapshot | None:
        """Return where it stands, None when there is nothing to show."""

    def join(self, limit_s: float) -> None:
        """Wait for its end."""


OnEnded = Callable[[Run, FathomError | None], None]


class ThreadedRun(abc.ABC):
    """A thread that can be asked to stop and says how it ended."""

    def __init__(self, name: str, on_ended: Callable[[FathomError | None], None]) -> None:
        self._stop = threading.Event()
        self._on_ended = on_ended
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def begin(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end."""
        self._stop.set()

    def join(self, limit_s: float) -> None:
        """Wait for its end."""
        self._thread.join(limit_s)

    def _guarded(self) -> None:
        error: FathomError | None = None
        try:
            self._work(self._stop.is_set)
        except FathomError as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001  The thread's end: a bug ends one download only.
            error = TransferError(
                "The download met an error in Fathom's own code.",
                hint="Please report it with the details.",
                details="".join(traceback.format_exception(bug)),
            )
        self._on_ended(error)

    @abc.abstractmethod
    def _work(self, stop: Stop) -> None:
        """Do what the thread is for."""
