"""What a look at a checkpoint found, and what can be decided about it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SPACE_L, SPACE_M, SPACE_S, SPACE_XL, SPACE_XS
from app.widgets.buttons import TextButton
from app.widgets.finding_row import FindingRow
from app.widgets.labels import ElidedLabel, Weight, leave_out, text_label
from app.widgets.page import ScrollColumn, card, hairline
from models.checks.decisions import Choice
from models.checks.findings import CheckFindings, Finding, FindingKind
from models.checks.findings import Weight as Gravity

_WIDTH = 720
_SIGNS = {
    Gravity.GOOD: ("circle-check", "good"),
    Gravity.NOTE: ("info", "accent"),
    Gravity.WARNING: ("triangle-alert", "tight"),
    Gravity.REFUSED: ("circle-x", "fail"),
}


class FindingsView(QWidget):
    """All findings of a checkpoint, the gravest first; the comparison of prompts below its own."""

    def __init__(self, findings: CheckFindings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[FindingRow] = []
        column = ScrollColumn(_WIDTH)
        frame = card()
        rows = QVBoxLayout(frame)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        diff_owner = _diff_owner(findings)
        for finding in findings.findings:
            if self.rows:
                rows.addWidget(hairline())
            diff = findings.template_diff if finding is diff_owner else ""
            row = self._row(finding, diff)
            self.rows.append(row)
            rows.addWidget(row)
        column.column.addWidget(frame)
        column.column.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(column)

    def _row(self, finding: Finding, diff: str) -> FindingRow:
        titles = {
            FindingKind.HIDDEN_TEXT: self.tr("The text"),
            FindingKind.TEMPLATE: self.tr("What the template said"),
        }
        title = titles.get(finding.kind, self.tr("Details"))
        if diff:
            title = self.tr("How the prompts differ")
        return FindingRow(
            _SIGNS[finding.weight],
            self._spoken(finding.weight),
            finding.title,
            finding.text,
            details="\n\n".join(part for part in (finding.details, diff) if part),
            details_title=title,
            is_open=finding.needs_decision or bool(diff),
        )

    def _spoken(self, weight: Gravity) -> str:
        return {
            Gravity.GOOD: self.tr("Good"),
            Gravity.NOTE: self.tr("Note"),
            Gravity.WARNING: self.tr("Warning"),
            Gravity.REFUSED: self.tr("Cannot be loaded"),
        }[weight]


def _diff_owner(findings: CheckFindings) -> Finding | None:
    """Return the finding that the comparison belongs to."""
    about = [one for one in findings.findings if one.kind is FindingKind.TEMPLATE]
    return about[0] if about else None


class FindingsDialog(QDialog):
    """The findings with the ways to go on; ``decided`` says which was taken."""

    decided = Signal(Choice)

    def __init__(
        self,
        findings: CheckFindings,
        *,
        title: str,
        parent: QWidget | None = None,
    ) -> None:
        """Show findings; where there is something to decide, with the ways to load."""
        super().__init__(parent)
        self._findings = findings
        self.setWindowTitle(self.tr("What was found in {0}").format(title))
        self.view = FindingsView(findings)
        self.known_button = TextButton(self.tr("Load with the known template"), kind="primary")
        self.own_button = TextButton(self.tr("Load as it is"))
        self.close_button = TextButton(self.tr("Close"))
        has_choice = bool(findings.known_template) or findings.needs_decision
        leave_out(self.known_button, unless=findings.known_template)
        leave_out(self.own_button, unless=has_choice and not findings.is_refused)
        self.known_button.clicked.connect(self._choose_known)
        self.own_button.clicked.connect(self._choose_own)
        self.close_button.clicked.connect(self.reject)
        self._lay_out(title)
        # Enter must not load what nobody has read about.
        for button in (self.known_button, self.own_button):
            button.setAutoDefault(False)
        self.close_button.setDefault(True)
        self.close_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def sizeHint(self) -> QSize:
        """Return room for a few findings."""
        return QSize(720, 640)

    def _lay_out(self, title: str) -> None:
        heading = ElidedLabel(title)
        heading.setFont(text_label("", size=SIZE_HEADING, weight=Weight.DemiBold).font())
        about = text_label(self._sentence(), tone="quiet", wrap=True)
        buttons = QHBoxLayout()
        buttons.setContentsMargins(SPACE_XL, 0, SPACE_XL, 0)
        buttons.setSpacing(SPACE_S)
        buttons.addStretch(1)
        for button in (self.close_button, self.own_button, self.known_button):
            buttons.addWidget(button)
        head = QVBoxLayout()
        head.setContentsMargins(SPACE_XL, 0, SPACE_XL, 0)
        head.setSpacing(SPACE_XS)
        head.addWidget(heading)
        head.addWidget(about)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, SPACE_XL, 0, SPACE_L)
        layout.setSpacing(SPACE_M)
        layout.addLayout(head)
        layout.addWidget(self.view, 1)
        layout.addLayout(buttons)

    def _sentence(self) -> str:
        if self._findings.is_refused:
            return self.tr("This checkpoint cannot be loaded.")
        if self._findings.needs_decision:
            return self.tr(
                "Its weights are not looked at here, only its header. Read what was found before "
                "you load it."
            )
        return self.tr("Only its header was looked at. It can be loaded.")

    @Slot()
    def _choose_known(self) -> None:
        self.decided.emit(Choice.KNOWN)
        self.accept()

    @Slot()
    def _choose_own(self) -> None:
        self.decided.emit(Choice.OWN)
        self.accept()
