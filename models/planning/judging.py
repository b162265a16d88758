"""Where a family would live on a machine, before any of its files is there. No Qt here.

The planner is asked about described checkpoints (``models.gguf.described_shape``): the numbers of
a card or of the first 64 KB of a file, and llama.cpp's standard mix of a quantization. What is
answered carries a plan, or a reason why there is none; never a guess.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from models.catalog.card import Card, KnownQuant
from models.errors import BadInputError, StoppedError
from models.gguf.described_shape import Description, bare_shape, extras_of
from models.gguf.described_tensors import can_describe
from models.gguf.shape import ModelShape
from models.gguf.sizing import SizingFacts
from models.hub.quants import QuantFiles
from models.planner.compare import COMFORTABLE_TOK_S, Row, Where, recommended, where_of
from models.planner.machine import Machine
from models.planner.plan import CPU, Plan, PlanSettings
from models.planner.wishes import Wishes
from models.planning.desk import like
from models.planning.judgement import Judgement, QuantJudgement
from models.planning.open_checkpoint import OpenCheckpoint
from models.stopping import Stop, never

# What nearly every publisher makes of a model, the smallest first.
USUAL_QUANTS = ("Q2_K", "Q3_K_M", "IQ4_XS", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")
# Models below this many parameters lose too much in fewer bits than these: one that is a little
# slower is then the better choice.
_SMALL_PARAMETERS = 20e9
_LEAST_BITS = 4.2
_LITTLE_SLOWER = 0.5

# Plans a shape, near settings found before or by a search of its own.
Ask = Callable[[ModelShape, "PlanSettings | None"], Plan]


class Planner(Protocol):
    """What is needed of ``models.planning.desk.PlanningDesk`` or ``service.Planning``."""

    def plan(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
    ) -> Plan:
        """Plan by formulas; ``near`` are settings found before, instead of a search."""


def judge_card(
    card: Card, machine: Machine, wishes: Wishes, *, planning: Planner, stop: Stop = never
) -> Judgement:
    """Judge a family by its best quantization for a machine.

    The best is the largest that is comfortably fast, else the fastest sensible one, as
    ``planner.compare`` recommends; where none is sensible, the fastest there is.

    Raises:
        StoppedError: ``stop`` said so.
    """
    question = _Question(machine, wishes, planning, stop)
    return _judged(card, lambda shape, near: question.plan(card.title, shape, near))


def judge_quants(
    quants: Sequence[QuantFiles],
    facts: ModelShape | SizingFacts,
    machine: Machine,
    wishes: Wishes,
    *,
    planning: Planner,
    stop: Stop = never,
) -> tuple[QuantJudgement, ...]:
    """Judge every quantization of a repository, in the order given.

    Args:
        quants: of one model; a set that lacks files is not judged.
        facts: of any of its files: its first 64 KB are enough.
        machine: where it would run.
        wishes: what is fixed.
        planning: who plans.
        stop: asked between two plans.

    Raises:
        StoppedError: ``stop`` said so.
    """
    question = _Question(machine, wishes, planning, stop)
    try:
        model = Description(facts)
    except BadInputError as error:
        return tuple(QuantJudgement(files, None, reason=error.message) for files in quants)
    found: list[QuantJudgement] = []
    rows: dict[int, Row] = {}
    for number, files in enumerate(quants):
        if files.missing:
            found.append(QuantJudgement(files, None, reason="Files of the set are missing."))
            continue
        try:
            shape = model.shape(files.quant or files.name, file_bytes=files.size_bytes)
            plan = question.plan(files.name, shape)
        except BadInputError as error:
            found.append(QuantJudgement(files, None, reason=error.message))
            continue
        rows[number] = Row(files.name, files.size_bytes, plan)
        found.append(QuantJudgement(files, plan))
    best = _chosen(list(rows.values()), model.parameters)
    if best is not None:
        number = list(rows)[best]
        found[number] = replace(found[number], is_recommended=True)
    return tuple(found)


class Judge:
    """Remembers judgements for as long as the machine stays what it is; for any thread.

    What families of one shape have in common (V3 and R1, say) is planned once.
    """

    def __init__(self, planning: Planner) -> None:
        self._planning = planning
        self._lock = threading.Lock()
        self._machine: Machine | None = None
        self._wishes: Wishes | None = None
        self._known: dict[Hashable, Judgement] = {}
        self._plans: dict[Hashable, Plan] = {}

    def judge(
        self, card: Card, machine: Machine, wishes: Wishes, *, stop: Stop = never
    ) -> Judgement:
        """Judge a family, or return what was said of one like it on a machine like this.

        Raises:
            StoppedError: ``stop`` said so.
        """
        self._forget_others(machine, wishes)
        numbers = (card.architecture, tuple(sorted(card.hyperparameters.items(), key=_by_key)))
        key = (numbers, card.quants, card.runs)
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return replace(known, card_id=card.card_id)

        question = _Question(machine, wishes, self._planning, stop)

        def ask(shape: ModelShape, near: PlanSettings | None) -> Plan:
            plan_key = (numbers, shape.quantization, shape.file_bytes)
            with self._lock:
                plan = self._plans.get(plan_key)
            if plan is None:
                plan = question.plan(card.title, shape, near)
                with self._lock:
                    if self._machine is machine and near is None:
                        self._plans[plan_key] = plan
            return plan

        found = _judged(card, ask)
        with self._lock:
            if self._machine is machine:
                self._known[key] = found
        return found

    def _forget_others(self, machine: Machine, wishes: Wishes) -> None:
        """Forget everything when the machine or the wishes are others than before."""
        with self._lock:
            if self._machine is None or self._wishes != wishes or not like(self._machine, machine):
                self._known.clear()
                self._plans.clear()
            self._machine, self._wishes = machine, wishes


@dataclass(frozen=True)
class _Question:
    """What is the same for everything that is judged together."""

    machine: Machine
    wishes: Wishes
    planning: Planner
    stop: Stop

    def plan(self, name: str, shape: ModelShape, near: PlanSettings | None = None) -> Plan:
        """Plan a shape like a checkpoint that was opened."""
        if self.stop():
            raise StoppedError
        described = OpenCheckpoint(
            text=name, name=name, shape=shape, files=(), template=None, is_remote=True, path=None
        )
        return self.planning.plan(described, self.machine, self.wishes, near=near)


def _judged(card: Card, ask: Ask) -> Judgement:
    reason = _why_not(card)
    if reason:
        return Judgement(card.card_id, None, "", 0, None, reason)
    try:
        bare = bare_shape(card.architecture, card.hyperparameters, card.title)
        model = Description(bare, extras=extras_of(card.hyperparameters))
        row = _best_row(model, _shapes(card, model), ask)
    except BadInputError as error:
        return Judgement(card.card_id, None, "", 0, None, f"Not judged yet: {error.message}")
    return Judgement(card.card_id, where_of(row.plan), row.name, row.size_bytes, row.plan, "")


def _why_not(card: Card) -> str:
    if not card.runs:
        return "Fathom cannot chat with it; its card says why."
    if not card.hyperparameters or not can_describe(card.architecture):
        return "Not judged yet: its numbers are not known."
    return ""


def _by_key(item: tuple[str, object]) -> str:
    return item[0]


def _best_row(model: Description, shapes: Sequence[ModelShape], ask: Ask) -> Row:
    """Return the one to choose, searching only as many plans as it takes to be sure.

    One plan is searched for; another is first that plan filled with its own weights, which takes
    milliseconds. What that lets expect to be the best is searched for too, until it is what was
    expected.

    Args:
        model: whose shapes they are.
        shapes: its quantizations, the largest first.
        ask: plans one of them.
    """
    first = len(shapes) // 2
    plans = {first: ask(shapes[first], None)}
    near = plans[first].settings
    searched = {first}

    def search(number: int) -> Plan:
        if number not in searched:
            plans[number] = ask(shapes[number], None)
            searched.add(number)
        return plans[number]

    for number, shape in enumerate(shapes):
        if number not in plans:
            plans[number] = ask(shape, near)
        if _is_comfortable(plans[number]) and _is_comfortable(search(number)):
            # Nothing smaller is better, unless it fits the GPUs as a whole and this does not.
            vram_bytes = _vram_bytes(plans[number])
            is_split = where_of(plans[number]) is Where.GPU_AND_RAM
            if not is_split or all(s.file_bytes > vram_bytes for s in shapes[number + 1 :]):
                break
    while (best := _expected(shapes, plans, model.parameters)) not in searched:
        search(best)
    return Row(shapes[best].quantization, shapes[best].file_bytes, plans[best])


def _shapes(card: Card, model: Description) -> tuple[ModelShape, ...]:
    """Return a family's quantizations as shapes, the largest first."""
    quants = card.quants or tuple(KnownQuant(name) for name in USUAL_QUANTS)
    shapes = (model.shape(quant.name, file_bytes=quant.size_bytes) for quant in quants)
    return tuple(sorted(shapes, key=lambda shape: -shape.file_bytes))


