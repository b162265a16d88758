"""One request of a program: where it stands, and how it ends in words of HTTP. No Qt here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from models.api.protocol import ApiUsage, Failed, Question
from models.errors import (
    BadInputError,
    ContextTooLargeError,
    EngineBusyError,
    EngineError,
    FathomError,
    PromptTooLongError,
)
from models.runtime.protocol import Delta, Usage
from models.runtime.turns import Turn

RequestState = Literal["waiting", "answering", "done", "failed", "gone"]

# After which asking again makes sense while the engine does something else.
BUSY_RETRY_S = 5
# Whatever a client calls a model; shown in lists.
_NAME_CHARS = 80


@dataclass(frozen=True)
class Awaited:
    """Nothing is loaded, and something will be by itself, in about ``wait_s`` seconds."""

    wait_s: float


@dataclass(frozen=True)
class RequestNote:
    """What may be shown of a request: figures, and never a word of what was asked or answered.

    Attributes:
        id: counts the requests of this server; the same in every note of a request.
        model: the checkpoint that answers; as the client named it where there is none.
        elapsed_s: since it was asked for.
        error: one sentence, of a request that failed.
    """

    id: int
    model: str
    state: RequestState
    prompt_tokens: int = 0
    completion_tokens: int = 0
    decode_tok_s: float = 0.0
    elapsed_s: float = 0.0
    error: str = ""


class ApiRequest:
    """One request from its question to its end. Its desk's lock guards it.

    Attributes:
        id: the child's, for replies.
        number: the one that people are shown.
        state: ``waiting`` until it is its turn, ``answering`` until the engine has ended.
        is_gone: nobody waits for the answer any more.
        is_stopped: this program wants it to end.
        told_ahead: how many were before it when its client was told last.
    """

    def __init__(self, request_id: int, number: int, question: Question) -> None:
        self.id = request_id
        self.number = number
        self.question = question
        self.model = question.model[:_NAME_CHARS]
        self.state: RequestState = "waiting"
        self.turn: Turn | None = None
        self.engine_id: int | None = None
        self.is_gone = False
        self.is_stopped = False
        self.has_begun = False
        self.told_ahead: int | None = None
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._reasoning_tokens = 0
        self._began_s = time.monotonic()

    @property
    def has_ended(self) -> bool:
        """Whether its last word was said."""
        return self.state in ("done", "failed", "gone")

    @property
    def must_end(self) -> bool:
        """Whether the engine need not answer it any more."""
        return self.is_gone or self.is_stopped

    def count(self, delta: Delta) -> None:
        """Take note of a piece of the answer."""
        self.completion_tokens += delta.tokens
        if delta.reasoning and not delta.text:
            self._reasoning_tokens += delta.tokens

    def usage(self, usage: Usage) -> ApiUsage:
        """Return the engine's figures as the client gets them."""
        return ApiUsage(
            prompt_tokens=usage.prompt_tokens,
            reused_tokens=usage.reused_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=min(self._reasoning_tokens, usage.completion_tokens),
            ttft_s=usage.ttft_s,
            prefill_tok_s=usage.prefill_tok_s,
            decode_tok_s=usage.decode_tok_s,
            elapsed_s=usage.elapsed_s,
            seed=usage.seed,
        )

    def note(self, usage: Usage | None = None, error: str = "") -> RequestNote:
        """Return what may be shown of it now."""
        return RequestNote(
            id=self.number,
            model=self.model,
            state=self.state,
            prompt_tokens=usage.prompt_tokens if usage else self.prompt_tokens,
            completion_tokens=usage.completion_tokens if usage else self.completion_tokens,
            decode_tok_s=usage.decode_tok_s if usage else 0.0,
            elapsed_s=time.monotonic() - self._began_s,
            error=error,
        )


def stopped(request_id: int) -> Failed:
    """Return the end of a request that this program stopped."""
    return Failed(request_id, 503, "stopped", "The answer was stopped.")


def failed(request_id: int, error: FathomError) -> Failed:
    """Return the end of a request that failed, with the status that fits."""
    code, status, retry_s = error.code, 500, 0
    if isinstance(error, (PromptTooLongError, ContextTooLargeError)):
        # OpenAI's word for it, which clients look for.
        code, status = "context_length_exceeded", 400
    elif isinstance(error, BadInputError):
        status = 400
    elif isinstance(error, EngineBusyError):
        status, retry_s = 503, BUSY_RETRY_S
    elif not isinstance(error, EngineError):
        code = "internal"
    return Failed(request_id, status, code, error.message, error.hint, retry_s)
