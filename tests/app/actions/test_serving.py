"""The server of the window: on and off, the chat beside it, and what changes while it runs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from app.messages import Severity
from helpers.chat_window import ChatWindow
from helpers.serving_window import ServingWindow, make_serving, text_of
from models.api.key import KEY_FILE
from models.api.server import ServerPhase
from models.errors import ServerAddressError, ServerKeyError

Make = Callable[..., ChatWindow]
LONG = {"text": "word " * 10_000, "rate_words_s": 200}
PAGE = "https://chat.example.org"


@pytest.fixture
def beside(make: Make) -> Iterator[Callable[..., ServingWindow]]:
    """Build a chat window with a model and a server beside it."""
    built: list[ServingWindow] = []

    def build(**script: object) -> ServingWindow:
        window = make(**script)
        window.load()
        built.append(make_serving(window))
        return built[-1]

    yield build
    for one in built:
        one.close()


Beside = Callable[..., ServingWindow]


def port_is_open(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def speaks(window: ChatWindow) -> None:
    window.until(lambda: window.chat.live and window.chat.live.content)


def test_it_is_off_until_it_is_switched_on_and_off_again_after(beside: Beside) -> None:
    one = beside()
    assert one.serving.status.phase is ServerPhase.STOPPED
    assert not (one.window.folder / "data" / KEY_FILE).exists()
    one.open()
    url = one.url
    assert port_is_open(url)
    one.serving.switch(False)
    assert one.serving.status.phase is ServerPhase.STOPPED
    assert one.url == ""
    one.window.until(lambda: one.window.runner.is_idle)
    assert not port_is_open(url)


def test_a_program_is_answered_and_noted_without_a_word_of_it(beside: Beside) -> None:
    one = beside()
    one.open()
    status, answer = one.answer(one.ask("Why is the sea salty?"))
    assert (status, text_of(answer)) == (200, "The sea.")
    one.window.until(lambda: one.serving.requests and not one.serving.requests[0].is_open)
    note = one.serving.requests[0].note
    assert (note.state, note.model) == ("done", "talking")
    assert note.completion_tokens
    assert "sea" not in repr(one.serving.requests)
    assert one.window.turns() == []


def test_the_chat_waits_for_a_program_and_the_other_way_round(beside: Beside) -> None:
    one = beside()
    window = one.window
    one.open()
    # So that all three have to wait, whoever is how fast.
    before = window.queue.ask(lambda: None)
    first = one.ask()
    window.until(lambda: len(one.serving.requests) == 1)
    window.ask("Mine?")
    window.until(lambda: window.chat.is_behind_program)
    second = one.ask()
    window.until(lambda: one.serving.status.answering == 2)
    before.end()
    assert one.answer(first)[0] == one.answer(second)[0] == 200
    window.wait_for_answer()
    assert window.turns()[-1].state == "complete"
    assert text_of(first.result()[1]).strip() == window.turns()[-1].content.strip()


def test_loading_another_model_stops_a_program_s_answer(beside: Beside) -> None:
    one = beside(**LONG)
    one.open()
    asked = one.ask()
    one.window.until(
        lambda: one.serving.requests and one.serving.requests[0].note.state == "answering"
    )
    one.window.loader.load(one.window.loader.entries[0])
    assert one.serving.status.model is None
    status, answer = one.answer(asked)
    assert status == 503
    assert "stopped" in answer["error"]["message"]
    one.window.until(lambda: one.window.loader.status.is_ready)
    assert one.serving.status.model is not None


def test_without_a_model_a_program_is_told_so(beside: Beside) -> None:
    one = beside()
    one.open()
    one.window.loader.unload()
    one.window.until(lambda: one.window.supervisor.model is None)
    status, answer = one.answer(one.ask())
    assert (status, answer["error"]["code"]) == (503, "model_not_loaded")


def test_an_engine_that_dies_is_said_and_its_model_can_be_loaded_again(beside: Beside) -> None:
    one = beside(**LONG)
    one.open()
    asked = one.ask()
    one.window.until(
        lambda: one.serving.requests and one.serving.requests[0].note.state == "answering"
    )
    pid = one.window.supervisor.pid
    assert pid is not None
    psutil.Process(pid).kill()
    assert one.answer(asked)[0] == 500
    one.window.until(lambda: one.serving.status.model_error)
    assert one.serving.status.model is None
    one.serving.load_model_again()
    one.window.until(lambda: one.serving.status.model)
    assert one.serving.status.model_error is None


def test_an_allowed_page_is_let_in_and_another_is_shown(beside: Beside) -> None:
    one = beside()
    one.open()
    assert one.answer(one.ask(Origin=PAGE))[0] == 403
    one.window.until(lambda: one.serving.refusals)
    (refused,) = one.serving.refusals
    assert (refused.reason, refused.page, refused.count) == ("origin", PAGE, 1)
    assert one.serving.allow(f"{PAGE}/") == PAGE
    assert one.serving.refusals == ()
    one.wait_until_open()
    assert one.answer(one.ask(Origin=PAGE))[0] == 200
    # That the answer has ended may be told here later than to the program.
    one.serving.disallow(PAGE)
    one.wait_until_open()
    assert one.answer(one.ask(Origin=PAGE))[0] == 403


def test_a_page_that_cannot_be_allowed_by_name_is_no_page(beside: Beside) -> None:
    one = beside()
    one.open()
    assert one.answer(one.ask(Origin="null"))[0] == 403
    one.window.until(lambda: one.serving.refusals)
    assert one.serving.refusals[0].page == ""
    for text in ("null", "*", "https://*.example.org", "chat.example.org", f"{PAGE}/chat", ""):
        with pytest.raises(ServerAddressError):
            one.serving.allow(text)
    assert one.serving.allowed == ()


def test_a_change_waits_until_nobody_is_being_answered(beside: Beside) -> None:
    one = beside(**LONG)
    one.open()
    asked = one.ask()
    one.window.until(
        lambda: one.serving.requests and one.serving.requests[0].note.state == "answering"
    )
    url = one.url
    one.serving.allow(PAGE)
    assert one.serving.status.needs_restart
    assert one.url == url
    one.window.loader.load(one.window.loader.entries[0])
    assert one.answer(asked)[0] == 503
    one.window.until(lambda: one.url and not one.serving.status.needs_restart)
    one.window.until(lambda: one.serving.status.model)
    refused = one.ask(Origin="https://other.example.org")
    assert one.answer(refused)[0] == 403


def test_a_new_key_counts_at_once_and_the_old_one_no_more(beside: Beside) -> None:
    one = beside()
    one.open()
    old = one.serving.key.key
    assert old
    one.serving.make_new_key()
    one.window.until(lambda: one.serving.key.key != old and one.url)
    assert one.answer(one.ask())[0] == 200
    assert one.answer(one.ask(Authorization=f"Bearer {old}"))[0] == 401
    one.window.until(lambda: one.serving.refusals)
    assert (one.serving.refusals[0].reason, one.serving.refusals[0].shown) == ("key", "")


def test_a_damaged_key_opens_nothing_and_is_said(beside: Beside) -> None:
    one = beside()
    folder = one.window.folder / "data"
    folder.mkdir()
    (folder / KEY_FILE).write_text("fathom-")
    one.serving.switch(True)
    one.window.until(lambda: one.serving.status.phase is ServerPhase.FAILED)
    assert isinstance(one.serving.status.error, ServerKeyError)
    assert isinstance(one.serving.key.error, ServerKeyError)
    one.serving.make_new_key()
    one.window.until(lambda: one.serving.status.phase is ServerPhase.LISTENING)
    assert one.answer(one.ask())[0] == 200


def test_a_server_that_ends_by_itself_is_said_and_can_be_started_again(beside: Beside) -> None:
    one = beside()
    one.open()
    children = psutil.Process().children(recursive=True)
    (child,) = [each for each in children if "http-server" in each.cmdline()]
    child.kill()
    one.window.until(lambda: one.serving.status.phase is ServerPhase.FAILED)
    (notice,) = [each for each in one.window.notices if each.severity is Severity.ERROR]
    assert notice.action is not None
    notice.action.run()
    one.window.until(lambda: one.serving.status.phase is ServerPhase.LISTENING)
    assert one.answer(one.ask())[0] == 200


def test_a_port_that_is_taken_is_said_with_another_to_try(make: Make) -> None:
    one = make_serving(make())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one.serving.set_port(taken.getsockname()[1])
        one.serving.switch(True)
        one.window.until(lambda: one.serving.status.phase is ServerPhase.FAILED)
    error = one.serving.status.error
    assert error is not None
    assert error.code == "server_port_busy"
    # Another one is tried at once.
    one.serving.set_port(0)
    one.window.until(lambda: one.serving.status.phase is ServerPhase.LISTENING)
    one.close()


def test_the_list_of_requests_ends_somewhere(beside: Beside) -> None:
    one = beside()
    one.open()
    one.window.loader.unload()
    one.window.until(lambda: one.window.supervisor.model is None)
    for _ in range(52):
        assert one.answer(one.ask())[0] == 503
    one.window.until(lambda: one.serving.requests and one.serving.requests[0].note.id == 52)
    assert len(one.serving.requests) == 50
