"""Renders a checkpoint's own chat template, which is code from a stranger. No Qt here.

A template comes with the checkpoint and may be hostile. It runs in Jinja's immutable sandbox, in
the engine child only, under a deadline and a size limit. It runs in a thread of its own, in which
an exception is raised at the deadline: a loop that never ends executes bytecode and is stopped;
single operations that could take for ever (huge powers, repeated strings) are refused beforehand.
"""

from __future__ import annotations

import ctypes
import datetime
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import jinja2
import jinja2.exceptions
import jinja2.ext
import jinja2.sandbox

from models.chat.template_tags import GenerationTag
from models.errors import TemplateError
from models.runtime.protocol import PromptMessage

DEADLINE_S = 5.0
MAX_PROMPT_CHARS = 64 * 1024 * 1024
_MAX_TEMPLATE_CHARS = 1024 * 1024
_MAX_PRODUCT = 1_000_000
# How long a thread that is stopped may go on in a single operation before it is left to itself.
_STOPPING_S = 5.0
_LOOK_PERIOD_S = 0.05

_T = TypeVar("_T")

# For checkpoints without a template: the format DeepSeek LLM was trained with.
FALLBACK_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}User: {{ message['content'] }}\n\n"
    "{% elif message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ eos_token }}"
    "{% else %}{{ message['content'] }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


class _DeadlineError(Exception):
    """Raised in the rendering thread when its time is over."""


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """The sandbox, with arithmetic that cannot be made to run for ever or fill the memory."""

    intercepted_binops = frozenset(("*", "**", "%"))

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        if operator == "**" and not (_is_small(left) and _is_small(right)):
            raise jinja2.exceptions.SecurityError("a power of large numbers")
        if operator == "*" and _product_size(left, right) > _MAX_PRODUCT:
            raise jinja2.exceptions.SecurityError("a repetition of this size")
        if operator == "%" and isinstance(left, str):
            raise jinja2.exceptions.SecurityError("formatting with %")
        return super().call_binop(context, operator, left, right)


