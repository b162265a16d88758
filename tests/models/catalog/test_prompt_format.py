"""Conversations as the families write them out, character by character."""

from __future__ import annotations

import pytest

from helpers.builtin_templates import apply_builtin
from models.catalog.prompt_format import (
    ASSISTANT,
    BOS,
    EOS,
    USER,
    PromptFormat,
    format_ids,
    format_of,
    render,
    renderings,
)
from models.errors import CatalogError

_ASK = ({"role": "user", "content": "Hi"},)
_SYSTEM = ({"role": "system", "content": "S"}, *_ASK)
_TALK = (
    *_SYSTEM,
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "B"},
)
_THOUGHT = (
    *_ASK,
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nA"},
    {"role": "user", "content": "B"},
)


def test_tokens_are_deepseeks_own() -> None:
    # Full-width bars and lower eighth blocks, which look like | and _ and are not.
    assert [hex(ord(sign)) for sign in BOS if ord(sign) > 127] == [
        "0xff5c",
        "0x2581",
        "0x2581",
        "0xff5c",
    ]
    assert USER[1] == ASSISTANT[-2] == EOS[1] == chr(0xFF5C)


@pytest.mark.parametrize(
    ("format_id", "text"),
    [
        ("deepseek-llm", f"{BOS}S\n\nUser: Hi\n\nAssistant: A{EOS}User: B\n\nAssistant:"),
        ("deepseek-v2.5", f"{BOS}S{USER}Hi{ASSISTANT}A{EOS}{USER}B{ASSISTANT}"),
        ("deepseek-v3", f"{BOS}S{USER}Hi{ASSISTANT}A{EOS}{USER}B{ASSISTANT}"),
        ("deepseek-r1", f"{BOS}S{USER}Hi{ASSISTANT}A{EOS}{USER}B{ASSISTANT}<think>\n"),
        ("deepseek-r1-distill", f"{BOS}S{USER}Hi{ASSISTANT}A{EOS}{USER}B{ASSISTANT}<think>\n"),
        ("deepseek-r1-0528", f"{BOS}S{USER}Hi{ASSISTANT}A{EOS}{USER}B{ASSISTANT}"),
        (
            "deepseek-v3.1",
            f"{BOS}S{USER}Hi{ASSISTANT}</think>A{EOS}{USER}B{ASSISTANT}</think>",
        ),
        ("deepseek-v4", f"{BOS}S{USER}Hi{ASSISTANT}</think>A{EOS}{USER}B{ASSISTANT}</think>"),
        (
            "deepseek-coder",
            f"{BOS}S### Instruction:\nHi\n### Response:\nA\n<|EOT|>\n"
            "### Instruction:\nB\n### Response:",
        ),
        ("completion", f"{BOS}SHiAB"),
        ("deepseek-ocr", "SHiAB"),
    ],
)
def test_a_conversation_is_written_out(format_id: str, text: str) -> None:
    assert render(format_id, _TALK) == text


def test_nothing_is_added_where_no_answer_is_wanted() -> None:
    assert render("deepseek-r1", _ASK, add_generation_prompt=False) == f"{BOS}{USER}Hi"


@pytest.mark.parametrize("format_id", ["deepseek-v3.1", "deepseek-v3.2", "deepseek-v4"])
def test_thinking_is_switched(format_id: str) -> None:
    assert render(format_id, _ASK, thinking=True).endswith(f"{ASSISTANT}<think>")
    assert render(format_id, _ASK).endswith(f"{ASSISTANT}</think>")


def test_a_switch_that_a_family_lacks_changes_nothing() -> None:
    for format_id in ("deepseek-v3", "deepseek-r1", "deepseek-llm"):
        assert render(format_id, _ASK, thinking=True) == render(format_id, _ASK)


@pytest.mark.parametrize("format_id", ["deepseek-r1", "deepseek-r1-0528", "deepseek-v3.1"])
def test_earlier_thoughts_are_left_out(format_id: str) -> None:
    assert "hm" not in render(format_id, _THOUGHT)
    assert "\n\nA" in render(format_id, _THOUGHT)


def test_system_prompts_are_joined_where_the_family_joins_them() -> None:
    two = ({"role": "system", "content": "S1"}, {"role": "system", "content": "S2"}, *_ASK)
    assert render("deepseek-v3", two).startswith(f"{BOS}S1\n\nS2{USER}")
    assert render("deepseek-r1-distill", two).startswith(f"{BOS}S2{USER}")


def test_the_coder_speaks_for_itself_unless_told_otherwise() -> None:
    assert "only answer questions related to computer science" in render("deepseek-coder", _ASK)
    assert "computer science" not in render("deepseek-coder", _SYSTEM)


def test_other_formats_of_a_family_are_as_good() -> None:
    found = renderings("deepseek-r1", _ASK)
    assert found[0] == render("deepseek-r1", _ASK)
    assert render("deepseek-r1-first", _ASK) in found
    assert len(set(found)) == len(found)


def test_every_other_format_exists() -> None:
    for format_id in format_ids():
        for other in format_of(format_id).also:
            assert other in format_ids()
            assert other != format_id


def test_a_format_of_ones_own_can_be_rendered() -> None:
    own = PromptFormat("own", bos="", user_before="Q: ", user_after="\n", generation="A:")
    assert render(own, _ASK) == "Q: Hi\nA:"


def test_a_format_that_is_not_there_is_told() -> None:
    with pytest.raises(CatalogError, match="chatml"):
        render("chatml", _ASK)


def test_llama_cpp_writes_the_same() -> None:
    asked = [(m["role"], m["content"]) for m in _TALK]
    pairs = {
        "deepseek": "deepseek-coder-newline",
        "deepseek2": "deepseek-llm",
        # Its own copy has an empty line behind the system prompt, DeepSeek's template has not.
        "deepseek3": "deepseek-v3",
    }
    cases = []
    for name in pairs:
        talk = asked[1:] if name == "deepseek3" else asked
        cases += [(name, talk, True), (name, talk[:-1], False)]
    texts = apply_builtin(cases)
    for (name, talk, adds), text in zip(cases, texts, strict=True):
        messages = [{"role": role, "content": content} for role, content in talk]
        own = render(pairs[name], messages, add_generation_prompt=adds)
        assert own == BOS + text
