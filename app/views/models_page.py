"""Models: the Library of what is here, and Discover for what could be."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QStackedWidget, QVBoxLayout, QWidget

from app.actions.forecasts import Forecasts
from app.actions.load_model import LoadModel, LoadPhase, ModelStatus
from app.bridges.settings import SettingsBridge
from app.tasks import TaskRunner
from app.theme import SPACE_S
from app.views.words import tokens_words
from app.widgets.buttons import TextButton
from app.widgets.empty_state import EmptyState
from app.widgets.labels import text_label
from app.widgets.model_row import ModelRow
from app.widgets.page import Page, ScrollColumn, card, hairline
from app.widgets.segmented import SegmentedControl
from models.errors import FathomError
from models.gguf.checkpoint import CheckpointFacts, inspect_checkpoint
from models.library.library import LibraryEntry
from models.units import format_bytes, format_count, format_duration, split_bytes

if TYPE_CHECKING:
    from models.planner.plan import Plan

_WIDTH = 960
_NARROW_BELOW = 780
_ICONS_ONLY_BELOW = 640


class ModelsPage(Page):
    """Shows what ``load_model`` found; reads headers in the background, one after the other."""

    chat_requested = Signal()
    plan_requested = Signal(LibraryEntry)

    def __init__(
        self,
        *,
        load_model: LoadModel,
        settings: SettingsBridge,
        runner: TaskRunner,
        forecasts: Forecasts | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("", width=_WIDTH, parent=parent)
        self.set_title(self.tr("Models"))
        self._load_model = load_model
        self._settings = settings
        self._runner = runner
        self._forecasts = forecasts
        self._rows: dict[LibraryEntry, ModelRow] = {}
        self._facts: dict[LibraryEntry, CheckpointFacts] = {}
        self._errors: dict[LibraryEntry, str] = {}
        self.setAcceptDrops(True)
        self.tabs = SegmentedControl(
            self.tr("Show"),
            [("library", self.tr("Library")), ("discover", self.tr("Discover"))],
        )
        self.tabs.chosen.connect(self._show_tab)
        self.add_folder_button = TextButton(self.tr("Add folder"), icon_name="folder-plus")
        self.add_folder_button.clicked.connect(self._ask_for_folder)
        self.add_file_button = TextButton(self.tr("Add file"), icon_name="file-plus")
        self.add_file_button.clicked.connect(self._ask_for_file)
        for widget in (self.tabs, self.add_file_button, self.add_folder_button):
            self.header.addWidget(widget)
        self.header.insertStretch(2, 1)
        self._list = QVBoxLayout()
        self._make_stack()
        load_model.entries_changed.connect(self.show_entries)
        load_model.status_changed.connect(self._show_status)
        if forecasts is not None:
            forecasts.found.connect(self._show_forecast)
        if load_model.entries:
            self.show_entries(load_model.entries)
        load_model.refresh()

    def row(self, entry: LibraryEntry) -> ModelRow:
        """Return the row of a checkpoint; KeyError when it is not listed."""
        return self._rows[entry]

    @Slot(tuple)
    def show_entries(self, entries: tuple[LibraryEntry, ...]) -> None:
        """List the checkpoints; rows of those that stay are kept."""
        if tuple(self._rows) == entries:
            return
        old, self._rows = self._rows, {}
        self._clear_list()
        for entry in entries:
            row = old.pop(entry, None) or self._make_row(entry)
            if self._rows:
                self._list.addWidget(hairline())
            self._rows[entry] = row
            self._list.addWidget(row)
            row.show()
        for row in old.values():
            row.deleteLater()
        self._library.setCurrentIndex(1 if entries else 0)
        self._show_status(self._load_model.status)

    def add_paths(self, paths: list[Path]) -> None:
        """Add folders or files to the library."""
        known = self._settings.get("library.roots")
        roots = list(known) if isinstance(known, tuple) else []
        roots += [str(path) for path in paths if str(path) not in roots]
        self._settings.set("library.roots", tuple(roots))
        self._load_model.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit."""
        super().resizeEvent(event)
        for row in self._rows.values():
            row.set_narrow(self.width() < _NARROW_BELOW)
        narrow = self.width() < _ICONS_ONLY_BELOW
        self.add_file_button.set_icon_only(narrow)
        self.add_folder_button.set_icon_only(narrow)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take GGUF files and folders."""
        if _dropped_paths(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Add what was dropped."""
        self.add_paths(_dropped_paths(event))
        event.acceptProposedAction()

    # --- rows -----------------------------------------------------------------------------------

    def _make_row(self, entry: LibraryEntry) -> ModelRow:
        badge = self.tr("Demo, not a DeepSeek") if entry.is_demo else ""
        row = ModelRow(entry.title, badge=badge)
        row.set_size(*split_bytes(entry.size_bytes))
        row.set_facts([self.tr("Reading the header")], tooltip=str(entry.path))
        row.set_narrow(self.width() < _NARROW_BELOW)
        row.pressed.connect(partial(self._row_pressed, entry))
        row.plan_requested.connect(partial(self.plan_requested.emit, entry))
        row.stop_requested.connect(self._load_model.cancel)
        self._runner.run(
            partial(inspect_checkpoint, entry.path),
            done=partial(self._inspected, entry),
            error=partial(self._not_inspected, entry),
        )
        return row

    def _inspected(self, entry: LibraryEntry, facts: CheckpointFacts) -> None:
        row = self._rows.get(entry)
        if row is None:
            return
        self._facts[entry] = facts
        words = [
            facts.quantization,
            facts.architecture,
            self.tr("{0} parameters").format(format_count(facts.parameters)),
            self.tr("{0} context").format(tokens_words(facts.n_ctx_train)),
        ]
        if len(facts.shards) > 1:
            words.append(self.tr("{0} files").format(len(facts.shards)))
        row.set_size(*split_bytes(facts.size_bytes))
        row.set_facts(words, tooltip=str(entry.path))
        if self._forecasts is not None:
            # Only what is sound; the rows are filled one after the other, behind everything else.
            self._forecasts.ask(entry)
            self._show_forecast(entry, self._forecasts.plan(entry))

    @Slot(object, object)
    def _show_forecast(self, entry: LibraryEntry, plan: Plan | None) -> None:
        from app.views.forecast_view import forecast_view

        row = self._rows.get(entry)
        if row is None or plan is None:
            return
        view = forecast_view(plan)
        row.set_forecast(
            view.fill,
            rate=view.rate,
            unit=view.unit,
            words=view.words,
            tone=view.tone,
            tooltip=view.tooltip,
        )

    def _not_inspected(self, entry: LibraryEntry, error: Exception) -> None:
        if not isinstance(error, FathomError):
            raise error
        row = self._rows.get(entry)
        if row is None:
            return
        self._errors[entry] = error.one_line()
        row.plan_button.setEnabled(False)
        row.set_facts([], tooltip=str(entry.path))
        self._show_row(entry, row, self._load_model.status)

    def _row_pressed(self, entry: LibraryEntry) -> None:
        status = self._load_model.status
        if status.is_ready and status.entry == entry:
            self.chat_requested.emit()
        else:
            self._load_model.load(entry)

    @Slot(ModelStatus)
    def _show_status(self, status: ModelStatus) -> None:
        for entry, row in self._rows.items():
            self._show_row(entry, row, status)

    def _show_row(self, entry: LibraryEntry, row: ModelRow, status: ModelStatus) -> None:
        mine = status.entry == entry
        if mine and status.phase is LoadPhase.LOADING:
            row.set_progress(*self._progress_words(status))
            row.set_note("", "fail")
            return
        row.end_progress()
        ready = mine and status.is_ready
        row.set_state(self.tr("Loaded") if ready else "")
        if ready:
            row.set_button(self.tr("Chat"), kind="primary")
        else:
            usable = entry not in self._errors and not status.is_loading
            row.set_button(self.tr("Load"), enabled=usable)
        failed = status.error.one_line() if mine and status.error else ""
        row.set_note(self._errors.get(entry, failed), "fail")

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

    # --- frame ----------------------------------------------------------------------------------

    def _make_stack(self) -> None:
        empty = EmptyState(
            "boxes",
            self.tr("No models here yet"),
            self.tr("Fathom runs GGUF files. Add a folder that has some, or drop a file here."),
            self.tr("Add folder"),
        )
        empty.triggered.connect(self._ask_for_folder)
        column = ScrollColumn(_WIDTH)
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
        self._library = QStackedWidget()
        self._library.addWidget(empty)
        self._library.addWidget(column)
        discover = EmptyState(
            "compass",
            self.tr("Every DeepSeek, sized for this machine"),
            self.tr(
                "This will be the catalogue: what each DeepSeek model is for, whether it fits "
                "here, and how fast it would run. Until then, add GGUF files you already have."
            ),
            self.tr("Add folder"),
        )
        discover.triggered.connect(self._ask_for_folder)
        self._tabs_stack = QStackedWidget()
        self._tabs_stack.addWidget(self._library)
        self._tabs_stack.addWidget(discover)
        self.body.addWidget(self._tabs_stack)

    def _clear_list(self) -> None:
        while (item := self._list.takeAt(0)) is not None:
            widget = item.widget()
            if isinstance(widget, ModelRow):
                widget.hide()
            elif widget is not None:
                widget.deleteLater()

    @Slot(str)
    def _show_tab(self, name: str) -> None:
        self._tabs_stack.setCurrentIndex(1 if name == "discover" else 0)

    @Slot()
    def _ask_for_folder(self) -> None:
        dialog = QFileDialog(self, self.tr("Add a folder with models"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        self._ask(dialog)

    @Slot()
    def _ask_for_file(self) -> None:
        dialog = QFileDialog(self, self.tr("Add a model"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.setNameFilter(self.tr("Models (*.gguf)"))
        self._ask(dialog)

    def _ask(self, dialog: QFileDialog) -> None:
        dialog.filesSelected.connect(self._selected)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    @Slot(list)
    def _selected(self, names: list[str]) -> None:
        self.add_paths([Path(name) for name in names])


def _dropped_paths(event: QDropEvent) -> list[Path]:
    urls = event.mimeData().urls()
    paths = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
    return [path for path in paths if path.is_dir() or path.suffix.lower() == ".gguf"]
