"""The chat page over a real store, a real supervisor and a real child that talks on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.actions.load_model import LoadPhase
from app.messages import Severity
from app.theme import Appearance
from app.widgets.chat_answer import AnswerWidget
from app.widgets.chat_question import QuestionWidget
from helpers.chat_window import ChatWindow, make_chat_window
from helpers.logcheck import LogCheck

TEXT = "The sea is **salty**.\n\n```python\nx = 1\n```\n\nBecause of *rivers*."
Make = Callable[..., ChatWindow]


@pytest.fixture
def make(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path, appearance: Appearance
) -> Iterator[Make]:
    """Build a chat page; all of them are closed at the end."""
    windows: list[ChatWindow] = []

    def build(**script: Any) -> ChatWindow:
        script = {"text": TEXT} | script
        windows.append(make_chat_window(qtbot, tmp_path, script))
        return windows[-1]

    yield build
    for window in windows:
        window.close()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def answer_widget(window: ChatWindow) -> AnswerWidget:
    widget = window.page.transcript.answer_of(window.turns()[-1].id)
    assert isinstance(widget, AnswerWidget)
    return widget


def test_a_question_is_answered_and_kept(make: Make) -> None:
    window = make()
    window.load()
    window.ask("Why is the sea salty?")
    window.wait_for_answer()
    question, answer = window.stored()
    assert (question.content, answer.content) == ("Why is the sea salty?", TEXT)
    assert answer.state == "complete"
    assert answer.usage["completion_tokens"] > 0
    assert answer.checkpoint == "talking"
    assert answer_widget(window).body.text == TEXT
    assert "tok/s" in answer_widget(window).footer.figures.text()
    assert window.page.composer.field.toPlainText() == ""


def test_after_a_restart_the_conversation_is_shown(make: Make) -> None:
    first = make()
    first.load()
    first.ask("Why is the sea salty?")
    first.wait_for_answer()
    conversation_id = first.chat.conversation_id
    first.close()
    second = make()
    second.until(lambda: len(second.turns()) == 2)
    assert second.chat.conversation_id == conversation_id
    assert answer_widget(second).body.text == TEXT


def test_stop_keeps_what_has_arrived(make: Make) -> None:
    window = make(text="word " * 10_000, rate_words_s=100)
    window.load()
    window.ask("Go on for ever")
    window.until(lambda: window.chat.live and len(window.chat.live.content) > 20)
    assert window.page.composer.send_button.stops
    window.qtbot.keyClick(window.page.composer.field, Qt.Key.Key_Escape)
    window.wait_for_answer()
    answer = window.stored()[-1]
    assert answer.state == "cancelled"
    assert answer.content.startswith("word word")
    assert answer_widget(window).footer.note.text() == "Stopped"
    assert not answer_widget(window).footer.resume.isHidden()


def test_text_is_committed_while_it_streams(make: Make) -> None:
    window = make(text="word " * 10_000, rate_words_s=200)
    window.load()
    window.ask("Go on")
    window.until(lambda: window.chat.live is not None)
    window.until(lambda: len(window.stored()[-1].content) > 50)
    assert window.stored()[-1].state == "streaming"
    window.chat.stop()
    window.wait_for_answer()


def test_continue_goes_on_in_a_sibling(make: Make) -> None:
    window = make(text="word " * 10_000, rate_words_s=100)
    window.load()
    window.ask("Go on")
    window.until(lambda: window.chat.live and len(window.chat.live.content) > 20)
    window.chat.stop()
    window.wait_for_answer()
    short = window.stored()[-1].content
    answer_widget(window).footer.resume.click()
    window.until(lambda: window.chat.live and len(window.chat.live.content) > len(short) + 20)
    window.chat.stop()
    window.wait_for_answer()
    assert window.stored()[-1].content.startswith(short)
    assert window.chat.branch.turns[-1].sibling_ids[-1] == window.turns()[-1].id
    assert len(window.chat.branch.turns[-1].sibling_ids) == 2


def test_answering_again_makes_a_sibling_and_both_can_be_seen(make: Make) -> None:
    window = make()
    window.load()
    window.ask("Why?")
    window.wait_for_answer()
    first_id = window.turns()[-1].id
    answer_widget(window).footer.redo.click()
    window.until(lambda: window.turns()[-1].id != first_id)
    window.wait_for_answer()
    footer = answer_widget(window).footer
    assert footer.position.text() == "2 / 2"
    footer.previous.click()
    window.until(lambda: window.turns()[-1].id == first_id)
    assert answer_widget(window).footer.position.text() == "1 / 2"


def test_editing_a_question_makes_a_sibling(make: Make) -> None:
    window = make()
    window.load()
    window.ask("Why?")
    window.wait_for_answer()
    widget = window.page.transcript.widget_of(window.turns()[0].id)
    assert isinstance(widget, QuestionWidget)
    widget.footer.edit.click()
    widget.editor.field.setPlainText("Why not?")
    window.qtbot.keyClick(widget.editor.field, Qt.Key.Key_Return)
    window.until(lambda: window.turns()[0].content == "Why not?")
    window.wait_for_answer()
    assert len(window.chat.branch.turns[0].sibling_ids) == 2


def test_leaving_the_editor_changes_nothing(make: Make) -> None:
    window = make()
    window.load()
    window.ask("Why?")
    window.wait_for_answer()
    widget = window.page.transcript.widget_of(window.turns()[0].id)
    assert isinstance(widget, QuestionWidget)
    widget.footer.edit.click()
    widget.editor.field.setPlainText("Something else")
    window.qtbot.keyClick(widget.editor.field, Qt.Key.Key_Escape)
    assert not widget.is_editing
    assert widget.body.text == "Why?"


def test_a_crash_in_mid_answer_keeps_the_text_and_offers_a_retry(
    make: Make, allow_logs: LogCheck
) -> None:
    allow_logs(".*")
    window = make(text="word " * 100, rate_words_s=200, crash_after=40)
    window.load()
    window.ask("Go on")
    window.wait_for_answer()
    window.until(lambda: window.loader.status.phase is LoadPhase.FAILED)
    answer = window.stored()[-1]
    assert answer.state == "interrupted"
    assert answer.content.startswith("word word")
    notice = answer_widget(window).notice
    assert notice is not None
    assert window.page.banner.isHidden()
    notice.button("retry").click()
    window.until(lambda: window.loader.status.is_ready or window.chat.live)
    window.until(lambda: len(window.chat.branch.turns[-1].sibling_ids) == 2)
    window.wait_for_answer()


def test_a_message_sent_while_the_model_loads_is_answered_afterwards(make: Make) -> None:
    window = make(load="slow_ok", progress_steps=3)
    window.until(lambda: window.loader.entries)
    window.loader.load(window.loader.entries[0])
    assert window.loader.status.is_loading
    window.ask("Are you there?")
    window.wait_for_answer()
    assert window.stored()[-1].content == TEXT


def test_a_message_sent_without_a_model_waits_for_one(make: Make) -> None:
    window = make()
    window.ask("Is anybody there?")
    window.until(lambda: len(window.turns()) == 1)
    assert window.page.banner.isVisible()
    assert window.stored()[0].content == "Is anybody there?"
    window.load()
    window.wait_for_answer()
    assert window.page.banner.isHidden()


def test_a_failed_load_says_what_to_do(make: Make, allow_logs: LogCheck) -> None:
    window = make(load="error")
    window.until(lambda: window.loader.entries)
    window.loader.load(window.loader.entries[0])
    window.until(lambda: window.loader.status.phase is LoadPhase.FAILED)
    assert window.page.banner.isVisible()
    assert window.page.banner.accessibleName() == "No. Another one."
    assert window.page.banner.button("retry") is not None


def test_out_of_memory_offers_a_smaller_context(make: Make, allow_logs: LogCheck) -> None:
    allow_logs(".*")
    window = make(load="out_of_memory")
    window.until(lambda: window.loader.entries)
    window.loader.load(window.loader.entries[0])
    window.until(lambda: window.loader.status.phase is LoadPhase.FAILED)
    assert window.loader.status.smaller_context_tokens == 4096
    assert window.page.banner.button("smaller") is not None


def test_loading_can_be_stopped(make: Make) -> None:
    window = make(load="slow")
    window.until(lambda: window.loader.entries)
    window.loader.load(window.loader.entries[0])
    window.until(lambda: window.loader.status.progress is not None)
    window.page.picker.progress.stop_button.click()
    window.until(lambda: window.loader.status.phase is LoadPhase.NONE)
    assert window.page.picker.progress.isHidden()


def test_unloading(make: Make) -> None:
    window = make()
    window.load()
    window.page.picker.popup.unload_button.click()
    window.until(lambda: window.loader.status.phase is LoadPhase.NONE)
    assert window.page.picker.button.text() == "Choose a model"


def test_the_last_checkpoint_is_loaded_again(make: Make) -> None:
    first = make()
    first.load()
    first.until(lambda: first.runner.is_idle)
    first.close()
    second = make()
    second.loader.load_at_start()
    second.until(lambda: second.loader.status.is_ready)


def test_reasoning_is_folded_and_counted(make: Make) -> None:
    window = make(reasoning="I should think.\n\n- first\n- second")
    window.load()
    window.ask("Think")
    window.wait_for_answer()
    block = answer_widget(window).reasoning
    assert block is not None
    assert block.header.text().startswith("Thought")
    assert "tokens" in block.header.text()
    assert block.body.isHidden()
    block.header.click()
    assert block.body.isVisible()
    assert block.body.text.startswith("I should think.")
    assert window.stored()[-1].reasoning.endswith("- second")


def test_reasoning_can_be_unfolded_while_it_streams(make: Make) -> None:
    window = make(reasoning="thought " * 2_000, rate_words_s=150)
    window.load()
    window.ask("Think")
    window.until(lambda: window.chat.live and len(window.chat.live.reasoning) > 40)
    answer = answer_widget(window)
    answer.reasoning.header.click()
    shown = len(answer.reasoning.body.text)
    window.until(lambda: len(answer.reasoning.body.text) > shown + 40)
    window.chat.stop()
    window.wait_for_answer()


def test_an_answer_goes_on_while_another_conversation_is_shown(make: Make) -> None:
    window = make(text="word " * 200, rate_words_s=200)
    window.load()
    window.ask("First")
    window.until(lambda: window.chat.live and window.chat.live.content)
    first_id = window.chat.conversation_id
    window.page.new_chat()
    assert window.turns() == []
    assert not window.page.composer.send_button.stops
    window.conversations.show(first_id)
    window.until(lambda: len(window.turns()) == 2)
    assert answer_widget(window).body.text.startswith("word")
    window.wait_for_answer()
    assert answer_widget(window).body.text == "word " * 200


def test_a_question_elsewhere_waits_for_the_answer(make: Make) -> None:
    window = make(text="word " * 100, rate_words_s=200)
    window.load()
    window.ask("First")
    window.until(lambda: window.chat.live and window.chat.live.content)
    window.page.new_chat()
    window.ask("Second")
    window.until(lambda: len(window.turns()) == 1)
    window.wait_for_answer()
    assert window.turns()[0].content == "Second"


def test_drafts_stay_with_their_conversation(make: Make) -> None:
    window = make()
    window.load()
    window.ask("First")
    window.wait_for_answer()
    first_id = window.chat.conversation_id
    window.page.composer.set_text("half a thought")
    window.page.new_chat()
    assert window.page.composer.field.toPlainText() == ""
    window.page.composer.set_text("another")
    window.conversations.show(first_id)
    window.until(lambda: window.chat.conversation_id == first_id)
    assert window.page.composer.field.toPlainText() == "half a thought"
    window.page.new_chat()
    assert window.page.composer.field.toPlainText() == "another"


def conversations_shown(window: ChatWindow) -> list[str]:
    model = window.page.conversation_list.model
    return [
        model.index(row).data()
        for row in range(model.rowCount())
        if model.conversation(model.index(row)) is not None
    ]


def ask_two(window: ChatWindow) -> None:
    window.load()
    window.ask("About whales")
    window.wait_for_answer()
    window.page.new_chat()
    window.ask("About stones")
    window.wait_for_answer()
    window.until(lambda: len(conversations_shown(window)) == 2)


def test_deleting_can_be_undone(make: Make) -> None:
    window = make()
    ask_two(window)
    view = window.page.conversation_list.list
    window.qtbot.keyClick(view, Qt.Key.Key_Backspace)
    window.qtbot.keyClick(view, Qt.Key.Key_Delete)
    window.until(lambda: conversations_shown(window) == ["About whales"])
    assert window.turns() == []
    undo = window.notices[-1]
    assert undo.severity is Severity.UNDO
    undo.action.run()
    window.until(lambda: len(conversations_shown(window)) == 2)
    window.until(lambda: window.turns() and window.turns()[0].content == "About stones")


def test_deleting_elsewhere_stops_the_answer_there(make: Make) -> None:
    window = make(text="word " * 10_000, rate_words_s=100)
    window.load()
    window.ask("First")
    window.until(lambda: window.chat.live and window.chat.live.content)
    conversation = window.chat.branch.conversation
    window.page.new_chat()
    window.conversations.delete(conversation)
    window.until(lambda: window.chat.live is None)


def test_letters_typed_anywhere_go_into_the_composer(make: Make) -> None:
    window = make()
    window.page.transcript.setFocus()
    window.qtbot.keyClick(window.page, Qt.Key.Key_H, Qt.KeyboardModifier.NoModifier)
    window.qtbot.keyClick(window.page, Qt.Key.Key_Space)
    assert window.page.composer.field.toPlainText() == "h"


def test_escape_anywhere_on_the_page_stops(make: Make) -> None:
    window = make(text="word " * 10_000, rate_words_s=100)
    window.load()
    window.ask("Go on")
    window.until(lambda: window.chat.live and window.chat.live.content)
    window.qtbot.keyClick(window.page.transcript, Qt.Key.Key_Escape)
    window.wait_for_answer()
    assert window.turns()[-1].state == "cancelled"


def test_backspace_deletes_nothing(make: Make) -> None:
    window = make()
    ask_two(window)
    window.qtbot.keyClick(window.page.conversation_list.list, Qt.Key.Key_Backspace)
    window.conversations.refresh()
    window.until(lambda: window.runner.is_idle)
    assert len(conversations_shown(window)) == 2


def test_a_conversation_is_renamed_in_place(make: Make) -> None:
    window = make()
    ask_two(window)
    view = window.page.conversation_list.list
    view.setFocus()
    window.qtbot.keyClick(view, Qt.Key.Key_F2)
    field = QApplication.focusWidget()
    window.qtbot.keyClicks(field, "Granite")
    window.qtbot.keyClick(field, Qt.Key.Key_Return)
    window.until(lambda: conversations_shown(window)[0] == "Granite")


def test_a_list_that_changes_does_not_end_a_rename(make: Make) -> None:
    window = make()
    ask_two(window)
    view = window.page.conversation_list.list
    view.setFocus()
    window.until(lambda: window.runner.is_idle)
    window.qtbot.keyClick(view, Qt.Key.Key_F2)
    field = QApplication.focusWidget()
    window.qtbot.keyClicks(field, "Gran")
    window.conversations.set_pinned(1, pinned=True)
    window.until(lambda: window.runner.is_idle)
    assert QApplication.focusWidget() is field
    window.qtbot.keyClicks(field, "ite")
    window.qtbot.keyClick(field, Qt.Key.Key_Return)
    window.until(lambda: conversations_shown(window) == ["About whales", "Granite"])


def test_search_finds_words_inside_and_shows_them(make: Make) -> None:
    window = make()
    ask_two(window)
    window.page.focus_search()
    window.qtbot.keyClicks(window.page.conversation_list.search_field, "whales")
    window.until(lambda: conversations_shown(window) == ["About whales"])
    window.qtbot.keyClick(window.page.conversation_list.search_field, Qt.Key.Key_Escape)
    window.until(lambda: len(conversations_shown(window)) == 2)


def test_arrow_keys_walk_through_the_conversations(make: Make) -> None:
    window = make()
    ask_two(window)
    view = window.page.conversation_list.list
    view.setFocus()
    window.qtbot.keyClick(view, Qt.Key.Key_Down)
    window.until(lambda: window.turns() and window.turns()[0].content == "About whales")


def test_the_list_becomes_a_drawer_where_it_is_narrow(make: Make) -> None:
    window = make()
    page = window.page
    page.resize(600, 600)
    assert page.conversation_list.isHidden()
    page.side_button.click()
    assert page.conversation_list.isVisible()
    window.qtbot.keyClick(page, Qt.Key.Key_Escape)
    assert page.conversation_list.isHidden()


def test_a_click_in_the_drawer_shows_the_conversation_and_closes_it(make: Make) -> None:
    window = make()
    ask_two(window)
    page = window.page
    page.resize(600, 600)
    page.side_button.click()
    view = page.conversation_list.list
    # 0 is the heading, 1 the newest.
    below = view.visualRect(page.conversation_list.model.index(2)).center()
    window.qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=below)
    window.until(lambda: window.turns() and window.turns()[0].content == "About whales")
    assert page.conversation_list.isHidden()


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_the_focus_in_the_picker_survives_another_look_at_the_library(make: Make) -> None:
    window = make()
    (window.folder / "models" / "zebra.gguf").write_bytes(b"GGUF" + bytes(64))
    window.page.picker.open()
    window.until(lambda: window.page.picker.popup.focusWidget() is not None)
    first = window.page.picker.popup.focusWidget()
    assert first.text() == "talking"
    window.until(lambda: len(window.loader.entries) == 2)
    # The old row goes when the event loop comes to it.
    window.until(lambda: len(window.page.picker.popup.findChildren(type(first))) == 2)
    assert window.page.picker.popup.focusWidget().text() == "talking"
    window.page.picker.popup.close()


def test_starters_fill_the_composer(make: Make) -> None:
    window = make()
    window.page.empty.starter_chosen.emit("Why?")
    assert window.page.composer.field.toPlainText() == "Why?"


def test_everything_that_can_be_used_has_a_name(make: Make) -> None:
    from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QLineEdit, QPlainTextEdit

    window = make()
    ask_two(window)
    unnamed = [
        widget
        for kind in (QAbstractButton, QLineEdit, QPlainTextEdit, QAbstractSpinBox)
        for widget in window.page.findChildren(kind)
        if widget.isVisibleTo(window.page)
        and not widget.objectName().startswith("qt_")
        and not (widget.accessibleName() or getattr(widget, "text", str)())
    ]
    assert unnamed == []
