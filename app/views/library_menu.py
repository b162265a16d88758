"""What can be done with a checkpoint of the library: its menu, and the questions before."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QPoint, QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QMenu, QWidget

from app.actions.library import LibraryActions
from app.theme import SPACE_XS
from app.views.deletion_dialog import DeletionDialog
from app.views.move_dialog import MoveDialog
from app.widgets.tips import plain_tip
from models.library.library import LibraryEntry


class LibraryMenu(QObject):
    """Opens a row's menu at a button and asks ``actions`` for what was chosen."""

    # A folder outside the library that something is moved to.
    folder_added = Signal(object)
    plan_requested = Signal(object)
    findings_requested = Signal(object)

    def __init__(self, actions: LibraryActions, window: QWidget) -> None:
        super().__init__(window)
        self._actions = actions
        self._window = window

    def open(
        self, entry: LibraryEntry, button: QWidget, *, is_loaded: bool, can_plan: bool = True
    ) -> QMenu:
        """Show the menu of a checkpoint; what cannot be done now says why."""
        menu = QMenu(self._window)
        menu.setToolTipsVisible(True)
        menu.setAccessibleName(entry.title)
        menu.aboutToHide.connect(menu.deleteLater)
        plan = self._add(menu, self.tr("Plan"), partial(self.plan_requested.emit, entry))
        plan.setEnabled(can_plan)
        self._fill(menu, entry, is_loaded=is_loaded)
        corner = button.mapToGlobal(QPoint(button.width(), button.height()))
        menu.popup(QPoint(corner.x() - menu.sizeHint().width(), corner.y() + SPACE_XS))
        return menu

    def ask_deletion(self, entry: LibraryEntry) -> DeletionDialog:
        """Show what deleting would do, and ask."""
        dialog = DeletionDialog(entry, self._window)
        dialog.confirmed.connect(self._actions.delete)
        dialog.plan_wanted.connect(partial(self._plan_deletion, entry, dialog))
        self._plan_deletion(entry, dialog, False)
        dialog.open()
        return dialog

    def ask_move(self, entry: LibraryEntry) -> MoveDialog:
        """Ask where to, show what moving there would do, and ask."""
        dialog = MoveDialog(entry, self._actions.roots(), self._window)
        dialog.folder_chosen.connect(self._tell_folder)
        dialog.confirmed.connect(self._actions.move)
        dialog.plan_wanted.connect(partial(self._plan_move, entry, dialog))
        dialog.open()
        return dialog

    def _fill(self, menu: QMenu, entry: LibraryEntry, *, is_loaded: bool) -> None:
        why_busy = self._why_busy(entry)
        why_not = why_busy or self._why_not_ours(entry, is_loaded=is_loaded)
        look = partial(self.findings_requested.emit, entry)
        found = self._add(menu, self.tr("What was found"), look)
        _allow(found, why_busy)
        verify = self._add(menu, self.tr("Verify"), partial(self._actions.verify, entry))
        _allow(verify, why_busy)
        if self._actions.damage_of(entry) and self._actions.can_repair(entry):
            repair = self._add(menu, self.tr("Repair"), partial(self._actions.repair, entry))
            _allow(repair, why_not)
        menu.addSeparator()
        self._add(menu, self.tr("Show in folder"), partial(_show_folder, entry.path))
        self._add(menu, self.tr("Copy path"), partial(_copy, str(entry.path)))
        if entry.repository:
            self._add(menu, self.tr("Copy repository"), partial(_copy, entry.repository))
        menu.addSeparator()
        if entry.is_offline:
            self._add(menu, self.tr("Take off the list"), partial(self._actions.forget, entry))
            return
        move = self._add(menu, self.tr("Move to\N{HORIZONTAL ELLIPSIS}"), None)
        move.triggered.connect(partial(self.ask_move, entry))
        delete = self._add(menu, self.tr("Delete\N{HORIZONTAL ELLIPSIS}"), None)
        delete.triggered.connect(partial(self.ask_deletion, entry))
        for action in (move, delete):
            _allow(action, why_not)

    def _why_busy(self, entry: LibraryEntry) -> str:
        if entry.is_offline:
            return self.tr("Its drive is not connected.")
        if self._actions.task(entry) is not None:
            return self.tr("Something is being done with it.")
        return ""

    def _why_not_ours(self, entry: LibraryEntry, *, is_loaded: bool) -> str:
        if entry.is_demo:
            return self.tr("It belongs to Fathom itself.")
        if entry.is_read_only:
            return self.tr("It belongs to another program and is only read.")
        return self.tr("It is loaded. Unload it first.") if is_loaded else ""

    def _add(self, menu: QMenu, text: str, act: partial[None] | None) -> QAction:
        action = menu.addAction(text)
        if act is not None:
            action.triggered.connect(act)
        return action

    def _plan_deletion(self, entry: LibraryEntry, dialog: DeletionDialog, for_good: bool) -> None:
        done = partial(dialog.show_plan, for_good)
        self._actions.plan_deletion(entry, for_good=for_good, done=done)

    def _plan_move(self, entry: LibraryEntry, dialog: MoveDialog, root: Path) -> None:
        self._actions.plan_move(entry, root, done=partial(dialog.show_plan, root))

    def _tell_folder(self, root: Path) -> None:
        if root not in self._actions.roots():
            self.folder_added.emit(root)


def _allow(action: QAction, why_not: str) -> None:
    action.setEnabled(not why_not)
    action.setToolTip(plain_tip(why_not))


def _show_folder(path: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))


def _copy(text: str) -> None:
    QGuiApplication.clipboard().setText(text)
