"""A repository's page: what it is, which file to choose, one button, and its model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.actions.card_text import is_safe_link
from app.actions.discover_data import PageStatus, Phase
from app.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XL
from app.views.discover_words import error_icon, error_remedy
from app.views.repository_choice import ChoiceCard
from app.views.repository_head import RepositoryHead
from app.views.repository_quants import QuantList
from app.widgets.buttons import TextButton
from app.widgets.empty_state import EmptyState
from app.widgets.formula_book import FormulaBook
from app.widgets.labels import text_label
from app.widgets.markdown_view import MarkdownView
from app.widgets.page import ScrollColumn, card
from app.widgets.page_stack import PageStack
from app.widgets.paragraph import Paragraph
from app.widgets.setting_controls import CalmComboBox
from app.widgets.tips import plain_tip
from models.hub.quants import cut_checkpoints

if TYPE_CHECKING:
    from app.actions.discover import Discover
    from models.catalog.card import Card

_WIDTH = 960
_NARROW_BELOW = 720
# Of a quiet button, by the stylesheet.
_BACK_PADDING = 14
# As tall as what will stand there.
_LOADING_HEIGHT = 110


class RepositoryView(QWidget):
    """Shows what ``discover.look`` looks at."""

    back_requested = Signal()
    # A RepositoryPage and one of its QuantFiles.
    download_requested = Signal(object, object)
    # A LibraryEntry.
    library_requested = Signal(object)
    # A text that names a checkpoint.
    plan_requested = Signal(str)
    settings_requested = Signal()
    # An address to be opened by the system.
    link_requested = Signal(str)

    def __init__(
        self, discover: Discover, parent: QWidget | None = None, *, book: FormulaBook | None = None
    ) -> None:
        super().__init__(parent)
        self._discover = discover
        # The frame comes first: a part that moves has its style looked up again, with all below.
        self._stack = PageStack(self)
        self.page_column = ScrollColumn(_WIDTH, self._stack)
        inner = self.page_column.column.parentWidget()
        self.back_button = TextButton(self.tr("All models"), kind="quiet", icon_name="chevron-left")
        self.back_button.clicked.connect(self.back_requested)
        for keys in (QKeySequence(QKeySequence.StandardKey.Back), QKeySequence(Qt.Key.Key_Escape)):
            back = QShortcut(keys, self)
            back.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            back.activated.connect(self.back_requested)
        # Holds the keyboard without showing it, until somebody uses it.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.sources = CalmComboBox()
        self.sources.setAccessibleName(self.tr("Files by"))
        self.sources.view().setAccessibleName(self.tr("Files by"))
        self.sources.activated.connect(self._source_chosen)
        self._sources_label = text_label(self.tr("Files by"), tone="quiet")
        self.head = RepositoryHead(inner)
        self.head.link_requested.connect(self.link_requested)
        self.choice = ChoiceCard(inner)
        self.quants = QuantList(inner)
        self.text = MarkdownView(self.tr("Model card"), book=book)
        self._text_frame = self._make_text_frame()
        self._failure: EmptyState | None = None
        self._lay_out()
        self._connect()
        self._show(discover.look.status)

    def _connect(self) -> None:
        self.quants.chosen.connect(self._show_choice)
        self.choice.download_requested.connect(self._download)
        self.choice.open_requested.connect(self._open_entry)
        self.choice.plan_requested.connect(self._plan)
        self.choice.settings_requested.connect(self.settings_requested)
        self.choice.page_requested.connect(self._open_page)
        self.text.link_clicked.connect(self._link_clicked)
        self._discover.look.changed.connect(self._show)
        self._discover.holdings_changed.connect(self._show_holdings)

    def start(self) -> None:
        """Begin at the top; the next Tab leads to the way back."""
        self.page_column.verticalScrollBar().setValue(0)
        self.setFocus(Qt.FocusReason.OtherFocusReason)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what there is no room for."""
        super().resizeEvent(event)
        narrow = self.width() < _NARROW_BELOW
        self.quants.set_narrow(narrow)
        self.choice.set_narrow(narrow)

    # --- what is shown --------------------------------------------------------------------------

    @Slot(object)
    def _show(self, status: PageStatus) -> None:
        if status.phase is Phase.NOTHING:
            return
        self._show_sources(status.family, status.repository)
        self.head.show_status(status)
        if status.phase is Phase.FAILED:
            self._show_failure(status)
            return
        self._stack.show_page(self.page_column)
        empty = status.page is not None and not cut_checkpoints(status.page.files)
        self._no_files.setVisible(status.phase is Phase.READY and not status.quants and empty)
        self._loading.setVisible(status.phase is Phase.LOADING)
        self.quants.show_status(status, self._discover.holdings)
        self._show_choice()
        self.text.set_text(status.text or "")
        self._text_frame.setVisible(bool(status.text))

    @Slot()
    def _show_holdings(self) -> None:
        self.quants.show_status(self._discover.look.status, self._discover.holdings)
        self._show_choice()

    @Slot()
    def _show_choice(self) -> None:
        self.choice.show_choice(
            self._discover.look.status, self.quants.choice, self._discover.holdings
        )

    def _show_sources(self, family: Card | None, repository: str) -> None:
        known = [one.repository for one in family.gguf] if family else []
        if repository not in known:
            known.insert(0, repository)
        self.sources.clear()
        publishers = [name.partition("/")[0] for name in known]
        for name, publisher in zip(known, publishers, strict=True):
            # Of a publisher with several repositories, which one.
            text = publisher if publishers.count(publisher) == 1 else name
            self.sources.addItem(text, name)
            row = self.sources.count() - 1
            self.sources.setItemData(row, plain_tip(name), Qt.ItemDataRole.ToolTipRole)
        self.sources.setCurrentIndex(known.index(repository))
        for widget in (self.sources, self._sources_label):
            widget.setVisible(len(known) > 1)

    def _show_failure(self, status: PageStatus) -> None:
        error = status.error
        if error is None:
            return
        if self._failure is not None:
            self._stack.removeWidget(self._failure)
            self._failure.deleteLater()
        self._failure = EmptyState(
            error_icon(error), error.message, error.hint, error_remedy(error)[1]
        )
        self._failure.triggered.connect(self._remedy)
        self._stack.addWidget(self._failure)
        self._stack.show_page(self._failure)

    # --- what is done ---------------------------------------------------------------------------

    @Slot()
    def _download(self) -> None:
        page, choice = self._discover.look.status.page, self.quants.choice
        if page is not None and choice is not None:
            self.download_requested.emit(page, choice.files)

    @Slot()
    def _open_entry(self) -> None:
        page, choice = self._discover.look.status.page, self.quants.choice
        if page is not None and choice is not None:
            entry = self._discover.holdings.entry_of(page.repository, choice.files)
            if entry is not None:
                self.library_requested.emit(entry)

    @Slot()
    def _plan(self) -> None:
        if self.quants.choice is not None:
            self.plan_requested.emit(self.quants.choice.files.text)

    @Slot()
    def _open_page(self) -> None:
        page = self._discover.look.status.page
        if page is not None:
            self.link_requested.emit(f"{page.endpoint}/{page.repository}")

    @Slot()
    def _remedy(self) -> None:
        status = self._discover.look.status
        remedy = error_remedy(status.error)[0] if status.error else "again"
        if remedy == "settings":
            self.settings_requested.emit()
        elif remedy == "terms":
            self.link_requested.emit(f"https://huggingface.co/{status.repository}")
        else:
            self._discover.look.try_again()

    @Slot(int)
    def _source_chosen(self, _index: int) -> None:
        repository = str(self.sources.currentData())
        if repository != self._discover.look.status.repository:
            self._discover.look.open(repository, self._discover.look.status.family)

    @Slot(str)
    def _link_clicked(self, address: str) -> None:
        if is_safe_link(address):
            self.link_requested.emit(address)

    # --- frame ----------------------------------------------------------------------------------

    def _make_text_frame(self) -> QWidget:
        frame = card()
        column = QVBoxLayout(frame)
        column.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, SPACE_XL)
        column.setSpacing(SPACE_L)
        column.addWidget(text_label(self.tr("Model card, by its publisher"), tone="quiet"))
        column.addWidget(self.text)
        frame.hide()
        return frame

    def _lay_out(self) -> None:
        bar = QWidget(self)
        bar.setMaximumWidth(_WIDTH + _BACK_PADDING)
        row = QHBoxLayout(bar)
        row.setContentsMargins(0, 0, 0, SPACE_M)
        row.setSpacing(SPACE_S)
        row.addWidget(self.back_button)
        row.addStretch(1)
        row.addWidget(self._sources_label)
        row.addWidget(self.sources)
        bar_row = QHBoxLayout()
        # The words of the way back stand above the title's.
        bar_row.setContentsMargins(SPACE_XL - _BACK_PADDING, 0, SPACE_XL, 0)
        bar_row.addWidget(bar)
        self._no_files = Paragraph(tone="quiet")
        self._no_files.setText(self.tr("There is no GGUF file in this repository."))
        self._loading = card()
        self._loading.setFixedHeight(_LOADING_HEIGHT)
        waiting = QVBoxLayout(self._loading)
        waiting.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        waiting.addWidget(text_label(self.tr("Asking the hub for its files"), tone="quiet"))
        column = self.page_column.column
        for widget in (
            self.head,
            self._loading,
            self.choice,
            self.quants,
            self._no_files,
            self._text_frame,
        ):
            column.addWidget(widget)
        column.addStretch(1)
        self._stack.addWidget(self.page_column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar_row)
        layout.addWidget(self._stack, 1)
