"""What a conversation is made of: plain frozen data, a tree of messages. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["user", "assistant", "system"]
MessageState = Literal["complete", "streaming", "cancelled", "interrupted", "failed"]
ROLES: tuple[Role, ...] = ("user", "assistant", "system")
MESSAGE_STATES: tuple[MessageState, ...] = (
    "complete",
    "streaming",
    "cancelled",
    "interrupted",
    "failed",
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation without its messages.

    Attributes:
        created_at: seconds since 1970 (UTC), as all times here.
        updated_at: when the last message was added or finished.
        checkpoint: name of the checkpoint last used; empty when there was none.
        deleted_at: when it was deleted; None unless it waits to be purged.
        leaf_id: the last message of the branch that is shown; None without messages.
    """

    id: int
    title: str
    created_at: float
    updated_at: float
    checkpoint: str = ""
    system_prompt: str = ""
    pinned: bool = False
    deleted_at: float | None = None
    leaf_id: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message; those with the same parent are siblings, made by editing or regenerating.

    Attributes:
        state: ``streaming`` while an answer arrives, ``cancelled`` when the user stopped it,
            ``interrupted`` when the program ended first, ``failed`` when the engine did.
        usage: the figures of an answer (``ttft_s``, ``decode_tok_s`` ...), as in the protocol.
        reasoning_elapsed_s: how long the checkpoint thought; None when it did not.
    """

    id: int
    conversation_id: int
    parent_id: int | None
    role: Role
    content: str
    reasoning: str = ""
    state: MessageState = "complete"
    created_at: float = 0.0
    updated_at: float = 0.0
    checkpoint: str = ""
    usage: dict[str, Any] | None = None
    reasoning_elapsed_s: float | None = None


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A conversation in which a search found something.

    Attributes:
        message_id: the newest message that matches; None when only the title does.
        snippet: one line of text around the match.
        marks: where in ``snippet`` the words searched for are, as (start, end) positions.
    """

    conversation: Conversation
    message_id: int | None
    snippet: str
    marks: tuple[tuple[int, int], ...]
