"""The words between the planner's parent and child; docs/protocol.md, "The planner". No Qt here.

Lines, ids and errors are those of the engine protocol; the requests are ``judge``, ``judge_files``,
``shape``, ``plan`` and ``cancel``.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.catalog.card import Card
from models.gguf.shape import ModelShape
from models.gguf.sizing import SizingFacts
from models.hub.quants import QuantFiles
from models.planner.machine import Machine
from models.planner.plan import Plan, PlanSettings
from models.planner.wishes import Wishes
from models.planning.judgement import Judgement, QuantJudgement

# How many shapes the child keeps; the parent sends one again after so many others.
SHAPES_KEPT = 8
# An argument of the child: others come first when the processor is wanted.
IN_BACKGROUND = "--in-background"


@dataclass(frozen=True)
class JudgeFamily:
    """Request ``judge``: a family by its best quantization."""

    card: Card
    machine: Machine
    wishes: Wishes


@dataclass(frozen=True)
class FamilyJudged:
    """Answer to ``judge``."""

    judgement: Judgement


@dataclass(frozen=True)
class JudgeFiles:
    """Request ``judge_files``: every quantization of a repository.

    What sizes them is ``shape`` or ``sizing``, and never both.
    """

    quants: tuple[QuantFiles, ...]
    shape: ModelShape | None
    sizing: SizingFacts | None
    machine: Machine
    wishes: Wishes


@dataclass(frozen=True)
class FilesJudged:
    """Answer to ``judge_files``, in the order of the question."""

    judgements: tuple[QuantJudgement, ...]


@dataclass(frozen=True)
class KnowShape:
    """Request ``shape``: what later plans are of. The last ``SHAPES_KEPT`` of them are kept."""

    number: int
    shape: ModelShape


@dataclass(frozen=True)
class ShapeKnown:
    """Answer to ``shape``."""

    number: int


@dataclass(frozen=True)
class MakePlan:
    """Request ``plan``: of the shape with a number, near settings found before where given."""

    number: int
    machine: Machine
    wishes: Wishes
    near: PlanSettings | None


@dataclass(frozen=True)
class PlanMade:
    """Answer to ``plan``."""

    plan: Plan
