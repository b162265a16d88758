"""Discover: every DeepSeek family sized for this machine, a search of the hub, and repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, QTimer, QUrl, Signal, Slot
from PySide6.QtGui import (
    QAction,
    QDesktopServices,
    QHideEvent,
    QKeySequence,
    QResizeEvent,
    QShortcut,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from app.actions.card_text import is_safe_link
from app.actions.discover_ranking import FilterFamilies, SortFamilies, is_sensible
from app.theme import SPACE_M, SPACE_S, SPACE_XL, current_theme
from app.views.discover_families import FamiliesBoard
from app.views.discover_results import HubResults
from app.views.discover_words import error_icon
from app.views.repository_view import RepositoryView
from app.widgets.buttons import TextButton
from app.widgets.empty_state import EmptyState
from app.widgets.formula_book import FormulaBook
from app.widgets.icons import icon
from app.widgets.page import ScrollColumn
from app.widgets.page_stack import PageStack
from app.widgets.paragraph import Paragraph
from app.widgets.segmented import SegmentedControl
from app.widgets.setting_controls import CalmComboBox
from models.hub.names import parse_hub_url, parse_place
from models.hub.pages import SortBy

if TYPE_CHECKING:
    from app.actions.discover import Discover
    from models.catalog.card import Card

_WIDTH = 960
_NARROW_BELOW = 760
# How long after the last letter the hub is asked.
_TYPING_PAUSE_MS = 400
_LEAST_LETTERS = 2


class DiscoverView(QWidget):
    """The frame: a search with sort and filter above the families, or one repository's page."""

    # A RepositoryPage and one of its QuantFiles.
    download_requested = Signal(object, object)
    # A text that names a checkpoint.
    plan_requested = Signal(str)
    # A LibraryEntry.
    library_requested = Signal(object)
    settings_requested = Signal()

    def __init__(
        self, discover: Discover, parent: QWidget | None = None, *, book: FormulaBook | None = None
    ) -> None:
        super().__init__(parent)
        self._discover = discover
        self._book = book
        self._narrow: bool | None = None
        self._n_shown = 0
        # Holds the keyboard without showing it, until somebody uses it.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        # The frame comes first: a part that moves has its style looked up again, with all below.
        self._stack = PageStack(self)
        self._browse = QWidget(self._stack)
        self._tools = QWidget(self._browse)
        self.column = ScrollColumn(_WIDTH, self._browse)
        inner = self.column.column.parentWidget()
        self.field = self._make_field()
        self.filter = SegmentedControl(
            self.tr("Show"),
            [
                (FilterFamilies.ALL, self.tr("All")),
                (FilterFamilies.FITS, self.tr("Fits here")),
                (FilterFamilies.THINKS, self.tr("Thinks")),
                (FilterFamilies.CODE, self.tr("Code")),
            ],
            self._tools,
        )
        self.sort = self._make_sort()
        self.families = FamiliesBoard(discover, inner)
        self.results = HubResults(discover, inner)
        # Made when the families are in sight, or when it is needed.
        self._repository: RepositoryView | None = None
        self._nothing = Paragraph(tone="quiet")
        self._nothing.setText(self.tr("No DeepSeek family matches."))
        self._nothing.hide()
        self.more = TextButton("", kind="link", icon_name="arrow-down", parent=inner)
        self.more.hide()
        self._failure: EmptyState | None = None
        self._pause = QTimer(self, interval=_TYPING_PAUSE_MS, singleShot=True)
        self._pause.timeout.connect(self._search)
        self._lay_out_browse()
        self._lay_out()
        self._connect()

    @property
    def is_on_repository(self) -> bool:
        """Whether a repository's page is shown."""
        return self._repository is not None and self._stack.currentWidget() is self._repository

    @property
    def repository(self) -> RepositoryView:
        """The page of one repository."""
        if self._repository is None:
            self._repository = self._make_repository()
        return self._repository

    def open_repository(self, repository: str) -> None:
        """Show the page of a repository."""
        self._discover.look.open(repository)
        self._stack.show_page(self.repository)
        self.repository.start()

    @Slot(object)
    def open_family(self, card: Card) -> None:
        """Show where a family's files are; a family without any is looked for."""
        if not card.gguf:
            self.field.setText(card.title)
            self._search()
            return
        self._discover.look.open(card.gguf[0].repository, card)
        self._stack.show_page(self.repository)
        self.repository.start()

    @Slot()
    def show_families(self) -> None:
        """Leave the repository's page."""
        self._stack.show_page(self._browse)
        self._discover.look.close()
        self.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot()
    def focus_search(self) -> None:
        """Put the keyboard into the search."""
        if self.is_on_repository:
            self.show_families()
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()

    def showEvent(self, event: QShowEvent) -> None:
        """Begin to judge when somebody looks, or look whether the machine has changed."""
        super().showEvent(event)
        self._discover.set_watched(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks any more."""
        super().hideEvent(event)
        self._discover.set_watched(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the tools below each other where there is no room beside."""
        super().resizeEvent(event)
        narrow = event.size().width() < _NARROW_BELOW
        if narrow != self._narrow:
            self._narrow = narrow
            self._place_tools(narrow=narrow)

    # --- wires ----------------------------------------------------------------------------------

    def _connect(self) -> None:
        discover = self._discover
        self.field.textChanged.connect(self._typed)
        self.field.returnPressed.connect(self._search)
        self.filter.chosen.connect(self._filtered)
        self.sort.activated.connect(self._sorted)
        self.families.opened.connect(self.open_family)
        self.families.pressed.connect(self._family_pressed)
        self.families.counted.connect(self._counted)
        self.results.opened.connect(self.open_repository)
        self.more.clicked.connect(self._show_results)
        discover.search.changed.connect(self._show_more)
        self.results.settings_requested.connect(self.settings_requested)
        discover.page_needed.connect(self.open_family)
        discover.download_ready.connect(self.download_requested)
        discover.families_changed.connect(self._show_failure)
        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.activated.connect(self.focus_search)
        clear = QShortcut(QKeySequence(Qt.Key.Key_Escape), self.field)
        clear.setContext(Qt.ShortcutContext.WidgetShortcut)
        clear.activated.connect(self.field.clear)

    @Slot(str)
    def _typed(self, text: str) -> None:
        self.families.set_words(text.strip() if parse_place(text.strip()) is None else "")
        if text.strip():
            self._pause.start()
        else:
            self._search()

    @Slot()
    def _search(self) -> None:
        self._pause.stop()
        words = self.field.text().strip()
        place = parse_hub_url(words, "https://huggingface.co")
        if place is not None:
            # An address that was copied from the hub's website.
            self.field.clear()
            self.open_repository(place.repository)
            return
        sort = SortBy(self.results.sort.currentData())
        self._discover.search.run(words if len(words) >= _LEAST_LETTERS else "", sort)

    @Slot(str)
    def _filtered(self, value: str) -> None:
        self.families.set_filter(FilterFamilies(value))

    @Slot(int)
    def _sorted(self, _index: int) -> None:
        self.families.set_sort(SortFamilies(self.sort.currentData()))

    @Slot(int)
    def _counted(self, count: int) -> None:
        self._n_shown = count
        self._show_more()
        self._nothing.setVisible(not count and bool(self._discover.cards))
        if self._repository is None and count and not self.families.is_filling:
            QTimer.singleShot(0, self, self._make_ahead)

    @Slot()
    def _show_more(self) -> None:
        """Say what the hub found, above the families, which fill the page."""
        found = len(self._discover.search.status.hits)
        self.more.setVisible(bool(found) and bool(self._n_shown))
        self.more.setText(self.tr("{0} more on the hub").format(found))

    @Slot()
    def _show_results(self) -> None:
        bar = self.column.verticalScrollBar()
        top = self.results.mapTo(self.column, QPoint(0, 0)).y()
        bar.setValue(bar.value() + top - SPACE_M)

    @Slot(object)
    def _family_pressed(self, card: Card) -> None:
        entry = self._discover.holdings.entry_of_family(card)
        if entry is not None and self._discover.holdings.job_of_family(card) is None:
            self.library_requested.emit(entry)
        elif is_sensible(self._discover.judged.get(card.card_id)):
            self._discover.fetch(card)
        else:
            self.open_family(card)

    @Slot(str)
    def _open_link(self, address: str) -> None:
        if is_safe_link(address):
            QDesktopServices.openUrl(QUrl(address))

    @Slot()
    def _show_failure(self) -> None:
        """Say why there are no families, or show them again."""
        error = self._discover.error
        if self._failure is not None:
            self._stack.removeWidget(self._failure)
            self._failure.deleteLater()
            self._failure = None
            self._stack.show_page(self._browse)
        if error is None:
            return
        self._failure = EmptyState(
            error_icon(error), error.message, error.hint, self.tr("Try again")
        )
        self._failure.triggered.connect(self._discover.try_again)
        self._stack.addWidget(self._failure)
        self._stack.show_page(self._failure)

    # --- frame ----------------------------------------------------------------------------------

    def _make_field(self) -> QLineEdit:
        field = QLineEdit(self._tools)
        field.setPlaceholderText(self.tr("Search families and the whole hub"))
        field.setAccessibleName(self.tr("Search families and the whole hub"))
        field.setClearButtonEnabled(True)
        color = current_theme().text_quiet
        self._glass = QAction(icon("search", color, 16), "", field)
        field.addAction(self._glass, QLineEdit.ActionPosition.LeadingPosition)
        return field

    def _make_sort(self) -> CalmComboBox:
        sort = CalmComboBox(self._tools)
        sort.setAccessibleName(self.tr("Order of the families"))
        sort.view().setAccessibleName(sort.accessibleName())
        for value, words in (
            (SortFamilies.BEST, self.tr("Best first")),
            (SortFamilies.NEWEST, self.tr("Newest first")),
            (SortFamilies.FASTEST, self.tr("Fastest first")),
            (SortFamilies.SMALLEST, self.tr("Smallest first")),
        ):
            sort.addItem(words, value)
        return sort

    def _place_tools(self, *, narrow: bool) -> None:
        for widget in (self.field, self.filter, self.sort):
            self._grid.removeWidget(widget)
        if narrow:
            self._grid.addWidget(self.field, 0, 0, 1, 3)
            self._grid.addWidget(self.filter, 1, 0)
            self._grid.addWidget(self.sort, 1, 2)
            self._grid.setColumnStretch(0, 0)
            self._grid.setColumnStretch(1, 1)
        else:
            self._grid.addWidget(self.field, 0, 0)
            self._grid.addWidget(self.filter, 0, 1)
            self._grid.addWidget(self.sort, 0, 2)
            self._grid.setColumnStretch(0, 1)
            self._grid.setColumnStretch(1, 0)

    @Slot()
    def _make_ahead(self) -> None:
        """Make the page of a repository before somebody asks for one."""
        _ = self.repository

    def _make_repository(self) -> RepositoryView:
        page = RepositoryView(self._discover, self._stack, book=self._book)
        page.back_requested.connect(self.show_families)
        page.download_requested.connect(self.download_requested)
        page.library_requested.connect(self.library_requested)
        page.plan_requested.connect(self.plan_requested)
        page.settings_requested.connect(self.settings_requested)
        page.link_requested.connect(self._open_link)
        self._stack.addWidget(page)
        return page

    def _lay_out_browse(self) -> None:
        tools = self._tools
        tools.setMaximumWidth(_WIDTH)
        self._grid = QGridLayout(tools)
        self._grid.setContentsMargins(0, 0, 0, SPACE_M)
        self._grid.setHorizontalSpacing(SPACE_M)
        self._grid.setVerticalSpacing(SPACE_S)
        self._place_tools(narrow=False)
        holder = QHBoxLayout()
        holder.setContentsMargins(SPACE_XL, 0, SPACE_XL, 0)
        holder.addWidget(tools)
        column = self.column.column
        column.addWidget(self._nothing)
        column.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        for widget in (self.families, self.results):
            column.addWidget(widget)
        column.addStretch(1)
        layout = QVBoxLayout(self._browse)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(holder)
        layout.addWidget(self.column, 1)

    def _lay_out(self) -> None:
        self._stack.addWidget(self._browse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)
