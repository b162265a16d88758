"""The composer: sending, line breaks, input methods, pasting, growing, the context hint."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QInputMethodEvent, QTextCursor
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.views.composer import Composer

ENTER = Qt.Key.Key_Return


@pytest.fixture
def composer(qtbot: QtBot, appearance: Appearance) -> Composer:
    made = Composer()
    qtbot.addWidget(made)
    made.resize(700, 120)
    made.show()
    return made


def test_enter_sends_and_shift_enter_breaks(qtbot: QtBot, composer: Composer) -> None:
    qtbot.keyClicks(composer.field, "one")
    qtbot.keyClick(composer.field, ENTER, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(composer.field, "two")
    with qtbot.waitSignal(composer.send_requested) as sent:
        qtbot.keyClick(composer.field, ENTER)
    assert sent.args == ["one\ntwo"]
    assert composer.field.toPlainText() == ""


def test_nothing_is_not_sent(qtbot: QtBot, composer: Composer) -> None:
    composer.set_text("  \n ")
    with qtbot.assertNotEmitted(composer.send_requested):
        qtbot.keyClick(composer.field, ENTER)


def test_enter_that_chooses_a_word_sends_nothing(qtbot: QtBot, composer: Composer) -> None:
    composer.set_text("a")
    QApplication.sendEvent(composer.field, QInputMethodEvent("ni", []))
    with qtbot.assertNotEmitted(composer.send_requested):
        qtbot.keyClick(composer.field, ENTER)
    done = QInputMethodEvent("", [])
    done.setCommitString("ni")
    QApplication.sendEvent(composer.field, done)
    with qtbot.waitSignal(composer.send_requested):
        qtbot.keyClick(composer.field, ENTER)


def test_rich_text_is_pasted_plain(composer: Composer) -> None:
    data = QMimeData()
    data.setHtml("<b>bold</b>")
    data.setText("bold")
    composer.field.insertFromMimeData(data)
    assert composer.field.toPlainText() == "bold"
    cursor = composer.field.textCursor()
    cursor.movePosition(QTextCursor.MoveOperation.Start)
    cursor.movePosition(QTextCursor.MoveOperation.NextCharacter)
    assert cursor.charFormat().fontWeight() <= 400


def test_it_grows_to_eight_lines(composer: Composer) -> None:
    one = composer.field.height()
    composer.set_text("\n".join("abc"))
    three = composer.field.height()
    composer.set_text("\n".join("abcdefgh"))
    eight = composer.field.height()
    composer.set_text("\n".join("abcdefghijklm"))
    assert one < three < eight == composer.field.height()
    composer.set_text("")
    assert composer.field.height() == one


def test_escape_and_button_stop(qtbot: QtBot, composer: Composer) -> None:
    with qtbot.assertNotEmitted(composer.stop_requested):
        qtbot.keyClick(composer.field, Qt.Key.Key_Escape)
    composer.set_answering(answering=True)
    assert composer.send_button.accessibleName().startswith("Stop")
    with qtbot.waitSignal(composer.stop_requested):
        qtbot.keyClick(composer.field, Qt.Key.Key_Escape)
    with qtbot.waitSignal(composer.stop_requested):
        composer.send_button.click()


def test_a_full_context_is_announced(composer: Composer) -> None:
    composer.set_context(1000, 8192)
    assert "tokens" not in composer.hint.text()
    composer.set_context(7000, 8192)
    assert "7,000 of 8,192" in composer.hint.text()
    assert composer.hint.property("tone") == "tight"


def test_a_text_that_was_not_sent_comes_back(composer: Composer) -> None:
    composer.give_back("lost")
    assert composer.field.toPlainText() == "lost"
    composer.set_text("newer")
    composer.give_back("lost")
    assert composer.field.toPlainText() == "lost\n\nnewer"
