"""What a look at a checkpoint found: plain data. No Qt here."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class Weight(enum.StrEnum):
    """How much a finding matters; ``ORDER`` has them from the least to the most."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    REFUSED = "refused"


ORDER = (Weight.GOOD, Weight.NOTE, Weight.WARNING, Weight.REFUSED)


class FindingKind(enum.StrEnum):
    """What a finding is about."""

    FILE = "file"
    FAMILY = "family"
    TEMPLATE = "template"
    HIDDEN_TEXT = "hidden_text"
    TOKENS = "tokens"
    QUANTIZATION = "quantization"
    OLD_FORMAT = "old_format"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        title: a few words, such as "Chat template differs".
        text: one or two sentences: what it is and what it means.
        details: what one can look at oneself, in lines; may be empty.
        needs_decision: whether nothing is loaded before somebody has said that it may.
    """

    kind: FindingKind
    weight: Weight
    title: str
    text: str
    details: str = ""
    needs_decision: bool = False


@dataclass(frozen=True)
class CheckFindings:
    """All findings of a checkpoint.

    Attributes:
        name: what messages call the checkpoint.
        path: its first file, None where it is not on this machine.
        findings: the gravest first.
        template_diff: how its prompts differ from its family's, as a unified diff; may be empty.
        family: the title of the DeepSeek family it belongs to, empty when it is of none.
        card_id: the family's card in the catalogue, else empty.
        template_sha256: of its own chat template's text, empty without one.
        known_template: a template that writes its family's format and may be used in place of
            its own; empty when there is none or its own is as good.
    """

    name: str
    path: Path | None
    findings: tuple[Finding, ...]
    template_diff: str = ""
    family: str = ""
    card_id: str = ""
    template_sha256: str = ""
    known_template: str = ""

    @property
    def worst(self) -> Weight:
        """The weight of the gravest finding."""
        return max((one.weight for one in self.findings), key=ORDER.index, default=Weight.GOOD)

    @property
    def needs_decision(self) -> bool:
        """Whether somebody should look before it is loaded."""
        return any(one.needs_decision for one in self.findings)

    @property
    def is_refused(self) -> bool:
        """Whether it cannot be loaded at all."""
        return self.worst is Weight.REFUSED

    def of_weight(self, *weights: Weight) -> tuple[Finding, ...]:
        """Return the findings of some weights."""
        return tuple(one for one in self.findings if one.weight in weights)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "family": self.family,
            "worst": self.worst.value,
            "findings": [
                asdict(one) | {"kind": one.kind.value, "weight": one.weight.value}
                for one in self.findings
            ],
            "template_diff": self.template_diff,
            "template_sha256": self.template_sha256,
        }


def sorted_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return the gravest first, and of one weight those that need a decision."""
    return tuple(
        sorted(findings, key=lambda one: (-ORDER.index(one.weight), not one.needs_decision))
    )
