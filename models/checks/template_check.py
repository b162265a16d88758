"""What is found out about a checkpoint's chat template. No Qt here.

A template decides what the model really reads. One from a stranger may put instructions in front
of every conversation, or of some (https://www.pillar.security/blog, "poisoned GGUF templates").
So it is recognised by digest, compared with what its family writes, and searched for texts that
no known template has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.checks.family_format import FamilyFormat, trial_cases
from models.checks.findings import Finding, FindingKind, Weight
from models.checks.known_templates import KnownTemplate, KnownTemplates, template_sha256
from models.checks.prompt_diff import Likeness, PromptComparison, compare_prompts
from models.checks.prose import is_for_tools, says_something, unknown_sought, unknown_texts
from models.checks.template_child import TemplateReading, read_template
from models.checks.template_protocol import TemplateRequest
from models.checks.template_texts import TemplateParts, TemplateText
from models.stopping import Stop

MAX_TEMPLATE_CHARS = 64 * 1024
_MAX_SHOWN_CHARS = 600
_MAX_SHOWN = 40


@dataclass(frozen=True)
class TemplateFindings:
    """The outcome: findings, how prompts differ, and whether a known template should be offered."""

    findings: tuple[Finding, ...]
    diff: str = ""
    sha256: str = ""
    should_offer: bool = False


def check_template(
    template: str | None,
    family: FamilyFormat | None,
    known: KnownTemplates,
    *,
    bos_token: str,
    eos_token: str,
    stop: Stop,
    is_strict: bool = True,
) -> TemplateFindings:
    """Look at a template without trusting it.

    With ``is_strict`` text that no known template has needs a decision. Of families that are not
    the catalogue's every second template has a system prompt of its own: there it is only told.

    Raises:
        TemplateCheckError: the child that tries it out cannot be started.
        StoppedError: ``stop`` said so.
    """
    if not template:
        return _without_template(family)
    sha256 = template_sha256(template)
    exact = known.exactly(template)
    if len(template) > MAX_TEMPLATE_CHARS:
        return replace(template_too_long(len(template)), sha256=sha256)
    cases = trial_cases()
    if family is not None:
        # Whether the file's own tokens are these is another question.
        bos_token, eos_token = family.bos_token or bos_token, family.eos_token or eos_token
    request = TemplateRequest(template, cases, bos_token, eos_token)
    reading = read_template(request, stop=stop)
    same = exact or (known.same_structure(reading.parts.structure) if reading.parts else None)
    comparison = PromptComparison(Likeness.NOT_COMPARED)
    if family is not None and not reading.was_ended:
        comparison = compare_prompts(family, cases, reading.renderings)
    findings = [
        *_failures(reading),
        *_texts(reading.parts, known, comparison, same, is_strict=is_strict),
        *_prompts(comparison, family, same, is_exact=exact is not None),
    ]
    should_offer = any(one.weight is Weight.WARNING for one in findings)
    return TemplateFindings(tuple(findings), comparison.diff, sha256, should_offer)


def _without_template(family: FamilyFormat | None) -> TemplateFindings:
    if family is None or not family.template:
        text = "It has no chat template; DeepSeek LLM's plain format stands in."
        weight = Weight.NOTE
    else:
        text = f"It has no chat template. The format of {family.title} can be used for it."
        weight = Weight.WARNING
    finding = Finding(FindingKind.TEMPLATE, weight, "No chat template", text)
    return TemplateFindings((finding,), should_offer=True)


def template_too_long(chars: int) -> TemplateFindings:
    """Return what is said of a template that is too long to be looked at."""
    finding = Finding(
        FindingKind.TEMPLATE,
        Weight.WARNING,
        "Chat template too long",
        f"Its chat template has {chars:,} characters, more than the {MAX_TEMPLATE_CHARS:,} that "
        "are looked at. It was not tried out.",
        needs_decision=True,
    )
    return TemplateFindings((finding,), should_offer=True)


def _failures(reading: TemplateReading) -> list[Finding]:
    if reading.problem:
        return [
            Finding(
                FindingKind.TEMPLATE,
                Weight.WARNING,
                "Chat template fails",
                f"Its chat template was tried out in a process of its own. {reading.problem}",
                needs_decision=True,
            )
        ]
    problems = [one.problem for one in reading.renderings if one.problem]
    if problems and len(problems) == len(reading.renderings):
        return [
            Finding(
                FindingKind.TEMPLATE,
                Weight.WARNING,
                "Chat template fails",
                "Its chat template cannot write any of the conversations it was tried with.",
                details=problems[0],
                needs_decision=True,
            )
        ]
    return []


def _texts(
    parts: TemplateParts | None,
    known: KnownTemplates,
    comparison: PromptComparison,
    same: KnownTemplate | None,
    *,
    is_strict: bool,
) -> list[Finding]:
    """Return what it says that no known template does."""
    if parts is None or same is not None:
        return []
    unknown = unknown_texts(parts, known)
    hidden = [one for one in unknown if not is_for_tools(one)]
    for_tools = [one for one in unknown if is_for_tools(one)]
    findings = []
    if hidden or says_something(comparison.added):
        sought = unknown_sought(parts, known)
        found = _hidden(hidden, sought, comparison.added)
        findings.append(replace(found, needs_decision=is_strict))
    if for_tools:
        findings.append(
            Finding(
                FindingKind.HIDDEN_TEXT,
                Weight.NOTE,
                "Own words about tools",
                "Its chat template describes tools in words that no known one has. They are "
                "written only where tools are given.",
                details=_listed(for_tools),
            )
        )
    return findings


def _hidden(texts: Sequence[TemplateText], sought: Sequence[str], added: Sequence[str]) -> Finding:
    details = _listed(texts)
    if not texts:
        details = "\n".join(f"written: {line[:_MAX_SHOWN_CHARS]}" for line in added[:_MAX_SHOWN])
    if sought:
        looked_for = "\n".join(f"looks for: {text[:_MAX_SHOWN_CHARS]!r}" for text in sought[:10])
        details = f"{details}\n{looked_for}"
    return Finding(
        FindingKind.HIDDEN_TEXT,
        Weight.WARNING,
        "Text added to your conversations",
        "Its chat template holds text that no known template has. The model reads it as if you "
        "or the system had written it.",
        details=details,
        needs_decision=True,
    )


def _listed(texts: Sequence[TemplateText]) -> str:
    lines = []
    for one in texts[:_MAX_SHOWN]:
        conditions = [name for name in one.conditions if name != "add_generation_prompt"]
        when = f"depends on {', '.join(dict.fromkeys(conditions))}" if conditions else "always"
        lines.append(f"{when}: {one.text[:_MAX_SHOWN_CHARS]!r}")
    return "\n".join(lines)


def _prompts(
    comparison: PromptComparison,
    family: FamilyFormat | None,
    same: KnownTemplate | None,
    *,
    is_exact: bool,
) -> list[Finding]:
    """Return how its prompts are, compared with its family's."""
    likeness = comparison.likeness
    whose = f"the known template of {same.title}" if same else ""
    how = "word for word" if is_exact else "in another layout"
    if family is None or likeness is Likeness.NOT_COMPARED:
        if same is not None:
            return [_good(f"Its chat template is {whose}, {how}.")]
        text = "There is no known template to compare its chat template with."
        if family is not None:
            text = f"How {family.title} writes conversations out is not known well enough to say."
        return [Finding(FindingKind.TEMPLATE, Weight.NOTE, "Chat template not compared", text)]
    if likeness is Likeness.SAME:
        words = f" It is {whose}, {how}." if same else ""
        return [_good(f"It writes conversations exactly as {family.title} does.{words}")]
    details = "\n".join(comparison.refused)
    if likeness in (Likeness.SPACES, Likeness.REASONING):
        text = f"It writes conversations as {family.title} does; {likeness.value}."
        return [Finding(FindingKind.TEMPLATE, Weight.NOTE, "Chat template nearly alike", text)]
    known_words = f" It is {whose}, {how}." if same else ""
    text = f"It writes conversations otherwise than {family.title} was trained with.{known_words}"
    # Publishers and llama.cpp ship more than one good template of a family.
    is_own = same is not None and "deepseek" in same.title.lower()
    weight = Weight.NOTE if is_own else Weight.WARNING
    return [Finding(FindingKind.TEMPLATE, weight, "Chat template differs", text, details=details)]


def _good(text: str) -> Finding:
    return Finding(FindingKind.TEMPLATE, Weight.GOOD, "Chat template as expected", text)
