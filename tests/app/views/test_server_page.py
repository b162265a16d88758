"""The server's page over real parts: what it shows of each state, and what its controls do."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from app.actions.server import Refused, Serving
from app.itemmodels.served_requests import RequestColumn
from app.theme import Appearance
from app.views.server_page import ServerPage
from app.views.server_words import CURL, PYTHON, example, refused_words
from app.widgets.confirm_dialog import ConfirmDialog
from helpers.accessible import nameless
from helpers.window_parts import Parts
from models.api.key import KEY_FILE
from models.api.protocol import TurnedAway
from models.api.requests import RequestNote
from models.api.server import ServerPhase
from models.runtime.turns import EngineTurns

PAGE = "https://chat.example.org"
URL = "http://127.0.0.1:8737/v1"
WAIT_MS = 15_000


class Shown:
    """The page, the action behind it, and a wait."""

    def __init__(self, parts: Parts, qtbot: QtBot) -> None:
        self.parts = parts
        self.qtbot = qtbot
        parts.settings.set("server.port", 0)
        self.serving = Serving(
            engine=parts.supervisor,
            turns=EngineTurns(),
            loader=parts.loader,
            settings=parts.settings_bridge,
            key_folder=parts.folder / "data",
            runner=parts.runner,
            messages=parts.messages,
        )
        self.page = ServerPage(self.serving, parts.settings_bridge)
        qtbot.addWidget(self.page)
        self.page.resize(900, 900)
        self.page.show()
        self.until(lambda: self.page.is_filled and parts.runner.is_idle)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait, with the event loop running, until something is true."""
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)

    def dialog(self) -> ConfirmDialog:
        """Return the question that is being asked."""
        (dialog,) = [each for each in self.page.findChildren(ConfirmDialog) if each.isVisible()]
        return dialog

    def hear(self, *refusals: TurnedAway) -> None:
        """Let the server's child tell whom it turned away."""
        for refusal in refusals:
            self.serving.bridge.on_turned_away(refusal)
        self.until(lambda: self.serving.refusals)

    def close(self) -> None:
        """End everything in the order of the program."""
        self.serving.close()
        self.serving.stop_server()
        self.serving.bridge.detach()


@pytest.fixture
def shown(parts: Parts, qtbot: QtBot, qapp: QApplication) -> Iterator[Shown]:
    shown = Shown(parts, qtbot)
    yield shown
    shown.close()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_it_says_that_it_is_off_and_everything_has_a_name(shown: Shown) -> None:
    assert not shown.page.state.switch.isChecked()
    assert "Off" in shown.page.state.words
    assert shown.page.state.url == ""
    assert "No program has asked." in shown.page.requests.sentence
    assert not shown.page.refusals.isVisible()
    assert nameless(shown.page) == []


def test_the_switch_opens_the_server_and_shows_where_it_is(shown: Shown) -> None:
    state = shown.page.state
    shown.qtbot.keyClick(state.switch, Qt.Key.Key_Space)
    assert "Starting" in state.words
    shown.until(lambda: state.url)
    assert state.words == "On Nobody is asking now."
    assert state.url == shown.serving.status.url
    state.copy_button.click()
    assert QGuiApplication.clipboard().text() == state.url
    state.copy_key_button.click()
    assert QGuiApplication.clipboard().text() == shown.serving.key.key
    assert is_marked_as_secret()
    assert state.url in shown.page.example.text.toPlainText()
    shown.qtbot.keyClick(state.switch, Qt.Key.Key_Space)
    assert state.url == ""
    shown.until(lambda: shown.parts.runner.is_idle)


def test_without_a_model_it_leads_to_the_models(shown: Shown) -> None:
    button = shown.page.state.model_button
    assert button.isVisible()
    with shown.qtbot.waitSignal(shown.page.models_requested):
        button.click()


def test_the_key_is_masked_until_it_is_asked_for(shown: Shown) -> None:
    line, key = shown.page.access.key, shown.serving.key.key
    assert line.field.echoMode() is QLineEdit.EchoMode.Password
    assert line.field.displayText() != key
    line.show_button.click()
    assert line.field.displayText() == key
    line.show_button.click()
    assert line.field.displayText() != key
    line.copy_button.click()
    assert QGuiApplication.clipboard().text() == key


def test_a_copied_key_is_marked_as_a_secret(shown: Shown) -> None:
    shown.page.access.key.copy_button.click()
    assert is_marked_as_secret()
    shown.page.example.copy_button.click()
    assert not is_marked_as_secret()
    shown.page.example.copy_with_key_button.click()
    assert is_marked_as_secret()


def is_marked_as_secret() -> bool:
    data = QGuiApplication.clipboard().mimeData()
    return data is not None and data.data("x-kde-passwordManagerHint") == b"secret"


