"""Tries out a chat template in a child that is killed when it takes too long. No Qt here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from models.checks.template_protocol import Rendered, TemplateRequest
from models.checks.template_texts import TemplateParts
from models.errors import EngineProtocolError, TemplateCheckError
from models.runtime.command import program_command
from models.runtime.piped_child import PipedChild
from models.runtime.protocol import Json, to_json
from models.runtime.wire import build
from models.stopping import POLL_S, Stop, check_stop, never

# From the moment the child can begin; an honest template takes some milliseconds.
DEADLINE_S = 2.0
# Starting an interpreter, on a machine that is busy with something else.
_START_LIMIT_S = 30.0


@dataclass(frozen=True)
class TemplateReading:
    """What became of a template.

    Attributes:
        parts: what it consists of; None where it could not be taken apart.
        renderings: one for each conversation, in their order, as far as it came.
        problem: why there is no more, as a sentence; empty when all was done.
        was_ended: whether it had to be killed, or the system did it.
    """

    parts: TemplateParts | None = None
    renderings: tuple[Rendered, ...] = ()
    problem: str = ""
    was_ended: bool = False


def template_command() -> list[str]:
    """Return the command line of the child."""
    return program_command("try-template")


def read_template(
    request: TemplateRequest,
    *,
    stop: Stop = never,
    command: Sequence[str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> TemplateReading:
    """Take a template apart and render it; whatever it does, this returns.

    Args:
        request: the template, and the conversations to render.
        stop: is asked all the time.
        command: the child's command line; None for this program's.
        deadline_s: how long all of it may take, without the start of the child.

    Raises:
        TemplateCheckError: the child cannot be started.
        StoppedError: ``stop`` said so.
    """
    child = _Child(command or template_command())
    try:
        return child.run(request, stop, deadline_s)
    finally:
        child.close()


class _Child:
    def __init__(self, command: Sequence[str]) -> None:
        self._child = PipedChild(
            command, name="What tries out chat templates", error=TemplateCheckError
        )
        self._parts: TemplateParts | None = None
        self._problem = ""
        self._renderings: list[Rendered] = []

    def run(self, request: TemplateRequest, stop: Stop, deadline_s: float) -> TemplateReading:
        """Ask and collect the answers until the last one, the end or the deadline."""
        end_s = time.monotonic() + _START_LIMIT_S
        is_ready = False
        while (left_s := end_s - time.monotonic()) > 0:
            check_stop(stop)
            try:
                events = self._child.receive(min(left_s, POLL_S))
            except TemplateCheckError as error:
                if not is_ready:
                    raise self._not_started() from error
                return self._reading("It ended the process that tried it out.", was_ended=True)
            for event in events:
                if event.get("event") == "ready" and not is_ready:
                    is_ready = True
                    self._child.send(to_json(request))
                    end_s = time.monotonic() + deadline_s
                elif event.get("event") == "done":
                    return self._reading(self._problem)
                else:
                    self._take(event)
        if not is_ready:
            raise self._not_started()
        return self._reading(f"It did not finish in {deadline_s:g} s.", was_ended=True)

    def close(self) -> None:
        """End the child at once and give everything back."""
        self._child.close()

    def _take(self, event: Json) -> None:
        kind = event.pop("event", None)
        if kind == "parts":
            self._problem = str(event.get("problem", ""))
            if event.get("parts") is not None:
                self._parts = build(TemplateParts, event["parts"], strict=False)
        elif kind == "rendered":
            self._renderings.append(build(Rendered, event, strict=False))
        else:
            raise EngineProtocolError(f"There is no event {kind!r} here.")

    def _reading(self, problem: str, *, was_ended: bool = False) -> TemplateReading:
        return TemplateReading(self._parts, tuple(self._renderings), problem, was_ended)

    def _not_started(self) -> TemplateCheckError:
        return TemplateCheckError(
            "The chat template cannot be tried out: its process does not start.",
            details=self._child.last_words,
        )
