"""Where a checkpoint is to be moved, and what that is going to take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QButtonGroup, QFileDialog, QRadioButton, QVBoxLayout, QWidget

from app.theme import SPACE_S
from app.widgets.buttons import TextButton
from app.widgets.confirm_dialog import ConfirmDialog
from app.widgets.labels import set_tone, text_label
from models.errors import FathomError
from models.library.library import LibraryEntry
from models.units import format_bytes

if TYPE_CHECKING:
    from models.library.moving import MovePlan


class MoveDialog(ConfirmDialog):
    """Offers folders; ``plan_wanted`` (Path) asks what moving there would do.

    ``confirmed`` carries the MovePlan that was shown. A folder that is new is told by
    ``folder_chosen``, so that it becomes one of the library's.
    """

    confirmed = Signal(object)
    plan_wanted = Signal(object)
    folder_chosen = Signal(object)

    def __init__(
        self, entry: LibraryEntry, roots: Sequence[Path], parent: QWidget | None = None
    ) -> None:
        super().__init__("", "", parent=parent)
        title = self.tr("Move {0} to").format(entry.title)
        self.setWindowTitle(self.tr("Move"))
        self.setAccessibleName(title)
        self._title.setText(title)
        self._plan: MovePlan | None = None
        self._wanted: Path | None = None
        self._group = QButtonGroup(self)
        self._choices = QVBoxLayout()
        self._choices.setSpacing(SPACE_S)
        self.buttons: dict[Path, QRadioButton] = {}
        for root in roots:
            # A checkpoint that was added alone is a root as well, and no place to move to.
            if root != entry.root and root.suffix.lower() != ".gguf":
                self._offer(root)
        self.other_button = TextButton(self.tr("Another folder"), icon_name="folder-plus")
        self.other_button.setAutoDefault(False)
        self.other_button.clicked.connect(self._ask_folder)
        words = "" if self.buttons else self.tr("There is no other folder in the library yet.")
        self._words = text_label(words, tone="quiet", wrap=True)
        self.body.addLayout(self._choices)
        self.body.addWidget(self.other_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self._words)
        self.confirm_button.setText(self.tr("Move"))
        self.confirm_button.setEnabled(False)
        self.accepted.connect(self._confirm)

    def show_plan(self, root: Path, plan: MovePlan | FathomError) -> None:
        """Show what moving to ``root`` takes, or why it cannot be; a late answer is dropped."""
        if root != self._wanted:
            return
        if isinstance(plan, FathomError):
            self._plan = None
            self._words.setText(plan.one_line())
            set_tone(self._words, "fail")
        else:
            self._plan = plan
            self._words.setText(_words(self, plan))
        self.confirm_button.setEnabled(self._plan is not None)

    def _offer(self, root: Path) -> QRadioButton:
        button = QRadioButton(str(root))
        button.setAccessibleName(str(root))
        self._group.addButton(button)
        self._choices.addWidget(button)
        button.toggled.connect(partial(self._choose, root))
        self.buttons[root] = button
        return button

    def _choose(self, root: Path, chosen: bool) -> None:
        if not chosen:
            return
        self._plan, self._wanted = None, root
        self.confirm_button.setEnabled(False)
        self._words.setText(self.tr("Looking at the drive"))
        set_tone(self._words, "quiet")
        self.plan_wanted.emit(root)

    @Slot()
    def _ask_folder(self) -> None:
        dialog = QFileDialog(self, self.tr("Move to a folder"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self._add_folder)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    @Slot(str)
    def _add_folder(self, name: str) -> None:
        root = Path(name)
        button = self.buttons.get(root) or self._offer(root)
        button.setChecked(True)

    @Slot()
    def _confirm(self) -> None:
        if self._plan is not None and self._wanted is not None:
            self.folder_chosen.emit(self._wanted)
            self.confirmed.emit(self._plan)


def _words(dialog: MoveDialog, plan: MovePlan) -> str:
    size = format_bytes(plan.size_bytes)
    if plan.is_rename:
        return dialog.tr("{0} on the same drive: nothing has to be copied.").format(size)
    return dialog.tr(
        "{0} are copied and the copy is read again and compared. What is here goes only then."
    ).format(size)
