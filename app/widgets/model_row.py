"""One model in a list: name, what it is, its facts or what is wrong with it, one button."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SIZE_SMALL, SPACE_L, SPACE_M, SPACE_S, SPACE_XS, ui_font
from app.widgets.buttons import TextButton
from app.widgets.labels import ElidedLabel, RunsLabel, Weight, leave_out, set_tone, text_label
from app.widgets.progress import ProgressRow


class ModelRow(QWidget):
    """Strings in, clicks out; ``narrow`` rows leave the size column out."""

    pressed = Signal()
    stop_requested = Signal()

    def __init__(self, title: str, *, badge: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = ElidedLabel(title)
        self._title.setFont(ui_font(SIZE_HEADING, Weight.DemiBold))
        self._badge = QLabel(badge)
        self._badge.setFont(ui_font(SIZE_SMALL, Weight.Medium))
        self._badge.setProperty("kind", "badge")
        self._badge.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        leave_out(self._badge, unless=badge)
        self._facts = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._facts.setProperty("tone", "quiet")
        self._note = text_label(wrap=True)
        self._note.hide()
        self._size = RunsLabel(reserve="888 MB")
        self._size.set_align(Qt.AlignmentFlag.AlignRight)
        self._state = text_label(size=SIZE_SMALL, weight=Weight.Medium, tone="good")
        self._state.hide()
        self.button = TextButton("")
        self.button.setMinimumWidth(84)
        self.button.clicked.connect(self.pressed)
        self.progress = ProgressRow(title)
        self.progress.stop_requested.connect(self.stop_requested)
        self.progress.hide()
        self.setAccessibleName(title)
        self._lay_out()

    def set_facts(self, facts: list[str], *, tooltip: str = "") -> None:
        """Show what the file's header says."""
        self._facts.set_full_text("  \N{MIDDLE DOT}  ".join(fact for fact in facts if fact))
        self._title.setToolTip(tooltip)
        self._facts.setVisible(bool(facts) and self.progress.isHidden())

    def set_size(self, value: str, unit: str) -> None:
        """Show how large the files are."""
        self._size.set_number(value, unit)

    def set_note(self, text: str, tone: str) -> None:
        """Show a sentence under the facts, as for an error; an empty one goes away."""
        self._note.setText(text)
        set_tone(self._note, tone)
        self._note.setVisible(bool(text))

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

    def set_narrow(self, narrow: bool) -> None:
        """Leave the size column out where there is no room."""
        self._size.setVisible(not narrow)

    def _show_progress(self, shown: bool) -> None:
        if self.progress.isHidden() != shown:
            return
        self.progress.setVisible(shown)
        self._facts.setVisible(not shown and bool(self._facts.full_text))
        self.button.setVisible(not shown)

    def _lay_out(self) -> None:
        first = QHBoxLayout()
        first.setSpacing(SPACE_S)
        first.addWidget(self._title)
        first.addWidget(self._badge)
        first.addStretch(1)
        words = QVBoxLayout()
        words.setSpacing(SPACE_XS)
        words.addLayout(first)
        words.addWidget(self._facts)
        words.addWidget(self.progress)
        words.addWidget(self._note)
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE_L, SPACE_M, SPACE_L, SPACE_M)
        row.setSpacing(SPACE_L)
        row.addLayout(words, 1)
        row.addWidget(self._state)
        row.addWidget(self._size)
        row.addWidget(self.button)
