"""From a branch of a conversation to what the chat template gets. No Qt here."""

from __future__ import annotations

from collections.abc import Sequence

from models.chat.conversation import Message
from models.runtime.protocol import PromptMessage

_BETWEEN = "\n\n"


def build_messages(path: Sequence[Message], system_prompt: str = "") -> tuple[PromptMessage, ...]:
    """Return the messages of a branch as the engine takes them, the system prompt first.

    Many templates refuse a system message that is not the first and two messages of one role in
    a row. So system messages of the branch join the system prompt, and neighbours of one role
    become one message. Answers without text (failed, or stopped before the first word) are left
    out, as is one that is still streaming; what was stopped or interrupted in mid-answer stays:
    the checkpoint said it.
    """
    said = [message for message in path if _counts(message)]
    system = [system_prompt.strip()] + [m.content.strip() for m in said if m.role == "system"]
    prompt: list[PromptMessage] = []
    system_text = _BETWEEN.join(text for text in system if text)
    if system_text:
        prompt.append(PromptMessage("system", system_text))
    for message in said:
        if message.role == "system":
            continue
        if prompt and prompt[-1].role == message.role:
            prompt[-1] = _joined(prompt[-1], message)
        else:
            prompt.append(PromptMessage(message.role, message.content, message.reasoning))
    return tuple(prompt)


def _counts(message: Message) -> bool:
    if message.role == "assistant":
        return message.state != "streaming" and bool(message.content.strip())
    return bool(message.content.strip())


def _joined(first: PromptMessage, second: Message) -> PromptMessage:
    content = first.content + _BETWEEN + second.content
    thoughts = [text for text in (first.reasoning, second.reasoning) if text]
    return PromptMessage(first.role, content, _BETWEEN.join(thoughts))
