"""Between rows of the conversation file and the dataclasses. No Qt here."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from models.chat.answers import text_so_far
from models.chat.conversation import Conversation, Message
from models.errors import StoreError
from models.runtime.protocol import Usage, to_json

CONVERSATION_COLUMNS = (
    "conversation.id, title, created_at, updated_at, checkpoint, system_prompt, pinned,"
    " deleted_at, leaf_id"
)
MESSAGE_COLUMNS = (
    "message.id, conversation_id, parent_id, role, content, reasoning, state, created_at,"
    " updated_at, checkpoint, usage, reasoning_elapsed_s"
)


def insert(connection: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> int:
    """Insert a row under these column names; return its id."""
    marks = ", ".join("?" * len(values))
    cursor = connection.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
    )
    # Only None before the first insert.
    return cursor.lastrowid or 0


def conversation_from_row(row: Sequence[Any]) -> Conversation:
    """Build a conversation from ``CONVERSATION_COLUMNS``."""
    fields = list(row)
    fields[6] = bool(fields[6])
    return Conversation(*fields)


def message_from_row(row: Sequence[Any]) -> Message:
    """Build a message from ``MESSAGE_COLUMNS``."""
    fields = list(row)
    fields[10] = json.loads(fields[10]) if fields[10] else None
    return Message(*fields)


def fetch_conversation(connection: sqlite3.Connection, conversation_id: int) -> Conversation:
    """Read one conversation.

    Raises:
        StoreError: there is none with this id.
    """
    row = connection.execute(
        f"SELECT {CONVERSATION_COLUMNS} FROM conversation WHERE id = ?", (conversation_id,)
    ).fetchone()
    if row is None:
        raise no_conversation(conversation_id)
    return conversation_from_row(row)


def fetch_messages(
    connection: sqlite3.Connection, query: str, values: Sequence[Any] | Mapping[str, Any]
) -> list[Message]:
    """Read messages by a query for ``MESSAGE_COLUMNS``, streaming ones with their text so far."""
    messages = [message_from_row(row) for row in connection.execute(query, values)]
    for place, message in enumerate(messages):
        if message.state == "streaming":
            content, reasoning = text_so_far(connection, message.id)
            messages[place] = dataclasses.replace(message, content=content, reasoning=reasoning)
    return messages


def fetch_message(connection: sqlite3.Connection, message_id: int) -> Message:
    """Read one message.

    Raises:
        StoreError: there is none with this id.
    """
    query = f"SELECT {MESSAGE_COLUMNS} FROM message WHERE id = ?"
    found = fetch_messages(connection, query, (message_id,))
    if not found:
        raise no_message(message_id)
    return found[0]


def insert_copy(
    connection: sqlite3.Connection, conversation: Conversation, messages: Sequence[Message]
) -> int:
    """Write a conversation from elsewhere under new ids; return its id.

    Raises:
        StoreError: a message comes before its parent, or its parent is missing.
    """
    conversation_id = insert(
        connection,
        "conversation",
        {
            "title": clean(conversation.title),
            "created_at": conversation.created_at,
            "updated_at": conversation.updated_at,
            "checkpoint": clean(conversation.checkpoint),
            "system_prompt": clean(conversation.system_prompt),
            "pinned": int(conversation.pinned),
        },
    )
    new_ids: dict[int | None, int | None] = {None: None}
    for message in messages:
        if message.parent_id not in new_ids:
            raise StoreError("A message's parent is missing.", details=f"message {message.id}")
        values = {
            "conversation_id": conversation_id,
            "parent_id": new_ids[message.parent_id],
            "role": message.role,
            "content": clean(message.content),
            "reasoning": clean(message.reasoning),
            "state": "interrupted" if message.state == "streaming" else message.state,
            "created_at": message.created_at,
            "updated_at": message.updated_at,
            "checkpoint": clean(message.checkpoint),
            "usage": usage_text(message.usage),
            "reasoning_elapsed_s": message.reasoning_elapsed_s,
        }
        new_ids[message.id] = insert(connection, "message", values)
    connection.execute(
        "UPDATE conversation SET leaf_id = ? WHERE id = ?",
        (new_ids.get(conversation.leaf_id), conversation_id),
    )
    return conversation_id


def usage_text(usage: Usage | Mapping[str, Any] | None) -> str | None:
    """Return the figures of an answer as they are stored."""
    return None if usage is None else clean(json.dumps(to_json(usage), ensure_ascii=False))


def clean(text: str) -> str:
    """Return text that can be written as UTF-8.

    Text from Qt's clipboard may hold halves of a surrogate pair: pairs are put together, lone
    halves become U+FFFD.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def no_conversation(conversation_id: int) -> StoreError:
    """Return the error for an id that leads nowhere."""
    return StoreError(
        "That conversation is no longer there.", details=f"conversation {conversation_id}"
    )


def no_message(message_id: int) -> StoreError:
    """Return the error for an id that leads nowhere."""
    return StoreError("That message is no longer there.", details=f"message {message_id}")
