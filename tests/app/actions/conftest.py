"""The chat page over real parts, for the actions behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from helpers.chat_window import ChatWindow, make_chat_window


@pytest.fixture
def make(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path, appearance: Appearance
) -> Iterator[Callable[..., ChatWindow]]:
    """Build a chat page; all of them are closed at the end."""
    windows: list[ChatWindow] = []

    def build(**script: Any) -> ChatWindow:
        windows.append(make_chat_window(qtbot, tmp_path, {"text": "The sea."} | script))
        return windows[-1]

    yield build
    for window in windows:
        window.close()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
