from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.messages import Action, Messages
from app.theme import Appearance
from app.views.toast_area import MAX_SHOWN, ToastArea
from helpers.accessible import nameless
from models.errors import OutOfMemoryError


@pytest.fixture
def messages(appearance: Appearance) -> Messages:
    return Messages()


@pytest.fixture
def host(qtbot: QtBot, qapp: QApplication, appearance: Appearance) -> Iterator[QWidget]:
    host = QWidget()
    qtbot.addWidget(host)
    layout = QVBoxLayout(host)
    layout.addWidget(QLineEdit())
    host.resize(1000, 700)
    host.show()
    qtbot.waitExposed(host)
    yield host
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def area(messages: Messages, host: QWidget) -> ToastArea:
    return ToastArea(messages, host)


def test_what_was_said_before_is_shown(messages: Messages, host: QWidget) -> None:
    messages.warning("Early.")
    area = ToastArea(messages, host)
    assert [toast.accessibleName() for toast in area.toasts] == ["Early."]
    assert area.isVisible()


def test_the_same_message_is_counted_not_stacked(messages: Messages, area: ToastArea) -> None:
    for _ in range(50):
        messages.warning("The disk is slow.")
    assert len(area.toasts) == 1
    assert area.toasts[0].count == 50


def test_a_flood_waits_in_line(messages: Messages, area: ToastArea) -> None:
    for number in range(20):
        messages.error(f"Error {number}.")
    assert len(area.toasts) == MAX_SHOWN
    area.toasts[0].close_now()
    assert len(area.toasts) == MAX_SHOWN
    assert area.toasts[-1].accessibleName() == f"Error {MAX_SHOWN}."


def test_an_error_stays_and_an_info_goes(messages: Messages, area: ToastArea, qtbot: QtBot) -> None:
    messages.error("Stays.")
    messages.info("Goes.")
    stays, goes = area.toasts
    assert stays._timer.interval() == 0
    assert not stays._timer.isActive()
    assert goes._timer.isActive()
    goes._timer.setInterval(1)
    qtbot.waitUntil(lambda: len(area.toasts) == 1)
    assert area.toasts == [stays]


def test_details_are_folded_and_can_be_copied(
    messages: Messages, area: ToastArea, qtbot: QtBot, qapp: QApplication
) -> None:
    messages.error(OutOfMemoryError("No room.", hint="Use less.", details="cudaMalloc failed"))
    toast = area.toasts[0]
    assert toast._details.isHidden()
    before = area.height()
    qtbot.mouseClick(toast.details_button, Qt.MouseButton.LeftButton)
    assert toast._details.isVisible()
    qtbot.waitUntil(lambda: area.height() > before)
    qtbot.mouseClick(toast.copy_button, Qt.MouseButton.LeftButton)
    assert qapp.clipboard().text() == "No room.\nUse less.\ncudaMalloc failed"


def test_undo_is_reached_by_keyboard(
    messages: Messages, area: ToastArea, qtbot: QtBot, host: QWidget
) -> None:
    undone: list[bool] = []
    messages.undo("“Deep sea story” was deleted.", lambda: undone.append(True))
    toast = area.toasts[0]
    host.activateWindow()
    area.focus_newest()
    qtbot.waitUntil(toast.action_button.hasFocus)
    qtbot.keyClick(toast.action_button, Qt.Key.Key_Space)
    assert undone == [True]
    assert area.toasts == []
    assert area.isHidden()


def test_esc_dismisses_and_two_undos_stay_apart(
    messages: Messages, area: ToastArea, qtbot: QtBot
) -> None:
    undone: list[int] = []
    messages.undo("“A” was deleted.", lambda: undone.append(1))
    messages.undo("“A” was deleted.", lambda: undone.append(2))
    assert len(area.toasts) == 2
    qtbot.keyClick(area.toasts[1], Qt.Key.Key_Escape)
    assert len(area.toasts) == 1
    area.toasts[0].action_button.click()
    assert undone == [1]


def test_an_action_runs_and_closes(messages: Messages, area: ToastArea) -> None:
    ran: list[bool] = []
    messages.warning("The model is gone.", Action("Open Models", lambda: ran.append(True)))
    assert area.toasts[0].action_button.text() == "Open Models"
    area.toasts[0].action_button.click()
    assert ran == [True]
    assert area.toasts == []


def test_it_stays_inside_a_narrow_window(
    messages: Messages, area: ToastArea, host: QWidget, qtbot: QtBot
) -> None:
    messages.error("A long sentence about something that failed, with many words in it. " * 3)
    for width in (1000, 640, 320):
        host.resize(width, 500)
        qtbot.waitUntil(lambda: host.rect().contains(area.geometry()))
        toast = area.toasts[0]
        assert toast._label.height() >= toast._label.heightForWidth(toast._label.width())


def test_everything_in_it_has_a_name(messages: Messages, area: ToastArea) -> None:
    messages.error(OutOfMemoryError("No room.", details="x"), Action("Try again", lambda: None))
    assert nameless(area) == []


def test_over_lists_it_stands_at_the_bottom(
    messages: Messages, area: ToastArea, host: QWidget
) -> None:
    messages.info("It is here.")
    assert area.y() < host.height() // 2
    area.set_at_bottom(True)
    assert area.geometry().bottom() < host.height()
    assert area.y() > host.height() // 2
    area.set_at_bottom(False)
    assert area.y() < host.height() // 2


def test_the_keyboard_goes_back_to_where_it_was(
    messages: Messages, area: ToastArea, host: QWidget, qtbot: QtBot
) -> None:
    button, other = QPushButton("One", host), QPushButton("Two", host)
    other.show()
    button.show()
    button.setFocus()
    messages.warning("Look.")
    area.focus_newest()
    assert area.isAncestorOf(host.window().focusWidget())
    qtbot.keyClick(host.window().focusWidget(), Qt.Key.Key_Escape)
    assert area.toasts == []
    assert host.window().focusWidget() is button
