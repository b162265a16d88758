"""The conversations at the left of the chat page, and what can be done with each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPoint, Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QMenu,
    QStackedLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.actions.conversations import Conversations
from app.itemmodels.conversations import ConversationListModel, ConversationRole, Section
from app.theme import SPACE_M, SPACE_S, current_theme
from app.widgets.buttons import IconButton, TextButton
from app.widgets.chat_list_delegate import ConversationDelegate, ListRoles
from app.widgets.icons import icon
from app.widgets.labels import text_label
from models.chat.conversation import Conversation
from models.chat.export_file import export_name

LIST_WIDTH = 264
EXPORT_KEYS = QKeySequence("Ctrl+E")
IMPORT_KEYS = QKeySequence("Ctrl+I")


class _ListView(QListView):
    """Del deletes, F2 renames, Enter opens; Backspace never does anything."""

    delete_requested = Signal()
    opened = Signal()

    @property
    def is_editing(self) -> bool:
        """Whether a title is being changed."""
        return self.state() == QAbstractItemView.State.EditingState

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self.is_editing:
            # What the editor leaves over, such as the Enter that ended it, is for nobody.
            event.accept()
        elif event.key() == Qt.Key.Key_Delete:
            self.delete_requested.emit()
        elif event.key() == Qt.Key.Key_Backspace:
            event.ignore()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.opened.emit()
        elif event.key() == Qt.Key.Key_F2:
            self.edit(self.currentIndex())
        else:
            super().keyPressEvent(event)


class ConversationList(QWidget):
    """Shows what ``Conversations`` lists and hands on what the user asks."""

    new_requested = Signal()
    chosen = Signal(int)
    opened = Signal()  # the user wants to write in the chosen one
    clicked = Signal()

    def __init__(self, conversations: Conversations, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._conversations = conversations
        self._shown_id: int | None = None
        self._syncing = False
        self._refresh_later = False
        self.setProperty("kind", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName(self.tr("Conversations"))
        self._model = ConversationListModel(self._headings(), self.tr("Untitled"))
        self._model.rename_requested.connect(conversations.rename)
        self.search_field = self._make_search()
        self._paint_icons()
        self.new_button = IconButton("plus", self.tr("New chat (Ctrl+N)"))
        self.new_button.clicked.connect(self.new_requested)
        self.list = self._make_list()
        self._empty = text_label(tone="quiet", wrap=True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self.import_button = TextButton(self.tr("Import…"), kind="quiet")
        self.import_button.setToolTip(self.tr("Add conversations that were exported as JSON"))
        self.import_button.clicked.connect(self.choose_import)
        self._lay_out()
        conversations.listed.connect(self._on_listed)
        conversations.search_ended.connect(self.search_field.clear)

    @property
    def model(self) -> ConversationListModel:
        """The rows."""
        return self._model

    def show_current(self, conversation_id: int | None) -> None:
        """Mark the conversation that is on the page."""
        self._shown_id = conversation_id
        self._syncing = True
        index = self._model.index_of(conversation_id)
        if index.isValid():
            self.list.selectionModel().setCurrentIndex(
                index, QItemSelectionModel.SelectionFlag.ClearAndSelect
            )
        else:
            self.list.selectionModel().clear()
        self._syncing = False

    @Slot()
    def focus_search(self) -> None:
        """Put the cursor into the search field."""
        self.search_field.setFocus()
        self.search_field.selectAll()

    def changeEvent(self, event: QEvent) -> None:
        """Give the icon the colour of the new theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and hasattr(self, "_search_action"):
            self._paint_icons()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc empties the search; the arrow goes into the list."""
        if event.key() == Qt.Key.Key_Escape and self.search_field.text():
            self.search_field.clear()
        elif event.key() == Qt.Key.Key_Down and self.search_field.hasFocus():
            self.list.setFocus()
        else:
            super().keyPressEvent(event)

    def _headings(self) -> dict[Section, str]:
        return {
            Section.PINNED: self.tr("Pinned"),
            Section.TODAY: self.tr("Today"),
            Section.YESTERDAY: self.tr("Yesterday"),
            Section.EARLIER: self.tr("Earlier"),
        }

    def _make_search(self) -> QLineEdit:
        field = QLineEdit()
        field.setPlaceholderText(self.tr("Search"))
        field.setAccessibleName(self.tr("Search conversations"))
        field.setClearButtonEnabled(True)
        field.setMaxLength(200)
        self._search_action = field.addAction(
            icon("search", current_theme().text_quiet, 16),
            QLineEdit.ActionPosition.LeadingPosition,
        )
        for button in field.findChildren(QToolButton):
            is_search = button.defaultAction() is self._search_action
            button.setAccessibleName(self.tr("Search") if is_search else self.tr("Clear"))
        self._clear_action = field.findChild(QAction, "_q_qlineeditclearaction")
        field.textChanged.connect(self._conversations.search)
        return field

    def _paint_icons(self) -> None:
        color = current_theme().text_quiet
        self._search_action.setIcon(icon("search", color, 16))
        if isinstance(self._clear_action, QAction):
            self._clear_action.setIcon(icon("x", color, 16))

    def _make_list(self) -> _ListView:
        view = _ListView()
        view.setModel(self._model)
        roles = ListRoles(
            ConversationRole.HEADING,
            ConversationRole.SNIPPET,
            ConversationRole.MARKS,
            ConversationRole.PINNED,
            ConversationRole.LIVE,
        )
        delegate = ConversationDelegate(roles, view)
        delegate.closeEditor.connect(self._on_edited)
        view.setItemDelegate(delegate)
        view.setAccessibleName(self.tr("Conversations"))
        view.setMouseTracking(True)
        view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.customContextMenuRequested.connect(self._show_menu)
        view.delete_requested.connect(self._delete_current)
        view.opened.connect(self.opened)
        view.clicked.connect(self._on_clicked)
        view.selectionModel().currentChanged.connect(self._on_current)
        return view

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setContentsMargins(SPACE_M, SPACE_M, SPACE_S, SPACE_S)
        top.setSpacing(SPACE_S)
        top.addWidget(self.search_field, 1)
        top.addWidget(self.new_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, SPACE_S)
        layout.setSpacing(0)
        layout.addLayout(top)
        self._stack = QStackedLayout()
        # Before it gets its pages: it shows the first one, which must have a parent by then.
        layout.addLayout(self._stack, 1)
        self._stack.addWidget(self.list)
        self._stack.addWidget(self._make_empty())

    def _make_empty(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, 0)
        column.setSpacing(SPACE_M)
        column.addWidget(self._empty)
        column.addWidget(self.import_button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        return page

    @Slot(list)
    def _on_listed(self, hits: list[object]) -> None:
        if self.list.is_editing:
            # A new list would tear the title out of the user's hands.
            self._refresh_later = True
            return
        self._syncing = True
        bar = self.list.verticalScrollBar()
        value = bar.value()
        self._model.set_hits(hits)  # type: ignore[arg-type]  # a signal carries a plain list
        bar.setValue(value)
        self._syncing = False
        self.show_current(self._shown_id)
        searching = bool(self._conversations.query.strip())
        self._empty.setText(
            self.tr("Nothing found. Try fewer or shorter words.")
            if searching
            else self.tr("Your conversations will be listed here.")
        )
        self.import_button.setVisible(not searching)
        self._stack.setCurrentIndex(0 if hits else 1)

    @Slot()
    def _on_edited(self) -> None:
        if self._refresh_later:
            self._refresh_later = False
            self._conversations.refresh()

    @Slot(QModelIndex, QModelIndex)
    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        found = self._model.conversation(current)
        if self._syncing or found is None or found.id == self._shown_id:
            return
        self._shown_id = found.id
        self.chosen.emit(found.id)

    @Slot(QModelIndex)
    def _on_clicked(self, index: QModelIndex) -> None:
        if self._model.conversation(index) is not None:
            self.clicked.emit()

    def _current(self) -> Conversation | None:
        return self._model.conversation(self.list.currentIndex())

    @Slot()
    def _delete_current(self) -> None:
        found = self._current()
        if found is not None:
            self._conversations.delete(found)

    @Slot()
    def _rename_current(self) -> None:
        self.list.edit(self.list.currentIndex())

    @Slot()
    def _pin_current(self) -> None:
        found = self._current()
        if found is not None:
            self._conversations.set_pinned(found.id, pinned=not found.pinned)

    @Slot()
    def export_current(self) -> None:
        """Ask for a file, and write the chosen conversation into it."""
        found = self._current()
        if found is None:
            return
        dialog = QFileDialog(self, self.tr("Export conversation"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        markdown, whole = self.tr("Markdown (*.md)"), self.tr("JSON, with all versions (*.json)")
        dialog.setNameFilters([markdown, whole])
        dialog.setDefaultSuffix("md")
        dialog.filterSelected.connect(partial(_follow_filter, dialog, whole))
        dialog.selectFile(f"{export_name(found.title)}.md")
        dialog.fileSelected.connect(partial(self._export_to, found.id))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _export_to(self, conversation_id: int, name: str) -> None:
        self._conversations.export(conversation_id, Path(name))

    @Slot()
    def choose_import(self) -> None:
        """Ask for exported files, and add their conversations."""
        dialog = QFileDialog(self, self.tr("Import conversations"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.setNameFilters(
            [self.tr("Exported conversations (*.json)"), self.tr("All files (*)")]
        )
        dialog.filesSelected.connect(self._import_from)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    @Slot(list)
    def _import_from(self, names: list[str]) -> None:
        self._conversations.import_files([Path(name) for name in names])

    @Slot(QPoint)
    def _show_menu(self, point: QPoint) -> None:
        found = self._model.conversation(self.list.indexAt(point))
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if found is not None:
            self.list.setCurrentIndex(self.list.indexAt(point))
            self._add_actions(menu, found)
            menu.addSeparator()
        whole = menu.addAction(self.tr("Import…"), self.choose_import)
        whole.setShortcut(IMPORT_KEYS)
        menu.popup(self.list.viewport().mapToGlobal(point))

    def _add_actions(self, menu: QMenu, found: Conversation) -> None:
        rename = menu.addAction(self.tr("Rename"), self._rename_current)
        rename.setShortcut(QKeySequence(Qt.Key.Key_F2))
        pin = self.tr("Unpin") if found.pinned else self.tr("Pin to the top")
        menu.addAction(pin, self._pin_current)
        export = menu.addAction(self.tr("Export…"), self.export_current)
        export.setShortcut(EXPORT_KEYS)
        menu.addSeparator()
        delete = menu.addAction(self.tr("Delete"), self._delete_current)
        delete.setShortcut(QKeySequence(Qt.Key.Key_Delete))


def _follow_filter(dialog: QFileDialog, json_filter: str, chosen: str) -> None:
    """Give the name the ending of the kind that was chosen."""
    suffix = "json" if chosen == json_filter else "md"
    dialog.setDefaultSuffix(suffix)
    selected = dialog.selectedFiles()
    if selected and Path(selected[0]).suffix in (".md", ".json"):
        dialog.selectFile(str(Path(selected[0]).with_suffix(f".{suffix}").name))
