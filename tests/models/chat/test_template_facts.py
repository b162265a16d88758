"""What is read from a chat template's text, with the shapes that published templates have."""

from __future__ import annotations

import pytest

from models.chat.template_facts import Opening, TemplateFacts, template_facts

LOOP = "{% for message in messages %}{{ message.role }}: {{ message['content'] }}\n{% endfor %}"

OPENINGS = {
    "nothing": ("", Opening.NEVER),
    "plain": ("{% if add_generation_prompt %}Assistant:{% endif %}", Opening.NEVER),
    "text": ("{% if add_generation_prompt %}Assistant:<think>\n{% endif %}", Opening.ALWAYS),
    "written, as R1": (
        "{% if add_generation_prompt and not ns.is_tool %}{{'<A><think>\\n'}}{% endif %}",
        Opening.ALWAYS,
    ),
    "switched, as V3.1": (
        "{%- if add_generation_prompt and ns.is_last_user -%}{{'<A>'}}{%- if not thinking -%}"
        "{{'</think>'}}{%- else -%}{{'<think>'}}{%- endif -%}{%- endif %}",
        Opening.SOMETIMES,
    ),
    "by a variable, as V3.2": (
        "{% set start = '<think>' %}{% set end = '</think>' %}{% if add_generation_prompt %}"
        "{% if thinking %}{{ '\\n' + start }}{% else %}{{ start + end }}{% endif %}{% endif %}",
        Opening.SOMETIMES,
    ),
    "closed at once, as Qwen3": (
        "{% if add_generation_prompt %}A:\n{% if enable_thinking is false %}<think>\n\n</think>"
        "\n\n{% endif %}{% endif %}",
        Opening.NEVER,
    ),
    "closed after, when asked to": (
        "{% if add_generation_prompt %}A:<think>\n{% if not thinking %}</think>{% endif %}"
        "{% endif %}",
        Opening.SOMETIMES,
    ),
    "as an expression": ("{{ 'A:<think>' if add_generation_prompt else '' }}", Opening.ALWAYS),
    "of several branches": (
        "{% if add_generation_prompt %}{% if a %}x<think>{% elif b %}y<think>{% else %}z<think>"
        "{% endif %}{% endif %}",
        Opening.ALWAYS,
    ),
    "in the conversation only": (
        "{% for m in messages %}<think>{{ m.thoughts }}</think>{% endfor %}"
        "{% if add_generation_prompt %}A:{% endif %}",
        Opening.NEVER,
    ),
    "with something unknown last": (
        "{% if add_generation_prompt %}<think>{{ message.rest }}{% endif %}",
        Opening.NEVER,
    ),
    "with a tag that is no think": (
        "{% if add_generation_prompt %}<thinking>{% endif %}",
        Opening.NEVER,
    ),
}


@pytest.mark.parametrize(("template", "opening"), OPENINGS.values(), ids=OPENINGS)
def test_opening(template: str, opening: Opening) -> None:
    facts = template_facts(LOOP + template)
    assert (facts.opens_reasoning, facts.problem) == (opening, "")


@pytest.mark.parametrize(
    ("template", "switch"),
    [
        ("{% if enable_thinking %}x{% endif %}", "enable_thinking"),
        ("{% if not thinking is defined %}{% set thinking = false %}{% endif %}", "thinking"),
        ("{{ message.thinking }}{{ message['thinking'] }}", None),
        (LOOP, None),
    ],
)
def test_switch(template: str, switch: str | None) -> None:
    assert template_facts(template).thinking_switch == switch


@pytest.mark.parametrize(
    ("template", "takes_tools"),
    [
        ("{% if tools %}{{ tools | tojson }}{% endif %}", True),
        ("{% for call in message['tool_calls'] %}{{ call }}{% endfor %}", True),
        ("{% for call in message.tool_calls %}{{ call }}{% endfor %}", True),
        ("There are no tools.", False),
    ],
)
def test_tools(template: str, takes_tools: bool) -> None:
    assert template_facts(template).takes_tools is takes_tools


def test_reasoning_that_is_only_cut_away_is_known() -> None:
    assert template_facts("{{ content.split('</think>')[1] }}").knows_reasoning
    assert not template_facts(LOOP).knows_reasoning


def test_tags_of_transformers_are_understood() -> None:
    facts = template_facts("{% generation %}{{ x }}{% endgeneration %}{% break %}")
    assert facts == TemplateFacts()


HOSTILE = {
    "not a template": "{% if %}",
    "unknown tag": "{% explode %}",
    "deeply nested": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "long number": "{{ " + "9" * 10_000 + " }}",
    "long": "x" * 300_000,
}


@pytest.mark.parametrize("template", HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_be_taken_apart_has_a_problem(template: str) -> None:
    assert template_facts(template).problem


def test_nothing_is_run() -> None:
    # Rendering any of these would not end, or fill the memory.
    facts = template_facts("{{ 10 ** (10 ** 9) }}{{ 'a' * 10 ** 12 }}{{ range(10 ** 12) | list }}")
    assert facts.problem == ""
