"""Something long that is done with a checkpoint of the library, and how far it is."""

from __future__ import annotations

import enum
import threading
import time
from dataclasses import dataclass

# A rate before that is a guess from the first few megabytes.
_RATE_AFTER_S = 1.0


class LibraryWork(enum.Enum):
    """What is done with a checkpoint."""

    VERIFY = "verify"
    MOVE = "move"
    DELETE = "delete"


@dataclass(frozen=True)
class LibraryTaskView:
    """How far it is; ``eta_s`` is None where that cannot be known."""

    work: LibraryWork
    bytes_done: int = 0
    bytes_total: int = 0
    eta_s: float | None = None
    is_stopping: bool = False


class LibraryTask:
    """One piece of work: told how far it is by its own thread, asked by the main thread."""

    def __init__(self, work: LibraryWork, bytes_total: int = 0) -> None:
        self.work = work
        self._bytes_total = bytes_total
        self._bytes_done = 0
        self._began_s = time.monotonic()
        self._stopped = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopped.is_set()

    def listen(self, bytes_done: int) -> None:
        """Take how far it is; in the thread that works."""
        self._bytes_done = bytes_done

    def stop(self) -> bool:
        """Whether to stop; asked by the thread that works."""
        return self._stopped.is_set()

    def end(self) -> None:
        """Ask it to stop."""
        self._stopped.set()

    def view(self) -> LibraryTaskView:
        """Return how far it is now."""
        done, total = self._bytes_done, self._bytes_total
        passed_s = time.monotonic() - self._began_s
        eta_s = None
        if done and passed_s > _RATE_AFTER_S:
            eta_s = (total - done) * passed_s / done
        return LibraryTaskView(self.work, done, total, eta_s, self.is_stopping)
