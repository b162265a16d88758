"""The composed program for tests of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from helpers.leaks import LeakCheck
from helpers.real_window import RealWindow

OpenWindow = Callable[[Path], RealWindow]


@pytest.fixture
def open_window(qtbot: QtBot, no_leaks: LeakCheck) -> Iterator[OpenWindow]:
    """Open the real window on a base directory; closed at the end unless the test did."""
    opened: list[RealWindow] = []

    def open_on(base_dir: Path) -> RealWindow:
        opened.append(RealWindow(qtbot, base_dir))
        return opened[-1]

    yield open_on
    for window in opened:
        window.close()
