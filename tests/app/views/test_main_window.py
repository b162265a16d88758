from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.views.main_window import CHAT, MODELS, MONITOR, SERVER, SETTINGS, MainWindow
from app.views.status_bar import StatusBar
from helpers.accessible import nameless, tab_order
from helpers.window_parts import Parts


class PageMaker:
    """Makes pages and remembers which were made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def make(self, name: str) -> QWidget:
        self.made.append(name)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.addWidget(QLabel(name))
        field = QLineEdit()
        field.setAccessibleName(name)
        layout.addWidget(field)
        return page


@pytest.fixture
def maker() -> PageMaker:
    return PageMaker()


@pytest.fixture
def window(
    qtbot: QtBot, qapp: QApplication, appearance: Appearance, parts: Parts, maker: PageMaker
) -> Iterator[MainWindow]:
    pages = {
        name: (lambda name=name: maker.make(name))
        for name in (CHAT, MODELS, MONITOR, SERVER, SETTINGS)
    }
    window = MainWindow(pages, StatusBar(), parts.messages)
    window.show_page(CHAT)
    window.show()
    window.activateWindow()
    qtbot.waitExposed(window)
    yield window
    window.finish_close()
    window.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_only_the_page_that_is_shown_is_made(window: MainWindow, maker: PageMaker) -> None:
    assert maker.made == [CHAT]
    window.show_page(SETTINGS)
    window.show_page(CHAT)
    window.show_page(SETTINGS)
    assert maker.made == [CHAT, SETTINGS]
    assert window.current_page == SETTINGS
    assert window.rail.button(SETTINGS).isChecked()


@pytest.mark.parametrize(
    ("key", "page"),
    [
        (Qt.Key.Key_1, CHAT),
        (Qt.Key.Key_2, MODELS),
        (Qt.Key.Key_3, MONITOR),
        (Qt.Key.Key_4, SERVER),
        (Qt.Key.Key_5, SETTINGS),
        (Qt.Key.Key_Comma, SETTINGS),
    ],
)
def test_every_page_has_a_key(window: MainWindow, qtbot: QtBot, key: Qt.Key, page: str) -> None:
    window.show_page(MONITOR if page != MONITOR else CHAT)
    qtbot.keyClick(window, key, Qt.KeyboardModifier.ControlModifier)
    assert window.current_page == page


def test_new_chat_and_search_lead_to_the_chat(window: MainWindow, qtbot: QtBot) -> None:
    window.show_page(SETTINGS)
    with qtbot.waitSignal(window.new_chat_requested):
        qtbot.keyClick(window, Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier)
    assert window.current_page == CHAT
    window.show_page(SETTINGS)
    with qtbot.waitSignal(window.search_requested):
        qtbot.keyClick(window, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert window.current_page == CHAT


def test_f6_reaches_the_newest_notice(window: MainWindow, parts: Parts, qtbot: QtBot) -> None:
    undone: list[bool] = []
    parts.messages.undo("“Tax question” was deleted.", lambda: undone.append(True))
    qtbot.keyClick(window, Qt.Key.Key_F6)
    button = window.toasts.toasts[0].action_button
    qtbot.waitUntil(button.hasFocus)
    qtbot.keyClick(button, Qt.Key.Key_Space)
    assert undone == [True]


def test_the_rail_folds_below_900(window: MainWindow, qtbot: QtBot) -> None:
    for width, folded in ((1280, False), (900, False), (899, True), (640, True), (1000, False)):
        window.resize(width, 700)
        assert window.rail.is_collapsed is folded
    window.resize(640, 480)
    assert window.size().width() == 640


def test_a_click_on_the_status_bar_opens_monitor(window: MainWindow, qtbot: QtBot) -> None:
    qtbot.mouseClick(window.status_bar, Qt.MouseButton.LeftButton)
    assert window.current_page == MONITOR


def test_tab_goes_through_rail_page_and_status_bar(window: MainWindow) -> None:
    window.focusNextPrevChild(True)
    order = tab_order(window.rail.button(CHAT))
    names = [type(widget).__name__ for widget in order]
    # The rail is one stop; the arrow keys move inside it.
    assert names == ["RailButton", "QLineEdit", "StatusBar"]
    assert nameless(window) == []


def test_arrow_keys_move_in_the_rail(window: MainWindow, qtbot: QtBot) -> None:
    button = window.rail.button(CHAT)
    button.setFocus()
    qtbot.waitUntil(button.hasFocus)
    qtbot.keyClick(button, Qt.Key.Key_Down)
    assert window.current_page == MODELS
    assert window.rail.button(MODELS).hasFocus()
    window.focusNextPrevChild(True)
    names = [type(widget).__name__ for widget in tab_order(window.rail.button(MODELS))]
    assert names == ["RailButton", "QLineEdit", "StatusBar"]


def test_closing_asks_first_and_shows_that_it_is_stopping(window: MainWindow, qtbot: QtBot) -> None:
    asked: list[bool] = []
    window.close_requested.connect(lambda: asked.append(True))
    assert not window.close()
    assert not window.close()
    assert asked == [True]
    assert window.isVisible()
    assert window._stopping.isHidden()
    qtbot.waitUntil(window._stopping.isVisible)
    window.finish_close()
    assert not window.isVisible()


def test_size_and_place_come_back(
    window: MainWindow, maker: PageMaker, parts: Parts, qtbot: QtBot
) -> None:
    window.resize(720, 600)
    text = window.saved_place()
    other = MainWindow({CHAT: lambda: maker.make(CHAT)}, StatusBar(), parts.messages)
    other.restore_place(text)
    assert (other.width(), other.height()) == (720, 600)
    for junk in ("", "no base64 at all", "AAAA", "\N{SNOWMAN}"):
        other.restore_place(junk)
        assert other.width() >= 640
        room = other.screen().availableSize()
        assert other.width() <= max(room.width(), 640)
    other.finish_close()


def test_it_tells_when_nobody_can_see_it(window: MainWindow, qtbot: QtBot) -> None:
    seen: list[bool] = []
    window.visible_changed.connect(seen.append)
    window.hide()
    window.show()
    assert seen == [False, True]
    window.showMinimized()
    assert seen[-1] is False


def drop(window: MainWindow, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(10, 10),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(window.windowHandle(), event)


def test_files_dropped_anywhere_are_told_by_the_window(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    with qtbot.waitSignal(window.files_dropped) as dropped:
        drop(window, tmp_path / "a.gguf")
    assert dropped.args == [[tmp_path / "a.gguf"]]


def test_conversations_dropped_anywhere_lead_to_the_chat(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    window.show_page(MONITOR)
    with qtbot.waitSignal(window.conversations_dropped) as dropped:
        drop(window, tmp_path / "sea.json")
    assert dropped.args == [[tmp_path / "sea.json"]]
    assert window.current_page == CHAT
