"""The program's log: a rotating file, and stderr with ``--debug``. No Qt here.

What people write and what models answer never goes into a log; its length at most.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from models.private_files import make_private_folder, open_private

LOG_NAME = "fathom.log"

_FILE_BYTES = 2_000_000
_FILES_KEPT = 3
_OWN_PACKAGES = ("app", "models")
# For somebody who asked for no log and gets what cannot be written to one.
_PLAIN_FORMAT = "fathom: %(message)s"
_FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(threadName)s %(name)s: %(message)s"


class LogSetup:
    """What ``configure`` installed; ``close`` takes it off again.

    Attributes:
        file: the log file, None when it cannot be written.
        problem: why there is none, one sentence; empty when there is one.
    """

    def __init__(
        self, file: Path | None, handlers: list[logging.Handler], *, debug: bool, problem: str = ""
    ) -> None:
        self.file = file
        self.problem = problem
        self._handlers = handlers
        own_level = logging.DEBUG if debug else logging.INFO
        levels = {"": logging.WARNING, **dict.fromkeys(_OWN_PACKAGES, own_level)}
        self._levels_before = {name: logging.getLogger(name).level for name in levels}
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for handler in handlers:
            plain = file is None and not debug
            handler.setFormatter(logging.Formatter(_PLAIN_FORMAT if plain else _FORMAT))
            logging.getLogger().addHandler(handler)

    def close(self) -> None:
        """Remove and close the handlers, and give the loggers their levels back."""
        root = logging.getLogger()
        for handler in self._handlers:
            root.removeHandler(handler)
            handler.close()
        self._handlers = []
        for name, level in self._levels_before.items():
            logging.getLogger(name).setLevel(level)


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log file on a disk that may be full or gone: what cannot be written is left out."""

    def _open(self) -> TextIOWrapper:
        """Open it as the base class does, but for its owner only."""
        stream = open(  # noqa: SIM115 - the handler closes it
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors=self.errors,
            opener=open_private,
        )
        assert isinstance(stream, TextIOWrapper)
        return stream

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base's name
        """Say nothing of the disk, which others tell of; a bug in a call is told as usual."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, also where its last lines cannot be written."""
        with contextlib.suppress(OSError):
            super().close()


def configure(log_dir: Path, *, debug: bool = False, stream: TextIO | None = None) -> LogSetup:
    """Send the log to ``log_dir/fathom.log`` and, with ``debug``, to ``stream`` (stderr).

    A folder that cannot be written is no reason not to start: warnings then go to the stream, one
    plain line each, and the caller may tell the ``problem``.
    """
    handlers: list[logging.Handler] = []
    problem = ""
    file: Path | None = log_dir / LOG_NAME
    try:
        handlers.append(_file_handler(log_dir / LOG_NAME))
    except OSError as error:
        reason = error.strerror or str(error)
        problem, file = f"No log is kept: {log_dir} cannot be written ({reason}).", None
    if debug or file is None:
        shown = logging.StreamHandler(stream or sys.stderr)
        shown.setLevel(logging.DEBUG if debug else logging.WARNING)
        handlers.append(shown)
    return LogSetup(file, handlers, debug=debug, problem=problem)


def _file_handler(path: Path) -> logging.Handler:
    make_private_folder(path.parent)
    # The file is opened at once, so that a folder without permission shows now.
    return _LogFile(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8")
