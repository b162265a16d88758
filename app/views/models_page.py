"""Models: Library of what is here, Discover for what could be, Downloads for what is on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from app.actions.checks import Checks
from app.actions.forecasts import Forecasts
from app.actions.library import LibraryActions
from app.actions.load_model import LoadModel
from app.tasks import TaskRunner
from app.views.library_view import WIDTH, LibraryView
from app.widgets.buttons import TextButton
from app.widgets.labels import leave_out
from app.widgets.model_row import ModelRow
from app.widgets.page import Page
from app.widgets.page_stack import PageStack
from app.widgets.segmented import SegmentedControl
from models.gguf.checkpoint import CheckpointFacts
from models.library.library import LibraryEntry

LIBRARY, DISCOVER, DOWNLOADS = "library", "discover", "downloads"
_ICONS_ONLY_BELOW = 720
# Nobody is at the next tab sooner than this; the page's own rows come first.
_AHEAD_MS = 300


class ModelsPage(Page):
    """The frame: tabs, what can be added, and one view at a time.

    Discover and Downloads are made by what is handed in, a moment after the page is shown or when
    they are; without a maker their tab is not there.
    """

    chat_requested = Signal()
    plan_requested = Signal(LibraryEntry)
    findings_requested = Signal(LibraryEntry)

    def __init__(
        self,
        *,
        load_model: LoadModel,
        add: Callable[[Sequence[Path]], None],
        runner: TaskRunner,
        forecasts: Forecasts | None = None,
        actions: LibraryActions | None = None,
        checks: Checks | None = None,
        family_of: Callable[[CheckpointFacts], str] | None = None,
        make_discover: Callable[[], QWidget] | None = None,
        make_downloads: Callable[[], QWidget] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        """Compose; see ``LibraryView`` for what belongs to the library."""
        super().__init__("", width=WIDTH, parent=parent)
        self.set_title(self.tr("Models"))
        self._makers = {DISCOVER: make_discover, DOWNLOADS: make_downloads}
        self._views: dict[str, QWidget] = {}
        self.library = LibraryView(
            load_model=load_model,
            add=add,
            runner=runner,
            forecasts=forecasts,
            actions=actions,
            checks=checks,
            family_of=family_of,
            can_discover=make_discover is not None,
        )
        self.library.chat_requested.connect(self.chat_requested)
        self.library.plan_requested.connect(self.plan_requested)
        self.library.findings_requested.connect(self.findings_requested)
        self.library.discover_requested.connect(self._show_discover)
        self._ahead = QTimer(self, interval=_AHEAD_MS, singleShot=True)
        self._ahead.timeout.connect(self._make_ahead)
        self._stack = PageStack(self)
        self._stack.addWidget(self.library)
        self._views[LIBRARY] = self.library
        self.body.addWidget(self._stack)
        self._fill_header()

    def row(self, entry: LibraryEntry) -> ModelRow:
        """Return the row of a checkpoint in the library; KeyError when it is not listed."""
        return self.library.row(entry)

    @property
    def current_tab(self) -> str:
        """``library``, ``discover`` or ``downloads``."""
        return self.tabs.value

    @Slot(str)
    def show_tab(self, name: str) -> None:
        """Bring a tab to the front; one that is not there leaves everything as it is."""
        view = self._view(name)
        if view is None:
            return
        self.tabs.set_value(name)
        self._stack.show_page(view)
        for button in (self.add_file_button, self.add_folder_button):
            button.setVisible(name == LIBRARY)

    def view(self, name: str) -> QWidget | None:
        """Return the view of a tab that was made already, None otherwise."""
        return self._views.get(name)

    @Slot(int)
    def set_download_count(self, count: int) -> None:
        """Say beside Downloads how many there are to be done; 0 says nothing."""
        if self._makers[DOWNLOADS] is not None:
            word = self.tr("Downloads")
            self.tabs.set_text(DOWNLOADS, f"{word} {count}" if count else word)

    def showEvent(self, event: QShowEvent) -> None:
        """Make the other tabs in a moment: building one takes as long as showing it."""
        super().showEvent(event)
        self._ahead.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Make nothing that nobody is near to."""
        super().hideEvent(event)
        self._ahead.stop()

    @Slot()
    def _make_ahead(self) -> None:
        """Make one of the other tabs, and the next one later."""
        if not self.library.is_filled:
            self._ahead.start()
            return
        for name, make in self._makers.items():
            if make is not None and name not in self._views:
                self._view(name)
                self._ahead.start()
                return

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit."""
        super().resizeEvent(event)
        narrow = self.width() < _ICONS_ONLY_BELOW
        self.add_file_button.set_icon_only(narrow)
        self.add_folder_button.set_icon_only(narrow)

    def _fill_header(self) -> None:
        words = {
            LIBRARY: self.tr("Library"),
            DISCOVER: self.tr("Discover"),
            DOWNLOADS: self.tr("Downloads"),
        }
        there = [name for name in words if self._makers.get(name, True) is not None]
        self.tabs = SegmentedControl(self.tr("Show"), [(name, words[name]) for name in there])
        leave_out(self.tabs, unless=len(there) > 1)
        self.tabs.chosen.connect(self.show_tab)
        self.add_folder_button = TextButton(self.tr("Add folder"), icon_name="folder-plus")
        self.add_folder_button.clicked.connect(self.library.ask_for_folder)
        self.add_file_button = TextButton(self.tr("Add file"), icon_name="file-plus")
        self.add_file_button.clicked.connect(self.library.ask_for_file)
        for button in (self.add_file_button, self.add_folder_button):
            # Until there is room: the window must not be made wider by a page that is new.
            button.set_icon_only(True)
        self.header.addWidget(self.tabs)
        self.header.addStretch(1)
        self.header.addWidget(self.add_file_button)
        self.header.addWidget(self.add_folder_button)

    def _view(self, name: str) -> QWidget | None:
        if name not in self._views:
            make = self._makers.get(name)
            if make is None:
                return None
            self._views[name] = make()
            self._stack.addWidget(self._views[name])
        return self._views[name]

    @Slot()
    def _show_discover(self) -> None:
        self.show_tab(DISCOVER)
