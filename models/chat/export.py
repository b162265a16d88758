"""Conversations as Markdown to read and as JSON to keep; JSON comes back whole. No Qt here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from models.chat.conversation import MESSAGE_STATES, ROLES, Conversation, Message
from models.errors import BadInputError

JSON_FORMAT = "fathom-conversation"
JSON_VERSION = 1

_T = TypeVar("_T")
_MISSING = object()
_STATE_NOTES = {
    "cancelled": "(stopped)",
    "interrupted": "(interrupted)",
    "failed": "(failed)",
    "streaming": "(still being written)",
}
# The end of the year 9999.
_LAST_SECOND = 253_402_300_799


def conversation_to_markdown(conversation: Conversation, path: Sequence[Message]) -> str:
    """Return the branch ``path`` as a Markdown document; times are UTC."""
    began = datetime.fromtimestamp(conversation.created_at, UTC)
    facts = [f"{began:%Y-%m-%d %H:%M} UTC"]
    if conversation.checkpoint:
        facts.append(_inline(conversation.checkpoint))
    parts = [f"# {_inline(conversation.title) or 'Conversation'}", f"*{', '.join(facts)}*"]
    if conversation.system_prompt.strip():
        parts += ["## System", conversation.system_prompt.strip()]
    for message in path:
        parts += _message_parts(message, conversation.checkpoint)
    return "\n\n".join(parts) + "\n"


def conversation_to_json(conversation: Conversation, messages: Sequence[Message]) -> str:
    """Return a conversation with all its branches as JSON; times are seconds since 1970."""
    data = {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "conversation": dataclasses.asdict(conversation),
        "messages": [dataclasses.asdict(message) for message in messages],
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def conversation_from_json(text: str) -> tuple[Conversation, list[Message]]:
    """Read what ``conversation_to_json`` wrote; ``ConversationStore.import_conversation`` takes it.

    Raises:
        BadInputError: it is not such a file, or its tree does not hold together.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(f"not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != JSON_FORMAT:
        raise _bad("no Fathom conversation")
    if data.get("version") != JSON_VERSION:
        raise BadInputError(
            "The conversation was exported by another version of Fathom.",
            hint="Update Fathom to import it.",
        )
    if not isinstance(data.get("messages"), list):
        raise _bad("no messages")
    conversation = _conversation(data.get("conversation"))
    messages = [_message(item, conversation.id) for item in data["messages"]]
    _check_tree(conversation, messages)
    return conversation, messages


def _message_parts(message: Message, checkpoint: str) -> list[str]:
    if message.role == "assistant":
        name = _inline(message.checkpoint or checkpoint) or "Answer"
    else:
        name = "You" if message.role == "user" else "System"
    parts = [f"## {name}"]
    if message.reasoning.strip():
        thought = "\n".join(f"> {line}".rstrip() for line in message.reasoning.strip().splitlines())
        parts.append(f"> *Reasoning*\n>\n{thought}")
    if message.content.strip():
        parts.append(message.content.strip("\n"))
    if message.state in _STATE_NOTES:
        parts.append(f"*{_STATE_NOTES[message.state]}*")
    return parts


def _inline(text: str) -> str:
    return " ".join(text.split())


def _conversation(data: Any) -> Conversation:
    item = _object(data)
    return Conversation(
        id=_field(item, "id", int, 0),
        title=_field(item, "title", str),
        created_at=_seconds(item, "created_at"),
        updated_at=_seconds(item, "updated_at"),
        checkpoint=_field(item, "checkpoint", str, ""),
        system_prompt=_field(item, "system_prompt", str, ""),
        pinned=_field(item, "pinned", bool, False),
        leaf_id=_optional(item, "leaf_id", int),
    )


def _message(data: Any, conversation_id: int) -> Message:
    item = _object(data)
    thought = item.get("reasoning_elapsed_s") is not None
    return Message(
        id=_field(item, "id", int),
        conversation_id=conversation_id,
        parent_id=_optional(item, "parent_id", int),
        role=_one_of(item, "role", ROLES),
        content=_field(item, "content", str),
        reasoning=_field(item, "reasoning", str, ""),
        state=_one_of(item, "state", MESSAGE_STATES),
        created_at=_seconds(item, "created_at"),
        updated_at=_seconds(item, "updated_at"),
        checkpoint=_field(item, "checkpoint", str, ""),
        usage=_optional(item, "usage", dict),
        reasoning_elapsed_s=_seconds(item, "reasoning_elapsed_s") if thought else None,
    )


def _check_tree(conversation: Conversation, messages: Sequence[Message]) -> None:
    known: set[int | None] = {None}
    for message in messages:
        if message.parent_id not in known:
            raise _bad(f"message {message.id} comes before its parent, or has none")
        if message.id in known:
            raise _bad(f"message {message.id} is there twice")
        known.add(message.id)
    if conversation.leaf_id not in known:
        raise _bad("the chosen branch is missing")


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _bad("an object is missing")
    return data


def _field(item: dict[str, Any], name: str, kind: Any, default: Any = _MISSING) -> Any:
    value = item.get(name, default)
    # In Python True is an int; in JSON it is not a number.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _bad(f"{name} is missing or malformed")
    return value


def _seconds(item: dict[str, Any], name: str) -> float:
    value = _field(item, name, (int, float))
    if not 0 <= value <= _LAST_SECOND:
        raise _bad(f"{name} is out of range")
    return float(value)


def _optional(item: dict[str, Any], name: str, kind: Any) -> Any:
    return None if item.get(name) is None else _field(item, name, kind)


def _one_of(item: dict[str, Any], name: str, choices: Sequence[_T]) -> _T:
    value = item.get(name)
    for choice in choices:
        if value == choice:
            return choice
    raise _bad(f"{name} is missing or unknown")


def _bad(details: str) -> BadInputError:
    return BadInputError(
        "The file is not an exported conversation.",
        hint="Fathom reads what it exported itself, as JSON.",
        details=details,
    )