def _expected(shapes: Sequence[ModelShape], plans: Mapping[int, Plan], parameters: int) -> int:
    """Return the number of the shape to choose by the plans that there are."""
    numbers = sorted(plans)
    rows = [
        Row(shapes[number].quantization, shapes[number].file_bytes, plans[number])
        for number in numbers
    ]
    best = _chosen(rows, parameters)
    if best is None:
        order = [(row.plan.fits, row.plan.speed.decode.mid, -row.size_bytes) for row in rows]
        best = max(range(len(rows)), key=order.__getitem__)
    return numbers[best]


def _vram_bytes(plan: Plan) -> int:
    return sum(device.budget_bytes for device in plan.memory.devices if device.name != CPU)


def _is_comfortable(plan: Plan) -> bool:
    return plan.fits and plan.speed.decode.mid >= COMFORTABLE_TOK_S


def _chosen(rows: Sequence[Row], parameters: int) -> int | None:
    """Return the index of the row to choose, None when none is sensible."""
    best = recommended(rows)
    if best is None or parameters >= _SMALL_PARAMETERS:
        return best
    least_bytes = _LEAST_BITS / 8 * parameters
    good = [number for number, row in enumerate(rows) if row.size_bytes >= least_bytes]
    better = recommended([rows[number] for number in good])
    if better is None:
        return best
    rates = [rows[number].plan.speed.decode.mid for number in (good[better], best)]
    return good[better] if rates[0] >= _LITTLE_SLOWER * rates[1] else best
