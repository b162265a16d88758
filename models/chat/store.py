"""Conversations on disk: a tree of messages in SQLite, nothing ever overwritten. No Qt here.

Editing a question or asking for another answer adds a sibling; a conversation remembers the leaf
of the branch that is shown. Used from one worker thread. Every method that changes something has
committed it, synced to the disk, when it returns.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.chat.answers import StreamingAnswers, text_so_far
from models.chat.conversation import Conversation, Message, MessageState, Role, SearchHit
from models.chat.database import Database, set_aside
from models.chat.rows import (
    CONVERSATION_COLUMNS,
    MESSAGE_COLUMNS,
    clean,
    conversation_from_row,
    fetch_conversation,
    fetch_message,
    fetch_messages,
    insert,
    insert_copy,
    no_conversation,
    no_message,
    usage_text,
)
from models.chat.search import search
from models.runtime.protocol import Usage

__all__ = [
    "Conversation",
    "ConversationStore",
    "Message",
    "MessageState",
    "Role",
    "SearchHit",
    "set_aside",
]

BUSY_TIMEOUT_S = 5.0
MAX_HITS = 200

_PATH = f"""
    WITH RECURSIVE path (id, parent) AS (
        SELECT id, parent_id FROM message WHERE id = :leaf AND conversation_id = :conversation
        UNION ALL
        SELECT message.id, message.parent_id FROM path JOIN message ON message.id = path.parent
    )
    SELECT {MESSAGE_COLUMNS} FROM path JOIN message ON message.id = path.id
"""
# Children are younger than their parents, so the youngest below a message is a leaf.
_NEWEST_LEAF = """
    WITH RECURSIVE below (conversation, id) AS (
        SELECT conversation_id, id FROM message WHERE id = ?
        UNION ALL
        SELECT below.conversation, message.id FROM below
        JOIN message ON message.conversation_id = below.conversation
            AND message.parent_id = below.id
    )
    SELECT max(id) FROM below