def test_a_new_key_is_asked_about_first(shown: Shown) -> None:
    old = shown.serving.key.key
    shown.page.access.key.show_button.click()
    shown.page.access.new_key_button.click()
    dialog = shown.dialog()
    dialog.cancel_button.click()
    shown.until(lambda: shown.parts.runner.is_idle)
    assert shown.serving.key.key == old
    shown.page.access.new_key_button.click()
    shown.dialog().confirm_button.click()
    shown.until(lambda: shown.serving.key.key != old)
    assert shown.page.access.key.field.text() == shown.serving.key.key
    # Whoever looked at the old one has not asked to see this one.
    assert not shown.page.access.key.is_shown
    assert shown.serving.status.phase is ServerPhase.STOPPED


def test_a_damaged_key_is_said_with_a_way_out(parts: Parts, qtbot: QtBot) -> None:
    (parts.folder / "data").mkdir()
    (parts.folder / "data" / KEY_FILE).write_text("fathom-")
    shown = Shown(parts, qtbot)
    assert "damaged" in shown.page.access.key_error
    shown.serving.switch(True)
    shown.until(lambda: "damaged" in shown.page.state.words)
    assert shown.page.state.again_button.isVisible()
    shown.page.state.new_key_button.click()
    shown.dialog().confirm_button.click()
    shown.until(lambda: shown.page.state.url)
    shown.close()


def test_a_web_page_is_allowed_by_name_and_taken_off_again(shown: Shown) -> None:
    pages = shown.page.access.pages
    pages.field.setText(f"{PAGE}/")
    pages.add_button.click()
    assert shown.serving.allowed == (PAGE,)
    assert pages.field.text() == ""
    pages.remove_button(PAGE).click()
    assert shown.serving.allowed == ()
    with pytest.raises(KeyError):
        pages.remove_button(PAGE)


@pytest.mark.parametrize("text", ["*", "null", "chat.example.org", f"{PAGE}/a"])
def test_what_is_no_address_of_one_page_is_refused_with_words(shown: Shown, text: str) -> None:
    pages = shown.page.access.pages
    pages.field.setText(text)
    shown.qtbot.keyClick(pages.field, Qt.Key.Key_Return)
    assert pages.error
    assert pages.field.text() == text
    assert shown.serving.allowed == ()
    shown.qtbot.keyClick(pages.field, Qt.Key.Key_Backspace)
    assert pages.error == ""


def test_a_refused_page_can_be_allowed_after_a_question(shown: Shown) -> None:
    shown.hear(TurnedAway("origin", PAGE, 3))
    refusals = shown.page.refusals
    assert refusals.isVisible()
    assert any(PAGE in words for words in refusals.words)
    refusals.allow_buttons[PAGE].click()
    dialog = shown.dialog()
    assert PAGE in dialog.accessibleName()
    dialog.cancel_button.click()
    assert shown.serving.allowed == ()
    refusals.allow_buttons[PAGE].click()
    shown.dialog().confirm_button.click()
    assert shown.serving.allowed == (PAGE,)
    assert not refusals.isVisible()


def test_what_has_no_name_cannot_be_allowed_and_the_list_can_be_cleared(shown: Shown) -> None:
    reasons = ("host", "key", "content_type", "too_large", "too_slow", "too_many", "unheard-of")
    shown.hear(*(TurnedAway(reason, "shown") for reason in reasons), TurnedAway("origin", "null"))
    shown.until(lambda: len(shown.page.refusals.words) == 8)
    assert shown.page.refusals.allow_buttons == {}
    shown.page.refusals.clear_button.click()
    assert not shown.page.refusals.isVisible()


def test_the_same_refusal_is_one_line_that_counts(shown: Shown) -> None:
    shown.hear(TurnedAway("origin", PAGE, 2))
    shown.hear(TurnedAway("host", "evil.example"))
    shown.until(lambda: len(shown.serving.refusals) == 2)
    shown.serving.bridge.on_turned_away(TurnedAway("origin", PAGE, 5))
    shown.until(lambda: shown.serving.refusals[0].count == 7)
    assert [one.reason for one in shown.serving.refusals] == ["origin", "host"]


def test_many_refusals_are_a_list_that_ends(shown: Shown) -> None:
    shown.hear(*(TurnedAway("origin", f"https://{n}.example.org") for n in range(50)))
    shown.until(lambda: shown.serving.refusals[0].page == "https://49.example.org")
    assert len(shown.page.refusals.words) == len(shown.serving.refusals) == 8


