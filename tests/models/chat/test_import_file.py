"""A file that somebody was given becomes a conversation, or it is said why not."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.chat.conversation import Conversation, Message
from models.chat.export import conversation_from_json, conversation_to_json
from models.chat.import_file import MAX_FILE_BYTES, MAX_MESSAGES, MAX_NAME_CHARS, read_export
from models.chat.store import ConversationStore
from models.errors import BadInputError, DiskError


def export(**changes: Any) -> dict[str, Any]:
    """A small export as data; ``changes`` go into its answer."""
    question = Message(1, 1, None, "user", "Why?", created_at=1.0, updated_at=2.0)
    answer = Message(2, 1, 1, "assistant", "So.", created_at=3.0, updated_at=4.0)
    conversation = Conversation(1, "Sea", 1.0, 4.0, leaf_id=2)
    data: dict[str, Any] = json.loads(conversation_to_json(conversation, [question, answer]))
    data["messages"][1].update(changes)
    return data


def write(folder: Path, data: Any) -> Path:
    path = folder / "sea.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return path


def test_what_is_read_can_be_stored_and_replaces_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, export())
    store = ConversationStore(tmp_path / "c.sqlite3")
    store.open()
    first = store.import_conversation(*read_export(path))
    second = store.import_conversation(*read_export(path))
    assert (first.title, first.updated_at) == ("Sea", 4.0)
    assert first.id != second.id
    assert [m.content for m in store.path_to_leaf(first.id)] == ["Why?", "So."]
    assert len(store.list_conversations()) == 2
    assert store.problems() == []
    store.close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF\x03\x00\x00\x00",
        b"\xff\xfe{}",
        b"{}",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"format": "fathom-conversation", "version": 1, "messages": ' + b"[" * 200_000,
        b'{"format": "fathom-conversation", "version": 1, "conversation": 1, "messages": []}',
        b'{"format": "fathom-conversation", "version": 1, "messages": [' + b"1" * 9_000 + b"]}",
    ],
    ids=["empty", "binary", "utf-16", "other", "lists", "objects", "inside", "types", "digits"],
)
def test_what_is_no_export_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"^odd\.json is not an exported conversation"):
        read_export(path)


def test_a_later_version_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="another version") as caught:
        read_export(write(tmp_path, {**export(), "version": 2}))
    assert "Update" in caught.value.hint


def test_without_a_chosen_branch_the_newest_is_shown(tmp_path: Path) -> None:
    data = export()
    data["conversation"]["leaf_id"] = None
    assert read_export(write(tmp_path, data))[0].leaf_id == 2
    data["messages"] = []
    assert read_export(write(tmp_path, data))[0].leaf_id is None


def test_a_larger_file_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(BadInputError, match="too large") as caught:
        read_export(path)
    assert "16" in caught.value.hint


def test_so_many_messages_are_refused(tmp_path: Path) -> None:
    data = export()
    answer = data["messages"][1]
    data["messages"] += [{**answer, "id": 3 + n} for n in range(MAX_MESSAGES - 2)]
    assert len(read_export(write(tmp_path, data))[1]) == MAX_MESSAGES
    data["messages"].append({**answer, "id": 3 + MAX_MESSAGES})
    with pytest.raises(BadInputError, match="not an exported conversation") as caught:
        read_export(write(tmp_path, data))
    assert str(MAX_MESSAGES) in caught.value.details


def test_what_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"gone\.json cannot be read"):
        read_export(tmp_path / "gone.json")
    with pytest.raises((BadInputError, DiskError), match=tmp_path.name):
        read_export(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(BadInputError, match="not an exported conversation"):
        read_export(pipe)


def test_names_fit_into_a_line_and_times_are_past(tmp_path: Path) -> None:
    data = export(checkpoint="R1\n" * 5_000)
    data["conversation"].update(title="a\n b" * 5_000, created_at=9e9, updated_at=9e9)
    before = time.time()
    conversation, messages = read_export(write(tmp_path, data))
    assert len(conversation.title) <= MAX_NAME_CHARS
    assert conversation.title.startswith("a b")
    assert len(messages[1].checkpoint) <= MAX_NAME_CHARS
    assert before <= conversation.updated_at < 9e9
    assert "\n" not in conversation.title + messages[1].checkpoint


def test_an_exports_own_figures_come_back(tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 12,
        "ttft_s": 0.25,
        "decode_tok_s": 41.5,
        "seed": -1,
        "stop_reason": "length",
        "reasoning_tokens": 3,
    }
    assert read_export(write(tmp_path, export(usage=usage)))[1][1].usage == usage


@pytest.mark.parametrize(
    "usage",
    [
        {"context_used": "many"},
        {"decode_tok_s": [1]},
        {"ttft_s": True},
        {"prompt_tokens": 10**400},
        {"decode_tok_s": 10**400},
        {"completion_tokens": 1.5},
        {"seed": None},
        {"elapsed_s": -1},
        {"devices": [{"name": {}}]},
        {"stop_reason": 3},
        {"unknown": 1},
    ],
    ids=str,
)
def test_figures_that_are_none_are_left_out(tmp_path: Path, usage: dict[str, Any]) -> None:
    assert read_export(write(tmp_path, export(usage=usage)))[1][1].usage == {}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_json_does_not_have_is_left_out(tmp_path: Path, number: str) -> None:
    text = json.dumps(export(usage={"ttft_s": 7777.0})).replace("7777.0", number)
    assert read_export(write(tmp_path, text))[1][1].usage == {}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_PLACES = st.sampled_from(
    ["title", "created_at", "checkpoint", "leaf_id", "pinned", "system_prompt", "deleted_at"]
)
_FIELDS = st.sampled_from(["id", "parent_id", "role", "content", "reasoning", "state", "usage"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=_PLACES, field=_FIELDS, one=_VALUES, other=_VALUES)
def test_nothing_but_a_refusal_comes_of_anything(
    tmp_path: Path, place: str, field: str, one: Any, other: Any
) -> None:
    data = export(**{field: other})
    data["conversation"][place] = one
    path = write(tmp_path, data)
    with contextlib.suppress(BadInputError):
        conversation, messages = read_export(path)
        assert conversation_from_json(conversation_to_json(conversation, messages))
