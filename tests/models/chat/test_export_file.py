"""A conversation in a file of the user's: whole or not at all, under a name for every system."""

import stat
import sys
from pathlib import Path

import pytest

from models.chat.export import conversation_from_json
from models.chat.export_file import export_name, export_text, write_export
from models.chat.store import ConversationStore
from models.errors import DiskError


@pytest.fixture
def store(tmp_path):
    with ConversationStore(tmp_path / "conversations.sqlite3") as opened:
        yield opened


def _conversation(store):
    made = store.create_conversation("Roots").id
    question = store.add_message(made, None, "user", r"Solve \(x^2 = 2\).").id
    store.add_message(made, question, "assistant", "first", state="complete")
    store.add_message(made, question, "assistant", r"\[x = \sqrt{2}\]", state="complete")
    return made


def test_markdown_is_the_shown_branch_and_json_is_all_of_it(store, tmp_path):
    made = _conversation(store)
    text = export_text(store, made, tmp_path / "roots.md")
    assert r"\[x = \sqrt{2}\]" in text
    assert "first" not in text
    _, messages = conversation_from_json(export_text(store, made, tmp_path / "roots.JSON"))
    assert len(messages) == 3


def test_a_file_is_replaced_as_a_whole_and_is_its_owner_s(tmp_path):
    path = tmp_path / "roots.md"
    path.write_text("old")
    write_export(path, "new \ud800")
    assert path.read_text() == "new ?"
    assert [one.name for one in tmp_path.iterdir()] == ["roots.md"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_nothing_can_be_written_nothing_is_left(tmp_path):
    (tmp_path / "roots.md").mkdir()
    with pytest.raises(DiskError, match="cannot be written"):
        write_export(tmp_path / "roots.md", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["roots.md"]
    with pytest.raises(DiskError):
        write_export(tmp_path / "missing" / "roots.md", "text")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Deep sea", "Deep sea"),
        ("a/b\\c: d?\n", "a b c d"),
        ("../../etc", "etc"),
        ("CON", "CON_"),
        ("...", "Conversation"),
        ("", "Conversation"),
        ("模型", "模型"),
        ("x" * 300, "x" * 80),
    ],
)
def test_names_that_every_system_takes(title, name):
    assert export_name(title) == name
    assert Path(export_name(title)).name == name
