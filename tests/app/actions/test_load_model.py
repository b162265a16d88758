"""Loading while something else is going on: an answer, an unload, a model that is kept."""

from __future__ import annotations

from collections.abc import Callable

from app.actions.load_model import LoadPhase
from helpers.chat_window import ChatWindow
from models.library.library import LibraryEntry

Make = Callable[..., ChatWindow]


def other(window: ChatWindow, name: str = "other") -> LibraryEntry:
    return LibraryEntry(name, name, window.folder / f"{name}.gguf", 64)


def phases(window: ChatWindow) -> list[LoadPhase]:
    seen: list[LoadPhase] = []
    window.loader.status_changed.connect(lambda status: seen.append(status.phase))
    return seen


def answering(make: Make) -> ChatWindow:
    window = make(text="word " * 10_000, rate_words_s=100)
    window.load()
    window.ask("Go on for ever")
    window.until(lambda: window.chat.live and window.chat.live.content)
    return window


def test_a_load_in_mid_answer_stops_the_answer_and_comes_after_it(make: Make) -> None:
    window = answering(make)
    seen = phases(window)
    window.loader.load(other(window))
    window.until(lambda: window.loader.status.is_ready)
    assert window.loader.status.entry == other(window)
    assert LoadPhase.FAILED not in seen
    assert window.turns()[-1].state == "cancelled"


def test_a_load_right_after_a_question_comes_after_its_answer(make: Make) -> None:
    window = make(text="word " * 10_000, rate_words_s=100)
    window.load()
    window.ask("Go on for ever")
    # On its way through the engine lane, before the load.
    window.until(lambda: window.chat.live)
    seen = phases(window)
    window.loader.load(other(window))
    window.until(lambda: window.loader.status.is_ready)
    assert LoadPhase.FAILED not in seen


def test_unloading_in_mid_answer_waits_for_its_end(make: Make) -> None:
    window = answering(make)
    window.loader.unload()
    window.until(lambda: window.loader.status.phase is LoadPhase.NONE)
    assert window.chat.live is None
    assert window.notices == []


def test_a_load_during_an_unload_comes_after_it(make: Make) -> None:
    window = make()
    window.load()
    window.loader.unload()
    window.loader.load(other(window))
    window.until(lambda: window.loader.status.is_ready)
    assert window.loader.status.entry == other(window)


def test_a_file_that_is_refused_leaves_the_model_that_was_there(make: Make) -> None:
    window = make()
    window.load()
    before = window.loader.status
    window.loader.load(other(window, "broken"))
    window.until(lambda: window.notices)
    assert window.notices[0].text == "It is plain text."
    assert window.loader.status == before
    window.ask("Are you still there?")
    window.wait_for_answer()
    assert window.turns()[-1].content == "The sea."


def test_a_load_that_waits_can_be_stopped(make: Make) -> None:
    window = answering(make)
    before = window.loader.status
    # The answer goes on, so that the load has to wait.
    window.loader.about_to_load.disconnect()
    window.loader.load(other(window))
    assert window.loader.status.is_loading
    window.loader.cancel()
    assert window.loader.status == before
    window.chat.stop()
    window.until(lambda: window.chat.live is None)
    window.until(lambda: window.runner.is_idle)
    assert window.loader.status == before
