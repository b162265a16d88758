"""How DeepSeek's families write out a conversation, exact to the character. No Qt here.

Each format is what the publisher's chat template renders for system, user and assistant turns.
Tools are left out: a template may add them. A file's own template is compared with these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.errors import CatalogError

# DeepSeek's tokens are written with these two in the place of | and the blank.
_BAR = "\N{FULLWIDTH VERTICAL LINE}"
_BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
BOS = f"<{_BAR}begin{_BLANK}of{_BLANK}sentence{_BAR}>"
EOS = f"<{_BAR}end{_BLANK}of{_BLANK}sentence{_BAR}>"
USER = f"<{_BAR}User{_BAR}>"
ASSISTANT = f"<{_BAR}Assistant{_BAR}>"

_THINK_END = "</think>"


@dataclass(frozen=True)
class PromptFormat:
    """What stands round the turns of a conversation.

    Attributes:
        format_id: what cards name it by.
        bos: at the very start.
        system_after: behind the system prompt, when there is one.
        system_join: between several system prompts; empty: the last one alone counts.
        system_default: stands in for a missing system prompt.
        user_before, user_after: round a question.
        assistant_before, assistant_after: round an answer of the past.
        generation: where the answer is to begin.
        generation_thinking: the same with thinking switched on, empty where it cannot be.
        drops_reasoning: whether only what follows ``</think>`` of a past answer is written.
        also: other formats that files of the same family have, by name; as good as this one.
    """

    format_id: str
    bos: str = BOS
    system_after: str = ""
    system_join: str = ""
    system_default: str = ""
    user_before: str = ""
    user_after: str = ""
    assistant_before: str = ""
    assistant_after: str = EOS
    generation: str = ""
    generation_thinking: str = ""
    drops_reasoning: bool = False
    also: tuple[str, ...] = ()


def render(
    prompt_format: str | PromptFormat,
    messages: Sequence[Mapping[str, str]],
    *,
    add_generation_prompt: bool = True,
    thinking: bool = False,
) -> str:
    """Write out a conversation.

    Args:
        prompt_format: one of ``format_ids``, or a format itself.
        messages: each with ``role`` (system, user or assistant) and ``content``.
        add_generation_prompt: whether the model is to answer next.
        thinking: for families that can switch it.

    Raises:
        CatalogError: there is no format of that name.
    """
    found = prompt_format if isinstance(prompt_format, PromptFormat) else format_of(prompt_format)
    parts = [found.bos, _system(found, messages)]
    for message in messages:
        if message["role"] == "user":
            parts += [found.user_before, message["content"], found.user_after]
        elif message["role"] == "assistant":
            answer = message["content"]
            if found.drops_reasoning and _THINK_END in answer:
                answer = answer.rsplit(_THINK_END, 1)[1]
            parts += [found.assistant_before, answer, found.assistant_after]
    if add_generation_prompt:
        is_thinking = thinking and found.generation_thinking
        parts.append(found.generation_thinking if is_thinking else found.generation)
    return "".join(parts)


def renderings(
    prompt_format: str,
    messages: Sequence[Mapping[str, str]],
    *,
    add_generation_prompt: bool = True,
    thinking: bool = False,
) -> tuple[str, ...]:
    """Write out a conversation as a family's own format does, then as its other ones do.

    Raises:
        CatalogError: there is no format of that name.
    """
    own = format_of(prompt_format)
    return tuple(
        dict.fromkeys(
            render(found, messages, add_generation_prompt=add_generation_prompt, thinking=thinking)
            for found in (own, *(format_of(other) for other in own.also))
        )
    )


def format_of(format_id: str) -> PromptFormat:
    """Return a format by its name.

    Raises:
        CatalogError: there is none of that name.
    """
    found = _FORMATS.get(format_id)
    if found is None:
        raise CatalogError(
            f'There is no prompt format called "{format_id}".',
            hint=f"Known are {', '.join(format_ids())}.",
        )
    return found


def format_ids() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(_FORMATS)


def _system(found: PromptFormat, messages: Sequence[Mapping[str, str]]) -> str:
    prompts = [message["content"] for message in messages if message["role"] == "system"]
    if not prompts:
        return found.system_default
    text = found.system_join.join(prompts) if found.system_join else prompts[-1]
    return text + found.system_after


# What DeepSeek Coder's template puts where no system prompt is given.
_CODER_SYSTEM = (
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by "
    "Deepseek Company, and you only answer questions related to computer science. For politically "
    "sensitive questions, security and privacy issues, and other non-computer science questions, "
    "you will refuse to answer\n"
)
_LLM = PromptFormat(
    "deepseek-llm",
    system_after="\n\n",
    user_before="User: ",
    user_after="\n\n",
    assistant_before="Assistant: ",
    generation="Assistant:",
)
_CODER = PromptFormat(
    "deepseek-coder",
    system_default=_CODER_SYSTEM,
    user_before="### Instruction:\n",
    user_after="\n",
    assistant_before="### Response:\n",
    assistant_after="\n<|EOT|>\n",
    generation="### Response:",
    also=("deepseek-coder-newline",),
)
# As llama.cpp's built-in format writes it.
_CODER_NEWLINE = replace(
    _CODER, format_id="deepseek-coder-newline", generation="### Response:\n", also=()
)
# The full-width turn tokens came with V2.5.
_V25 = PromptFormat(
    "deepseek-v2.5", user_before=USER, assistant_before=ASSISTANT, generation=ASSISTANT
)
_V3 = replace(_V25, format_id="deepseek-v3", system_join="\n\n")
# Templates of the first weeks left the opening tag to the model.
_R1_FIRST = replace(_V25, format_id="deepseek-r1-first", drops_reasoning=True)
_R1_DISTILL = replace(
    _R1_FIRST,
    format_id="deepseek-r1-distill",
    generation=f"{ASSISTANT}<think>\n",
    also=("deepseek-r1-first",),
)
_R1 = replace(
    _R1_DISTILL,
    format_id="deepseek-r1",
    system_join="\n\n",
    also=("deepseek-r1-distill", "deepseek-r1-first", "deepseek-r1-0528"),
)
_R1_0528 = replace(
    _R1,
    format_id="deepseek-r1-0528",
    generation=ASSISTANT,
    also=("deepseek-r1", "deepseek-r1-distill"),
)
_V31 = PromptFormat(
    "deepseek-v3.1",
    system_join="\n\n",
    user_before=USER,
    assistant_before=f"{ASSISTANT}</think>",
    generation=f"{ASSISTANT}</think>",
    generation_thinking=f"{ASSISTANT}<think>",
    drops_reasoning=True,
    also=("deepseek-v3.1-pair",),
)
# As llama.cpp's own copy of the template writes it: an empty pair of tags.
_V31_PAIR = replace(
    _V31,
    format_id="deepseek-v3.1-pair",
    assistant_before=f"{ASSISTANT}<think></think>",
    generation=f"{ASSISTANT}<think></think>",
    also=("deepseek-v3.1",),
)
# Since V3.2 templates are given the reasoning apart from the answer.
_V32 = replace(_V31, format_id="deepseek-v3.2", drops_reasoning=False, also=("deepseek-v3.2-pair",))
_V32_PAIR = replace(
    _V32,
    format_id="deepseek-v3.2-pair",
    generation=f"{ASSISTANT}<think></think>",
    also=("deepseek-v3.2",),
)
_V4 = replace(_V32, format_id="deepseek-v4", also=())
# No turns at all: the text goes on.
_COMPLETION = PromptFormat("completion", assistant_after="", system_join="\n")
# DeepSeek-OCR's files: the parts one after the other, nothing between them.
_OCR = replace(_COMPLETION, format_id="deepseek-ocr", bos="")

_FORMATS: Mapping[str, PromptFormat] = {
    found.format_id: found
    for found in (
        *(_LLM, _CODER, _CODER_NEWLINE, _V25, _V3, _R1_FIRST, _R1_DISTILL, _R1, _R1_0528),
        *(_V31, _V31_PAIR, _V32, _V32_PAIR, _V4, _COMPLETION, _OCR),
    )
}