def keys_order(shown: Shown, *, since: QWidget, until: QWidget) -> list[QWidget]:
    """Where the Tab key leads between two widgets."""
    found: list[QWidget] = []
    widget = since.nextInFocusChain()
    while widget is not until:
        assert widget is not None
        assert widget is not since, "the keyboard came round without it"
        # The field in a spin box stands for the box.
        takes_keys = widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not widget.focusProxy()
        if takes_keys and widget.isVisible():
            found.append(widget)
        widget = widget.nextInFocusChain()
    return found


def test_the_keyboard_comes_to_what_was_made_later_where_it_is_seen(shown: Shown) -> None:
    state, refusals, pages = shown.page.state, shown.page.refusals, shown.page.access.pages
    shown.serving.allow("http://a.example")
    shown.serving.allow("http://b.example")
    for page in (PAGE, "https://second.example"):
        shown.hear(TurnedAway("origin", page))
    shown.until(lambda: len(refusals.allow_buttons) == 2)
    allow = [refusals.allow_buttons["https://second.example"], refusals.allow_buttons[PAGE]]
    # What is put into a layout is shown a turn of the event loop later.
    shown.until(lambda: all(button.isVisible() for button in allow))
    between = keys_order(shown, since=state.start_switch, until=refusals.clear_button)
    assert between == allow
    remove = [pages.remove_button("http://a.example"), pages.remove_button("http://b.example")]
    shown.until(lambda: all(button.isVisible() for button in remove))
    assert keys_order(shown, since=shown.page.access.port.box, until=pages.field) == remove


def test_what_gets_the_keyboard_is_scrolled_to(shown: Shown) -> None:
    shown.page.resize(900, 300)
    shown.page.window().activateWindow()
    shown.page.access.port.box.setFocus()
    shown.until(lambda: not shown.page.access.port.visibleRegion().isEmpty())
    shown.until(lambda: shown.page.state.switch.visibleRegion().isEmpty())
    shown.page.state.switch.setFocus()
    shown.until(lambda: not shown.page.state.switch.visibleRegion().isEmpty())


def test_why_a_request_failed_can_be_read_without_a_mouse(shown: Shown) -> None:
    bridge, requests = shown.serving.bridge, shown.page.requests
    bridge.on_note(RequestNote(1, "gpt-5", "failed", error='There is no model "gpt-5" here.'))
    shown.until(lambda: "gpt-5" in requests.why)
    bridge.on_note(RequestNote(2, "demo", "done", 33, 512, 41.3, 12.4))
    shown.until(lambda: len(shown.serving.requests) == 2)
    assert requests.why == ""
    requests.table.setCurrentIndex(requests.model.index(0, 0))
    shown.qtbot.keyClick(requests.table, Qt.Key.Key_Down)
    assert "gpt-5" in requests.why


def test_who_waits_for_whom_is_said(shown: Shown) -> None:
    shown.page.state.switch.click()
    shown.until(lambda: shown.page.state.url)
    bridge, state = shown.serving.bridge, shown.page.state
    bridge.on_note(RequestNote(1, "", "waiting"))
    shown.until(lambda: "chat" in state.words)
    bridge.on_note(RequestNote(1, "demo", "answering"))
    bridge.on_note(RequestNote(2, "", "waiting"))
    shown.until(lambda: "being answered" in state.words)
    assert "Waiting: 1." in state.words
    assert "chat" not in state.words


def test_a_port_that_is_taken_can_be_left_with_one_press(shown: Shown) -> None:
    state = shown.page.state
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown.serving.set_port(port)
        state.switch.click()
        shown.until(state.port_button.isVisible)
        assert str(port) in state.words
        state.port_button.click()
        assert shown.serving.port != port
        assert str(shown.serving.port) in state.port_button.text()
    shown.until(lambda: shown.parts.runner.is_idle)


def test_requests_are_shown_newest_first_with_figures_and_no_words(shown: Shown) -> None:
    bridge = shown.serving.bridge
    bridge.on_note(RequestNote(1, "demo", "done", 33, 512, 41.3, 12.4))
    bridge.on_note(RequestNote(2, "demo", "failed", error="The answer was stopped."))
    bridge.on_note(RequestNote(3, "", "waiting"))
    shown.until(lambda: len(shown.serving.requests) == 3)
    model = shown.page.requests.model

    def cell(row: int, column: RequestColumn, role: Qt.ItemDataRole) -> object:
        return model.data(model.index(row, column), role)

    display, tip = Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole
    assert shown.page.requests.sentence == ""
    assert [cell(row, RequestColumn.STATE, display) for row in range(3)] == [
        "Waiting",
        "Failed",
        "Done",
    ]
    assert cell(1, RequestColumn.STATE, tip) == "The answer was stopped."
    assert cell(2, RequestColumn.TOKENS, display) == "33 \N{RIGHTWARDS ARROW} 512"
    assert cell(2, RequestColumn.SPEED, display) == "41.3 tok/s"
    assert cell(2, RequestColumn.TOOK, display) == "12.4 s"
    assert cell(0, RequestColumn.TOOK, display) == ""
    bridge.on_note(RequestNote(3, "demo", "answering", 10, 2))
    shown.until(lambda: cell(0, RequestColumn.STATE, display) == "Answering")
    assert model.rowCount() == 3


