"""The row below a message: figures, why it ended, its siblings, and what can be done with it."""

from __future__ import annotations

from PySide6.QtCore import QRect, Signal, Slot
from PySide6.QtWidgets import QLabel, QWidget

from app.theme import SIZE_SMALL, SPACE_M, SPACE_S
from app.widgets.chat_buttons import CopyButton, QuietButton
from app.widgets.chat_turn import TurnView
from app.widgets.labels import Run, RunsLabel, text_label
from app.widgets.tips import plain_tip

FOOTER_HEIGHT_PX = 28


class MessageFooter(QWidget):
    """Actions of one message; quiet until the pointer or the focus is there."""

    copy_requested = Signal()
    redo_requested = Signal()
    resume_requested = Signal()
    edit_requested = Signal()
    sibling_requested = Signal(int)

    def __init__(self, *, is_user: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_user = is_user
        self._always = False
        self._hovered = False
        self.figures = RunsLabel(size=SIZE_SMALL, parent=self)
        self.note = text_label(size=SIZE_SMALL, tone="quiet", parent=self)
        self.previous = QuietButton("chevron-left", self.tr("Previous version"), self)
        self.position = text_label(size=SIZE_SMALL, tone="quiet", parent=self)
        self.following = QuietButton("chevron-right", self.tr("Next version"), self)
        self.copy = CopyButton(self)
        self.copy.set_label(self.tr("Copy message") if is_user else self.tr("Copy answer"))
        self.edit = QuietButton("pencil", self.tr("Edit and ask again"), self)
        self.redo = QuietButton("refresh-cw", self.tr("Answer again"), self)
        self.resume = QuietButton("play", self.tr("Continue this answer"), self)
        self.edit.setVisible(is_user)
        self.resume.clicked.connect(self.resume_requested)
        self.previous.clicked.connect(self._go_back)
        self.following.clicked.connect(self._go_on)
        self.copy.clicked.connect(self.copy_requested)
        self.edit.clicked.connect(self.edit_requested)
        self.redo.clicked.connect(self.redo_requested)

    def show_turn(self, turn: TurnView, *, enabled: bool) -> None:
        """Show figures and siblings of a message."""
        runs: list[Run] = []
        for value, unit in turn.figures:
            if runs:
                runs.append(Run("    ", "text_quiet"))
            runs.append(Run(value, "text"))
            runs.append(Run(f" {unit}", "text_quiet"))
        self.figures.set_runs(runs)
        self.figures.setToolTip(plain_tip(turn.figures_hint))
        self.figures.setVisible(bool(runs))
        self.note.setText(turn.note)
        self.note.setVisible(bool(turn.note))
        several = turn.count > 1
        for widget in (self.previous, self.position, self.following):
            widget.setVisible(several)
        self.position.setText(f"{turn.number} / {turn.count}")
        self.position.setAccessibleName(
            self.tr("Version {number} of {count}").format(number=turn.number, count=turn.count)
        )
        self.previous.setEnabled(enabled and turn.number > 1)
        self.following.setEnabled(enabled and turn.number < turn.count)
        self.redo.setVisible(turn.can_redo)
        self.resume.setVisible(turn.can_resume)
        for button in (self.edit, self.redo, self.resume):
            button.setEnabled(enabled)
        self._reveal()

    def set_always_shown(self, *, always: bool) -> None:
        """Show the actions without hovering, as for the newest answer."""
        self._always = always
        self._reveal()

    def set_hovered(self, *, hovered: bool) -> None:
        """Show the actions while the pointer is over the message."""
        self._hovered = hovered
        self._reveal()

    def layout_to(self, width: int) -> int:
        """Place everything in a row ``width`` px wide; return its height."""
        left_to_right: list[QWidget] = [self.figures, self.note]
        siblings: list[QWidget] = [self.previous, self.position, self.following]
        actions: list[QWidget] = [self.copy, self.edit, self.redo, self.resume]
        if self._is_user:
            self._place_from_right(width, [*actions, *siblings])
        else:
            end = self._place_from_left(0, left_to_right, SPACE_M)
            end = self._place_from_left(end, siblings, 0)
            self._place_from_left(end + (SPACE_S if end else -6), actions, 0)
        return FOOTER_HEIGHT_PX

    def _place_from_left(self, left: int, widgets: list[QWidget], gap: int) -> int:
        for widget in widgets:
            if widget.isHidden():
                continue
            width = self._width_of(widget)
            widget.setGeometry(QRect(left, 0, width, FOOTER_HEIGHT_PX))
            left += width + gap
        return left

    def _place_from_right(self, right: int, widgets: list[QWidget]) -> None:
        shown = [widget for widget in widgets if not widget.isHidden()]
        for widget in reversed(shown):
            width = self._width_of(widget)
            right -= width
            widget.setGeometry(QRect(right, 0, width, FOOTER_HEIGHT_PX))

    def _width_of(self, widget: QWidget) -> int:
        return widget.sizeHint().width() + (4 if isinstance(widget, QLabel) else 0)

    def _reveal(self) -> None:
        revealed = self._always or self._hovered
        for button in (self.copy, self.edit, self.redo, self.resume):
            button.set_revealed(revealed=revealed)
        for button in (self.previous, self.following):
            button.set_revealed(revealed=True)

    @Slot()
    def _go_back(self) -> None:
        self.sibling_requested.emit(-1)

    @Slot()
    def _go_on(self) -> None:
        self.sibling_requested.emit(1)
