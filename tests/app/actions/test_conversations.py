"""A conversation file that cannot be opened: the user is told, and there is a way on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from helpers.chat_window import ChatWindow

Make = Callable[[], ChatWindow]
TEXT = "The sea."


def test_a_damaged_file_can_be_set_aside(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "conversations.sqlite3"
    file.write_bytes(b"This is no database. " * 400)
    window = make()
    assert window.notices[0].text == "The conversation file is damaged."
    action = window.notices[0].action
    assert action is not None
    action.run()
    window.until(lambda: window.runner.is_idle)
    window.load()
    window.ask("Why?")
    window.wait_for_answer()
    assert window.stored()[-1].content == TEXT
    (kept,) = tmp_path.glob("conversations.damaged-*.sqlite3")
    assert kept.read_bytes().startswith(b"This is no database.")


def test_a_question_that_finds_no_store_comes_back(make: Make, tmp_path: Path) -> None:
    (tmp_path / "conversations.sqlite3").write_bytes(b"This is no database. " * 400)
    window = make()
    window.ask("Why?")
    window.until(lambda: window.page.composer.field.toPlainText() == "Why?")
    assert window.turns() == []


def test_what_is_in_the_way_can_be_removed_and_tried_again(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "conversations.sqlite3"
    folder.mkdir()
    window = make()
    action = window.notices[0].action
    assert action is not None
    assert action.text == "Try again"
    folder.rmdir()
    action.run()
    window.until(lambda: window.runner.is_idle)
    assert folder.is_file()
    assert len(window.notices) == 1
