"""Asks the planner in a child of this program, so that the window's own process has its time for
frames. No Qt here.

The child (models/planning/planner_worker.py) is started by the first question, answers many, and
is replaced when it died, hung or talked nonsense. Any thread may ask; one question is under way.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from models.catalog.card import Card
from models.errors import EngineProtocolError, FathomError, PlannerChildError, StoppedError
from models.gguf.shape import ModelShape
from models.gguf.sizing import SizingFacts
from models.hub.quants import QuantFiles
from models.planner.machine import Machine
from models.planner.plan import Plan, PlanSettings
from models.planner.wishes import Wishes
from models.planning.judgement import Judgement, QuantJudgement
from models.planning.planner_protocol import (
    IN_BACKGROUND,
    SHAPES_KEPT,
    FamilyJudged,
    FilesJudged,
    JudgeFamily,
    JudgeFiles,
    KnowShape,
    MakePlan,
    PlanMade,
    ShapeKnown,
)
from models.runtime.command import program_command
from models.runtime.piped_child import PipedChild
from models.stopping import POLL_S, Stop, never

_T = TypeVar("_T")

# The longest search takes seconds (docs/benchmarks.md); this is for a child that hangs.
TIMEOUT_S = 120.0


def planner_command(*, in_background: bool = False) -> list[str]:
    """Return the command line of the child."""
    return [*program_command("planner"), *([IN_BACKGROUND] if in_background else [])]


class PlannerChild:
    """The planner, elsewhere.

    Every question raises ``PlannerChildError`` when the child cannot be started, died or hung,
    ``StoppedError`` when ``stop`` said so, and what the planner itself raises.

    Args:
        command: the child's command line, None: this program's own.
        timeout_s: for one question, the start of a child included.
    """

    def __init__(
        self, *, command: Sequence[str] | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._command = list(command or planner_command())
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._child: PipedChild | None = None
        self._next_number = 0
        # What the running child knows, by its number: by identity, as comparing shapes would
        # compare a thousand tensors.
        self._shapes: OrderedDict[int, ModelShape] = OrderedDict()

    def judge(self, card: Card, machine: Machine, wishes: Wishes, *, stop: Stop) -> Judgement:
        """Judge a family by its best quantization; see ``models.planning.judging.Judge``."""
        asked = JudgeFamily(card, machine, wishes)
        with self._held(stop) as limit:
            return self._ask(limit, "judge", asked, FamilyJudged).judgement

    def judge_files(
        self,
        quants: Sequence[QuantFiles],
        facts: ModelShape | SizingFacts,
        machine: Machine,
        wishes: Wishes,
        *,
        stop: Stop,
    ) -> tuple[QuantJudgement, ...]:
        """Judge every quantization of a repository; see ``models.planning.judging``."""
        shape = facts if isinstance(facts, ModelShape) else None
        sizing = facts if isinstance(facts, SizingFacts) else None
        asked = JudgeFiles(tuple(quants), shape, sizing, machine, wishes)
        with self._held(stop) as limit:
            return self._ask(limit, "judge_files", asked, FilesJudged).judgements

    def plan(
        self,
        shape: ModelShape,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
        stop: Stop = never,
    ) -> Plan:
        """Plan a shape by formulas; the child is told about a shape once."""
        with self._held(stop) as limit:
            number = self._number_of(shape, limit)
            return self._ask(limit, "plan", MakePlan(number, machine, wishes, near), PlanMade).plan

    def rest(self) -> None:
        """End the child; the next question starts another one. What is asked now is answered."""
        with self._lock:
            self._end_child()

    def close(self) -> None:
        """End the child for good; a question that is under way fails. Safe twice."""
        self._closing.set()
        with self._lock:
            self._end_child()

    @contextmanager
    def _held(self, stop: Stop) -> Iterator[_Limit]:
        limit = _Limit(stop, self._closing, time.monotonic() + self._timeout_s)
        while not self._lock.acquire(timeout=POLL_S):
            limit.check()
        try:
            if self._child is not None and not self._child.is_running:
                # While nobody asked; by the system, for want of memory, say.
                self._end_child()
            yield limit
        finally:
            self._lock.release()

    # --- lock held ------------------------------------------------------------------------------

    def _number_of(self, shape: ModelShape, limit: _Limit) -> int:
        for number, known in self._shapes.items():
            if known is shape:
                return number
        self._next_number += 1
        number = self._next_number
        try:
            self._ask(limit, "shape", KnowShape(number, shape), ShapeKnown)
        except StoppedError:
            # The child may know it all the same, and would drop another one before we do.
            self._end_child()
            raise
        self._shapes[number] = shape
        while len(self._shapes) > SHAPES_KEPT:
            self._shapes.popitem(last=False)
        return number

    def _ask(self, limit: _Limit, op: str, request: Any, answer: type[_T]) -> _T:
        """Send a request and return its answer; a child that fails is ended."""
        limit.check()
        child = self._running_child()
        try:
            found = child.ask(op, request, answer, limit.check)
        except StoppedError:
            self._give_up(child)
            raise
        except BaseException:
            self._end_child()
            raise
        if isinstance(found, FathomError):
            raise found
        return found

    def _running_child(self) -> PipedChild:
        if self._child is None:
            self._child = PipedChild(self._command, name="The planner", error=PlannerChildError)
        return self._child

    def _give_up(self, child: PipedChild) -> None:
        try:
            child.give_up()
        except (PlannerChildError, EngineProtocolError):
            self._end_child()

    def _end_child(self) -> None:
        child, self._child = self._child, None
        self._shapes.clear()
        if child is not None:
            child.close()


@dataclass(frozen=True)
class _Limit:
    """Until when one question may take."""

    stop: Stop
    closing: threading.Event
    deadline_s: float

    def check(self) -> None:
        """Raise when nobody waits any more, or nobody should."""
        if self.stop() or self.closing.is_set():
            raise StoppedError
        if time.monotonic() > self.deadline_s:
            raise PlannerChildError("The planner gave no answer in time.")
