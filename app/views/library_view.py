"""The library: what can be loaded, one row each, with what is known of it and what can be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QVBoxLayout, QWidget

from app.actions.checks import Checks
from app.actions.forecasts import Forecasts
from app.actions.library import LibraryActions
from app.actions.load_model import LoadModel, LoadPhase, ModelStatus
from app.tasks import TaskRunner, expected
from app.theme import SPACE_S
from app.views.library_menu import LibraryMenu
from app.views.library_words import facts_words, history_words, source_words, task_words
from app.widgets.empty_state import EmptyState
from app.widgets.labels import text_label
from app.widgets.model_row import ModelRow
from app.widgets.page import ScrollColumn, card, hairline
from app.widgets.page_stack import PageStack, focus_kept
from app.widgets.slices import Slices
from models.gguf.checkpoint import CheckpointFacts, inspect_checkpoint
from models.library.library import LibraryEntry
from models.units import format_bytes, format_duration, split_bytes

if TYPE_CHECKING:
    from models.checks.findings import Finding
    from models.planner.plan import Plan

WIDTH = 960
_NARROW_BELOW = 780


@dataclass
class _Row:
    """One checkpoint of the list."""

    entry: LibraryEntry
    widget: ModelRow
    line: QFrame
    facts: CheckpointFacts | None = None
    family: str = ""
    error: str = ""


class LibraryView(QWidget):
    """Shows what ``load_model`` found; reads headers in the background, one after the other.

    A row belongs to a path: what is written down of a checkpoint (when it was used, when it was
    verified) changes without its row being made anew.
    """

    chat_requested = Signal()
    plan_requested = Signal(LibraryEntry)
    findings_requested = Signal(LibraryEntry)
    discover_requested = Signal()

    def __init__(
        self,
        *,
        load_model: LoadModel,
        add: Callable[[Sequence[Path]], None],
        runner: TaskRunner,
        forecasts: Forecasts | None = None,
        actions: LibraryActions | None = None,
        checks: Checks | None = None,
        can_discover: bool = False,
        family_of: Callable[[CheckpointFacts], str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        """Compose.

        Args:
            load_model: what there is, and loading it.
            add: adds files and folders to the library, where they lie.
            runner: reads headers.
            forecasts: where a checkpoint would live and how fast it would be.
            actions: what can be done with a checkpoint; without them rows have no menu.
            checks: looks at what is listed, one after the other, and says what deserves a look.
            can_discover: whether the empty library may send people to Discover.
            family_of: what family a checkpoint belongs to, "" for none that is known; called in
                a background thread.
            parent: as usual.
        """
        super().__init__(parent)
        self._load_model = load_model
        self._add = add
        self._checks = checks
        self._runner = runner
        self._forecasts = forecasts
        self._family_of = family_of
        self._actions = actions
        self.menu = self._make_menu(actions)
        self._rows: dict[Path, _Row] = {}
        self._entries: tuple[LibraryEntry, ...] = ()
        self._slices = Slices(self)
        # Rows have headers read and plans made, for which nobody who never looks here should pay.
        self._was_shown = False
        self._list = QVBoxLayout()
        self.stack = PageStack(self)
        self._can_discover = can_discover
        self._column = self._make_column()
        self.stack.addWidget(self._column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.stack)
        load_model.entries_changed.connect(self.show_entries)
        load_model.status_changed.connect(self._show_status)
        if forecasts is not None:
            forecasts.found.connect(self._show_forecast)
        if checks is not None:
            checks.noted.connect(self._show_finding)
        if load_model.entries:
            self.show_entries(load_model.entries)
        else:
            self.stack.show_page(self.empty)

    def row(self, entry: LibraryEntry) -> ModelRow:
        """Return the row of a checkpoint; KeyError when it is not listed."""
        return self._rows[entry.path].widget

    @cached_property
    def empty(self) -> EmptyState:
        """Shown while there is nothing; most people never see it."""
        page = self._make_empty(self._can_discover)
        self.stack.addWidget(page)
        return page

    @property
    def is_filled(self) -> bool:
        """Whether every checkpoint has its row; a long list gets them in slices."""
        return self._was_shown and not self._slices.is_running

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the disk and make the rows, the first time; the page comes first."""
        super().showEvent(event)
        if not self._was_shown:
            self._was_shown = True
            self._slices.run(self._fill(), at_once=False)
            self._load_model.refresh()

    @Slot(tuple)
    def show_entries(self, entries: tuple[LibraryEntry, ...]) -> None:
        """List the checkpoints; rows of those that stay are kept, others follow in slices."""
        # What one has chosen oneself comes before what came with the program.
        self._entries = tuple(sorted(entries, key=lambda entry: entry.is_demo))
        with focus_kept(self):
            listed = {entry.path: entry for entry in self._entries}
            for path, row in list(self._rows.items()):
                entry = listed.get(path)
                if entry is None or _files(row.entry) != _files(entry):
                    self._drop(self._rows.pop(path))
                else:
                    row.entry = entry
                    self._show_words(row)
            self.stack.show_page(self._column if entries else self.empty)
            if self._was_shown:
                self._slices.run(self._fill(), at_once=self.isVisible())

    def add_paths(self, paths: Sequence[Path]) -> None:
        """Ask for folders or files to be added to the library."""
        self._add(paths)

    @Slot()
    def ask_for_folder(self) -> None:
        """Let a folder be chosen and add it."""
        dialog = QFileDialog(self, self.tr("Add a folder with models"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        self._ask(dialog)

    @Slot()
    def ask_for_file(self) -> None:
        """Let GGUF files be chosen and add them."""
        dialog = QFileDialog(self, self.tr("Add a model"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.setNameFilter(self.tr("Models (*.gguf)"))
        self._ask(dialog)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit."""
        super().resizeEvent(event)
        for row in self._rows.values():
            row.widget.set_narrow(self.width() < _NARROW_BELOW)

    # --- rows -----------------------------------------------------------------------------------

    def _fill(self) -> Iterator[object]:
        for place, entry in enumerate(self._entries):
            row = self._rows.get(entry.path)
            is_new = row is None
            if row is None:
                row = self._rows[entry.path] = self._make_row(entry)
                self._show_row(row, self._load_model.status)
            self._put(row, place)
            if is_new:
                yield row

    def _put(self, row: _Row, place: int) -> None:
        """Let a row stand at its place of the list, below a line unless it is the first."""
        item = self._list.itemAt(2 * place + 1)
        if item is None or item.widget() is not row.widget:
            for number, widget in enumerate((row.line, row.widget)):
                self._list.removeWidget(widget)
                self._list.insertWidget(2 * place + number, widget)
            row.widget.show()
        # Only here: without a parent it would be a window, and take the keyboard from ours.
        row.line.setVisible(place > 0)

    def _drop(self, row: _Row) -> None:
        for widget in (row.line, row.widget):
            self._list.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def _make_row(self, entry: LibraryEntry) -> _Row:
        widget = ModelRow(entry.title, badge=source_words(entry))
        row = _Row(entry, widget, hairline())
        widget.set_size(*split_bytes(entry.size_bytes))
        widget.set_narrow(self.width() < _NARROW_BELOW)
        widget.pressed.connect(partial(self._row_pressed, entry.path))
        widget.plan_requested.connect(partial(self._plan_pressed, entry.path))
        widget.stop_requested.connect(partial(self._stop_pressed, entry.path))
        widget.menu_requested.connect(partial(self._menu_wanted, entry.path))
        widget.finding_requested.connect(partial(self._finding_wanted, entry.path))
        widget.set_menu_shown(self._actions is not None)
        widget.set_dimmed(entry.is_offline)
        if entry.is_offline:
            row.error = entry.note or self.tr("Its drive is not connected.")
            widget.plan_button.setEnabled(False)
            self._show_words(row)
            return row
        widget.set_facts([self.tr("Reading the header")], tooltip=str(entry.path))
        self._show_history(row)
        self._runner.run(
            partial(_inspect, entry.path, self._family_of),
            done=partial(self._inspected, row),
            error=partial(self._not_inspected, row),
        )
        return row

    def _is_listed(self, row: _Row) -> bool:
        return self._rows.get(row.entry.path) is row

    def _inspected(self, row: _Row, found: tuple[CheckpointFacts, str]) -> None:
        if not self._is_listed(row):
            return
        row.facts, row.family = found
        row.widget.set_size(*split_bytes(row.facts.size_bytes))
        self._show_words(row)
        if self._checks is not None and not row.entry.is_demo:
            self._checks.ask(row.entry)
        if self._forecasts is not None:
            # Only what is sound; the rows are filled one after the other, behind everything else.
            self._forecasts.ask(row.entry)
            self._show_forecast(row.entry, self._forecasts.plan(row.entry))

    def _show_words(self, row: _Row) -> None:
        if row.facts is not None or row.entry.is_offline:
            words = facts_words(row.entry, row.facts, family=row.family)
            row.widget.set_facts(words, tooltip=str(row.entry.path))
        self._show_history(row)

    def _show_history(self, row: _Row) -> None:
        row.widget.set_history(history_words(row.entry, now_s=time.time()))

    @Slot(object, object)
    def _show_forecast(self, entry: LibraryEntry, plan: Plan | None) -> None:
        from app.views.forecast_view import forecast_view

        row = self._rows.get(entry.path)
        if row is None or plan is None:
            return
        view = forecast_view(plan)
        row.widget.set_forecast(
            view.fill,
            rate=view.rate,
            unit=view.unit,
            words=view.words,
            tone=view.tone,
            tooltip=view.tooltip,
        )

    @Slot(object, object)
    def _show_finding(self, entry: LibraryEntry, finding: Finding | None) -> None:
        row = self._rows.get(entry.path)
        if row is not None:
            words = "" if finding is None else self.tr("{0}.").format(finding.title)
            row.widget.set_finding(words, "" if finding is None else finding.text)

    def _finding_wanted(self, path: Path) -> None:
        self.findings_requested.emit(self._rows[path].entry)

    def _not_inspected(self, row: _Row, error: Exception) -> None:
        error = expected(error)
        if not self._is_listed(row):
            return
        row.error = error.one_line()
        row.widget.plan_button.setEnabled(False)
        row.widget.set_facts([], tooltip=str(row.entry.path))
        self._show_row(row, self._load_model.status)

    def _row_pressed(self, path: Path) -> None:
        entry, status = self._rows[path].entry, self._load_model.status
        if status.is_ready and status.entry is not None and status.entry.path == path:
            self.chat_requested.emit()
        else:
            self._load_model.load(entry)

    def _plan_pressed(self, path: Path) -> None:
        self.plan_requested.emit(self._rows[path].entry)

    def _stop_pressed(self, path: Path) -> None:
        entry = self._rows[path].entry
        if self._actions is not None and self._actions.task(entry) is not None:
            self._actions.stop(entry)
        else:
            self._load_model.cancel()

    def _menu_wanted(self, path: Path, button: QWidget) -> None:
        if self.menu is not None:
            loaded = self._load_model.status.entry
            row = self._rows[path]
            self.menu.open(
                row.entry,
                button,
                is_loaded=loaded is not None and loaded.path == path,
                can_plan=not row.error,
            )

    @Slot(object, object)
    def _show_task(self, path: Path, _task: object) -> None:
        if path in self._rows:
            self._show_row(self._rows[path], self._load_model.status)

    @Slot(object)
    def _show_damage(self, path: Path) -> None:
        self._show_task(path, None)

    @Slot(ModelStatus)
    def _show_status(self, status: ModelStatus) -> None:
        for row in self._rows.values():
            self._show_row(row, status)

    def _show_row(self, row: _Row, status: ModelStatus) -> None:
        mine = status.entry is not None and status.entry.path == row.entry.path
        widget = row.widget
        task = self._actions.task(row.entry) if self._actions is not None else None
        if mine and status.phase is LoadPhase.LOADING:
            widget.set_progress(*self._progress_words(status))
            widget.set_note("", "fail")
            return
        if task is not None:
            widget.set_progress(*task_words(task))
            return
        widget.end_progress()
        ready = mine and status.is_ready
        widget.set_state(self.tr("Loaded") if ready else "")
        if ready:
            widget.set_button(self.tr("Chat"), kind="primary")
        else:
            widget.set_button(self.tr("Load"), enabled=not row.error and not status.is_loading)
        failed = status.error.one_line() if mine and status.error else ""
        damage = self._actions.damage_of(row.entry) if self._actions is not None else ""
        note = " ".join(text for text in (row.error or failed, damage) if text)
        widget.set_note(note, "quiet" if row.entry.is_offline else "fail")

    def _progress_words(self, status: ModelStatus) -> tuple[str, float, str]:
        progress = status.progress
        if status.is_stopping:
            return self.tr("Stopping"), 0.0, ""
        if progress is None or not progress.bytes_total:
            return self.tr("Loading"), 0.0, ""
        done, total = format_bytes(progress.bytes_done), format_bytes(progress.bytes_total)
        eta = "" if progress.eta_s is None else format_duration(progress.eta_s)
        text = self.tr("Loading, {0} of {1}").format(done, total)
        return text, progress.bytes_done / progress.bytes_total, eta

    def _make_menu(self, actions: LibraryActions | None) -> LibraryMenu | None:
        if actions is None:
            return None
        menu = LibraryMenu(actions, self)
        menu.folder_added.connect(self._add_folder)
        menu.plan_requested.connect(self.plan_requested)
        menu.findings_requested.connect(self.findings_requested)
        actions.task_changed.connect(self._show_task)
        actions.damage_changed.connect(self._show_damage)
        return menu

    @Slot(object)
    def _add_folder(self, folder: Path) -> None:
        self.add_paths([folder])

    # --- frame ----------------------------------------------------------------------------------

    def _make_empty(self, can_discover: bool) -> EmptyState:
        if can_discover:
            empty = EmptyState(
                "boxes",
                self.tr("No models here yet"),
                self.tr(
                    "Find one that suits this machine, or add a folder with GGUF files "
                    "that you already have."
                ),
                self.tr("Find a model"),
            )
            empty.triggered.connect(self.discover_requested)
            return empty
        empty = EmptyState(
            "boxes",
            self.tr("No models here yet"),
            self.tr("Fathom runs GGUF files. Add a folder that has some, or drop a file here."),
            self.tr("Add folder"),
        )
        empty.triggered.connect(self.ask_for_folder)
        return empty

    def _make_column(self) -> ScrollColumn:
        column = ScrollColumn(WIDTH, self.stack)
        frame = card()
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(0)
        frame.setLayout(self._list)
        column.column.addWidget(frame)
        hint = text_label(
            self.tr("GGUF files can also be dropped here. They stay where they are."),
            tone="quiet",
            wrap=True,
        )
        column.column.addSpacing(-SPACE_S)
        column.column.addWidget(hint)
        column.column.addStretch(1)
        return column

    def _ask(self, dialog: QFileDialog) -> None:
        dialog.filesSelected.connect(self._selected)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    @Slot(list)
    def _selected(self, names: list[str]) -> None:
        self.add_paths([Path(name) for name in names])


def _files(entry: LibraryEntry) -> tuple[object, ...]:
    """Return what has to be the same for a header not to be read again."""
    return (entry.title, entry.size_bytes, entry.missing, entry.is_offline, entry.source)


def _inspect(
    path: Path, family_of: Callable[[CheckpointFacts], str] | None
) -> tuple[CheckpointFacts, str]:
    facts = inspect_checkpoint(path)
    return facts, family_of(facts) if family_of is not None else ""
