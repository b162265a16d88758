"""Answers while they stream: each update writes only what is new. No Qt here.

The text so far of a streaming answer lies in ``answer_part``, one row an update, and moves into
its message when the answer ends. A long answer therefore costs the disk what it is long, not
its length times the number of updates.
"""

from __future__ import annotations

import os
import sqlite3
import uuid

from models.errors import StoreError

# Slack between a process's start and the clock that its messages are dated with.
_CLOCK_SLACK_S = 5.0


class StreamingAnswers:
    """The answers that one open store is writing."""

    def __init__(self) -> None:
        # Names who writes a message, so that a second Fathom does not take it for left behind.
        self.writer = f"{os.getpid()}:{uuid.uuid4().hex}"
        self._texts: dict[int, tuple[str, str]] = {}

    def append(
        self, connection: sqlite3.Connection, message_id: int, content: str, reasoning: str
    ) -> bool:
        """Write what the answer gained; return whether there was anything.

        Raises:
            StoreError: there is no such answer, or it is finished.
        """
        old_content, old_reasoning = self._text_before(connection, message_id)
        if (content, reasoning) == (old_content, old_reasoning):
            return False
        if content.startswith(old_content) and reasoning.startswith(old_reasoning):
            new = (content[len(old_content) :], reasoning[len(old_reasoning) :])
        else:
            connection.execute("DELETE FROM answer_part WHERE message_id = ?", (message_id,))
            connection.execute(
                "UPDATE message SET content = '', reasoning = '' WHERE id = ?", (message_id,)
            )
            new = (content, reasoning)
        connection.execute(
            "INSERT INTO answer_part (message_id, number, content, reasoning) VALUES (?,"
            " (SELECT coalesce(max(number), 0) + 1 FROM answer_part WHERE message_id = ?), ?, ?)",
            (message_id, message_id, *new),
        )
        return True

    def remember(self, message_id: int, content: str, reasoning: str) -> None:
        """Keep what is committed now."""
        self._texts[message_id] = (content, reasoning)

    def forget(self, message_id: int) -> None:
        """Drop an answer that is finished."""
        self._texts.pop(message_id, None)

    def is_left_behind(self, writer: str, created_at: float) -> bool:
        """Return whether nobody writes this answer any more."""
        pid_text, _, _ = writer.partition(":")
        if writer == self.writer:
            return False
        # Another store of this very process: it was closed, or this would be the same store.
        if not pid_text.isdigit() or int(pid_text) == os.getpid():
            return True
        return not _was_running(int(pid_text), created_at)

    def _text_before(self, connection: sqlite3.Connection, message_id: int) -> tuple[str, str]:
        row = connection.execute(
            "SELECT state, writer FROM message WHERE id = ?", (message_id,)
        ).fetchone()
        if row is None:
            raise StoreError("That message is no longer there.", details=f"message {message_id}")
        state, writer = row
        if state not in ("streaming", "interrupted"):
            raise StoreError("That answer is already finished.", details=f"message {message_id}")
        if state == "streaming" and writer == self.writer and message_id in self._texts:
            return self._texts[message_id]
        # An answer taken for left behind, whose writer is alive after all, goes on.
        connection.execute(
            "UPDATE message SET state = 'streaming', writer = ? WHERE id = ?",
            (self.writer, message_id),
        )
        return text_so_far(connection, message_id)


def text_so_far(connection: sqlite3.Connection, message_id: int) -> tuple[str, str]:
    """Return content and reasoning of a streaming answer."""
    parts = connection.execute(
        "SELECT content, reasoning FROM message WHERE id = ?", (message_id,)
    ).fetchall()
    parts += connection.execute(
        "SELECT content, reasoning FROM answer_part WHERE message_id = ? ORDER BY number",
        (message_id,),
    ).fetchall()
    return "".join(part[0] for part in parts), "".join(part[1] for part in parts)


def _was_running(pid: int, moment: float) -> bool:
    """Return whether the process with this id lives and did so at ``moment`` already."""
    import psutil

    try:
        started = float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return started <= moment + _CLOCK_SLACK_S
