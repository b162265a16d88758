"""What deleting a checkpoint is going to do, before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QCheckBox, QWidget

from app.theme import SIZE_SMALL, ui_font
from app.widgets.confirm_dialog import ConfirmDialog
from app.widgets.fold import Fold
from app.widgets.labels import ElidedLabel, text_label
from models.errors import FathomError
from models.library.library import LibraryEntry
from models.units import format_bytes

if TYPE_CHECKING:
    from models.library.deletion import DeletionPlan

_FILES_SHOWN = 12


class DeletionDialog(ConfirmDialog):
    """Shows a DeletionPlan; ``confirmed`` carries the one that was shown.

    ``plan_wanted`` asks for another plan: for good, or into the trash.
    """

    confirmed = Signal(object)
    plan_wanted = Signal(bool)

    def __init__(self, entry: LibraryEntry, parent: QWidget | None = None) -> None:
        super().__init__("", "", kind="danger", parent=parent)
        title = self.tr("Delete {0}?").format(entry.title)
        self.setWindowTitle(self.tr("Delete"))
        self.setAccessibleName(title)
        self._title.setText(title)
        self._plan: DeletionPlan | None = None
        self._can_choose = False
        self._words = text_label(self.tr("Looking at its files"), wrap=True)
        self._warnings = text_label(tone="quiet", wrap=True)
        self.for_good_box = QCheckBox(self.tr("Delete for good, without the trash"))
        self.for_good_box.toggled.connect(self._want_other)
        self.for_good_box.hide()
        self.files = Fold(self.tr("Files"))
        for widget in (self._words, self._warnings, self.for_good_box, self.files):
            self.body.addWidget(widget)
        self.files.hide()
        self.confirm_button.setText(self.tr("Delete"))
        self.confirm_button.setEnabled(False)
        self.accepted.connect(self._confirm)

    def show_plan(self, for_good: bool, plan: DeletionPlan | FathomError) -> None:
        """Show what is going to happen, or why it cannot be; a late answer is dropped."""
        if for_good != self.for_good_box.isChecked():
            return
        if isinstance(plan, FathomError):
            self._plan = None
            self._words.setText(plan.one_line())
            self._warnings.hide()
            self.confirm_button.setEnabled(False)
            return
        self._plan = plan
        self._can_choose = self._can_choose or plan.goes_to_trash
        self.for_good_box.setVisible(self._can_choose)
        self._words.setText(self._sentence(plan))
        self._warnings.setText("\n".join(plan.warnings))
        self._warnings.setVisible(bool(plan.warnings))
        self.confirm_button.setText(
            self.tr("Move to trash") if plan.goes_to_trash else self.tr("Delete")
        )
        self.confirm_button.setEnabled(True)
        self._show_files(plan)

    def _sentence(self, plan: DeletionPlan) -> str:
        count = len(plan.files)
        files = self.tr("1 file") if count == 1 else self.tr("{0} files").format(count)
        if plan.goes_to_trash:
            words = self.tr("Moves {0} ({1}) to the trash, from where it can be restored.")
            return words.format(files, format_bytes(plan.size_bytes))
        words = self.tr("Deletes {0} ({1}). {2} become free.")
        return words.format(files, format_bytes(plan.size_bytes), format_bytes(plan.frees_bytes))

    def _show_files(self, plan: DeletionPlan) -> None:
        if not self.files.isHidden():
            return
        paths = (*plan.files, *plan.leftovers)
        for path in paths[:_FILES_SHOWN]:
            label = ElidedLabel(str(path))
            label.setFont(ui_font(SIZE_SMALL))
            self.files.body.addWidget(label)
        if len(paths) > _FILES_SHOWN:
            more = self.tr("and {0} more").format(len(paths) - _FILES_SHOWN)
            self.files.body.addWidget(text_label(more, tone="quiet", size=SIZE_SMALL))
        self.files.show()

    @Slot(bool)
    def _want_other(self, for_good: bool) -> None:
        self._plan = None
        self.confirm_button.setEnabled(False)
        self.plan_wanted.emit(for_good)

    @Slot()
    def _confirm(self) -> None:
        if self._plan is not None:
            self.confirmed.emit(self._plan)
