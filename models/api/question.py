"""The JSON of OpenAI's and DeepSeek's chat API into a ``Question``. No Qt here.

What would change the answer and is not there is refused with a sentence; what would not is passed
over, and so is what nobody knows: clients send much that is meant for one maker's cloud only.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from models.api.protocol import Question
from models.api.refusal import Refusal, RefusedRequestError
from models.runtime.protocol import Json, PromptMessage

MAX_MESSAGES = 4096
MAX_PARTS = 4096
MAX_STOPS = 16
# Of lists and objects, those that texts only speak of included: Python takes a long while over
# millions of them, and a text with so many is far beyond any context.
MAX_BRACKETS = 1 << 18
_MAX_STOP_LENGTH = 1000
_MAX_NAME_LENGTH = 200
_LARGEST_COUNT = (1 << 31) - 1
# The engine takes 32 bits without the number that llama.cpp itself reserves; OpenAI's takes 64.
_SEEDS = (1 << 32) - 1

# The engine's bounds (models/runtime/llama/sampling.py) where OpenAI's are not narrower.
_NUMBERS: dict[str, tuple[str, float, float]] = {
    "temperature": ("temperature", 0.0, 100.0),
    "top_p": ("top_p", 0.0, 1.0),
    "min_p": ("min_p", 0.0, 1.0),
    "presence_penalty": ("presence_penalty", -10.0, 10.0),
    "frequency_penalty": ("frequency_penalty", -10.0, 10.0),
    "repeat_penalty": ("repeat_penalty", 0.01, 10.0),
    "repetition_penalty": ("repeat_penalty", 0.01, 10.0),
}
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_THINKING = {"enabled": True, "disabled": False}
_TEMPLATE_OPTIONS = ("enable_thinking", "thinking")
# What a grammar would have to hold the answer to, in the words of several servers.
_CONSTRAINTS = (
    "grammar", "guided_choice", "guided_grammar", "guided_json", "guided_regex", "json_schema",
    "structured_outputs",
)  # fmt: skip


@dataclass(frozen=True)
class ChatForm:
    """What a client asked for, and in which form it wants the answer.

    Attributes:
        stream: piece by piece, as server-sent events.
        include_usage: the figures at the end of a stream.
    """

    question: Question
    stream: bool = False
    include_usage: bool = False


def read_question(body: bytes) -> ChatForm:
    """Read the body of a ``chat/completions``.

    Raises:
        RefusedRequestError: 400 or 413, and says what is wrong.
    """
    data = _parse(body)
    _refuse_what_is_not_there(data)
    messages, continues = _messages(data.get("messages"))
    stream_options = _object(data, "stream_options")
    return ChatForm(
        Question(
            model=_text(data.get("model") or "", "model", _MAX_NAME_LENGTH),
            messages=messages,
            sampling=_sampling(data),
            max_tokens=_max_tokens(data),
            stop=_stop(data.get("stop")),
            template_options=_template_options(data),
            continue_answer=continues,
        ),
        stream=_flag(data, "stream"),
        include_usage=_flag(stream_options, "include_usage", "stream_options.include_usage"),
    )


def _parse(body: bytes) -> Json:
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise _too_large("The question has too many brackets.")
    try:
        data = json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except MemoryError:
        raise _too_large("The question needs more memory than there is for it.") from None
    except RecursionError:
        _refuse("The question is nested too deeply.")
    except UnicodeDecodeError:
        _refuse("The question is not UTF-8.")
    except json.JSONDecodeError as error:
        _refuse(f"The question is not JSON: {error}.")
    except ValueError:
        _refuse("The question holds a number of too many digits.")
    if not isinstance(data, dict):
        _refuse("The question has to be a JSON object.")
    return data


def _too_large(message: str) -> RefusedRequestError:
    return RefusedRequestError(Refusal(413, "too_large", message, reason="too_large"))


def _no_constant(name: str) -> NoReturn:
    _refuse(f"{name} is no number of JSON.")


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    """Refuse a name that is there twice: who looks at it first and who second would disagree."""
    found = dict(pairs)
    if len(found) < len(pairs):
        _refuse("The question has an object with the same name twice.")
    return found


def _refuse_what_is_not_there(data: Json) -> None:
    """Refuse what would change the answer; the fields of OpenAI's API as of 2026."""
    for name in ("tools", "functions", "logit_bias", *_CONSTRAINTS):
        if data.get(name):
            _refuse(f"'{name}' is not supported here: leave it out.", name, "unsupported")
    for name in ("audio", "web_search_options"):
        if data.get(name) is not None:
            _refuse(f"'{name}' is not supported here: answers are text.", name, "unsupported")
    if data.get("logprobs") or data.get("top_logprobs"):
        _refuse("Probabilities of tokens cannot be had here.", "logprobs", "unsupported")
    if data.get("modalities") not in (None, [], ["text"]):
        _refuse("Answers are text; there is no other kind here.", "modalities", "unsupported")
    kind = _object(data, "response_format").get("type")
    if kind not in (None, "text"):
        _refuse(
            "Only 'text' is there as 'response_format': answers are not held to a schema here.",
            "response_format",
            "unsupported",
        )
    count = data.get("n")
    if count is not None and (isinstance(count, bool) or count != 1):
        _refuse("'n' can be 1 only: ask again for another answer.", "n", "unsupported")


# --- messages -----------------------------------------------------------------------------------


