"""The templates that stand in for a checkpoint's own write their family's format to the byte."""

from __future__ import annotations

import pytest

from models.catalog.prompt_format import format_ids, format_of, render
from models.checks.catalog_families import format_template
from models.checks.family_format import trial_cases
from models.runtime.llama.template import ChatTemplate
from models.runtime.protocol import PromptMessage

TWO_SYSTEMS = (
    PromptMessage("system", 'One "quoted" \\ thing.\n'),
    PromptMessage("system", "Another."),
    PromptMessage("user", "Why?"),
    PromptMessage("assistant", "<think>So</think>Because."),
    PromptMessage("user", "\N{GREEK SMALL LETTER ALPHA} {{ bos_token }} {% if %}"),
)


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("format_id", format_ids())
def test_template_and_format_agree(format_id: str, *, thinking: bool) -> None:
    template = ChatTemplate(format_template(format_of(format_id)))
    for messages in (*(case.messages for case in trial_cases()), TWO_SYSTEMS):
        plain = [{"role": one.role, "content": one.content} for one in messages]
        wanted = render(format_id, plain, thinking=thinking)
        for switch in ("thinking", "enable_thinking"):
            assert template.render(messages, {switch: thinking}) == wanted
