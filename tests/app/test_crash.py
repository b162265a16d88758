from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QTimer, qWarning
from PySide6.QtWidgets import QApplication
from pytestqt.exceptions import capture_exceptions
from pytestqt.qtbot import QtBot

from app.crash import CrashPresenter, CrashReport, CrashReporter, make_report
from app.theme import Appearance
from app.views.crash_dialog import CrashDialog
from helpers.logcheck import LogCheck


@pytest.fixture
def reporter(tmp_path: Path, qapp: QApplication) -> Iterator[CrashReporter]:
    main_hook, thread_hook = sys.excepthook, threading.excepthook
    reporter = CrashReporter(tmp_path)
    reporter.install()
    yield reporter
    reporter.uninstall()
    sys.excepthook, threading.excepthook = main_hook, thread_hook


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_report_says_what_where_and_with_which_versions() -> None:
    report = make_report(raised(ValueError("seven is no colour")), "the main thread")
    assert report.summary == "ValueError: seven is no colour"
    assert "Fathom " in report.text
    assert "Python " in report.text
    assert "Qt " in report.text
    assert "test_crash.py" in report.text


def test_an_exception_in_the_event_loop_is_reported_and_the_loop_goes_on(
    reporter: CrashReporter, qtbot: QtBot, allow_logs: LogCheck
) -> None:
    allow_logs("Unexpected error")

    def fail() -> None:
        raise ValueError("in a slot")

    with qtbot.waitSignal(reporter.crashed) as crashed:
        QTimer.singleShot(0, fail)
    assert crashed.args is not None
    assert "in a slot" in crashed.args[0].summary


def test_an_exception_in_a_thread_is_reported_in_the_main_thread(
    reporter: CrashReporter, qtbot: QtBot, allow_logs: LogCheck
) -> None:
    allow_logs("Unexpected error")

    def fail() -> None:
        raise KeyError("in a thread")

    thread = threading.Thread(target=fail, name="worker-7")
    with qtbot.waitSignal(reporter.crashed) as crashed:
        thread.start()
        thread.join()
    assert crashed.args is not None
    assert "worker-7" in crashed.args[0].text


def test_ctrl_c_asks_to_quit_and_is_no_crash(reporter: CrashReporter, qtbot: QtBot) -> None:
    with qtbot.waitSignal(reporter.interrupted), qtbot.assertNotEmitted(reporter.crashed):
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_what_qt_says_goes_to_the_log(reporter: CrashReporter, allow_logs: LogCheck) -> None:
    allow_logs("WARNING qt: a word from Qt")
    qWarning("a word from Qt")
    assert [record.name for record in allow_logs.records] == ["qt"]
    assert allow_logs.records[0].levelno == logging.WARNING


def test_native_faults_have_a_file_and_no_folder_is_no_crash(
    tmp_path: Path, allow_logs: LogCheck, reporter: CrashReporter
) -> None:
    assert (tmp_path / "faults.log").exists()
    allow_logs("No log of native faults")
    other = CrashReporter(tmp_path / "absent")
    other.install()
    other.uninstall()


def test_the_dialog_does_not_block_and_counts_what_follows(
    appearance: Appearance, qtbot: QtBot, qapp: QApplication
) -> None:
    presenter = CrashPresenter()
    presenter.show(CrashReport("ValueError: one", "the whole story"))
    presenter.show(CrashReport("ValueError: two", "another story"))
    dialogs = [w for w in qapp.topLevelWidgets() if isinstance(w, CrashDialog) and w.isVisible()]
    assert len(dialogs) == 1
    dialog = dialogs[0]
    dialog.copy_button.click()
    copied = qapp.clipboard().text()
    assert "the whole story" in copied
    assert "another story" in copied
    dialog.close()
    dialog.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_a_thread_that_leaves_is_no_crash(reporter: CrashReporter, qtbot: QtBot) -> None:
    with capture_exceptions() as caught, qtbot.assertNotEmitted(reporter.crashed):
        thread = threading.Thread(target=sys.exit)
        thread.start()
        thread.join()
    assert caught == []
