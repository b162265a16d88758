"""What the command line says of a checkpoint before it loads it. No Qt here."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from app.cli.failures import print_line
from app.cli.session import Session
from app.cli.table import format_table
from models.checks.decisions import Choice, Decisions, stamp_of
from models.checks.findings import CheckFindings, Finding, FindingKind, Weight
from models.errors import FathomError, StoppedError, UndecidedError
from models.library.library import LibraryEntry
from models.planning.open_checkpoint import OpenCheckpoint

_log = logging.getLogger(__name__)
_WORDS = {
    Weight.GOOD: "good",
    Weight.NOTE: "note",
    Weight.WARNING: "warning",
    Weight.REFUSED: "refused",
}
_TOLD_KINDS = (FindingKind.HIDDEN_TEXT, FindingKind.TEMPLATE, FindingKind.TOKENS)


def template_to_use(entry: LibraryEntry, session: Session, wanted: str | None) -> str:
    """Look at a checkpoint before it is loaded; return its chat template's stand-in.

    Args:
        entry: what is to be loaded.
        session: where decisions of the window are kept.
        wanted: ``own`` or ``known``, as given by the user; None: as was decided in the window.

    Returns:
        The template to use, empty for the checkpoint's own.

    Raises:
        UndecidedError: it should be looked at first.
    """
    decisions = Decisions(session.paths.checks_file)
    stamp = stamp_of(entry.path)
    if wanted is None and (entry.is_demo or (stamp is not None and decisions.is_clear(stamp))):
        return ""
    from models.checks.look import CheckpointLook

    findings = CheckpointLook()(entry.path)
    choice = Choice(wanted) if wanted else decisions.choice(findings)
    if choice is Choice.KNOWN:
        if not findings.known_template and wanted:
            print_line("There is no known template to use; its own one is used.")
        return findings.known_template
    if choice is None and findings.needs_decision and not findings.is_refused:
        raise _undecided(entry, findings)
    if choice is None:
        if stamp is not None and not findings.known_template:
            decisions.note_clear(stamp)
        for finding in findings.of_weight(Weight.WARNING):
            if finding.kind in _TOLD_KINDS:
                print_line(f"{finding.title}. {finding.text}")
    return ""


def _undecided(entry: LibraryEntry, findings: CheckFindings) -> FathomError:
    first = next(one for one in findings.findings if one.needs_decision)
    known = " or --template known" if findings.known_template else ""
    return UndecidedError(
        f"{entry.title} was not loaded. {first.title}: {first.text}",
        hint=f'"fathom inspect" shows it; run it with --template own{known}.',
        details=first.details,
    )


def findings_of(checkpoint: OpenCheckpoint) -> CheckFindings | None:
    """Look at a checkpoint that was opened; None where that cannot be done."""
    from models.checks.look import CheckpointLook

    try:
        return CheckpointLook().at_open(checkpoint)
    except StoppedError:
        raise
    except FathomError as error:
        _log.warning("The checkpoint was not looked at: %s", error.one_line())
        return None


def findings_text(
    findings: CheckFindings, *, said: tuple[str, ...] = (), width: int | None = None
) -> str:
    """Return findings as people read them; ``said`` are sentences that stand elsewhere."""
    shown = [one for one in findings.findings if one.text not in said]
    rows = [(_WORDS[one.weight], f"{one.title}. {one.text}") for one in shown]
    parts = [format_table(rows, wrap=1, width=width), *_details(shown)]
    if findings.template_diff:
        parts.append(findings.template_diff)
    return "\n\n".join(parts)


def _details(findings: list[Finding]) -> Iterator[str]:
    for one in findings:
        if one.details:
            lines = "\n".join(f"  {line}" for line in one.details.splitlines())
            yield f"{one.title}:\n{lines}"
