"""The chat and other programs at one engine: who waits for whom, and that no ending keeps it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

import pytest

from helpers.chat_window import ChatWindow
from models.errors import EngineError
from models.runtime.protocol import Delta, GenerateRequest, PromptMessage
from models.runtime.supervisor import EngineNotice, EventReceived
from models.runtime.turns import Turn

Make = Callable[..., ChatWindow]
LONG = {"text": "word " * 10_000, "rate_words_s": 200}


def nothing() -> None:
    """Begin nothing."""


def take(window: ChatWindow) -> Turn:
    """Take the engine as another program does; it has to be free, or about to be."""
    turn = window.queue.ask(nothing)
    window.until(lambda: turn.has_begun)
    return turn


def hear_nothing(_notice: EngineNotice) -> None:
    """Take no interest in an answer."""


def speaks(window: ChatWindow) -> None:
    window.until(lambda: window.chat.live and window.chat.live.content)


def stop_it(window: ChatWindow) -> None:
    window.ask("Why?")
    speaks(window)
    window.chat.stop()


def load_again(window: ChatWindow) -> None:
    window.ask("Why?")
    speaks(window)
    window.loader.load(window.loader.entries[0])


def unload(window: ChatWindow) -> None:
    window.ask("Why?")
    speaks(window)
    window.loader.unload()


def end_engine(window: ChatWindow) -> None:
    window.ask("Why?")
    speaks(window)
    window.supervisor.stop()


def find_it_busy(window: ChatWindow) -> None:
    # Asked past the queue, which nobody does: so the engine refuses the chat's question.
    window.supervisor.generate(
        GenerateRequest(messages=(PromptMessage("user", "Why?"),)), listener=hear_nothing
    )
    window.ask("Why?")


def stop_at_once(window: ChatWindow) -> None:
    stopped: list[bool] = []

    def stop() -> None:
        if window.chat.is_answering_here and window.chat.live is None and not stopped:
            stopped.append(True)
            window.chat.stop()

    window.chat.state_changed.connect(stop)
    window.ask("Why?")


@pytest.mark.parametrize(
    ("script", "act", "state"),
    [
        ({}, lambda window: window.ask("Why?"), "complete"),
        (LONG, stop_it, "cancelled"),
        (LONG, stop_at_once, "cancelled"),
        (LONG, load_again, "cancelled"),
        (LONG, unload, "cancelled"),
        (LONG, end_engine, "cancelled"),
        (LONG | {"crash_after": 5}, lambda window: window.ask("Why?"), "interrupted"),
        (LONG, find_it_busy, "interrupted"),
    ],
    ids=["whole", "stopped", "at-once", "loaded", "unloaded", "ended", "crashed", "refused"],
)
def test_whatever_ends_an_answer_the_engine_is_free_again(
    make: Make, script: dict[str, object], act: Callable[[ChatWindow], None], state: str
) -> None:
    window = make(**script)
    window.load()
    act(window)
    window.until(lambda: len(window.turns()) == 2 and window.chat.live is None)
    assert window.turns()[-1].state == state
    take(window).end()


def test_an_answer_that_cannot_begin_leaves_the_engine_free(make: Make) -> None:
    window = make()
    window.load()
    with sqlite3.connect(window.store.path) as other:
        other.execute(
            "CREATE TRIGGER no BEFORE INSERT ON message WHEN NEW.role = 'assistant' "
            "BEGIN SELECT RAISE(FAIL, ''); END"
        )
    other.close()
    window.ask("Why?")
    window.until(lambda: window.notices)
    assert not window.chat.is_answering_here
    take(window).end()


def test_a_question_waits_for_a_program_and_says_so(make: Make) -> None:
    window = make()
    window.load()
    program = take(window)
    window.ask("Why?")
    window.until(lambda: window.chat.is_behind_program)
    assert window.chat.is_waiting_here
    assert window.chat.live is None
    assert "program" in window.page.composer.hint.text()
    # A program's answer ends in a thread of the server's.
    ends = threading.Thread(target=program.end)
    ends.start()
    window.wait_for_answer()
    ends.join()
    assert window.turns()[-1].content == "The sea."
    assert not window.chat.is_behind_program
    assert "program" not in window.page.composer.hint.text()


def test_a_program_that_asked_before_the_second_question_comes_before_it(make: Make) -> None:
    window = make(**LONG)
    window.load()
    window.ask("First")
    speaks(window)
    begun = threading.Event()
    program = window.queue.ask(begun.set)
    window.page.new_chat()
    window.ask("Second")
    window.until(lambda: window.chat.is_waiting_here)
    assert not begun.is_set()
    assert window.chat.live is not None
    window.chat.stop_in(window.chat.live.message.conversation_id)
    window.until(begun.is_set)
    assert window.chat.is_waiting_here
    assert window.chat.live is None
    program.end()
    speaks(window)
    window.chat.stop()
    window.until(lambda: window.chat.live is None)


def test_a_question_that_is_stopped_while_it_waits_leaves_the_queue(make: Make) -> None:
    window = make()
    window.load()
    program = take(window)
    window.ask("Why?")
    window.until(lambda: window.chat.is_behind_program)
    window.chat.stop()
    assert not window.chat.is_waiting_here
    program.end()
    take(window).end()
    assert [turn.role for turn in window.turns()] == ["user"]


def test_a_question_keeps_waiting_while_another_model_is_loaded(make: Make) -> None:
    window = make()
    window.load()
    program = take(window)
    window.ask("Why?")
    window.until(lambda: window.chat.is_behind_program)
    window.loader.load(window.loader.entries[0])
    # Nothing can be asked now, so nobody behind it may be held up.
    assert not window.chat.is_behind_program
    program.end()
    window.wait_for_answer()
    assert window.turns()[-1].state == "complete"


def test_what_a_program_s_answer_failed_with_is_not_taken_for_the_chat_s(make: Make) -> None:
    window = make()
    window.load()
    told: list[bool] = []

    def tell() -> None:
        live = window.chat.live
        if live is not None and live.request_id is None and not told:
            told.append(True)
            window.bridge.failed.emit(987_654, EngineError("The engine has ended."))

    window.chat.state_changed.connect(tell)
    window.ask("Why?")
    window.wait_for_answer()
    assert told
    assert window.turns()[-1].state == "complete"


def test_what_a_program_hears_is_not_written_into_the_chat(make: Make) -> None:
    window = make(text="For the program.")
    window.load()
    heard: list[str] = []
    ended = threading.Event()
    program = take(window)

    def listen(notice: EngineNotice) -> None:
        assert isinstance(notice, EventReceived)
        if isinstance(notice.event.body, Delta):
            heard.append(notice.event.body.text)
        elif notice.event.is_final:
            program.end()
            ended.set()

    window.ask("Mine?")
    window.until(lambda: window.chat.is_behind_program)
    request = GenerateRequest(messages=(PromptMessage("user", "Its?"),))
    window.supervisor.generate(request, listener=listen)
    window.until(ended.is_set)
    window.wait_for_answer()
    assert "".join(heard) == "For the program."
    assert [turn.content for turn in window.turns()] == ["Mine?", "For the program."]
