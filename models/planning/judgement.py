"""What the planner says of a family and of a repository's files: plain data. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass

from models.hub.quants import QuantFiles
from models.planner.compare import Where
from models.planner.plan import Plan


@dataclass(frozen=True)
class Judgement:
    """What the planner says of a family.

    Attributes:
        card_id: the card's.
        where: where most of it would live; None while it is not judged.
        quant: the one to choose; empty while it is not judged.
        size_bytes: of that quantization, as foretold.
        plan: of that quantization.
        reason: why it is not judged, one sentence; empty when it is.
    """

    card_id: str
    where: Where | None
    quant: str
    size_bytes: int
    plan: Plan | None
    reason: str

    @property
    def is_judged(self) -> bool:
        """Whether there is a plan."""
        return self.plan is not None


@dataclass(frozen=True)
class QuantJudgement:
    """What the planner says of one quantization of a repository.

    Attributes:
        files: what was judged.
        plan: None when it could not be planned; ``reason`` says why.
        is_recommended: whether it is the one to choose on this machine.
    """

    files: QuantFiles
    plan: Plan | None
    is_recommended: bool = False
    reason: str = ""
