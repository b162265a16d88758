"""The keyboard stays with what somebody chose when pages and rows change."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QLineEdit, QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.widgets.page_stack import PageStack, focus_kept


def page_of(*widgets: QWidget) -> QWidget:
    page = QWidget()
    layout = QVBoxLayout(page)
    for widget in widgets:
        layout.addWidget(widget)
    return page


@pytest.fixture
def stack() -> PageStack:
    return PageStack()


def test_no_control_of_a_new_page_gets_the_keyboard(stack: PageStack, qtbot: QtBot) -> None:
    qtbot.addWidget(stack)
    button, field, other = QPushButton("One"), QLineEdit(), QPushButton("Two")
    first, second = page_of(button, field), page_of(other)
    stack.addWidget(first)
    stack.addWidget(second)
    stack.show()
    button.setFocus()
    stack.show_page(second)
    assert stack.window().focusWidget() is second
    # The next Tab leads to its first control.
    second.focusNextChild()
    assert stack.window().focusWidget() is other
    stack.show_page(first)
    assert stack.window().focusWidget() is first
    # What was being written goes on.
    field.setFocus()
    stack.show_page(second)
    stack.show_page(first)
    assert stack.window().focusWidget() is field


def test_who_holds_the_keyboard_elsewhere_keeps_it(stack: PageStack, qtbot: QtBot) -> None:
    outside = QPushButton("Rail")
    window = page_of(outside, stack)
    qtbot.addWidget(window)
    first, second = page_of(QPushButton("One")), page_of(QPushButton("Two"))
    stack.addWidget(first)
    stack.addWidget(second)
    window.show()
    outside.setFocus()
    stack.show_page(second)
    assert window.focusWidget() is outside


def test_focus_stays_on_what_stays(qtbot: QtBot) -> None:
    one, two = QPushButton("One"), QPushButton("Two")
    view = page_of(one, two)
    qtbot.addWidget(view)
    view.show()
    two.setFocus()
    with focus_kept(view):
        two.hide()
        two.show()
    assert view.focusWidget() is two
    with focus_kept(view):
        two.hide()
    assert view.window().focusWidget() is view
