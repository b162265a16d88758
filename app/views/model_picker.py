"""The header of the chat page: which checkpoint answers, how far a load is, what went wrong."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.actions.load_model import LoadModel, LoadPhase, ModelStatus
from app.theme import SIZE_SMALL, SPACE_S, SPACE_XS
from app.widgets.buttons import IconButton, TextButton
from app.widgets.chat_model_row import ModelButton, ModelRow, ModelRowView
from app.widgets.labels import text_label
from app.widgets.page import hairline
from app.widgets.progress import ProgressRow
from models.library.library import LibraryEntry
from models.runtime.protocol import LoadProgress
from models.units import format_bytes, format_duration

_POPUP_WIDTH = 400
_POPUP_HEIGHT = 380
_PROGRESS_WIDTH = 280
_NARROW_PX = 560
_STATES = {
    LoadPhase.NONE: "none",
    LoadPhase.LOADING: "loading",
    LoadPhase.READY: "ready",
    LoadPhase.UNLOADING: "loading",
    LoadPhase.FAILED: "failed",
}


class _Popup(QFrame):
    """The list of checkpoints; closes on a choice, on Esc and on a click elsewhere."""

    chosen = Signal(str)
    plan_requested = Signal(str)
    unload_requested = Signal()
    models_requested = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self.setProperty("kind", "raised")
        self.setAccessibleName(self.tr("Models"))
        self._views: list[ModelRowView] | None = None
        self._row_widgets: list[ModelRow] = []
        self._rows = QVBoxLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(0)
        inner = QWidget()
        inner.setLayout(self._rows)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(inner)
        self._scroll.viewport().setAutoFillBackground(False)
        inner.setAutoFillBackground(False)
        self._empty = text_label(
            self.tr("No model was found. Add a folder with GGUF files on the Models page."),
            tone="quiet",
            wrap=True,
        )
        self._empty.setContentsMargins(SPACE_S, SPACE_S, SPACE_S, SPACE_S)
        self.unload_button = TextButton(self.tr("Unload"), kind="quiet", icon_name="power")
        self.unload_button.clicked.connect(self._unload)
        self.models_button = TextButton(self.tr("Models"), kind="quiet", icon_name="boxes")
        self.models_button.clicked.connect(self._open_models)
        self._lay_out()

    def show_rows(self, views: list[ModelRowView], *, can_unload: bool) -> None:
        """Fill the list; what has not changed keeps its widgets and the focus."""
        self.unload_button.setVisible(can_unload)
        if views == self._views:
            return
        self._views = views
        focused = self.focusWidget()
        while item := self._rows.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        self._row_widgets = [self._add_row(view) for view in views]
        self._rows.addStretch(1)
        self._empty.setVisible(not views)
        self._scroll.setVisible(bool(views))
        height = sum(54 if view.note or view.badge else 38 for view in views)
        self._scroll.setFixedHeight(min(height + 2, _POPUP_HEIGHT))
        self.adjustSize()
        if isinstance(focused, ModelRow):
            self.focus_row(focused.view.key)

    def focus_row(self, key: str = "") -> None:
        """Put the focus on a row, or on the first one."""
        rows = self._row_widgets
        chosen = next((row for row in rows if row.view.key == key), rows[0] if rows else None)
        (chosen or self.models_button).setFocus()

    def _add_row(self, view: ModelRowView) -> ModelRow:
        row = ModelRow(view)
        row.clicked.connect(self._on_row)
        row.stepped.connect(self._move_focus)
        plan_button = IconButton("gauge", self.tr("Plan {0}").format(view.title), size=16)
        plan_button.clicked.connect(partial(self._plan, view.key))
        line = QWidget()
        layout = QHBoxLayout(line)
        layout.setContentsMargins(0, 0, SPACE_XS, 0)
        layout.setSpacing(SPACE_XS)
        layout.addWidget(row, 1)
        layout.addWidget(plan_button)
        self._rows.addWidget(line)
        # Now and not by the layout later: what is hidden takes no focus.
        line.show()
        return row

    @Slot(int)
    def _move_focus(self, step: int) -> None:
        focused = self.focusWidget()
        if isinstance(focused, ModelRow) and focused in self._row_widgets:
            place = self._row_widgets.index(focused) + step
            self._row_widgets[min(max(place, 0), len(self._row_widgets) - 1)].setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close on Esc."""
        if event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        foot = QHBoxLayout()
        foot.setContentsMargins(0, SPACE_XS, 0, 0)
        foot.addWidget(self.models_button)
        foot.addStretch(1)
        foot.addWidget(self.unload_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_S, SPACE_S, SPACE_S, SPACE_S)
        layout.setSpacing(SPACE_XS)
        layout.addWidget(self._scroll)
        layout.addWidget(self._empty)
        layout.addWidget(hairline())
        layout.addLayout(foot)

    @Slot()
    def _on_row(self) -> None:
        row = self.sender()
        if isinstance(row, ModelRow):
            self.close()
            self.chosen.emit(row.view.key)

    def _plan(self, key: str) -> None:
        self.close()
        self.plan_requested.emit(key)

    @Slot()
    def _unload(self) -> None:
        self.close()
        self.unload_requested.emit()

    @Slot()
    def _open_models(self) -> None:
        self.close()
        self.models_requested.emit()


