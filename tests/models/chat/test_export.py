"""Conversations that leave the program and come back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chat.conversation import Conversation, Message
from models.chat.export import (
    conversation_from_json,
    conversation_to_json,
    conversation_to_markdown,
)
from models.chat.store import ConversationStore
from models.errors import BadInputError, StoreError


def build(store: ConversationStore) -> Conversation:
    """A conversation with an edit, three answers and every state."""
    c = store.create_conversation("Deep 模型", checkpoint="demo", system_prompt="Be\nshort.").id
    first = store.add_message(c, None, "user", "question\n\n```\n# code\n```").id
    streaming = store.add_message(c, first, "assistant", "", state="streaming", checkpoint="R1")
    store.finish_answer(
        streaming.id,
        "one",
        "thought\n\nmore",
        "complete",
        {"ttft_s": 0.25},
        reasoning_elapsed_s=2.5,
    )
    store.add_message(c, first, "assistant", "tw", state="cancelled")
    last = store.add_message(c, first, "assistant", "", state="failed").id
    edited = store.add_message(c, None, "user", "edited \ud83d\ude00").id
    store.add_message(c, edited, "assistant", "three", state="interrupted")
    store.set_pinned(c, True)
    store.set_leaf(c, last)
    return store.conversation(c)


def shape(conversation: Conversation, messages: list[Message]) -> list[Any]:
    """All of it, with places instead of ids."""
    places: dict[int | None, int] = {message.id: n for n, message in enumerate(messages)}
    places[None] = -1
    return [
        dataclasses.replace(conversation, id=0, leaf_id=places[conversation.leaf_id]),
        *(
            dataclasses.replace(
                m, id=places[m.id], conversation_id=0, parent_id=places[m.parent_id]
            )
            for m in messages
        ),
    ]


def test_json_brings_the_whole_tree_back(tmp_path: Path) -> None:
    with ConversationStore(tmp_path / "a.sqlite3") as store:
        conversation = build(store)
        messages = store.messages(conversation.id)
        text = conversation_to_json(conversation, messages)
        assert conversation_from_json(text) == (conversation, messages)
    with ConversationStore(tmp_path / "b.sqlite3") as other:
        build(other)
        copy = other.import_conversation(*conversation_from_json(text))
        assert copy.id != conversation.id
        copied = other.messages(copy.id)
        assert shape(copy, copied) == shape(conversation, messages)
        assert [m.content for m in other.path_to_leaf(copy.id)] == [messages[0].content, ""]
        assert len(other.list_conversations("thought")) == 0
        assert len(other.list_conversations("edited")) == 2
        assert other.problems() == []


def test_an_import_is_all_or_nothing(tmp_path: Path) -> None:
    with ConversationStore(tmp_path / "a.sqlite3") as store:
        conversation = Conversation(1, "broken", 0.0, 0.0)
        messages = [Message(1, 1, None, "user", "a"), Message(2, 1, 7, "user", "b")]
        with pytest.raises(StoreError, match="parent is missing"):
            store.import_conversation(conversation, messages)
        assert store.list_conversations() == []
        streaming = [Message(1, 1, None, "assistant", "a", state="streaming")]
        copy = store.import_conversation(conversation, streaming)
        assert store.messages(copy.id)[0].state == "interrupted"


def test_markdown_reads_like_the_branch(tmp_path: Path) -> None:
    with ConversationStore(tmp_path / "a.sqlite3", clock=lambda: 1_795_000_000.0) as store:
        conversation = build(store)
        answers = store.siblings(store.messages(conversation.id)[1].id)
        path = store.path_to_leaf(conversation.id, answers[0].id)
        stopped = store.path_to_leaf(conversation.id, answers[1].id)
    assert conversation_to_markdown(conversation, path) == (
        "# Deep 模型\n\n*2026-11-18 11:06 UTC, demo*\n\n## System\n\nBe\nshort.\n\n"
        "## You\n\nquestion\n\n```\n# code\n```\n\n"
        "## R1\n\n> *Reasoning*\n>\n> thought\n>\n> more\n\none\n"
    )
    assert conversation_to_markdown(conversation, stopped).endswith(
        "## demo\n\ntw\n\n*(stopped)*\n"
    )


def test_markdown_of_nothing() -> None:
    assert conversation_to_markdown(Conversation(1, "", 0.0, 0.0), []) == (
        "# Conversation\n\n*1970-01-01 00:00 UTC*\n"
    )


def sample() -> dict[str, Any]:
    conversation = Conversation(1, "t", 0.0, 0.0, leaf_id=2)
    messages = [Message(1, 1, None, "user", "a"), Message(2, 1, 1, "assistant", "b")]
    data: dict[str, Any] = json.loads(conversation_to_json(conversation, messages))
    return data


BREAKS: dict[str, Any] = {
    "format": lambda d: d.update(format="chatgpt"),
    "no messages": lambda d: d.pop("messages"),
    "message is no object": lambda d: d["messages"].append("text"),
    "no conversation": lambda d: d.update(conversation=None),
    "title": lambda d: d["conversation"].update(title=7),
    "role": lambda d: d["messages"][0].update(role="tool"),
    "state": lambda d: d["messages"][0].update(state=["complete"]),
    "content": lambda d: d["messages"][0].pop("content"),
    "id": lambda d: d["messages"][0].update(id=True),
    "usage": lambda d: d["messages"][0].update(usage="fast"),
    "time": lambda d: d["messages"][0].update(created_at="yesterday"),
    "huge time": lambda d: d["messages"][0].update(created_at=10**400),
    "no time": lambda d: d["messages"][0].update(updated_at=float("nan")),
    "elapsed": lambda d: d["messages"][0].update(reasoning_elapsed_s=-1),
    "parent": lambda d: d["messages"][1].update(parent_id=9),
    "own parent": lambda d: d["messages"][1].update(parent_id=2),
    "twice": lambda d: d["messages"][1].update(id=1),
    "order": lambda d: d["messages"].reverse(),
    "leaf": lambda d: d["conversation"].update(leaf_id=9),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_export_is_refused(name: str) -> None:
    data = sample()
    conversation_from_json(json.dumps(data))
    BREAKS[name](data)
    with pytest.raises(BadInputError, match="not an exported conversation"):
        conversation_from_json(json.dumps(data))


def test_another_version_is_refused() -> None:
    with pytest.raises(BadInputError, match="another version"):
        conversation_from_json(json.dumps({**sample(), "version": 2}))


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "[" * 100_000, '"text"', "null"])
def test_what_is_no_export(text: str) -> None:
    with pytest.raises(BadInputError):
        conversation_from_json(text)


@given(content=st.text(), title=st.text(), usage=st.dictionaries(st.text(), st.integers()))
def test_any_text_comes_back(content: str, title: str, usage: dict[str, int]) -> None:
    conversation = Conversation(1, title, 1.5, 2.5, "demo", "s", True, None, 1)
    messages = [Message(1, 1, None, "assistant", content, title, usage=usage)]
    text = conversation_to_json(conversation, messages)
    assert conversation_from_json(text) == (conversation, messages)
