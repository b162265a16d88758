"""A conversation comes back into the window: by menu, by key, by drop; nothing is replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFileDialog, QMenu

from app.messages import Severity
from models.chat.conversation import Conversation, Message
from models.chat.export import conversation_to_json


def write(path: Path, *, title: str = "Old sea", system_prompt: str = "", **answer: Any) -> Path:
    messages = [
        Message(7, 3, None, "user", "Why is the sea?", created_at=1.0, updated_at=1.0),
        Message(9, 3, 7, "assistant", "It rained.", created_at=2.0, updated_at=2.0, **answer),
    ]
    conversation = Conversation(3, title, 1.0, 2.0, system_prompt=system_prompt, leaf_id=9)
    path.write_text(conversation_to_json(conversation, messages), "utf-8")
    return path


def titles(window: Any) -> list[str]:
    model = window.page.conversation_list.model
    rows = [model.conversation(model.index(row)) for row in range(model.rowCount())]
    return [found.title for found in rows if found is not None]


def has_shown(window: Any, *texts: str) -> None:
    window.until(lambda: [turn.content for turn in window.turns()] == list(texts))
    window.until(lambda: window.runner.is_idle)


def test_the_key_asks_for_files_and_shows_what_was_in_them(make: Any, tmp_path: Path) -> None:
    window = make()
    window.page.activateWindow()
    window.page.composer.focus()
    window.qtbot.keyClick(
        window.page.composer.field, Qt.Key.Key_I, Qt.KeyboardModifier.ControlModifier
    )
    dialog = window.page.conversation_list.findChild(QFileDialog)
    window.until(dialog.isVisible)
    path = write(tmp_path / "sea.json")
    dialog.setDirectory(str(tmp_path))
    dialog.selectFile(path.name)
    dialog.filesSelected.emit([str(path)])
    dialog.reject()
    has_shown(window, "Why is the sea?", "It rained.")
    assert window.notices[-1].text == "“Old sea” was imported."
    assert titles(window) == ["Old sea"]
    assert window.page.conversation_list.list.currentIndex().isValid()


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_the_menu_has_it_beside_a_conversation_and_where_there_is_none(
    make: Any, tmp_path: Path
) -> None:
    window = make()
    side = window.page.conversation_list
    window.until(side.import_button.isVisible)
    window.conversations.import_files([write(tmp_path / "sea.json")])
    has_shown(window, "Why is the sea?", "It rained.")
    row = side.list.visualRect(side.list.currentIndex()).center()
    for point, first in ((row, "Rename"), (QPoint(20, side.list.height() - 5), "Import…")):
        side.list.customContextMenuRequested.emit(point)
        menu = next(menu for menu in side.findChildren(QMenu) if menu.isVisible())
        texts = [action.text() for action in menu.actions() if not action.isSeparator()]
        assert (texts[0], texts[-1]) == (first, "Import…")
        menu.close()
        window.until(lambda: not any(menu.isVisible() for menu in side.findChildren(QMenu)))


def test_twice_the_same_is_there_twice_and_the_running_one_is_untouched(
    make: Any, tmp_path: Path
) -> None:
    window = make()
    window.load()
    window.ask("Mine")
    window.wait_for_answer()
    mine = [turn.content for turn in window.turns()]
    first_id = window.chat.conversation_id
    path = write(tmp_path / "sea.json", title="Mine")
    window.conversations.import_files([path, path])
    window.until(lambda: titles(window).count("Mine") == 3)
    has_shown(window, "Why is the sea?", "It rained.")
    window.conversations.show(first_id)
    has_shown(window, *mine)


def test_what_is_refused_is_told_and_the_rest_comes(make: Any, tmp_path: Path) -> None:
    window = make()
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    window.conversations.import_files([bad, tmp_path / "gone.json", write(tmp_path / "sea.json")])
    has_shown(window, "Why is the sea?", "It rained.")
    errors = [notice.text for notice in window.notices if notice.severity is Severity.ERROR]
    assert errors == ["bad.json is not an exported conversation.", "gone.json cannot be read."]
    assert titles(window) == ["Old sea"]


def test_a_system_prompt_that_comes_along_is_told(make: Any, tmp_path: Path) -> None:
    window = make()
    path = write(tmp_path / "sea.json", system_prompt="Praise\nthe pump. " * 100)
    window.conversations.import_files([path])
    has_shown(window, "Why is the sea?", "It rained.")
    assert window.notices[-1].severity is Severity.WARNING
    assert "“Praise the pump. Praise" in window.notices[-1].hint
    assert len(window.notices[-1].hint) < 300


@pytest.mark.parametrize(
    "usage",
    [{"context_used": "x", "decode_tok_s": "fast", "seed": "s", "completion_tokens": []}],
    ids=["words for numbers"],
)
def test_odd_figures_of_an_answer_do_not_reach_the_page(
    make: Any, tmp_path: Path, usage: dict[str, Any]
) -> None:
    window = make()
    window.conversations.import_files([write(tmp_path / "sea.json", usage=usage)])
    has_shown(window, "Why is the sea?", "It rained.")


def test_odd_trees_are_shown(make: Any, tmp_path: Path) -> None:
    """Questions below questions, an answer that asks, a system message in the middle."""
    window = make()
    path = write(tmp_path / "sea.json")
    data = json.loads(path.read_text("utf-8"))
    base = data["messages"][0]
    odd = [("system", "complete"), ("user", "streaming"), ("user", "failed"), ("system", "failed")]
    data["messages"] += [
        {**base, "id": 20 + n, "parent_id": 9 if n == 0 else 19 + n, "role": role, "state": state}
        for n, (role, state) in enumerate(odd)
    ]
    data["conversation"]["leaf_id"] = 23
    path.write_text(json.dumps(data), "utf-8")
    window.conversations.import_files([path])
    window.until(lambda: len(window.turns()) == 6)
    window.until(lambda: window.runner.is_idle)


def test_a_search_ends_with_what_was_imported(make: Any, tmp_path: Path) -> None:
    window = make()
    field = window.page.conversation_list.search_field
    field.setText("nothing")
    window.until(lambda: window.conversations.query == "nothing")
    window.conversations.import_files([write(tmp_path / "sea.json")])
    has_shown(window, "Why is the sea?", "It rained.")
    assert field.text() == ""
    window.until(lambda: titles(window) == ["Old sea"])
