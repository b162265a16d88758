"""Whether a folder of the library is there, asked without waiting for ever. No Qt here."""

from __future__ import annotations

import enum
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

# A drive that sleeps needs seconds to turn; a network share that is gone never answers.
ANSWER_S = 5.0

_log = logging.getLogger(__name__)


class RootState(enum.Enum):
    """What became of the question whether a folder is there."""

    PRESENT = enum.auto()
    ABSENT = enum.auto()
    # The system does not answer: a network share whose server is gone.
    SILENT = enum.auto()


class Presence:
    """Asks for folders, each in a thread that may be left; from any thread.

    Nothing wakes a look at a share whose server is gone, so such a thread stays as long as the
    system likes. It is a daemon, and as long as it lasts no second one is begun for its folder.
    """

    def __init__(
        self, look: Callable[[Path], object] = os.stat, *, answer_s: float = ANSWER_S
    ) -> None:
        self._look = look
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._silent: dict[Path, threading.Thread] = {}

    def of(self, root: Path) -> RootState:
        """Return whether ``root`` is there, after ``answer_s`` seconds at most."""
        with self._lock:
            left = self._silent.get(root)
        if left is not None and left.is_alive():
            return RootState.SILENT
        answers: list[bool] = []
        thread = threading.Thread(
            target=self._ask, args=(root, answers), name="presence", daemon=True
        )
        thread.start()
        thread.join(self._answer_s)
        with self._lock:
            self._silent.pop(root, None)
            if thread.is_alive():
                _log.info("A folder of the library does not answer: %s", root)
                self._silent[root] = thread
                return RootState.SILENT
        return RootState.PRESENT if answers == [True] else RootState.ABSENT

    def _ask(self, root: Path, answers: list[bool]) -> None:
        try:
            self._look(root)
        except (OSError, ValueError) as error:
            _log.debug("A folder of the library is not there: %s", error)
            answers.append(False)
        else:
            answers.append(True)
