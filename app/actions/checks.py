"""Looking at checkpoints before they are loaded, and what the user decides about them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, Signal

from app.messages import Action, Messages
from app.tasks import Task, TaskRunner, expected
from models.checks.decisions import Choice, Decisions, FileStamp, stamp_of
from models.checks.findings import CheckFindings, Finding, FindingKind, Weight
from models.errors import FathomError
from models.library.library import LibraryEntry

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)
# Findings that the planner or the engine says nothing about.
_TOLD_KINDS = (FindingKind.HIDDEN_TEXT, FindingKind.TEMPLATE, FindingKind.TOKENS)


class Look(Protocol):
    """Looks at a checkpoint; in a background lane."""

    def __call__(self, path: Path) -> CheckFindings:
        """Return what was found."""


class Checks(QObject):
    """Asks for a look, keeps what was found, and holds a load back that needs a decision."""

    # LibraryEntry, and the Finding that should be seen before it is loaded, None for none.
    noted = Signal(object, object)
    # LibraryEntry, CheckFindings
    show_requested = Signal(object, object)
    # LibraryEntry: it was decided that it may be loaded.
    load_requested = Signal(object)

    def __init__(
        self,
        *,
        look: Look,
        decisions: Decisions,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._look = look
        self._decisions = decisions
        self._runner = runner
        self._messages = messages
        self._known: dict[FileStamp, CheckFindings] = {}
        self._told: set[FileStamp] = set()
        self._notices: dict[LibraryEntry, int] = {}

    def ask(self, entry: LibraryEntry) -> None:
        """Look when nothing else is to be done; ``noted`` tells what deserves to be seen."""
        self._runner.run(
            partial(self._look_before_load, entry),
            done=partial(self._tell_noted, entry),
            error=partial(self._not_looked, entry),
            lane="disk",
        )

    def show(self, entry: LibraryEntry) -> None:
        """Look, and ask for the findings to be shown."""
        self._runner.run(
            partial(self._look_at, entry),
            done=partial(self._tell_show, entry),
            error=self._tell_error,
        )

    def before_load(
        self, entry: LibraryEntry, passed: Callable[[str], None], held: Callable[[], None]
    ) -> Task:
        """Look before a load, in the lane of loads.

        Args:
            entry: what is to be loaded.
            passed: called with the chat template to use, empty for the checkpoint's own.
            held: called when somebody has to decide first; a notice says so.
        """
        return self._runner.run(
            partial(self._look_before_load, entry),
            done=partial(self._looked_before_load, entry, passed, held),
            error=partial(self._passed_unseen, passed),
            lane="engine",
        )

    def decide(self, entry: LibraryEntry, findings: CheckFindings, choice: Choice) -> None:
        """Remember a decision and ask for the load."""
        self._withdraw(entry)
        self._runner.run(
            partial(self._decisions.decide, findings, choice),
            done=partial(self._decided, entry),
            error=self._tell_error,
        )

    # --- background -----------------------------------------------------------------------------

    def _look_at(self, entry: LibraryEntry) -> CheckFindings:
        stamp = stamp_of(entry.path)
        known = self._known.get(stamp) if stamp else None
        if known is not None:
            return known
        findings = self._look(entry.path)
        if stamp is not None:
            self._known[stamp] = findings
        return findings

    def _look_before_load(
        self, entry: LibraryEntry
    ) -> tuple[FileStamp | None, CheckFindings | None, Choice | None]:
        stamp = stamp_of(entry.path)
        if entry.is_demo or (stamp is not None and self._decisions.is_clear(stamp)):
            return stamp, None, None
        findings = self._look_at(entry)
        choice = self._decisions.choice(findings)
        may_matter = findings.needs_decision or findings.known_template
        if stamp is not None and not may_matter:
            self._decisions.note_clear(stamp)
        return stamp, findings, choice

    # --- results --------------------------------------------------------------------------------

    def _looked_before_load(
        self,
        entry: LibraryEntry,
        passed: Callable[[str], None],
        held: Callable[[], None],
        result: tuple[FileStamp | None, CheckFindings | None, Choice | None],
    ) -> None:
        stamp, findings, choice = result
        if findings is None or findings.is_refused:
            # What is wrong with a file that cannot be loaded the engine says itself.
            passed("")
        elif choice is Choice.KNOWN and findings.known_template:
            passed(findings.known_template)
        elif findings.needs_decision and choice is None:
            self._hold(entry, findings)
            held()
        else:
            if choice is None and stamp is not None:
                self._tell_warnings(entry, findings, stamp)
            passed("")

    def _hold(self, entry: LibraryEntry, findings: CheckFindings) -> None:
        self._withdraw(entry)
        first = next(one for one in findings.findings if one.needs_decision)
        self._notices[entry] = self._messages.warning(
            self.tr("{0} was not loaded: {1}.").format(entry.title, _lower(first.title)),
            Action(self.tr("Look at it"), partial(self.show_requested.emit, entry, findings)),
            hint=first.text,
        )

    def _withdraw(self, entry: LibraryEntry) -> None:
        notice = self._notices.pop(entry, None)
        if notice is not None:
            self._messages.withdraw(notice)

    def _tell_warnings(
        self, entry: LibraryEntry, findings: CheckFindings, stamp: FileStamp
    ) -> None:
        told = [one for one in findings.of_weight(Weight.WARNING) if one.kind in _TOLD_KINDS]
        if not told or stamp in self._told:
            return
        self._told.add(stamp)
        self._messages.warning(
            self.tr("{0}: {1}.").format(entry.title, _lower(told[0].title)),
            Action(self.tr("Show"), partial(self.show_requested.emit, entry, findings)),
            hint=told[0].text,
        )

    def _tell_noted(
        self,
        entry: LibraryEntry,
        result: tuple[FileStamp | None, CheckFindings | None, Choice | None],
    ) -> None:
        _, findings, choice = result
        noted = None
        if findings is not None and not findings.is_refused and choice is None:
            worth = (one for one in findings.findings if _is_worth_a_note(one))
            noted = next(worth, None)
        self.noted.emit(entry, noted)

    def _tell_show(self, entry: LibraryEntry, findings: CheckFindings) -> None:
        self.show_requested.emit(entry, findings)

    def _decided(self, entry: LibraryEntry, _result: None) -> None:
        self.noted.emit(entry, None)
        self.load_requested.emit(entry)

    def _not_looked(self, entry: LibraryEntry, error: Exception) -> None:
        error = expected(error)
        _log.info("%s was not looked at: %s", entry.name, error.one_line())

    def _passed_unseen(self, passed: Callable[[str], None], error: Exception) -> None:
        """Load all the same: the engine checks the file again, and a load is no reason to fail."""
        if isinstance(error, FathomError):
            _log.warning("Loading without a look at the file: %s", error.one_line())
        else:
            _log.error("Loading without a look at the file", exc_info=error)
        passed("")

    def _tell_error(self, error: Exception) -> None:
        self._messages.error(expected(error))


def _is_worth_a_note(finding: Finding) -> bool:
    told = finding.weight is Weight.WARNING and finding.kind in _TOLD_KINDS
    return finding.needs_decision or told


def _lower(title: str) -> str:
    return title[:1].lower() + title[1:]
