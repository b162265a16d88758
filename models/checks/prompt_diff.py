"""Compares the prompts of a template with those of its family. No Qt here."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.checks.family_format import FamilyFormat
from models.checks.template_protocol import Rendered, TemplateCase

_MAX_DIFF_CHARS = 32_000
# Word by word, which takes the square of the length.
_MAX_COMPARED_CHARS = 8_000
_MARK = re.compile(r"<[^<>\s]{1,60}>")


class Likeness(enum.Enum):
    """How like its family's prompts a template's are."""

    SAME = "same"
    SPACES = "only spaces and line ends differ"
    REASONING = "only what is kept of reasoning differs"
    DIFFERENT = "different"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True)
class PromptComparison:
    """The outcome for all conversations together.

    Attributes:
        likeness: of the least alike.
        diff: unified, one part for each conversation that differs; empty where none does.
        added: runs of words that the family's prompts do not have, in their order.
        refused: titles of conversations that the template could not write, with its words.
    """

    likeness: Likeness
    diff: str = ""
    added: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def compare_prompts(
    family: FamilyFormat, cases: Sequence[TemplateCase], renderings: Sequence[Rendered]
) -> PromptComparison:
    """Compare what a template wrote with what its family writes."""
    order = list(Likeness)
    worst, refused, compared = Likeness.SAME, [], 0
    shown = _Shown(family)
    for case, rendered in zip(cases, renderings, strict=False):
        right = family.prompts(case)
        if not right:
            continue
        compared += 1
        if rendered.problem:
            refused.append(f"{case.title}: {rendered.problem}")
            continue
        one = _likeness(rendered.text, right, family, case)
        if one is Likeness.SAME:
            continue
        worst = max(worst, one, key=order.index)
        nearest = _nearest(rendered.text, right, family)
        shown.add(case, nearest, _bare(rendered.text, family))
    if not compared:
        return PromptComparison(Likeness.NOT_COMPARED)
    if refused and worst is Likeness.SAME:
        worst = Likeness.DIFFERENT
    return PromptComparison(worst, shown.text(), tuple(shown.added), tuple(refused))


class _Shown:
    """Gathers what differs; what all conversations have in common is shown once."""

    def __init__(self, family: FamilyFormat) -> None:
        self.added: list[str] = []
        self._family = family
        self._diffs: list[str] = []
        self._changes: set[str] = set()

    def add(self, case: TemplateCase, known: str, own: str) -> None:
        """Compare two prompts of one conversation."""
        self.added += [run for run in _added_runs(known, own) if run not in self.added]
        lines = list(
            difflib.unified_diff(
                _lines(known),
                _lines(own),
                f"{self._family.title}: {case.title}",
                f"this file: {case.title}",
                lineterm="",
            )
        )
        changes = {line for line in lines[2:] if line.startswith(("+", "-"))}
        if not changes <= self._changes:
            self._diffs.append("\n".join(lines))
            self._changes |= changes

    def text(self) -> str:
        """Return all diffs."""
        diff = "\n".join(self._diffs)
        return diff if len(diff) <= _MAX_DIFF_CHARS else diff[:_MAX_DIFF_CHARS] + "\n[...]"


def _added_runs(known: str, own: str) -> list[str]:
    before, after = _words(known), _words(own)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [
        " ".join(after[start:end])
        for kind, _, _, start, end in matcher.get_opcodes()
        if kind in ("insert", "replace")
    ]


def _words(text: str) -> list[str]:
    return _MARK.sub(r" \g<0> ", text[:_MAX_COMPARED_CHARS]).split()


def _likeness(
    text: str, right: Sequence[str], family: FamilyFormat, case: TemplateCase
) -> Likeness:
    own = _bare(text, family)
    bare = [_bare(one, family) for one in right]
    if own in bare:
        return Likeness.SAME
    if _without_spaces(own) in [_without_spaces(one) for one in bare]:
        return Likeness.SPACES
    thoughts = [message.reasoning for message in case.messages if message.reasoning]
    if thoughts and _without_reasoning(own, thoughts) in [
        _without_reasoning(one, thoughts) for one in bare
    ]:
        return Likeness.REASONING
    return Likeness.DIFFERENT


def _bare(text: str, family: FamilyFormat) -> str:
    """Return a prompt without its first token, which the engine puts there once in any case."""
    return text.removeprefix(family.bos_token) if family.bos_token else text


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def _without_reasoning(text: str, thoughts: Sequence[str]) -> str:
    for thought in thoughts:
        text = text.replace(thought, "")
    return _without_spaces(text).replace("<think></think>", "").replace("</think>", "")


def _nearest(text: str, right: Sequence[str], family: FamilyFormat) -> str:
    own = _bare(text, family)
    bare = [_bare(one, family) for one in right]
    return max(
        bare, key=lambda one: difflib.SequenceMatcher(None, one, own[:_MAX_COMPARED_CHARS]).ratio()
    )


def _lines(text: str) -> list[str]:
    """Return the lines with their ends visible, a new line before every special token."""
    pieces: list[str] = []
    for line in text.splitlines(keepends=True):
        start = 0
        for place in range(1, len(line)):
            if line[place] == "<" and line[place - 1] != "<":
                pieces.append(line[start:place])
                start = place
        pieces.append(line[start:])
    return [piece.replace("\n", "\\n").replace("\t", "\\t") for piece in pieces if piece]
