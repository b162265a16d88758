"""Chat templates: the checkpoint's own, hostile ones, and where reasoning begins."""

from __future__ import annotations

import pytest

from models.errors import TemplateError
from models.runtime.llama.template import ChatTemplate, continued, opens_reasoning
from models.runtime.protocol import PromptMessage

TALK = (
    PromptMessage("system", "Be brief."),
    PromptMessage("user", "Hi {{ 7 * 7 }}"),
    PromptMessage("assistant", "Hello.", "They greet me."),
    PromptMessage("user", "Why?"),
)
# The shape of DeepSeek R1's own template: reasoning is cut from earlier answers.
R1_LIKE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}<A>{{ m['content'].split('</think>')[-1] }}{{ eos_token }}"
    "{% else %}<{{ m['role'][0] | upper }}>{{ m['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<A><think>\n{% endif %}"
)


def test_renders_messages_and_tokens_without_running_their_text() -> None:
    template = ChatTemplate(R1_LIKE)
    prompt = template.render(TALK, {}, bos_token="<BOS>", eos_token="<EOS>")
    assert prompt == "<BOS><S>Be brief.<U>Hi {{ 7 * 7 }}<A>Hello.<EOS><U>Why?<A><think>\n"
    assert template.source_name == "checkpoint"
    assert opens_reasoning(prompt)


def test_reasoning_of_earlier_answers_is_there_for_templates_that_want_it() -> None:
    source = "{% for m in messages %}{{ m.reasoning_content | default('-') }};{% endfor %}"
    assert ChatTemplate(source).render(TALK, {}) == "-;-;They greet me.;-;"


def test_options_are_variables_but_never_replace_the_messages() -> None:
    source = "{{ enable_thinking }}{{ messages | length }}"
    rendered = ChatTemplate(source).render(TALK, {"enable_thinking": False, "messages": []})
    assert rendered == "False4"


def test_fallback_is_deepseek_llms_format() -> None:
    template = ChatTemplate(None)
    assert template.source_name == "fallback"
    assert template.render(TALK[1:], {}, eos_token="<EOS>").endswith(
        "Assistant: Hello.<EOS>User: Why?\n\nAssistant:"
    )


def test_functions_that_published_templates_call() -> None:
    source = (
        "{{ messages | tojson }}{{ strftime_now('%Y') }}{% for i in [1,2] %}{% break %}{% endfor %}"
    )
    rendered = ChatTemplate(source).render([PromptMessage("user", "é")], {})
    assert '"content": "é"' in rendered
    assert rendered[-4:].isdigit()


def test_the_mark_of_what_the_model_said_is_left_out() -> None:
    source = (
        "{% for m in messages %}{% generation -%} {% set last = m.role %}{{ m.content }}"
        "{%- endgeneration %}|{{ last }};{% endfor %}"
    )
    assert ChatTemplate(source).render(TALK[2:], {}) == "Hello.|assistant;Why?|user;"


def test_a_refusal_of_the_template_is_told_in_its_words() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(TemplateError) as caught:
        template.render(TALK, {})
    assert "roles must alternate" in caught.value.details


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(9999) %}{{ 'x' * 9999 }}"
        "{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
        "{% endfor %}",
    ],
    ids=["endless-loop", "endless-output", "recursion", "doubling"],
)
def test_a_runaway_template_ends_at_the_deadline(source: str) -> None:
    if "~" in source:
        source = source.replace("range(60)", "range(20)")  # 2 MB, then a loop
    template = ChatTemplate(source, deadline_s=0.3)
    with pytest.raises(TemplateError):
        template.render(TALK, {})


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ messages.append(1) }}",
        "{% include 'x' %}",
        "{{ messages[99].content }}",
        "{{ 1 / 0 }}",
        "{{ unclosed",
        "{% for a in 'x' %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "(" * 300 + "1" + ")" * 300 + " }}",
        "{% set ns = namespace(m=messages) %}{% for k in ns.m[0] %}{{ ns.m[0].update({1: 2}) }}"
        "{% endfor %}",
        "{{ messages[0].content.encode('ascii') .decode('utf-16') }}",
    ],
)
def test_hostile_or_broken_templates_end_in_one_error(source: str) -> None:
    with pytest.raises(TemplateError):
        ChatTemplate(source, deadline_s=2.0).render(TALK, {})


def test_a_template_of_more_than_a_megabyte_is_refused() -> None:
    with pytest.raises(TemplateError, match="1 MB"):
        ChatTemplate("x" * 1_100_000)


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [("<A><think>\n", True), ("<A><think>", True), ("<A><think></think>", False), ("<A>", False)],
)
def test_where_reasoning_begins(prompt: str, opened: bool) -> None:
    assert opens_reasoning(prompt) is opened


@pytest.mark.parametrize(
    ("prompt", "reasoning", "content", "whole", "inside"),
    [
        ("<A>", "", "Half an", "<A>Half an", False),
        ("<A>", "I th", "", "<A><think>\nI th", True),
        ("<A>", "I think.", "Half an", "<A><think>\nI think.\n</think>\n\nHalf an", False),
        ("<A><think>\n", "I th", "", "<A><think>\nI th", True),
        ("<A><think>\n", "", "", "<A><think>\n", True),
        ("<A><think>\n", "", "Half", "<A><think>\n\n</think>\n\nHalf", False),
    ],
)
def test_an_unfinished_answer_is_gone_on_with_where_it_stopped(
    prompt: str, reasoning: str, content: str, whole: str, inside: bool
) -> None:
    answer = PromptMessage("assistant", content, reasoning)
    assert continued(prompt, answer) == (whole, inside)
