"""Reads a conversation out of a file, which may be a stranger's: bounded and checked. No Qt here.

What the tree of messages has to hold to is checked by ``conversation_from_json``; here is what
only matters for text that this program did not write itself.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.chat.conversation import Conversation, Message
from models.chat.export import conversation_from_json
from models.errors import BadInputError, DiskError
from models.units import format_bytes

# Some four million tokens of text.
MAX_FILE_BYTES = 16 * 1024**2
MAX_MESSAGES = 10_000
# A title stands in a row of the list, a checkpoint's name in a tooltip.
MAX_NAME_CHARS = 1_000
# Beyond any count of tokens or bytes, and any time, that an answer can have.
_MAX_FIGURE = 1e15
# Of an answer's figures (``LiveAnswer.usage``) those that are counts, and those that are not whole.
_COUNTS = frozenset(
    (
        "prompt_tokens", "reused_tokens", "completion_tokens", "reasoning_tokens", "seed",
        "context_used", "context_total", "peak_rss_bytes",
    )
)  # fmt: skip
_RATES = frozenset(("ttft_s", "prefill_tok_s", "decode_tok_s", "elapsed_s"))
_MAX_STOP_REASON_CHARS = 40


def read_export(path: Path) -> tuple[Conversation, list[Message]]:
    """Read a file that ``write_export`` made as JSON, on this machine or another.

    Titles and names are cut to ``MAX_NAME_CHARS``, a time to come becomes now, and of an answer's
    figures those are kept that can be some.

    Raises:
        BadInputError: it is no such file, or larger than any conversation is.
        DiskError: it cannot be read.
    """
    try:
        text = _read(path).decode("utf-8-sig")
        conversation, messages = conversation_from_json(text)
    except UnicodeDecodeError as error:
        raise _refusal(path, f"not UTF-8: {error.reason}") from error
    except BadInputError as error:
        message = error.message.replace("The file", path.name, 1)
        raise BadInputError(message, hint=error.hint, details=error.details) from error
    if len(messages) > MAX_MESSAGES:
        raise _refusal(path, f"{len(messages)} messages; {MAX_MESSAGES} can be imported")
    if conversation.leaf_id is None and messages:
        # Nothing would be seen of it: the page shows the branch that was chosen.
        conversation = dataclasses.replace(conversation, leaf_id=messages[-1].id)
    return _believable(conversation), [_believable_message(message) for message in messages]


def _read(path: Path) -> bytes:
    # Opening a pipe would wait for somebody to write into it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refusal(path, "not a regular file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DiskError(f"{path.name} cannot be read.", details=str(error)) from error
    if len(content) > MAX_FILE_BYTES:
        raise BadInputError(
            f"{path.name} is too large for a conversation.",
            hint=f"Up to {format_bytes(MAX_FILE_BYTES)} can be imported.",
        )
    return content


def _believable(conversation: Conversation) -> Conversation:
    now = time.time()
    return dataclasses.replace(
        conversation,
        title=_name(conversation.title),
        checkpoint=_name(conversation.checkpoint),
        created_at=min(conversation.created_at, now),
        updated_at=min(conversation.updated_at, now),
    )


def _believable_message(message: Message) -> Message:
    usage = None if message.usage is None else _figures(message.usage)
    return dataclasses.replace(message, checkpoint=_name(message.checkpoint), usage=usage)


def _name(text: str) -> str:
    """Return a name as it fits into one line."""
    text = " ".join(text.split())
    return text if len(text) <= MAX_NAME_CHARS else text[: MAX_NAME_CHARS - 1].rstrip() + "…"


def _figures(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what pages can show and add up; they take it for granted that figures are numbers."""
    kept: dict[str, Any] = {}
    for name, value in usage.items():
        # In Python True is an int.
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name in _COUNTS and isinstance(value, int) and is_number:
            if -1 <= value <= _MAX_FIGURE:
                kept[name] = value
        elif name in _RATES and is_number:
            if 0 <= value <= _MAX_FIGURE:
                kept[name] = float(value)
        elif name == "stop_reason" and isinstance(value, str):
            kept[name] = value[:_MAX_STOP_REASON_CHARS]
    return kept


def _refusal(path: Path, details: str) -> BadInputError:
    return BadInputError(
        f"{path.name} is not an exported conversation.",
        hint="Fathom reads what it exported itself, as JSON.",
        details=details,
    )
