"""What clients send becomes a question, or is refused with a sentence that names the field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.api.protocol import Asked, Question, event_from_line, event_to_line
from models.api.question import MAX_BRACKETS, MAX_MESSAGES, MAX_PARTS, read_question
from models.api.refusal import RefusedRequestError
from models.runtime.protocol import MAX_LINE_BYTES, PromptMessage, decode_line, encode_line

HI = [{"role": "user", "content": "Hi"}]


def read(**fields):
    return read_question(json.dumps({"messages": HI, **fields}).encode())


def refusal(body):
    with pytest.raises(RefusedRequestError) as caught:
        read_question(body if isinstance(body, bytes) else json.dumps(body).encode())
    found = caught.value.refusal
    assert found.status == 400
    assert json.loads(found.body())["error"]["message"].endswith(".")
    return found


def refused(**fields):
    """Return the field that is named when these are sent."""
    return refusal({"messages": HI, **fields}).param


def test_a_plain_question():
    form = read()
    assert form.question == Question("", (PromptMessage("user", "Hi"),))
    assert not form.stream
    assert not form.include_usage


def test_everything_that_is_there():
    form = read(
        model="demo",
        messages=[
            {"role": "system", "content": "Be brief.", "name": "maker"},
            {"role": "developer", "content": [{"type": "text", "text": "Be "},
                                              {"type": "text", "text": "kind."}]},
            {"role": "user", "content": "2+2?"},
            {"role": "assistant", "content": "4", "reasoning_content": "Hm.", "refusal": None},
            {"role": "user", "content": ""},
            {"role": "assistant", "content": "The", "prefix": True},
        ],
        temperature=1, top_p=0.5, min_p=0.1, top_k=20.0, presence_penalty=-1, seed=7,
        frequency_penalty=0.5, repetition_penalty=1.1, max_tokens=5, stop=["\n", "", "END"],
        stream=True, stream_options={"include_usage": True}, n=1,
        thinking={"type": "disabled"}, chat_template_kwargs={"enable_thinking": False},
    )  # fmt: skip
    assert form.stream
    assert form.include_usage
    question = form.question
    assert [message.role for message in question.messages] == [
        "system", "system", "user", "assistant", "user", "assistant"
    ]  # fmt: skip
    assert question.messages[1].content == "Be kind."
    assert question.messages[3].reasoning == "Hm."
    assert question.continue_answer
    assert question.sampling == {
        "temperature": 1.0, "top_p": 0.5, "min_p": 0.1, "top_k": 20, "presence_penalty": -1.0,
        "frequency_penalty": 0.5, "repeat_penalty": 1.1, "seed": 7,
    }  # fmt: skip
    assert question.max_tokens == 5
    assert question.stop == ("\n", "END")
    assert question.template_options == {"enable_thinking": False, "thinking": False}


def test_what_changes_nothing_is_passed_over():
    form = read(
        user="me", metadata={"a": "b"}, store=True, service_tier="auto", parallel_tool_calls=True,
        tools=[], tool_choice="none", functions=None, response_format={"type": "text"},
        logprobs=False, top_logprobs=0, logit_bias={}, modalities=["text"], audio=None,
        prediction=None, nobody_knows={"a": [1, {"b": None}]}, n=None, seed=None, stop=None,
        temperature=None, max_tokens=None, stream=None, stream_options=None, thinking=None,
        chat_template_kwargs=None, web_search_options=None, reasoning_effort="low",
    )  # fmt: skip
    assert form == read()


WRONG = [
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"response_format": {"type": ["text"]}}, "response_format"),
    ({"response_format": "text"}, "response_format"),
    ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 3}, "logprobs"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"audio": {"voice": "x"}}, "audio"),
    ({"n": 2}, "n"),
    ({"n": True}, "n"),
    ({"guided_json": {"type": "object"}}, "guided_json"),
    ({"grammar": "root ::= x"}, "grammar"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": HI * (MAX_MESSAGES + 1)}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [*HI, {"role": "tool", "content": "4"}]}, "messages[1]"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0]"),
    ({"messages": [{"role": "narrator", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": {}}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0]",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]},
        "messages[0].content[0].text",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}] * (MAX_PARTS + 1)}]},
        "messages[0].content",
    ),
    (
        {"messages": [{"role": "assistant", "content": "", "reasoning_content": 1}]},
        "messages[0].reasoning_content",
    ),
    ({"messages": [{"role": "user", "content": "x", "prefix": True}]}, "messages[0].prefix"),
    (
        {"messages": [{"role": "assistant", "content": "x", "prefix": True}, *HI]},
        "messages[0].prefix",
    ),
    ({"messages": [{"role": "assistant", "content": "x", "prefix": 1}]}, "prefix"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content"),
    ({"model": 5}, "model"),
    ({"model": "x" * 201}, "model"),
    ({"model": "\udfff"}, "model"),
    ({"temperature": "1"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 10**400}, "temperature"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_p": []}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"top_k": 1.5}, "top_k"),
    ({"top_k": 1 << 31}, "top_k"),
    ({"seed": "1"}, "seed"),
    ({"seed": 1 << 64}, "seed"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 5.5}, "max_tokens"),
    ({"max_completion_tokens": -1}, "max_completion_tokens"),
    ({"stop": 5}, "stop"),
    ({"stop": ["a"] * 17}, "stop"),
    ({"stop": ["a", None]}, "stop"),
    ({"stop": "x" * 1001}, "stop"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": []}, "stream_options"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"thinking": True}, "thinking"),
    ({"thinking": {"type": "much"}}, "thinking.type"),
    ({"thinking": {"type": []}}, "thinking.type"),
    (
        {"chat_template_kwargs": {"enable_thinking": "no"}},
        "chat_template_kwargs.enable_thinking",
    ),
    ({"chat_template_kwargs": {"other": True}}, "chat_template_kwargs"),
    (
        {"thinking": {"type": "enabled"}, "chat_template_kwargs": {"thinking": False}},
        "chat_template_kwargs.thinking",
    ),
]  # fmt: skip


def test_what_is_not_there_or_wrong_is_named():
    for fields, param in WRONG:
        assert refused(**fields) == param, str(fields)[:200]


NO_OBJECTS = (
    b"", b"[]", b"null", b"5", b"{", b'{"messages": NaN}', b'{"a": Infinity}',
    b'{"a": -Infinity}', b'{"model": "a", "model": "b"}',
    b'{"messages": [{"role": "user", "role": "system"}]}', b"\xff\xfe{}", b"\xef\xbb\xbf{}",
    b'{"a": "\xed\xa0\x80"}', b'{"a": "\n"}', b'{"a": 1,}', b"[" * 100_000, b'{"a":' * 100_000,
    b'{"n": ' + b"9" * 5000 + b"}", b"{} {}", b"'a'",
)  # fmt: skip


def test_what_is_no_json_object_is_refused():
    for body in NO_OBJECTS:
        assert refusal(body).param is None


def test_more_lists_than_any_question_has_are_not_even_made():
    many = b'{"messages": [' + b"[]," * MAX_BRACKETS + b"[]]}"
    with pytest.raises(RefusedRequestError, match="too many brackets") as caught:
        read_question(many)
    assert caught.value.refusal.status == 413


def test_numbers_beyond_all_bounds_are_no_infinity():
    assert refusal(b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}').param


@pytest.mark.parametrize(
    ("sent", "taken"),
    [(0, 0), (-1, -1), (-(1 << 63), -1), ((1 << 32) - 2, (1 << 32) - 2), ((1 << 32) - 1, 0),
     ((1 << 64) - 1, ((1 << 64) - 1) % ((1 << 32) - 1))],
)  # fmt: skip
def test_any_seed_of_openai_is_one_of_the_engine(sent, taken):
    assert read(seed=sent).question.sampling["seed"] == taken


def test_deepseeks_own_way_to_think():
    both = {"enable_thinking": True, "thinking": True}
    assert read(thinking={"type": "enabled"}).question.template_options == both
    only = read(chat_template_kwargs={"thinking": True}).question.template_options
    assert only == {"thinking": True}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
WORDS = st.sampled_from(["system", "user", "assistant", "tool", "developer", "text", "x", "\ud800"])
PART = st.fixed_dictionaries({}, optional={"type": WORDS | JSON, "text": WORDS | JSON})
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": WORDS | JSON,
        "content": WORDS | st.lists(PART | JSON, max_size=3) | JSON,
        "prefix": st.booleans() | JSON,
        "reasoning_content": WORDS | JSON,
        "tool_calls": JSON,
    },
)
FIELDS = (
    "model", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "max_tokens", "stream", "n",
    "max_completion_tokens", "tools", "stream_options", "thinking", "chat_template_kwargs",
    "response_format", "logprobs", "logit_bias", "modalities", "audio", "presence_penalty",
    "repeat_penalty", "repetition_penalty", "unknown",
)  # fmt: skip
BODIES = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE | JSON, max_size=4) | JSON},
    optional={
        name: JSON | st.fixed_dictionaries({}, optional={"type": WORDS, "thinking": st.booleans()})
        for name in FIELDS
    },
)


def check_reading(body):
    """Whatever is sent is refused in JSON, or crosses the pipe as it was understood."""
    refused = None
    try:
        form = read_question(body)
    except RefusedRequestError as error:
        refused = error.refusal
    if refused is not None:
        assert refused.status == 400
        assert json.loads(refused.body())["error"]["message"]
        return
    line = encode_line(event_to_line(Asked(1, form.question)))
    assert len(line) <= MAX_LINE_BYTES
    assert event_from_line(decode_line(line)) == Asked(1, form.question)


@given(BODIES)
def test_any_fields_are_read_or_refused(body):
    check_reading(json.dumps(body).encode())


@given(st.binary(max_size=200) | JSON.map(lambda data: json.dumps(data).encode()))
def test_any_bytes_are_read_or_refused(body):
    check_reading(body)
