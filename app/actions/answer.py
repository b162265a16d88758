"""The answer being written: what has arrived, for how long it thought, when to commit it."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from models.chat.conversation import Message
from models.runtime.protocol import Usage


@dataclass(frozen=True)
class WaitingAnswer:
    """An answer that is to be written as soon as the engine is free.

    Attributes:
        parent_id: the message it answers.
        continued_id: the answer to go on with; None for a new one.
    """

    conversation_id: int
    parent_id: int
    continued_id: int | None = None


class LiveAnswer:
    """Collects one answer. Main thread only."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.request_id: int | None = None
        self.is_stopping = False
        self.is_committing = False
        self.prompt_tokens = 0
        self.reasoning_tokens = int((message.usage or {}).get("reasoning_tokens") or 0)
        self._text = [message.content]
        self._reasoning = [message.reasoning]
        self._dirty = False
        self._began_s = time.monotonic()
        self._reasoning_began_s: float | None = None
        self._reasoning_ended_s: float | None = None
        self._earlier_reasoning_s = message.reasoning_elapsed_s

    @property
    def content(self) -> str:
        """The answer so far."""
        return _joined(self._text)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return _joined(self._reasoning)

    @property
    def reasoning_elapsed_s(self) -> float | None:
        """For how long it has thought; None when it did not."""
        if self._reasoning_began_s is None:
            return self._earlier_reasoning_s
        end_s = self._reasoning_ended_s or time.monotonic()
        return end_s - self._reasoning_began_s + (self._earlier_reasoning_s or 0.0)

    def take(self, text: str, reasoning: str, tokens: int) -> None:
        """Add what has just arrived."""
        now_s = time.monotonic()
        if reasoning:
            self._reasoning.append(reasoning)
            self.reasoning_tokens += tokens if not text else 0
            if self._reasoning_began_s is None:
                self._reasoning_began_s = now_s
        if text:
            self._text.append(text)
            if self._reasoning_began_s is not None and self._reasoning_ended_s is None:
                self._reasoning_ended_s = now_s
        self._dirty = True

    def so_far(self) -> Message:
        """Return the message with what has arrived."""
        return dataclasses.replace(
            self.message,
            content=self.content,
            reasoning=self.reasoning,
            reasoning_elapsed_s=self.reasoning_elapsed_s,
        )

    def take_dirty(self) -> bool:
        """Tell whether there is something to commit, and take that as done."""
        dirty, self._dirty = self._dirty, False
        return dirty

    def usage(self, usage: Usage | None, stop_reason: str) -> dict[str, Any]:
        """Return the figures to keep with the answer."""
        figures: dict[str, Any] = {}
        if usage is not None:
            figures = {
                field.name: getattr(usage, field.name)
                for field in dataclasses.fields(usage)
                if field.name != "devices"
            }
        figures["stop_reason"] = stop_reason
        if self.reasoning_tokens:
            figures["reasoning_tokens"] = self.reasoning_tokens
        return figures


def _joined(parts: list[str]) -> str:
    if len(parts) > 1:
        parts[:] = ["".join(parts)]
    return parts[0]