"""


class ConversationStore:
    """All conversations of a user; every method may raise ``StoreError``."""

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the file's path; it is opened by ``open``.

        Args:
            path: the file; created with its folder when missing.
            busy_timeout_s: how long to wait for another program before ``StoreLockedError``.
            clock: seconds since 1970.
        """
        self.path = path
        self._database = Database(path, busy_timeout_s)
        self._clock = clock
        self._answers = StreamingAnswers()

    def open(self) -> None:
        """Open the file, create or migrate it as needed.

        Raises:
            StoreVersionError: a newer Fathom wrote it; the file was not touched.
            StoreCorruptError: it is damaged; ``set_aside`` makes room for a new one.
            StoreLockedError: another program holds it.
            StoreError: its folder is missing or cannot be written to.
        """
        self._database.open()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> ConversationStore:
        self.open()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # --- conversations --------------------------------------------------------------------------

    def create_conversation(
        self, title: str = "", *, checkpoint: str = "", system_prompt: str = ""
    ) -> Conversation:
        """Begin a conversation."""
        now = self._clock()
        values = {
            "title": clean(title),
            "created_at": now,
            "updated_at": now,
            "checkpoint": clean(checkpoint),
            "system_prompt": clean(system_prompt),
        }
        with self._database.write() as connection:
            conversation_id = insert(connection, "conversation", values)
            return fetch_conversation(connection, conversation_id)

    def conversation(self, conversation_id: int) -> Conversation:
        """Return one conversation, deleted or not."""
        with self._database.read() as connection:
            return fetch_conversation(connection, conversation_id)

    def list_conversations(self, query: str = "") -> list[Conversation]:
        """Return the conversations, pinned ones first, then by their last change.

        With a query: those in which all its words occur in one message or in the title.
        """
        if query.strip():
            return [hit.conversation for hit in self.search(query, limit=-1, snippets=False)]
        return self._conversations("deleted_at IS NULL ORDER BY pinned DESC, updated_at DESC")

    def list_deleted(self) -> list[Conversation]:
        """Return what can be restored, last deleted first."""
        return self._conversations("deleted_at IS NOT NULL ORDER BY deleted_at DESC")

    def search(
        self, query: str, *, limit: int = MAX_HITS, snippets: bool = True
    ) -> list[SearchHit]:
        """Return where all words of the query occur, in the order of the list.

        Any text is safe. Quoted words must follow each other; the last word may be the beginning
        of a longer one. A ``limit`` of -1 means all.
        """
        with self._database.read() as connection:
            return search(connection, clean(query), limit, snippets=snippets)

    def rename(self, conversation_id: int, title: str) -> None:
        """Give a conversation another title."""
        self._set(conversation_id, "title", clean(title))

    def set_pinned(self, conversation_id: int, pinned: bool) -> None:
        """Keep a conversation at the top of the list, or no longer."""
        self._set(conversation_id, "pinned", int(pinned))

    def set_system_prompt(self, conversation_id: int, system_prompt: str) -> None:
        """Change what the checkpoint is told before the first message."""
        self._set(conversation_id, "system_prompt", clean(system_prompt))

    def set_checkpoint(self, conversation_id: int, checkpoint: str) -> None:
        """Remember the checkpoint that answers here."""
        self._set(conversation_id, "checkpoint", checkpoint)

    def delete(self, conversation_id: int) -> None:
        """Take a conversation out of the list and the search; ``restore`` undoes it."""
        self._set(conversation_id, "deleted_at", self._clock())

    def restore(self, conversation_id: int) -> None:
        """Undo ``delete``."""
        self._set(conversation_id, "deleted_at", None)

    def purge_deleted(self, *, older_than_s: float = 0.0) -> int:
        """Remove for good what was deleted at least ``older_than_s`` ago; return how many.

        The text is overwritten in the file, in its index and in its log.
        """
        which = "SELECT id FROM conversation WHERE deleted_at <= :latest"
        values = {"latest": self._clock() - older_than_s}
        with self._database.write() as connection:
            connection.execute(
                f"UPDATE conversation SET leaf_id = NULL WHERE id IN ({which})", values
            )
            connection.execute(f"DELETE FROM message WHERE conversation_id IN ({which})", values)
            count = connection.execute(
                "DELETE FROM conversation WHERE deleted_at <= :latest", values
            ).rowcount
            if count:
                # Removed entries stay readable in the index until its parts are merged.
                for table in ("message_search", "title_search"):
                    connection.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")
        if count:
            with self._database.outside_transaction() as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    # --- messages -------------------------------------------------------------------------------

    def add_message(
        self,
        conversation_id: int,
        parent_id: int | None,
        role: Role,
        content: str,
        *,
        state: MessageState = "complete",
        reasoning: str = "",
        checkpoint: str = "",
    ) -> Message:
        """Add a message below ``parent_id`` (None: a first one) and make it the leaf.

        An answer is added with ``state="streaming"`` before its first token is there, then fed
        through ``update_answer`` and ended by ``finish_answer``.
        """
        now = self._clock()
        values = {
            "conversation_id": conversation_id,
            "parent_id": parent_id,
            "role": role,
            "content": clean(content),
            "reasoning": clean(reasoning),
            "state": state,
            "created_at": now,
            "updated_at": now,
            "checkpoint": clean(checkpoint),
            "writer": self._answers.writer if state == "streaming" else "",
        }
        with self._database.write() as connection:
            message_id = insert(connection, "message", values)
            connection.execute(
                "UPDATE conversation SET leaf_id = ?, updated_at = ? WHERE id = ?",
                (message_id, now, conversation_id),
            )
            message = fetch_message(connection, message_id)
        if state == "streaming":
            self._answers.remember(message_id, message.content, message.reasoning)
        return message

    def update_answer(self, message_id: int, content: str, reasoning: str = "") -> None:
        """Commit the whole text so far of a streaming answer.

        Only what is new is written. The text enters the search when the answer is finished.

        Raises:
            StoreError: there is no such answer, or it is finished.
        """
        content, reasoning = clean(content), clean(reasoning)
        with self._database.write() as connection:
            self._answers.append(connection, message_id, content, reasoning)
        self._answers.remember(message_id, content, reasoning)

    def finish_answer(
        self,
        message_id: int,
        content: str,
        reasoning: str = "",
        state: MessageState = "complete",
        usage: Usage | Mapping[str, Any] | None = None,
        *,
        reasoning_elapsed_s: float | None = None,
    ) -> Message:
        """Commit the final text, figures and state of an answer; return the message.

        Raises:
            ValueError: ``state`` is "streaming".
            StoreError: there is no such message.
        """
        if state == "streaming":
            raise ValueError("a finished answer is not streaming")
        now = self._clock()
        values = (clean(content), clean(reasoning), state, usage_text(usage), reasoning_elapsed_s)
        with self._database.write() as connection:
            row = connection.execute(
                "UPDATE message SET content = ?, reasoning = ?, state = ?, usage = ?,"
                " reasoning_elapsed_s = ?, updated_at = ?, writer = '' WHERE id = ?"
                " RETURNING conversation_id",
                (*values, now, message_id),
            ).fetchone()
            if row is None:
                raise no_message(message_id)
            connection.execute("DELETE FROM answer_part WHERE message_id = ?", (message_id,))
            connection.execute("UPDATE conversation SET updated_at = ? WHERE id = ?", (now, *row))
            message = fetch_message(connection, message_id)
        self._answers.forget(message_id)
        return message

    def recover(self) -> int:
        """Mark answers that a crash left streaming as interrupted; return how many.

        Those that another running Fathom is writing are left alone.
        """
        now = self._clock()
        with self._database.write() as connection:
            streaming = connection.execute(
                "SELECT id, writer, created_at FROM message WHERE state = 'streaming'"
            ).fetchall()
            left = [row[0] for row in streaming if self._answers.is_left_behind(row[1], row[2])]
            for message_id in left:
                text = text_so_far(connection, message_id)
                connection.execute(
                    "UPDATE message SET content = ?, reasoning = ?, state = 'interrupted',"
                    " updated_at = ?, writer = '' WHERE id = ?",
                    (*text, now, message_id),
                )
                connection.execute("DELETE FROM answer_part WHERE message_id = ?", (message_id,))
        return len(left)

    def message(self, message_id: int) -> Message:
        """Return one message; a streaming one with its text so far."""
        with self._database.read() as connection:
            return fetch_message(connection, message_id)

    def messages(self, conversation_id: int) -> list[Message]:
        """Return all messages of a conversation, every branch, in creation order."""
        return self._messages(
            f"SELECT {MESSAGE_COLUMNS} FROM message WHERE conversation_id = ? ORDER BY id",
            (conversation_id,),
        )

    def path_to_leaf(self, conversation_id: int, leaf_id: int | None = None) -> list[Message]:
        """Return the branch that ends in ``leaf_id`` (None: the one that is shown), first first.

        Any message may be given; the branch ends there.
        """
        if leaf_id is None:
            leaf_id = self.conversation(conversation_id).leaf_id
        branch = self._messages(_PATH, {"leaf": leaf_id, "conversation": conversation_id})
        # Younger ones have higher ids; sorting here spares SQLite from copying every text.
        return sorted(branch, key=lambda message: message.id)

    def siblings(self, message_id: int) -> list[Message]:
        """Return the message and the others with its parent, in creation order."""
        found = self._messages(
            f"SELECT {MESSAGE_COLUMNS} FROM message, (SELECT conversation_id AS conversation,"
            " parent_id AS parent FROM message WHERE id = ?)"
            " WHERE conversation_id = conversation AND parent_id IS parent ORDER BY id",
            (message_id,),
        )
        if not found:
            raise no_message(message_id)
        return found

    def children(self, conversation_id: int) -> dict[int | None, tuple[int, ...]]:
        """Return the whole tree as ids: the children of each message, in creation order.

        The first messages are the children of None. One query, whatever the length.
        """
        tree: dict[int | None, tuple[int, ...]] = {}
        with self._database.read() as connection:
            for parent_id, message_id in connection.execute(
                "SELECT parent_id, id FROM message WHERE conversation_id = ? ORDER BY id",
                (conversation_id,),
            ):
                tree[parent_id] = (*tree.get(parent_id, ()), message_id)
        return tree

    def newest_leaf(self, message_id: int) -> int:
        """Return the leaf made last below a message (itself when it has no answers)."""
        with self._database.read() as connection:
            leaf_id = connection.execute(_NEWEST_LEAF, (message_id,)).fetchone()[0]
        if leaf_id is None:
            raise no_message(message_id)
        return int(leaf_id)

    def set_leaf(self, conversation_id: int, message_id: int | None) -> None:
        """Choose the branch that is shown, by its last message.

        To go to a sibling, give ``newest_leaf(sibling_id)``.

        Raises:
            StoreError: the message is not of this conversation.
        """
        self._set(conversation_id, "leaf_id", message_id)

    # --- the file -------------------------------------------------------------------------------

    def import_conversation(
        self, conversation: Conversation, messages: Sequence[Message]
    ) -> Conversation:
        """Add a conversation from elsewhere, whole or not at all, under new ids.

        Parents come before their children in ``messages``; what was streaming is interrupted.

        Raises:
            StoreError: a parent is missing.
        """
        with self._database.write() as connection:
            conversation_id = insert_copy(connection, conversation, messages)
            return fetch_conversation(connection, conversation_id)

    def problems(self) -> list[str]:
        """Check the whole file, its references and its search index; return what is wrong.

        Reads everything: for a doctor, not for every start.
        """
        with self._database.write() as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            found += [
                f"lost reference: {row}" for row in connection.execute("PRAGMA foreign_key_check")
            ]
            for table in ("message_search", "title_search"):
                try:
                    connection.execute(
                        f"INSERT INTO {table} ({table}, rank) VALUES ('integrity-check', 1)"
                    )
                except sqlite3.DatabaseError as error:
                    found.append(f"{table}: {error}")
        return [problem for problem in found if problem != "ok"]

    # --- inside ---------------------------------------------------------------------------------

    def _set(self, conversation_id: int, column: str, value: str | float | None) -> None:
        with self._database.write() as connection:
            cursor = connection.execute(
                f"UPDATE conversation SET {column} = ? WHERE id = ?", (value, conversation_id)
            )
            if not cursor.rowcount:
                raise no_conversation(conversation_id)

    def _conversations(self, which: str) -> list[Conversation]:
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {CONVERSATION_COLUMNS} FROM conversation WHERE {which}, id DESC"
            ).fetchall()
        return [conversation_from_row(row) for row in rows]

    def _messages(self, query: str, values: Sequence[Any] | Mapping[str, Any]) -> list[Message]:
        with self._database.read() as connection:
            return fetch_messages(connection, query, values)
