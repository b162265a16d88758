"""The order of answers and what is kept of them, where something comes at an awkward moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from helpers.chat_window import ChatWindow

Make = Callable[..., ChatWindow]


def test_an_answer_stopped_before_its_first_word_is_over(make: Make) -> None:
    window = make(never_begins=True)
    window.load()
    window.ask("Why?")
    window.until(lambda: window.chat.live and window.chat.live.request_id is not None)
    window.chat.stop()
    window.until(lambda: window.chat.live is None)
    assert window.stored()[-1].state == "cancelled"
    assert not window.chat.is_answering_here


def test_stop_holds_also_while_the_answer_is_about_to_begin(make: Make) -> None:
    window = make(text="word " * 10_000, rate_words_s=100)
    window.load()
    stopped: list[bool] = []

    def stop_at_once() -> None:
        # On its way to the engine, and no answer there that could be stopped.
        if window.chat.is_answering_here and window.chat.live is None and not stopped:
            stopped.append(True)
            window.chat.stop()

    window.chat.state_changed.connect(stop_at_once)
    window.ask("Go on for ever")
    window.until(lambda: stopped)
    window.wait_for_answer()
    assert [message.state for message in window.stored()] == ["complete", "cancelled"]
    assert window.turns()[-1].content == ""


def test_two_questions_in_a_row_get_one_answer(make: Make) -> None:
    window = make()
    window.ask("Why is the sea salty?")
    window.until(lambda: len(window.turns()) == 1)
    window.ask("And the rivers not?")
    window.until(lambda: len(window.turns()) == 2)
    window.load()
    window.wait_for_answer(3)
    assert [turn.sibling_ids for turn in window.chat.branch.turns] == [(1,), (2,), (3,)]


def test_a_question_asked_before_the_page_shows_the_last_one_follows_it(make: Make) -> None:
    window = make()
    window.load()
    window.ask("First")
    window.wait_for_answer()
    window.ask("Second")
    window.ask("Third")
    window.until(lambda: any(turn.content == "Third" for turn in window.turns()))
    # Between two answers nothing is answered for a moment, while the next one waits for its turn.
    window.until(lambda: not window.chat.is_waiting_here and not window.chat.is_answering_here)
    questions = [message.content for message in window.stored() if message.role == "user"]
    assert questions == ["First", "Second", "Third"]


def test_a_question_during_an_answer_does_not_set_its_text_back(make: Make) -> None:
    window = make(text="word " * 10_000, rate_words_s=200)
    window.load()
    window.ask("First")
    window.until(lambda: window.chat.live and len(window.chat.live.content) > 20)
    assert window.chat.live is not None
    arrived = window.chat.live.content
    window.ask("Second")
    window.until(lambda: len(window.turns()) == 3)
    live = window.chat.live
    assert live is not None
    # What the page was given is what had arrived, not what had been committed by then; more of it
    # may have come since.
    assert window.turns()[1].content.startswith(arrived)
    assert live.content.startswith(window.turns()[1].content)
    window.chat.stop()
    window.until(lambda: window.chat.live is None)


def test_an_answer_that_cannot_be_saved_stays_on_the_page(make: Make) -> None:
    window = make(text="word " * 400, rate_words_s=200)
    window.load()
    window.ask("First")
    window.until(lambda: window.chat.live and len(window.chat.live.content) > 20)
    first_id = window.chat.conversation_id
    with sqlite3.connect(window.store.path) as other:
        other.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON message BEGIN SELECT RAISE(FAIL, ''); END"
        )
    other.close()
    window.chat.stop()
    window.until(lambda: window.chat.live is None and window.notices)
    text = window.turns()[-1].content
    window.page.new_chat()
    window.conversations.show(first_id)
    window.until(lambda: len(window.turns()) == 2)
    assert window.turns()[-1].content == text
    assert window.turns()[-1].state == "cancelled"
