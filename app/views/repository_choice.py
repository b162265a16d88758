"""The chosen checkpoint: what it would be like here, and the one button."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.actions.discover_data import Holdings, PageStatus
from app.theme import SIZE_HEADING, SIZE_TITLE, SPACE_L, SPACE_M, SPACE_S, ui_font
from app.views.discover_words import job_words
from app.views.forecast_view import forecast_view
from app.views.repository_words import (
    button_words,
    gate_words,
    is_flagged,
    is_patient_work,
    verdict_words,
)
from app.widgets.buttons import TextButton
from app.widgets.device_bar import DeviceBar
from app.widgets.labels import ElidedLabel, Run, RunsLabel, Weight, badge_label
from app.widgets.page import card
from app.widgets.paragraph import Paragraph
from app.widgets.tips import plain_tip
from models.planning.judgement import QuantJudgement


class ChoiceCard(QWidget):
    """Shows one checkpoint in the large; hidden while there is none."""

    download_requested = Signal()
    open_requested = Signal()
    plan_requested = Signal()
    settings_requested = Signal()
    page_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._acts_on_entry = False
        self._name = ElidedLabel()
        self._name.setFont(ui_font(SIZE_HEADING, Weight.DemiBold))
        self._badge = badge_label(self.tr("Best for this machine"))
        self._rate = RunsLabel(size=SIZE_TITLE, weight=Weight.DemiBold)
        self._bar = DeviceBar()
        self._bar.setMaximumWidth(280)
        self._words = Paragraph(tone="quiet")
        self._gate = Paragraph(tone="tight")
        self.button = TextButton(self.tr("Download"), kind="primary", icon_name="download")
        self.button.clicked.connect(self._pressed)
        self.plan_button = TextButton(self.tr("Plan in detail"), kind="quiet", icon_name="gauge")
        self.plan_button.clicked.connect(self.plan_requested)
        self.page_button = TextButton(self.tr("Open its page"), icon_name="external-link")
        self.page_button.clicked.connect(self.page_requested)
        self.settings_button = TextButton(self.tr("Open settings"))
        self.settings_button.clicked.connect(self.settings_requested)
        self._lay_out()

    def show_choice(
        self, status: PageStatus, choice: QuantJudgement | None, holdings: Holdings
    ) -> None:
        """Show the chosen checkpoint of a repository."""
        page = status.page
        self.setVisible(choice is not None and page is not None)
        if choice is None or page is None:
            return
        self._name.set_full_text(choice.files.quant or choice.files.name)
        self._badge.setVisible(choice.is_recommended)
        self._show_forecast(choice, is_judging=status.is_judging)
        gate = gate_words(page)
        self._words.setText(verdict_words(choice, is_judging=status.is_judging, is_open=not gate))
        self._gate.setText(gate)
        for widget in (self._gate, self.page_button, self.settings_button):
            widget.setVisible(bool(gate))
        flagged = is_flagged(page, choice.files)
        self._show_button(page.repository, choice, holdings, is_open=not gate, is_flagged=flagged)

    def set_narrow(self, narrow: bool) -> None:
        """Put the buttons below the words where there is no room beside them."""
        self._row.setDirection(
            QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        )

    def _show_forecast(self, choice: QuantJudgement, *, is_judging: bool) -> None:
        if choice.plan is None:
            words = self.tr("Sizing") if is_judging else self.tr("Not judged")
            self._rate.set_runs([Run(words, "text_quiet")])
            self._bar.hide()
            return
        shown = forecast_view(choice.plan)
        token = shown.tone or "text"
        runs = [Run(shown.rate, token), Run(f" {shown.unit}", "text_quiet")]
        self._rate.set_runs(runs if shown.rate else [Run(shown.words, token)])
        self._bar.set_fill(shown.fill, shown.fill.total)
        self._bar.setVisible(choice.plan.fits)
        for widget in (self._rate, self._bar):
            widget.setToolTip(plain_tip(shown.tooltip))

    def _show_button(
        self,
        repository: str,
        choice: QuantJudgement,
        holdings: Holdings,
        *,
        is_open: bool,
        is_flagged: bool,
    ) -> None:
        job = holdings.job_of(repository, choice.files)
        entry = holdings.entry_of(repository, choice.files)
        self._acts_on_entry = entry is not None and job is None
        if job is not None:
            self.button.setText(job_words(job))
        elif entry is not None:
            self.button.setText(self.tr("Show in library"))
        else:
            self.button.setText(button_words(choice))
        usable = is_open and not choice.files.missing
        self.button.setEnabled(job is None and (self._acts_on_entry or usable))
        fits = choice.plan is None or (choice.plan.fits and not is_patient_work(choice))
        is_advised = fits and not is_flagged
        self.button.set_kind("primary" if is_advised or self._acts_on_entry else "")
        self.button.set_icon_name("boxes" if self._acts_on_entry else "download")
        self.button.setAccessibleName(f"{self.button.text()}: {choice.files.name}")

    @Slot()
    def _pressed(self) -> None:
        (self.open_requested if self._acts_on_entry else self.download_requested).emit()

    def _lay_out(self) -> None:
        first = QHBoxLayout()
        first.setSpacing(SPACE_S)
        first.addWidget(self._name)
        first.addWidget(self._badge)
        first.addStretch(1)
        figures = QHBoxLayout()
        figures.setSpacing(SPACE_L)
        figures.addWidget(self._rate)
        figures.addWidget(self._bar, 1)
        figures.addStretch(0)
        words = QVBoxLayout()
        words.setSpacing(SPACE_S)
        words.addLayout(first)
        words.addLayout(figures)
        words.addWidget(self._words)
        words.addWidget(self._gate)
        access = QHBoxLayout()
        access.setSpacing(SPACE_S)
        access.addWidget(self.page_button)
        access.addWidget(self.settings_button)
        access.addStretch(1)
        words.addLayout(access)
        buttons = QVBoxLayout()
        buttons.setSpacing(SPACE_S)
        buttons.addWidget(self.button)
        buttons.addWidget(self.plan_button)
        buttons.addStretch(1)
        frame = card()
        self._row = QHBoxLayout(frame)
        self._row.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        self._row.setSpacing(SPACE_M)
        self._row.addLayout(words, 1)
        self._row.addLayout(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(frame)
