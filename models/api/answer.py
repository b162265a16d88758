"""What the parent answers, as the JSON and the server-sent events of OpenAI's and DeepSeek's API.

Pure functions; who sends it, and when, is ``exchange.py``. No Qt here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from models.api.protocol import ApiUsage, ServedModel
from models.api.refusal import Refusal
from models.runtime.protocol import Json

STREAM_END = b"data: [DONE]\n\n"
# The engine's reasons for the end of an answer (docs/protocol.md) in OpenAI's words.
_FINISH_REASONS = {"end": "stop", "stop": "stop", "length": "length", "context_full": "length"}


@dataclass(frozen=True)
class AnswerHead:
    """What every part of one answer repeats.

    Attributes:
        id: of the answer, made by the server.
        created_s: seconds since 1970.
        model: that answers.
    """

    id: str
    created_s: int
    model: str


def models_list(models: Sequence[ServedModel], created_s: int) -> bytes:
    """Return the answer to ``GET /v1/models``."""
    return _encode({"object": "list", "data": [_model(model, created_s) for model in models]})


def one_model(model: ServedModel, created_s: int) -> bytes:
    """Return the answer to ``GET /v1/models/{id}``."""
    return _encode(_model(model, created_s))


def whole_answer(
    head: AnswerHead, text: str, reasoning: str, stop_reason: str, usage: ApiUsage
) -> bytes:
    """Return an answer that is sent in one piece."""
    message: Json = {"role": "assistant", "content": text, "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish_reason(stop_reason),
    }
    return _encode({**_top(head, "chat.completion"), "choices": [choice], "usage": _usage(usage)})


class AnswerStream:
    """The events of one streamed answer.

    Args:
        include_usage: as OpenAI has it: null in every event, and the figures in one of their own.
    """

    def __init__(self, head: AnswerHead, *, include_usage: bool) -> None:
        self._head = head
        self._include_usage = include_usage

    def begin(self) -> bytes:
        """Return the first event: who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str, reasoning: str) -> bytes:
        """Return more of the answer; reasoning comes before text."""
        events = b""
        if reasoning:
            events += self._chunk({"reasoning_content": reasoning})
        if text:
            events += self._chunk({"content": text})
        return events

    def end(self, stop_reason: str, usage: ApiUsage) -> bytes:
        """Return the last events of a whole answer."""
        events = self._chunk({}, _finish_reason(stop_reason))
        if self._include_usage:
            top = _top(self._head, "chat.completion.chunk")
            events += _event({**top, "choices": [], "usage": _usage(usage)})
        return events + STREAM_END

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk: Json = {**_top(self._head, "chat.completion.chunk"), "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return _event(chunk)


def waiting_comment(ahead: int) -> bytes:
    """Return what keeps a waiting client's connection; clients pass comments over."""
    return b": waiting, %d ahead\n\n" % ahead


def reading_comment() -> bytes:
    """Return the same while the engine reads the prompt or thinks of the next word."""
    return b": working\n\n"


def stream_error(refusal: Refusal) -> bytes:
    """Return the last event of a stream that fails after its status was sent."""
    return b"data: " + refusal.body() + b"\n\n"


def _model(model: ServedModel, created_s: int) -> Json:
    return {
        "id": model.name,
        "object": "model",
        "created": created_s,
        "owned_by": "fathom",
        # Not OpenAI's; under this name several clients look for it.
        "context_length": model.context_tokens,
    }


def _top(head: AnswerHead, kind: str) -> Json:
    return {"id": head.id, "object": kind, "created": head.created_s, "model": head.model}


def _finish_reason(stop_reason: str) -> str:
    return _FINISH_REASONS.get(stop_reason, "stop")


def _usage(usage: ApiUsage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.reused_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        # DeepSeek's own names for the same.
        "prompt_cache_hit_tokens": usage.reused_tokens,
        "prompt_cache_miss_tokens": usage.prompt_tokens - usage.reused_tokens,
    }


def _event(data: Json) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"


def _encode(data: Json) -> bytes:
    # All but ASCII escaped: no text of an answer can end its event, also not for clients that take
    # U+2028 for the end of a line.
    return json.dumps(data, separators=(",", ":")).encode()
