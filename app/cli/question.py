"""From the options of a verb and the user's settings to what the engine is asked. No Qt here."""

from __future__ import annotations

from models.runtime.protocol import GenerateRequest, PromptMessage, Sampling
from models.settings import Settings


def question(
    settings: Settings,
    prompt: str,
    *,
    system: str | None,
    max_tokens: int | None,
    how: Sampling,
) -> GenerateRequest:
    """Return the request for one question outside any conversation."""
    system_prompt = settings.get_str("chat.system_prompt") if system is None else system
    messages = [PromptMessage("system", system_prompt)] if system_prompt else []
    messages.append(PromptMessage("user", prompt))
    limit = settings.get_int("chat.max_tokens") if max_tokens is None else max_tokens
    return GenerateRequest(tuple(messages), how, limit)
