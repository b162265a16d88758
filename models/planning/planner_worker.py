"""The planner's child: judges and plans until its input ends. No Qt here.

The main thread works requests off in order; a reader thread takes ``cancel`` in the middle of one,
and ends the process with its parent. Planning is arithmetic in Python: in the window's own process
it would hold the interpreter's lock, and every frame up.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from models.errors import EngineProtocolError, PlannerChildError
from models.gguf.shape import ModelShape
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.plan import Plan, PlanSettings
from models.planner.solver import solve
from models.planner.wishes import Wishes
from models.planning.judging import Judge, judge_quants
from models.planning.open_checkpoint import OpenCheckpoint
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
from models.runtime.child_lines import error_event, own_error, read_until_gone, write_event
from models.runtime.child_setup import open_standard_streams, take_protocol_fd
from models.runtime.protocol import Json, decode_line, to_json
from models.runtime.wire import build
from models.stopping import Stop

_NICENESS = 10


class PlannerWorker:
    """Answers requests, one at a time."""

    def __init__(self) -> None:
        self._judge = Judge(_Formulas())
        self._known: OrderedDict[int, Inventory] = OrderedDict()

    def answer(self, request: Json, stop: Stop) -> Json:
        """Return the event that ends a request; ``stop`` is asked between two plans."""
        request_id = request.pop("id", None)
        try:
            return {"id": request_id, **self._answer(request.pop("op", None), request, stop)}
        except Exception as error:  # noqa: BLE001  The process boundary: a bug is reported.
            failure = own_error(error, "The planner", PlannerChildError)
            return {"id": request_id, **error_event(failure)}

    def _answer(self, op: Any, fields: Json, stop: Stop) -> Json:
        handlers: dict[str, Callable[[Json, Stop], Any]] = {
            "judge": self._judge_family,
            "judge_files": self._judge_files,
            "shape": self._know,
            "plan": self._plan,
        }
        if op not in handlers:
            raise EngineProtocolError(f"There is no request {op!r} here.")
        body: Json = to_json(handlers[op](fields, stop))
        return {"event": op, **body}

    def _judge_family(self, fields: Json, stop: Stop) -> FamilyJudged:
        asked = build(JudgeFamily, fields, strict=True)
        return FamilyJudged(self._judge.judge(asked.card, asked.machine, asked.wishes, stop=stop))

    def _judge_files(self, fields: Json, stop: Stop) -> FilesJudged:
        asked = build(JudgeFiles, fields, strict=True)
        facts = asked.shape or asked.sizing
        if facts is None:
            raise EngineProtocolError("Files cannot be judged without what sizes them.")
        judged = judge_quants(
            asked.quants, facts, asked.machine, asked.wishes, planning=_Formulas(), stop=stop
        )
        return FilesJudged(judged)

    def _know(self, fields: Json, _stop: Stop) -> ShapeKnown:
        asked = build(KnowShape, fields, strict=True)
        self._known[asked.number] = Inventory(asked.shape)
        while len(self._known) > SHAPES_KEPT:
            self._known.popitem(last=False)
        return ShapeKnown(asked.number)

    def _plan(self, fields: Json, _stop: Stop) -> PlanMade:
        asked = build(MakePlan, fields, strict=True)
        if asked.number not in self._known:
            raise EngineProtocolError(f"No shape has the number {asked.number}.")
        inventory = self._known[asked.number]
        return PlanMade(solve(inventory, asked.machine, asked.wishes, near=asked.near))


class _Formulas:
    """Plans what is only described; the sums of a shape are kept while it is the same one."""

    def __init__(self) -> None:
        self._shape: ModelShape | None = None
        self._inventory: Inventory | None = None

    def plan(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
    ) -> Plan:
        """Solve by formulas; raises as ``solve``."""
        if self._inventory is None or self._shape is not checkpoint.shape:
            self._shape, self._inventory = checkpoint.shape, Inventory(checkpoint.shape)
        return solve(self._inventory, machine, wishes, near=near)


class _Requests:
    """What the parent wants, read in a thread of its own."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._cancelled: set[Any] = set()
        read_until_gone(self._take)

    def next(self) -> Json:
        """Wait for a request.

        Raises:
            EngineProtocolError: the line is none.
        """
        return decode_line(self._lines.get())

    def is_cancelled(self, request_id: Any) -> bool:
        """Whether the parent has given a request up."""
        with self._lock:
            return request_id in self._cancelled

    def forget(self, request_id: Any) -> None:
        """A request was answered."""
        with self._lock:
            self._cancelled.discard(request_id)

    def _take(self, line: bytes) -> None:
        if not self._take_cancel(line):
            self._lines.put(line)

    def _take_cancel(self, line: bytes) -> bool:
        # Only short lines can be one; a shape of a MB is taken apart by the main thread.
        if b'"cancel"' not in line[:64]:
            return False
        fields = decode_line(line)
        if fields.get("op") != "cancel":
            return False
        with self._lock:
            self._cancelled.add(fields.get("id"))
        return True


def _stand_back() -> None:
    """Let others have the processor first: an answer that streams, and the window."""
    if sys.platform == "win32":
        import psutil

        with contextlib.suppress(OSError, psutil.Error):
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(_NICENESS)


def main(arguments: Sequence[str] = ()) -> int:
    """Run the planner's child on standard input and output; ends with its input."""
    open_standard_streams()
    protocol_fd = take_protocol_fd()
    if IN_BACKGROUND in arguments:
        _stand_back()
    requests, worker = _Requests(), PlannerWorker()
    while True:
        request = requests.next()
        request_id = request.get("id")
        answer = worker.answer(request, partial(requests.is_cancelled, request_id))
        requests.forget(request_id)
        write_event(protocol_fd, answer)
