"""What happens when Fathom itself has a bug: the log, and a report that can be copied.

Expected failures never come here: they go through ``app.messages``. Nothing here blocks: the
dialog is shown and the event loop goes on, because the rest of the window often still works.
"""

from __future__ import annotations

import faulthandler
import logging
import platform
import sys
import threading
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from PySide6.QtCore import (
    QMessageLogContext,
    QObject,
    QtMsgType,
    Signal,
    Slot,
    qInstallMessageHandler,
    qVersion,
)

from models.private_files import open_private
from models.version import VERSION

if TYPE_CHECKING:
    from app.views.crash_dialog import CrashDialog

_log = logging.getLogger(__name__)
_qt_log = logging.getLogger("qt")

_QT_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


@dataclass(frozen=True)
class CrashReport:
    """A bug that showed itself: one line for the reader, the whole story for the report."""

    summary: str
    text: str


def make_report(error: BaseException, where: str) -> CrashReport:
    """Describe an exception with what a bug report needs; no conversation text is in it."""
    summary = "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
    lines = [
        f"Fathom {VERSION}, {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"Python {platform.python_version()}, Qt {qVersion()}, {platform.platform()}",
        f"In {where}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    return CrashReport(summary, "\n".join(lines))


class CrashReporter(QObject):
    """Catches what nobody caught, logs it, and says so in the main thread."""

    crashed = Signal(CrashReport)
    interrupted = Signal()

    def __init__(self, log_dir: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._log_dir = log_dir
        self._fault_file: TextIO | None = None

    def install(self) -> None:
        """Put the hooks in place; ``uninstall`` takes them out again."""
        try:
            self._fault_file = open(  # noqa: SIM115 - open until `uninstall`
                self._log_dir / "faults.log", "a", encoding="utf-8", opener=open_private
            )
            faulthandler.enable(self._fault_file)
        except OSError as error:
            _log.warning("No log of native faults: %s", error)
        sys.excepthook = self._main_hook
        threading.excepthook = self._thread_hook
        qInstallMessageHandler(_log_qt_message)

    def uninstall(self) -> None:
        """Give the hooks back."""
        qInstallMessageHandler(None)
        sys.excepthook = sys.__excepthook__
        threading.excepthook = threading.__excepthook__
        if self._fault_file is not None:
            faulthandler.disable()
            self._fault_file.close()
            self._fault_file = None

    def report(self, error: BaseException, where: str) -> None:
        """Log an unexpected exception and tell the window; from any thread."""
        made = make_report(error, where)
        _log.error("Unexpected error in %s\n%s", where, made.text)
        self.crashed.emit(made)

    def _main_hook(
        self,
        _kind: type[BaseException],
        error: BaseException,
        _traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.interrupted.emit()
            return
        self.report(error, "the main thread")

    def _thread_hook(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or isinstance(args.exc_value, SystemExit):
            return
        self.report(args.exc_value, f"thread {args.thread.name if args.thread else '?'}")


class CrashPresenter(QObject):
    """Shows at most one crash dialog at a time and counts what comes meanwhile."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._dialog: CrashDialog | None = None

    @Slot(CrashReport)
    def show(self, report: CrashReport) -> None:
        """Show a report without waiting for an answer."""
        # Widgets are imported when something has gone wrong, not at start-up.
        from app.views.crash_dialog import CrashDialog

        if self._dialog is not None and self._dialog.isVisible():
            self._dialog.add(report)
            return
        self._dialog = CrashDialog(report)
        self._dialog.show()


def _log_qt_message(kind: QtMsgType, _context: QMessageLogContext, text: str | None) -> None:
    text = text or ""
    # Qt's own platform for windows without a screen says this of every window.
    if "does not support propagateSizeHints" in text:
        return
    _qt_log.log(_QT_LEVELS.get(kind, logging.WARNING), "%s", text)
