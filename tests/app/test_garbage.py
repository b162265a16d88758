"""Cycles with Qt objects are collected by the main thread, whoever allocates."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from app.garbage import MainThreadGarbage


class Noted(QObject):
    """Knows itself, so that only a collection ends it, and notes in which thread that is."""

    def __init__(self, ended: list[int]) -> None:
        super().__init__()
        self._me = self
        self._ended = ended

    def __del__(self) -> None:
        self._ended.append(threading.get_ident())


@pytest.fixture
def garbage(qtbot: QtBot) -> Iterator[MainThreadGarbage]:
    was_enabled = gc.isenabled()
    gc.enable()
    made = MainThreadGarbage()
    yield made
    made.stop()
    assert gc.isenabled()
    if not was_enabled:
        gc.disable()


def allocate_much() -> None:
    for _ in range(50):
        _ = [[] for _ in range(2000)]


def test_a_thread_that_allocates_collects_nothing(qtbot: QtBot, garbage: MainThreadGarbage) -> None:
    ended: list[int] = []
    for _ in range(20):
        Noted(ended)
    worker = threading.Thread(target=allocate_much)
    worker.start()
    worker.join()
    assert not ended
    kept = [[] for _ in range(5000)]
    qtbot.waitUntil(lambda: len(ended) == 20)
    assert len(kept) == 5000
    assert set(ended) == {threading.get_ident()}


def test_what_there_was_at_the_start_is_not_gone_over(
    qtbot: QtBot, garbage: MainThreadGarbage
) -> None:
    kept = [[] for _ in range(5000)]
    before = gc.get_freeze_count()
    garbage.spare_what_is_there()
    assert gc.get_freeze_count() > before + len(kept)


_CRASH = """
import gc, threading
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget
from app.garbage import MainThreadGarbage
app = QApplication([])
garbage = MainThreadGarbage()
class Window(QWidget):
    def __init__(self):
        super().__init__()
        QVBoxLayout(self).addWidget(QLabel("x"))
        self.timer = QTimer(self, interval=1)
        self.timer.timeout.connect(self.tick)
        self.timer.start()
        self.me = self
    def tick(self):
        pass
def allocate():
    for _ in range(20):
        _ = [[] for _ in range(2000)]
for _ in range(150):
    for _ in range(20):
        Window().show()
    worker = threading.Thread(target=allocate)
    worker.start()
    for _ in range(3):
        app.processEvents()
    worker.join()
print("survived")
"""


def test_windows_that_end_while_threads_work_do_not_end_the_process() -> None:
    # With Python's own collection this dies within seconds (SIGSEGV).
    done = subprocess.run(
        [sys.executable, "-c", _CRASH], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "survived" in done.stdout