def test_a_long_name_of_a_model_leaves_the_figures_in_sight(shown: Shown) -> None:
    shown.serving.bridge.on_note(RequestNote(1, "deepseek-" * 40, "done", 33, 512, 41.3, 12.4))
    shown.until(shown.page.requests.table.isVisible)
    table = shown.page.requests.table
    for width in (900, 588):
        shown.page.resize(width, 700)
        last = RequestColumn.TOOK if width == 900 else RequestColumn.SPEED
        shown.until(lambda last=last: not table.isColumnHidden(last))
        right = table.columnViewportPosition(last) + table.columnWidth(last)
        assert right <= table.viewport().width()


def test_the_port_and_the_start_are_settings(shown: Shown) -> None:
    settings = shown.parts.settings
    shown.page.access.port.box.setValue(9000)
    assert settings.get_int("server.port") == 9000
    assert f"http://127.0.0.1:{9000}/v1" not in shown.page.state.words
    shown.qtbot.keyClick(shown.page.state.start_switch, Qt.Key.Key_Space)
    assert settings.get_bool("server.starts_with_window")
    shown.parts.settings_bridge.set("server.starts_with_window", False)
    assert not shown.page.state.start_switch.isChecked()
    assert not shown.page.state.switch.isChecked()


def test_the_example_hides_the_key_and_can_be_copied_with_it(shown: Shown) -> None:
    card, key = shown.page.example, shown.serving.key.key
    for kind in (CURL, PYTHON):
        card.kinds.segment(kind).click()
        assert key not in card.text.toPlainText()
        card.copy_button.click()
        assert key not in QGuiApplication.clipboard().text()
        card.copy_with_key_button.click()
        assert key in QGuiApplication.clipboard().text()


HOSTILE = "a'; touch /tmp/x; echo '\"\n$(id)`id`\\"


def run_example(folder: Path, model: str) -> tuple[list[str], str]:
    """Return the arguments and the standard input that a real shell gives to curl."""
    curl = folder / "curl"
    curl.write_text('#!/bin/sh\nprintf "%s\\0" "$@" > args\ncat > input\n')
    curl.chmod(0o700)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    command = ["sh", "-c", example(CURL, URL, "KEY", model)]
    subprocess.run(command, cwd=folder, env={"PATH": path}, check=True)
    return (folder / "args").read_text().split("\0")[:-1], (folder / "input").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="for shells of POSIX")
def test_a_hostile_name_of_a_model_is_only_a_name_in_a_shell(tmp_path: Path) -> None:
    words, _ = run_example(tmp_path, HOSTILE)
    assert json.loads(words[-1])["model"] == HOSTILE
    assert words[-2] == "-d"
    assert len(words) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="for shells of POSIX")
def test_the_key_is_no_argument_that_other_users_could_see(tmp_path: Path) -> None:
    words, header = run_example(tmp_path, "demo")
    assert not any("KEY" in word for word in words)
    assert words[1:3] == ["-H", "@-"]
    assert header == "Authorization: Bearer KEY\n"


def test_a_hostile_name_of_a_model_is_only_a_name_in_python() -> None:
    code = example(PYTHON, URL, "KEY", HOSTILE)
    found: list[object] = []

    class Answers:
        def create(self, **fields: object) -> object:
            found.append(fields["model"])
            raise StopIteration

    class Client:
        def __init__(self, **_fields: object) -> None:
            self.chat = type("Chat", (), {"completions": Answers()})

    with pytest.raises(StopIteration):
        exec(code.replace("from openai import OpenAI", ""), {"OpenAI": Client})
    assert found == [HOSTILE]


def test_a_refused_name_with_braces_is_shown_as_it_is() -> None:
    one = Refused("host", "{0.__class__}", 1, datetime.datetime.now().astimezone())
    assert "{0.__class__}" in refused_words(one)


def test_both_themes(shown: Shown, appearance: Appearance) -> None:
    shown.hear(TurnedAway("origin", PAGE))
    shown.serving.bridge.on_note(RequestNote(1, "demo", "done", 33, 512, 41.3, 12.4))
    shown.until(shown.page.requests.table.isVisible)
    light = shown.page.grab().toImage()
    appearance.choose("dark")
    dark = shown.page.grab().toImage()
    at = shown.page.requests.table.mapTo(shown.page, shown.page.requests.table.rect().center())
    assert light.pixelColor(at).lightness() > 200 > dark.pixelColor(at).lightness()
