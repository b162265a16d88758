"""How a family writes conversations out, as far as a comparison needs it: plain data. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from models.checks.template_protocol import TemplateCase
from models.gguf.header import GgufHeader
from models.runtime.protocol import PromptMessage


@dataclass(frozen=True)
class FamilyFormat:
    """A family of the catalogue, to compare a checkpoint with.

    Attributes:
        card_id: its card.
        title: for people.
        prompts: the prompts that are right for a conversation, the usual one first; none where
            its format is not known or has no way to write this conversation.
        template: a chat template that writes the usual prompts; empty when there is none.
        tokens: what stands for a single token in its prompts, such as ``<|im_start|>``.
        bos_token, eos_token: the first and last token of a prompt and an answer.
        tokenizers: the values of ``tokenizer.ggml.pre`` it is known with; empty: not known.
    """

    card_id: str
    title: str
    prompts: Callable[[TemplateCase], tuple[str, ...]]
    template: str = ""
    tokens: tuple[str, ...] = ()
    bos_token: str = ""
    eos_token: str = ""
    tokenizers: tuple[str, ...] = ()


class Families(Protocol):
    """Finds the family that a header belongs to."""

    def family_of(self, header: GgufHeader, file_name: str) -> FamilyFormat | None:
        """Return the family, None when it is none of the catalogue's."""


def trial_cases() -> tuple[TemplateCase, ...]:
    """Return the conversations that every template is tried with: always the same ones."""
    system = PromptMessage("system", "You answer in one sentence.")
    first = PromptMessage("user", "What is the deepest point of the sea?")
    answer = PromptMessage("assistant", "The Challenger Deep, in the Mariana Trench.")
    thought = PromptMessage("assistant", answer.content, "They ask for a place. I know it.")
    second = PromptMessage("user", "How deep is it?\n\n```\nin metres\n```")
    return (
        TemplateCase("one question", (first,)),
        TemplateCase("with a system prompt", (system, first)),
        TemplateCase("a second question", (first, answer, second)),
        TemplateCase("all together", (system, first, answer, second)),
        TemplateCase("after an answer with reasoning", (first, thought, second)),
    )