def _is_small(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= 64


def _product_size(left: Any, right: Any) -> int:
    for sequence, count in ((left, right), (right, left)):
        if isinstance(sequence, (str, list, tuple)) and isinstance(count, int):
            return len(sequence) * max(count, 0)
    return 0


def _raise_exception(message: str) -> None:
    raise TemplateError(
        "The checkpoint's chat template refuses this conversation.", details=str(message)[:2000]
    )


def _to_json(value: Any, **options: Any) -> str:
    indent = options.get("indent")
    return json.dumps(
        value,
        ensure_ascii=bool(options.get("ensure_ascii", False)),
        indent=indent if isinstance(indent, int) and indent <= 16 else None,
    )


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now().astimezone().strftime(pattern[:200])


class _Errand(Generic[_T]):
    """Work in a thread of its own, which can be stopped when its time is over.

    The exception that stops it is raised in that thread only, whose whole life is this work: one
    that comes a moment too late finds nothing else that it could interrupt.
    """

    def __init__(self, work: Callable[[], _T]) -> None:
        self._work = work
        self._results: list[_T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="chat-template", daemon=True)

    def run(self, deadline_s: float, is_cancelled: Callable[[], bool]) -> _T:
        """Return the work's result, or raise what it raised.

        Raises:
            _DeadlineError: it took too long, or is not wanted any more, and was stopped.
        """
        self._thread.start()
        end_s = time.monotonic() + deadline_s
        while self._thread.is_alive() and time.monotonic() < end_s and not is_cancelled():
            self._thread.join(_LOOK_PERIOD_S)
        give_up_s = time.monotonic() + _STOPPING_S
        # Again and again: a filter's own code may catch it.
        while self._thread.is_alive() and time.monotonic() < give_up_s:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(_DeadlineError)
            )
            self._thread.join(_LOOK_PERIOD_S)
        if self._results:
            return self._results[0]
        raise self._error or _DeadlineError

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001  Handed to the thread that waits.
            self._error = error


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: the template text; None or empty takes ``FALLBACK_TEMPLATE``.
        deadline_s: how long compiling or rendering may take.

    Raises:
        TemplateError: it does not compile, or is larger than 1 MB.
    """

    def __init__(self, source: str | None, *, deadline_s: float = DEADLINE_S) -> None:
        self.source_name = "checkpoint" if source else "fallback"
        text = source or FALLBACK_TEMPLATE
        if len(text) > _MAX_TEMPLATE_CHARS:
            raise TemplateError("The checkpoint's chat template is larger than 1 MB.")
        self._deadline_s = deadline_s
        environment = _Sandbox(
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            extensions=[jinja2.ext.loopcontrols, GenerationTag],
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self._template = self._guarded(
            lambda: environment.from_string(text),
            "The checkpoint's chat template is not one that Fathom can read.",
        )

    def render(
        self,
        messages: Sequence[PromptMessage],
        options: Mapping[str, Any],
        *,
        bos_token: str = "",
        eos_token: str = "",
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> str:
        """Return the prompt for a conversation, ready for the model's answer.

        Args:
            messages: the conversation, oldest first.
            options: further variables of the template, such as ``enable_thinking``.
            bos_token: what the template sees under this name.
            eos_token: the same.
            is_cancelled: asked while it runs; once it says yes, the template is stopped.

        Raises:
            TemplateError: the template fails, refuses, runs too long, writes too much or was
                cancelled.
        """
        variables: dict[str, Any] = {
            **options,
            "bos_token": bos_token,
            "eos_token": eos_token,
            "messages": [_as_template_sees(message) for message in messages],
            "add_generation_prompt": True,
        }
        return self._guarded(
            lambda: self._collect(variables),
            "The checkpoint's chat template fails on this conversation.",
            is_cancelled,
        )

    def _collect(self, variables: dict[str, Any]) -> str:
        parts: list[str] = []
        size = 0
        for part in self._template.generate(variables):
            size += len(part)
            if size > MAX_PROMPT_CHARS:
                raise TemplateError("The checkpoint's chat template writes without end.")
            parts.append(part)
        return "".join(parts)

    def _guarded(
        self, work: Callable[[], _T], failure: str, is_cancelled: Callable[[], bool] = lambda: False
    ) -> _T:
        try:
            return _Errand(work).run(self._deadline_s, is_cancelled)
        except TemplateError:
            raise
        except _DeadlineError:
            raise TemplateError(
                f"The checkpoint's chat template did not finish in {self._deadline_s:g} s.",
                hint="The file may be damaged or hostile. Get it from another publisher.",
            ) from None
        except Exception as error:  # A stranger's code may raise anything.
            raise TemplateError(
                failure,
                hint="Try a new conversation, or another file of this checkpoint.",
                details=f"{type(error).__name__}: {error}"[:2000],
            ) from error


def _as_template_sees(message: PromptMessage) -> dict[str, Any]:
    seen: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        # The name that the templates of R1-0528, V3.1 and Qwen3 read.
        seen["reasoning_content"] = message.reasoning
    return seen


def continued(prompt: str, answer: PromptMessage) -> tuple[str, bool]:
    """Append an unfinished answer to the prompt that asked for it.

    Returns:
        The prompt up to where the answer stopped, and whether that is inside its reasoning.
    """
    opened = opens_reasoning(prompt)
    if not answer.reasoning and not (opened and answer.content):
        return prompt + answer.content, opened
    tag = "" if opened else "<think>\n"
    if not answer.content:
        return prompt + tag + answer.reasoning, True
    return f"{prompt}{tag}{answer.reasoning}\n</think>\n\n{answer.content}", False


def opens_reasoning(prompt: str) -> bool:
    """Whether the rendered prompt ends inside an opened ``<think>``."""
    return prompt.rstrip().endswith("<think>")