def _messages(value: Any) -> tuple[tuple[PromptMessage, ...], bool]:
    """Return the messages, and whether the last one is the beginning of the answer."""
    if not isinstance(value, list) or not value:
        _refuse("'messages' has to be a list with at least one message.", "messages")
    if len(value) > MAX_MESSAGES:
        _refuse(f"'messages' can hold {MAX_MESSAGES} at most.", "messages")
    messages = tuple(_message(item, f"messages[{index}]") for index, item in enumerate(value))
    prefixes = [index for index, item in enumerate(value) if _flag(item, "prefix")]
    if prefixes and (prefixes != [len(value) - 1] or messages[-1].role != "assistant"):
        where = f"messages[{prefixes[0]}].prefix"
        _refuse("'prefix' is for the last message, and that has to be the assistant's.", where)
    return messages, bool(prefixes)


def _message(item: Any, where: str) -> PromptMessage:
    if not isinstance(item, dict):
        _refuse(f"'{where}' has to be an object with 'role' and 'content'.", where)
    role = item.get("role")
    if role in ("tool", "function") or item.get("tool_calls") or item.get("function_call"):
        _refuse("Tools are not supported here.", where, "unsupported")
    if not isinstance(role, str) or role not in _ROLES:
        _refuse(f"'{where}.role' has to be system, developer, user or assistant.", f"{where}.role")
    is_answer = role == "assistant"
    content = item.get("content")
    reasoning = item.get("reasoning_content") if is_answer else None
    return PromptMessage(
        _ROLES[role],
        "" if content is None and is_answer else _content(content, f"{where}.content"),
        _text("" if reasoning is None else reasoning, f"{where}.reasoning_content"),
    )


def _content(value: Any, where: str) -> str:
    if not isinstance(value, list):
        return _text(value, where)
    if len(value) > MAX_PARTS:
        _refuse(f"'{where}' can have {MAX_PARTS} parts at most.", where)
    return "".join(_part(part, f"{where}[{index}]") for index, part in enumerate(value))


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        _refuse(f"'{where}' has to be an object with 'type' and 'text'.", where)
    if kind != "text":
        _refuse("Only text can be asked here: no images, sounds or files.", where, "unsupported")
    return _text(part.get("text"), f"{where}.text")


# --- how to answer ------------------------------------------------------------------------------


def _sampling(data: Json) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, (ours, low, high) in _NUMBERS.items():
        if data.get(name) is not None:
            found[ours] = _number(data[name], name, low, high)
    if data.get("top_k") is not None:
        # -1 is off in some servers; 0 is off in all.
        found["top_k"] = max(_whole(data["top_k"], "top_k", -1, _LARGEST_COUNT), 0)
    if data.get("seed") is not None:
        seed = _whole(data["seed"], "seed", -(1 << 63), (1 << 64) - 1)
        found["seed"] = seed % _SEEDS if seed >= 0 else -1
    return found


def _max_tokens(data: Json) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if data.get(name) is not None:
            return _whole(data[name], name, 1, _LARGEST_COUNT)
    return None


def _stop(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = value if isinstance(value, list) else [value]
    if len(stops) > MAX_STOPS:
        _refuse(f"'stop' can have {MAX_STOPS} texts at most.", "stop")
    found = tuple(_text(stop, "stop", _MAX_STOP_LENGTH) for stop in stops)
    return tuple(stop for stop in found if stop)


def _template_options(data: Json) -> dict[str, bool]:
    """Return whether to think, in the words of the chat templates of several families."""
    found: dict[str, bool] = {}
    thinking = _object(data, "thinking").get("type")
    if thinking is not None:
        if not isinstance(thinking, str) or thinking not in _THINKING:
            _refuse("'thinking.type' has to be 'enabled' or 'disabled'.", "thinking.type")
        found = dict.fromkeys(_TEMPLATE_OPTIONS, _THINKING[thinking])
    options = _object(data, "chat_template_kwargs")
    for name, value in options.items():
        where = f"chat_template_kwargs.{name}"[:_MAX_NAME_LENGTH]
        if name not in _TEMPLATE_OPTIONS:
            names = " and ".join(_TEMPLATE_OPTIONS)
            _refuse(f"'chat_template_kwargs' can have {names} only.", "chat_template_kwargs")
        if not isinstance(value, bool):
            _refuse(f"'{where}' has to be true or false.", where)
        if found.get(name, value) is not value:
            _refuse(f"'{where}' says something else than 'thinking'.", where)
    return {**found, **options}


# --- single values ------------------------------------------------------------------------------


def _object(data: Json, name: str) -> Json:
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        _refuse(f"'{name}' has to be an object.", name)
    return value


def _flag(data: Json, name: str, where: str = "") -> bool:
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        _refuse(f"'{where or name}' has to be true or false.", where or name)
    return bool(value)


def _text(value: Any, where: str, limit_length: int | None = None) -> str:
    if not isinstance(value, str):
        _refuse(f"'{where}' has to be a text.", where)
    if limit_length is not None and len(value) > limit_length:
        _refuse(f"'{where}' can have {limit_length} characters at most.", where)
    if not _is_whole_unicode(value):
        _refuse(f"'{where}' holds half a character (a lone surrogate).", where)
    return value


def _is_whole_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(value: Any, where: str, low: float, high: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Compared before it becomes a float: an integer of any length compares, and may not convert.
    if not is_number or not low <= value <= high or math.isnan(value):
        _refuse(f"'{where}' has to be a number from {low:g} to {high:g}.", where)
    return float(value)


def _whole(value: Any, where: str, low: int, high: int) -> int:
    # 5.0 is what some languages make of 5.
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(whole, int) or isinstance(whole, bool) or not low <= whole <= high:
        _refuse(f"'{where}' has to be a whole number from {low} to {high}.", where)
    return whole


def _refuse(message: str, param: str | None = None, code: str = "invalid_request") -> NoReturn:
    raise RefusedRequestError(Refusal(400, code, message, param=param))
