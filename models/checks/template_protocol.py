"""What the child that tries out chat templates is asked and answers. No Qt here.

JSON lines over its standard input and output, as in docs/protocol.md. One request, then the end:
``ready`` when it can begin, ``parts`` when the template was taken apart, ``rendered`` for each
conversation in their order, ``done``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.runtime.protocol import PromptMessage

# What of a prompt is looked at; a fixed conversation takes a few hundred characters.
MAX_RENDERED_CHARS = 64 * 1024


@dataclass(frozen=True)
class TemplateCase:
    """A conversation that a template is tried with.

    Attributes:
        title: what it is, for people.
        messages: the conversation.
        options: variables of the template, such as ``enable_thinking``.
    """

    title: str
    messages: tuple[PromptMessage, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TemplateRequest:
    """What the child is asked."""

    template: str
    cases: tuple[TemplateCase, ...]
    bos_token: str = ""
    eos_token: str = ""


@dataclass(frozen=True)
class Rendered:
    """What a template wrote for one conversation, or why it wrote nothing."""

    text: str = ""
    problem: str = ""
    is_cut: bool = False
