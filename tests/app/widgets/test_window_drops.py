"""Files dragged onto any place of a window."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QPlainTextEdit, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.widgets.drop_cover import DropCover
from app.widgets.window_drops import WindowDrops


class Window(QWidget):
    """A window full of a field that takes text."""

    def __init__(self) -> None:
        super().__init__()
        self.field = QPlainTextEdit()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.field)
        self.resize(400, 300)
        self.drops = WindowDrops(".gguf", self)
        self.cover = DropCover("Drop", "Here.", self)
        self.drops.entered.connect(self.cover.appear)
        self.drops.left.connect(self.cover.disappear)


@pytest.fixture
def window(qtbot: QtBot, appearance: Appearance) -> Window:
    window = Window()
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    window.drops.watch(window.windowHandle())
    window.drops.watch(window.windowHandle())
    return window


def files(*paths: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    data.setText("as text")
    return data


def drag(window: Window, data: QMimeData) -> bool:
    event = QDragEnterEvent(
        QPoint(200, 150),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    event.ignore()
    QApplication.sendEvent(window.windowHandle(), event)
    return event.isAccepted()


def drop(window: Window, data: QMimeData) -> None:
    event = QDropEvent(
        QPointF(200, 150),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(window.windowHandle(), event)


def test_checkpoints_and_folders_are_for_the_window(
    qtbot: QtBot, window: Window, tmp_path: Path
) -> None:
    wanted = [tmp_path / "A.GGUF", tmp_path]
    data = files(wanted[0], tmp_path / "notes.txt", wanted[1])
    assert drag(window, data)
    assert window.cover.isVisible()
    assert window.cover.geometry() == window.rect()
    with qtbot.waitSignal(window.drops.dropped) as dropped:
        drop(window, data)
    assert dropped.args == [wanted]
    assert not window.cover.isVisible()
    assert window.field.toPlainText() == ""


def test_leaving_takes_the_cover_away(window: Window, tmp_path: Path) -> None:
    drag(window, files(tmp_path / "a.gguf"))
    window.resize(500, 400)
    assert window.cover.geometry() == window.rect()
    QApplication.sendEvent(window.windowHandle(), QDragLeaveEvent())
    assert not window.cover.isVisible()


def test_text_and_other_files_go_where_they_are_dropped(
    qtbot: QtBot, window: Window, tmp_path: Path
) -> None:
    data = files(tmp_path / "notes.txt")
    with qtbot.assertNotEmitted(window.drops.dropped):
        drag(window, data)
        drop(window, data)
    assert not window.cover.isVisible()


def test_two_kinds_of_files_go_two_ways(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    others = WindowDrops(".json", window, takes_folders=False)
    others.watch(window.windowHandle())
    with qtbot.assertNotEmitted(window.drops.dropped), qtbot.waitSignal(others.dropped) as dropped:
        drop(window, files(tmp_path / "a.json"))
    assert dropped.args == [[tmp_path / "a.json"]]
    for path in (tmp_path, tmp_path / "a.gguf"):
        with qtbot.assertNotEmitted(others.dropped), qtbot.waitSignal(window.drops.dropped):
            drop(window, files(path))
