"""One model in a list: name, what it is, its facts or what is wrong with it, one button."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS, ui_font
from app.widgets.buttons import IconButton, TextButton
from app.widgets.device_bar import BarFill, DeviceBar
from app.widgets.labels import (
    ElidedLabel,
    Run,
    RunsLabel,
    Weight,
    badge_label,
    set_tone,
    text_label,
)
from app.widgets.progress import ProgressRow
from app.widgets.tips import plain_tip

_BAR_WIDTH = 112


class ModelRow(QWidget):
    """Strings in, clicks out; ``narrow`` rows leave the bar and the size column out."""

    pressed = Signal()
    plan_requested = Signal()
    stop_requested = Signal()
    finding_requested = Signal()
    # Where the menu may open.
    menu_requested = Signal(QWidget)

    def __init__(self, title: str, *, badge: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._narrow = False
        self._facts_words: list[str] = []
        self._finding: QLabel | None = None
        self._title = ElidedLabel(title)
        self._title.setFont(ui_font(SIZE_HEADING, Weight.DemiBold))
        self._badge = badge_label(badge)
        self._facts = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._facts.setProperty("tone", "quiet")
        self._history = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._history.setFont(ui_font(SIZE_SMALL, tabular=True))
        self._history.setProperty("tone", "quiet")
        self._history.hide()
        self._note = text_label(wrap=True)
        self._note.hide()
        self._bar = DeviceBar()
        self._bar.hide()
        self._bar.setFixedWidth(_BAR_WIDTH)
        # The columns of all rows stay below each other, whatever is known yet.
        _keep_room(self._bar)
        self._rate = RunsLabel(reserve="~88,888 tok/s")
        self._rate.set_align(Qt.AlignmentFlag.AlignRight)
        self._size = RunsLabel(reserve="88.8 MB")
        self._size.set_align(Qt.AlignmentFlag.AlignRight)
        self._state = text_label(size=SIZE_SMALL, weight=Weight.Medium, tone="good")
        self._state.hide()
        self.plan_button = TextButton(self.tr("Plan"), kind="quiet", icon_name="gauge")
        self.plan_button.setAccessibleName(f"{self.plan_button.text()}: {title}")
        self.plan_button.clicked.connect(self.plan_requested)
        self.button = TextButton("")
        self.button.setMinimumWidth(84)
        self.button.clicked.connect(self.pressed)
        _keep_room(self.button)
        self.menu_button = IconButton("ellipsis", self.tr("More about {0}").format(title))
        self.menu_button.clicked.connect(self._ask_menu)
        self.menu_button.hide()
        self.progress = ProgressRow(title)
        self.progress.stop_requested.connect(self.stop_requested)
        self.progress.hide()
        self.setAccessibleName(title)
        self._lay_out()

    def set_facts(self, facts: list[str], *, tooltip: str = "") -> None:
        """Show what the file's header says."""
        self._facts_words = [fact for fact in facts if fact]
        self._title.setToolTip(plain_tip(tooltip))
        self._show_facts()

    def set_history(self, words: list[str]) -> None:
        """Show what happened with it so far, in a smaller line; none takes the line away."""
        self._history.set_full_text("  \N{MIDDLE DOT}  ".join(words))
        self._history.setVisible(bool(words) and self.progress.isHidden())

    def set_dimmed(self, dimmed: bool) -> None:
        """Set it in the quiet tone, as what cannot be used now."""
        set_tone(self._title, "quiet" if dimmed else "")

    def set_size(self, value: str, unit: str) -> None:
        """Show how large the files are."""
        self._size.set_number(value, unit)

    def set_forecast(
        self, fill: BarFill, *, rate: str, unit: str, words: str, tone: str, tooltip: str
    ) -> None:
        """Show where it would live, and a predicted rate or ``words`` in its place, in ``tone``."""
        self._bar.set_fill(fill, fill.total)
        self._bar.setVisible(not self._narrow)
        token = tone or "text"
        runs = [Run(rate, token), Run(f" {unit}", "text_quiet")] if rate else [Run(words, token)]
        self._rate.set_runs(runs)
        self._rate.setVisible(True)
        for widget in (self._bar, self._rate):
            widget.setToolTip(plain_tip(tooltip))
        self.setAccessibleDescription(", ".join([f"{rate} {unit}".strip() or words, tooltip]))

    def set_note(self, text: str, tone: str) -> None:
        """Show a sentence under the facts, as for an error; an empty one goes away."""
        self._note.setText(text)
        set_tone(self._note, tone)
        self._note.setVisible(bool(text))

    def set_finding(self, text: str, tooltip: str = "") -> None:
        """Say that something should be looked at, with a button; an empty text takes it away."""
        if self._finding is None:
            if not text:
                return
            self._add_finding()
        assert self._finding is not None
        self._finding.setText(text)
        self._finding.setToolTip(plain_tip(tooltip))
        self._finding_row.setVisible(bool(text))

    def set_button(self, text: str, *, kind: str = "", enabled: bool = True) -> None:
        """Say what the one button does."""
        self.button.setText(text)
        self.button.set_kind(kind)
        self.button.setEnabled(enabled)
        self.button.setAccessibleName(f"{text}: {self.accessibleName()}")

    def set_state(self, text: str) -> None:
        """Show a word such as Loaded before the button."""
        self._state.setText(text)
        self._state.setVisible(bool(text))

    def set_progress(self, text: str, share: float, eta: str) -> None:
        """Show progress in place of the facts and the button."""
        self.progress.set_progress(text, share, eta)
        self._show_progress(True)

    def end_progress(self) -> None:
        """Show facts and button again."""
        self._show_progress(False)

    def set_menu_shown(self, shown: bool) -> None:
        """Offer more than the buttons do."""
        self.menu_button.setVisible(shown)
        self.set_narrow(self._narrow)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer what the button with three dots offers."""
        if self.menu_button.isHidden():
            super().contextMenuEvent(event)
        else:
            self.menu_requested.emit(self.menu_button)
            event.accept()

    def set_narrow(self, narrow: bool) -> None:
        """Leave out what there is no room for."""
        self._narrow = narrow
        # The name needs the room more; what the badge says stands with the facts then.
        self._badge.setVisible(bool(self._badge.text()) and not narrow)
        self._show_facts()
        self._size.setVisible(not narrow)
        self._bar.setVisible(not narrow and bool(self._rate.text()))
        for widget in (self._bar, self.button):
            _keep_room(widget, keep=not narrow)
        self._rate.setVisible(not narrow or bool(self._rate.text()))
        # The menu has it as well.
        self.plan_button.setVisible(not narrow or self.menu_button.isHidden())
        self.plan_button.set_icon_only(narrow)

    def _show_facts(self) -> None:
        badge = [self._badge.text()] if self._narrow and self._badge.text() else []
        words = [*badge, *self._facts_words]
        self._facts.set_full_text("  \N{MIDDLE DOT}  ".join(words))
        self._facts.setVisible(bool(words) and self.progress.isHidden())

    def _add_finding(self) -> None:
        self._finding = text_label(size=SIZE_SMALL, tone="tight")
        self.finding_button = TextButton(self.tr("Look at it"), kind="link")
        name = self.tr("Look at what was found in {0}").format(self.accessibleName())
        self.finding_button.setAccessibleName(name)
        self.finding_button.clicked.connect(self.finding_requested)
        self._finding_row = QWidget()
        line = QHBoxLayout(self._finding_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(SPACE_S)
        line.addWidget(self._finding)
        line.addWidget(self.finding_button)
        line.addStretch(1)
        self._words.addWidget(self._finding_row)
        QWidget.setTabOrder(self.menu_button, self.finding_button)

    @Slot()
    def _ask_menu(self) -> None:
        self.menu_requested.emit(self.menu_button)

    def _show_progress(self, shown: bool) -> None:
        if self.progress.isHidden() != shown:
            return
        self.progress.setVisible(shown)
        for label in (self._facts, self._history):
            label.setVisible(not shown and bool(label.full_text))
        self.button.setVisible(not shown)

    def _lay_out(self) -> None:
        first = QHBoxLayout()
        first.setSpacing(SPACE_S)
        first.addWidget(self._title)
        first.addWidget(self._badge)
        first.addStretch(1)
        words = self._words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addLayout(first)
        words.addWidget(self._facts)
        words.addWidget(self._history)
        words.addWidget(self.progress)
        words.addWidget(self._note)
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        row.setSpacing(SPACE_L)
        row.addLayout(words, 1)
        row.addWidget(self._state)
        row.addWidget(self._bar)
        row.addWidget(self._rate)
        row.addWidget(self._size)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_XS)
        buttons.addWidget(self.plan_button)
        buttons.addWidget(self.button)
        buttons.addWidget(self.menu_button)
        row.addLayout(buttons)


def _keep_room(widget: QWidget, *, keep: bool = True) -> None:
    policy = widget.sizePolicy()
    policy.setRetainSizeWhenHidden(keep)
    widget.setSizePolicy(policy)