class ModelPicker(QWidget):
    """Button with the checkpoint's name, its list, and the progress of a load."""

    models_requested = Signal()
    plan_requested = Signal(LibraryEntry)

    def __init__(self, loader: LoadModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._loader = loader
        self.button = ModelButton()
        self.button.clicked.connect(self.open)
        self.popup = _Popup(self)
        self.popup.chosen.connect(self._on_chosen)
        self.popup.plan_requested.connect(self._on_plan)
        self.popup.unload_requested.connect(loader.unload)
        self.popup.models_requested.connect(self.models_requested)
        self.progress = ProgressRow(self.tr("Loading"))
        self.progress.setMaximumWidth(_PROGRESS_WIDTH)
        self.progress.stop_button.set_text(self.tr("Stop loading"))
        self.progress.stop_requested.connect(loader.cancel)
        self._word = text_label(size=SIZE_SMALL, tone="quiet")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S * 2)
        layout.addWidget(self.button)
        layout.addWidget(self.progress, 2)
        layout.addWidget(self._word)
        layout.addStretch(1)
        loader.status_changed.connect(self._on_status)
        loader.entries_changed.connect(self._on_entries)
        self._on_status(loader.status)

    @Slot()
    def open(self) -> None:
        """Open the list below the button; the library is looked at again meanwhile."""
        self._loader.refresh()
        self._fill()
        self.popup.setFixedWidth(min(_POPUP_WIDTH, self.window().width() - 32))
        self.popup.adjustSize()
        self.popup.move(self.button.mapToGlobal(QPoint(0, self.button.height() + 4)))
        self.popup.show()
        self.popup.focus_row()

    def _fill(self) -> None:
        status = self._loader.status
        current = status.entry.path if status.entry and status.is_ready else None
        views = [
            ModelRowView(
                entry.name,
                entry.title,
                format_bytes(entry.size_bytes),
                badge="",
                note=entry.note if not entry.is_demo else self.demo_note(entry),
                is_current=entry.path == current,
            )
            for entry in self._loader.entries
        ]
        self.popup.show_rows(views, can_unload=status.is_ready)

    def demo_note(self, entry: LibraryEntry) -> str:
        """Return what has to be said about the demo."""
        return self.tr("Demo, not a DeepSeek.") if entry.is_demo else entry.note

    @Slot(str)
    def _on_chosen(self, name: str) -> None:
        entry = self._entry(name)
        if entry is not None:
            self._loader.load(entry)

    @Slot(str)
    def _on_plan(self, name: str) -> None:
        entry = self._entry(name)
        if entry is not None:
            self.plan_requested.emit(entry)

    def _entry(self, name: str) -> LibraryEntry | None:
        return next((entry for entry in self._loader.entries if entry.name == name), None)

    @Slot(tuple)
    def _on_entries(self, _entries: tuple[LibraryEntry, ...]) -> None:
        if self.popup.isVisible():
            self._fill()

    @Slot(ModelStatus)
    def _on_status(self, status: ModelStatus) -> None:
        self._show_button(status)
        self.progress.setVisible(status.is_loading)
        if status.is_loading:
            self._show_progress(status)
        self.button.setEnabled(not status.is_loading)
        words = {
            LoadPhase.UNLOADING: self.tr("Unloading"),
            LoadPhase.FAILED: self.tr("Not loaded"),
        }
        word = words.get(status.phase, "")
        self._word.setText(word)
        self._word.setVisible(bool(word))

    def _show_button(self, status: ModelStatus) -> None:
        entry = status.entry
        if entry is None or status.phase is LoadPhase.NONE:
            title = self.tr("Choose a model")
            self.button.show_model(title, "", "none", title)
            return
        detail = format_bytes(entry.size_bytes)
        if status.loaded is not None and status.loaded.model.quantization:
            detail = f"{status.loaded.model.quantization}  {detail}"
        if entry.is_demo:
            detail = self.tr("Demo, not a DeepSeek")
        spoken = ", ".join(part for part in (entry.title, detail, entry.note) if part)
        self.button.show_model(entry.title, detail, _STATES[status.phase], spoken)

    def _show_progress(self, status: ModelStatus) -> None:
        if status.is_stopping:
            self.progress.set_progress(self.tr("Stopping"), self._share(status.progress))
            return
        progress = status.progress
        if progress is None:
            self.progress.set_progress(self.tr("Starting the engine"), 0.0)
            return
        eta = format_duration(progress.eta_s) if progress.eta_s and progress.eta_s >= 1 else ""
        share = self._share(progress)
        text = f"{round(100 * share)} %" if self._is_narrow() else self._stage_text(progress)
        self.progress.set_progress(text, share, eta)

    def _is_narrow(self) -> bool:
        return self.width() < _NARROW_PX

    def _stage_text(self, progress: LoadProgress) -> str:
        if progress.stage == "reading" and progress.bytes_total:
            return self.tr("{done} of {total}").format(
                done=format_bytes(progress.bytes_done), total=format_bytes(progress.bytes_total)
            )
        words = {
            "checking": self.tr("Checking the file"),
            "reading": self.tr("Reading"),
            "context": self.tr("Making room for the context"),
            "warmup": self.tr("Warming up"),
        }
        return words.get(progress.stage, self.tr("Loading"))

    def _share(self, progress: LoadProgress | None) -> float:
        if progress is None or not progress.bytes_total:
            return 0.0
        return progress.bytes_done / progress.bytes_total
