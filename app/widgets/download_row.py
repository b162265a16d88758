"""One download in a list: how far, how fast, how long still, what it waits for, what one can do."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS, ui_font
from app.widgets.buttons import IconButton, TextButton
from app.widgets.fold import Fold
from app.widgets.labels import ElidedLabel, Run, RunsLabel, Weight, set_tone, text_label
from app.widgets.order_grip import OrderGrip
from app.widgets.progress import ThinBar
from app.widgets.tips import plain_tip

_FILE_BAR_WIDTH = 96


@dataclass(frozen=True)
class DownloadFileView:
    """One file of a download: its name, how far it is, and in which tone that is said."""

    name: str
    words: str
    share: float
    tone: str = ""


@dataclass(frozen=True)
class DownloadRowView:
    """What a row shows.

    Attributes:
        amount: how much of how much, such as "3.20 GB of 18.2 GB".
        rate, unit: how fast; empty when nothing comes.
        eta: how long still; empty when unknown.
        state, tone: in one or two words, and its tone.
        share: 0 to 1; ``bar_token`` is the bar's colour.
        note, note_tone: a sentence about what it waits for or why it rests; may be empty.
        action: what the one button with words does, with the identifier it is told by.
        facts: label and value pairs of the fold.
    """

    title: str
    amount: str
    state: str
    share: float
    rate: str = ""
    unit: str = ""
    eta: str = ""
    tone: str = "quiet"
    bar_token: str = "accent"
    note: str = ""
    note_tone: str = "quiet"
    note_details: str = ""
    action: str = ""
    action_text: str = ""
    action_kind: str = ""
    can_pause: bool = False
    can_resume: bool = False
    can_cancel: bool = False
    can_forget: bool = False
    can_move: bool = False
    files_title: str = ""
    files: tuple[DownloadFileView, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


class DownloadRow(QWidget):
    """Strings in, clicks out."""

    pause_requested = Signal()
    resume_requested = Signal()
    # Its button is where a menu may open.
    cancel_requested = Signal(QWidget)
    forget_requested = Signal()
    action_requested = Signal(str)
    menu_requested = Signal(QWidget)

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view: DownloadRowView | None = None
        self._narrow = False
        # The button that the keyboard was on when it was hidden.
        self._focus_for: QWidget | None = None
        self._title = ElidedLabel(title)
        self._title.setFont(ui_font(SIZE_HEADING, Weight.DemiBold))
        self._amount = RunsLabel(keeps_width=True)
        self._eta = RunsLabel()
        self._state = text_label(size=SIZE_SMALL, weight=Weight.Medium, tone="quiet")
        self.bar = ThinBar(title)
        self._note = text_label(wrap=True)
        self._note.hide()
        self.order = OrderGrip(title)
        self.fold = Fold("")
        self.fold.button.toggled.connect(self._fill_fold)
        self._files = QGridLayout()
        self._facts = QGridLayout()
        self._file_widgets: list[tuple[ElidedLabel, QLabel, ThinBar]] = []
        self._fact_widgets: list[tuple[QLabel, ElidedLabel]] = []
        self.action_button = TextButton("")
        self.action_button.hide()
        self.action_button.clicked.connect(self._act)
        self.pause_button = IconButton("pause", self.tr("Pause: {0}").format(title))
        self.pause_button.clicked.connect(self._pause_or_resume)
        self.cancel_button = IconButton("x", self.tr("Cancel: {0}").format(title))
        self.cancel_button.clicked.connect(self._cancel_or_forget)
        self.menu_button = IconButton("ellipsis", self.tr("More about {0}").format(title))
        self.menu_button.clicked.connect(self._ask_menu)
        self.setAccessibleName(title)
        self._lay_out()

    def show_view(self, view: DownloadRowView) -> None:
        """Show how it stands; what has not changed is not painted again."""
        if view == self._view:
            return
        self._view = view
        self._title.set_full_text(view.title)
        self._show_numbers(view)
        self._state.setText(view.state)
        self._state.setVisible(bool(view.state))
        set_tone(self._state, view.tone)
        self.bar.set_share(view.share)
        self.bar.set_token(view.bar_token)
        self._note.setText(view.note)
        self._note.setToolTip(plain_tip(view.note_details))
        set_tone(self._note, view.note_tone)
        self._note.setVisible(bool(view.note))
        self._show_buttons(view)
        self.fold.button.setText(view.files_title)
        self.fold.button.setAccessibleName(f"{view.files_title}: {view.title}")
        self._fill_fold()
        said = (view.state, view.amount, f"{view.rate} {view.unit}".strip(), view.eta, view.note)
        words = ", ".join(word for word in said if word)
        self.bar.setAccessibleDescription(words)
        self.setAccessibleDescription(words)

    def set_narrow(self, narrow: bool) -> None:
        """Leave out what there is no room for."""
        self._narrow = narrow
        self.order.set_narrow(narrow)
        self._fill_fold()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer what the button with three dots offers."""
        self.menu_requested.emit(self.menu_button)
        event.accept()

    def _show_numbers(self, view: DownloadRowView) -> None:
        runs = [Run(view.amount, "text")]
        if view.rate:
            runs += [Run("   "), Run(view.rate), Run(f" {view.unit}", "text_quiet")]
        self._amount.set_runs(runs)
        if view.eta:
            self._eta.set_number(view.eta, "", before=self.tr("about"))
        self._eta.setVisible(bool(view.eta))

    def _show_buttons(self, view: DownloadRowView) -> None:
        shown: dict[QWidget, bool] = {
            self.action_button: bool(view.action),
            self.pause_button: view.can_pause or view.can_resume,
            self.cancel_button: view.can_cancel or view.can_forget,
            self.order: view.can_move,
        }
        self._keep_focus(shown)
        for widget, is_shown in shown.items():
            widget.setVisible(is_shown)
        self.action_button.setText(view.action_text)
        self.action_button.setAccessibleName(f"{view.action_text}: {view.title}")
        self.action_button.set_kind(view.action_kind)
        resumes = view.can_resume and not view.can_pause
        self.pause_button.set_icon("play" if resumes else "pause")
        verb = self.tr("Resume: {0}") if resumes else self.tr("Pause: {0}")
        self.pause_button.set_text(verb.format(view.title))
        verb = self.tr("Cancel: {0}") if view.can_cancel else self.tr("Take off the list: {0}")
        self.cancel_button.set_text(verb.format(view.title))

    def _keep_focus(self, shown: dict[QWidget, bool]) -> None:
        """Hold the keyboard for a button that goes for a moment, as while it is being paused.

        Qt would give it to the next one, and a second press of Space would cancel the download.
        """
        focused = self.window().focusWidget()
        for widget, stays in shown.items():
            if focused is not None and (widget is focused or widget.isAncestorOf(focused)):
                if not stays:
                    self._focus_for = focused
                    self.setFocus(Qt.FocusReason.OtherFocusReason)
                return
        back = self._focus_for
        if focused is self and back is not None and shown.get(back):
            back.show()
            back.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot()
    def _fill_fold(self) -> None:
        view = self._view
        if view is None or not self.fold.is_open:
            return
        while len(self._file_widgets) < len(view.files):
            self._add_file_line()
        for index, widgets in enumerate(self._file_widgets):
            there = index < len(view.files)
            name, words, bar = widgets
            name.setVisible(there)
            words.setVisible(there)
            bar.setVisible(there and not self._narrow)
            if there:
                _show_file(view.files[index], *widgets)
        while len(self._fact_widgets) < len(view.facts):
            self._add_fact_line()
        for index, (label, value) in enumerate(self._fact_widgets):
            there = index < len(view.facts)
            label.setVisible(there)
            value.setVisible(there)
            if there:
                label.setText(view.facts[index][0])
                value.set_full_text(view.facts[index][1])

    def _add_file_line(self) -> None:
        name = ElidedLabel()
        name.setFont(ui_font(SIZE_SMALL))
        words = text_label(size=SIZE_SMALL, tone="quiet")
        words.setFont(ui_font(SIZE_SMALL, tabular=True))
        bar = ThinBar("")
        bar.setFixedWidth(_FILE_BAR_WIDTH)
        line = len(self._file_widgets)
        self._files.addWidget(name, line, 0)
        self._files.addWidget(words, line, 1, Qt.AlignmentFlag.AlignRight)
        self._files.addWidget(bar, line, 2, Qt.AlignmentFlag.AlignVCenter)
        self._file_widgets.append((name, words, bar))

    def _add_fact_line(self) -> None:
        name = text_label(size=SIZE_SMALL, tone="quiet")
        value = ElidedLabel()
        value.setFont(ui_font(SIZE_SMALL))
        line = len(self._fact_widgets)
        self._facts.addWidget(name, line, 0)
        self._facts.addWidget(value, line, 1)
        self._fact_widgets.append((name, value))

    @Slot()
    def _act(self) -> None:
        if self._view is not None and self._view.action:
            self.action_requested.emit(self._view.action)

    @Slot()
    def _pause_or_resume(self) -> None:
        if self._view is not None and self._view.can_pause:
            self.pause_requested.emit()
        else:
            self.resume_requested.emit()

    @Slot()
    def _cancel_or_forget(self) -> None:
        if self._view is not None and self._view.can_cancel:
            self.cancel_requested.emit(self.cancel_button)
        else:
            self.forget_requested.emit()

    @Slot()
    def _ask_menu(self) -> None:
        self.menu_requested.emit(self.menu_button)

    def _lay_out(self) -> None:
        numbers = QHBoxLayout()
        numbers.setSpacing(SPACE_M)
        numbers.addWidget(self._amount)
        numbers.addStretch(1)
        numbers.addWidget(self._eta)
        numbers.addWidget(self._state)
        for grid in (self._files, self._facts):
            grid.setHorizontalSpacing(SPACE_L)
            grid.setVerticalSpacing(SPACE_XS)
            self.fold.body.addLayout(grid)
        self._files.setColumnStretch(0, 1)
        self._facts.setColumnStretch(1, 1)
        words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addWidget(self._title)
        words.addLayout(numbers)
        words.addWidget(self.bar)
        words.addWidget(self._note)
        words.addWidget(self.fold)
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_XS)
        for button in (
            self.action_button,
            self.pause_button,
            self.cancel_button,
            self.menu_button,
        ):
            buttons.addWidget(button)
        top = Qt.AlignmentFlag.AlignTop
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_S)
        row.setSpacing(SPACE_M)
        row.addWidget(self.order, 0, top)
        row.addLayout(words, 1)
        holder = QVBoxLayout()
        holder.addLayout(buttons)
        holder.addStretch(1)
        row.addLayout(holder)


def _show_file(view: DownloadFileView, name: ElidedLabel, words: QLabel, bar: ThinBar) -> None:
    name.set_full_text(view.name)
    words.setText(view.words)
    set_tone(words, view.tone or "quiet")
    bar.set_share(view.share)
    bar.set_token(view.tone if view.tone in ("good", "fail") else "accent")
    bar.setAccessibleName(view.name)
    bar.setAccessibleDescription(view.words)
