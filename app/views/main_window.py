"""The window: rail, pages, status bar, and the keys that reach all of them."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QEvent, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QAction, QCloseEvent, QHideEvent, QKeySequence, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMainWindow, QVBoxLayout, QWidget

from app.theme import SIZE_HEADING, SPACE_S
from app.views.rail import Place, Rail
from app.views.toast_area import ToastArea
from app.widgets.drop_cover import DropCover
from app.widgets.labels import Weight, text_label
from app.widgets.page_stack import PageStack
from app.widgets.window_drops import WindowDrops

if TYPE_CHECKING:
    from pathlib import Path

    from app.messages import Messages
    from app.views.status_bar import StatusBar

COLLAPSE_BELOW = 900
DEFAULT_SIZE = QSize(1280, 800)
MINIMUM_SIZE = QSize(640, 480)
# Title bar and frame, which a window has no size for before it is shown.
_ROOM_AROUND = QSize(16, 48)

_SHOW_STOPPING_AFTER_MS = 200
_CHECKPOINT_SUFFIX = ".gguf"
_CONVERSATION_SUFFIX = ".json"

CHAT, MODELS, MONITOR, SERVER, SETTINGS = "chat", "models", "monitor", "server", "settings"
# Has no place in the rail: it belongs to Models.
PLAN = "plan"


class MainWindow(QMainWindow):
    """Composes what it is given; knows no page by its class.

    A page may be given as a function that makes it: it is called when the page is first shown,
    so that the window is there sooner.
    """

    close_requested = Signal()
    new_chat_requested = Signal()
    search_requested = Signal()
    plan_requested = Signal()
    visible_changed = Signal(bool)
    # Paths: checkpoints and folders that were dropped anywhere on the window.
    files_dropped = Signal(list)
    # Paths of exported conversations, dropped likewise.
    conversations_dropped = Signal(list)

    def __init__(
        self,
        pages: Mapping[str, Callable[[], QWidget]],
        status_bar: StatusBar,
        messages: Messages,
    ) -> None:
        super().__init__()
        self.setWindowTitle("Fathom")
        self.setMinimumSize(MINIMUM_SIZE)
        self.resize(DEFAULT_SIZE)
        self._makers = dict(pages)
        self._pages: dict[str, QWidget] = {}
        self._may_close = False
        self._is_closing = False
        self._current = ""
        self.rail = Rail(self._places())
        self.rail.chosen.connect(self.show_page)
        self.status_bar = status_bar
        status_bar.clicked.connect(self._show_monitor)
        self._stack = PageStack()
        self._lay_out()
        self.toasts = ToastArea(messages, self._stack)
        self._stopping = self._make_stopping()
        self.drops = self._make_drops()
        self.conversation_drops = self._make_conversation_drops()
        # An engine that stops at once should not make the window flash.
        self._stopping_timer = QTimer(self, singleShot=True, interval=_SHOW_STOPPING_AFTER_MS)
        self._stopping_timer.timeout.connect(self._show_stopping)
        self._add_actions()

    @property
    def current_page(self) -> str:
        """The name of the page that is shown."""
        return self._current

    def page(self, name: str) -> QWidget:
        """Return a page, made now if it was not needed before."""
        if name not in self._pages:
            page = self._makers[name]()
            self._pages[name] = page
            self._stack.addWidget(page)
        return self._pages[name]

    def made_page(self, name: str) -> QWidget | None:
        """Return a page that was needed before, None for one that was not."""
        return self._pages.get(name)

    @Slot(str)
    def show_page(self, name: str) -> None:
        """Show a page and mark it in the rail."""
        if name == self._current:
            return
        self._current = name
        self._stack.show_page(self.page(name))
        self.toasts.set_at_bottom(name == MODELS)
        self.rail.set_current(MODELS if name == PLAN else name)
        self.toasts.raise_()

    def saved_place(self) -> str:
        """Return size and place of the window as text for the settings."""
        return bytes(self.saveGeometry().toBase64().data()).decode()

    def restore_place(self, text: str) -> None:
        """Go where ``saved_place`` says; without that, as large as is good and as fits."""
        try:
            raw = binascii.a2b_base64(text.encode(), strict_mode=True)
        except (ValueError, UnicodeEncodeError):
            raw = b""
        if not raw or not self.restoreGeometry(QByteArray(raw)):
            room = self.screen().availableSize() - _ROOM_AROUND
            self.resize(DEFAULT_SIZE.boundedTo(room).expandedTo(MINIMUM_SIZE))

    def finish_close(self) -> None:
        """Close for good; the engine has ended."""
        self._may_close = True
        self._stopping_timer.stop()
        self.close()

    def focusNextPrevChild(self, forward: bool) -> bool:  # noqa: N802 (Qt's name)
        """Move the focus; the status bar stays the last stop whatever the pages have added."""
        last = self.previousInFocusChain()
        # A widget that takes no focus cannot be named in an order.
        while last and last is not self.status_bar and not last.focusPolicy().value:
            last = last.previousInFocusChain()
        if last and last is not self.status_bar:
            self.setTabOrder(last, self.status_bar)
        return super().focusNextPrevChild(forward)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask for the engine to be stopped first; ``finish_close`` then closes."""
        if self._may_close:
            event.accept()
            return
        event.ignore()
        if not self._is_closing:
            self._is_closing = True
            self._stopping_timer.start()
            self.close_requested.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold the rail where the window is narrow."""
        super().resizeEvent(event)
        self.rail.set_collapsed(self.width() < COLLAPSE_BELOW)
        self._stopping.setGeometry(self.rect())

    def showEvent(self, event: QShowEvent) -> None:
        """Tell that there is somebody to show figures to."""
        super().showEvent(event)
        handle = self.windowHandle()
        if handle is not None:
            self.drops.watch(handle)
            self.conversation_drops.watch(handle)
        self.visible_changed.emit(not self.isMinimized())

    def hideEvent(self, event: QHideEvent) -> None:
        """Tell that nobody sees the figures."""
        super().hideEvent(event)
        self.visible_changed.emit(False)

    def changeEvent(self, event: QEvent) -> None:
        """Notice when the window is minimised."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.WindowStateChange:
            self.visible_changed.emit(self.isVisible() and not self.isMinimized())

    def _places(self) -> list[Place]:
        return [
            Place(CHAT, "message-square", self.tr("Chat"), "Ctrl+1"),
            Place(MODELS, "boxes", self.tr("Models"), "Ctrl+2"),
            Place(MONITOR, "activity", self.tr("Monitor"), "Ctrl+3"),
            Place(SERVER, "server", self.tr("Server"), "Ctrl+4"),
            Place(SETTINGS, "settings", self.tr("Settings"), "Ctrl+5"),
        ]

    def _lay_out(self) -> None:
        middle = QHBoxLayout()
        middle.setSpacing(0)
        line = QFrame()
        line.setProperty("kind", "hairline")
        line.setFixedWidth(1)
        middle.addWidget(self.rail)
        middle.addWidget(line)
        middle.addWidget(self._stack, 1)
        central = QWidget()
        column = QVBoxLayout(central)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(middle, 1)
        column.addWidget(self.status_bar)
        self.setCentralWidget(central)

    def _make_stopping(self) -> QWidget:
        cover = QWidget(self)
        cover.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        cover.setProperty("kind", "page")
        title = text_label(
            self.tr("Stopping the engine"), size=SIZE_HEADING, weight=Weight.DemiBold
        )
        sentence = text_label(self.tr("Your conversations are kept."), tone="quiet")
        layout = QVBoxLayout(cover)
        layout.setSpacing(SPACE_S)
        layout.addStretch(2)
        layout.addWidget(title, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addWidget(sentence, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(3)
        cover.hide()
        return cover

    def _make_drops(self) -> WindowDrops:
        drops = WindowDrops(_CHECKPOINT_SUFFIX, self)
        self._cover(
            drops, self.tr("Drop to add to the library"), self.tr("The files stay where they are.")
        )
        drops.dropped.connect(self.files_dropped)
        return drops

    def _make_conversation_drops(self) -> WindowDrops:
        drops = WindowDrops(_CONVERSATION_SUFFIX, self, takes_folders=False)
        self._cover(
            drops,
            self.tr("Drop to import the conversation"),
            self.tr("It becomes a new one. Nothing is replaced."),
        )
        drops.dropped.connect(self._take_conversations)
        return drops

    def _cover(self, drops: WindowDrops, title: str, words: str) -> None:
        """Say over the whole window what dropping does while something is held over it."""
        cover = DropCover(title, words, self)
        drops.entered.connect(cover.appear)
        drops.left.connect(cover.disappear)

    @Slot(list)
    def _take_conversations(self, paths: list[Path]) -> None:
        self.show_page(CHAT)
        self.conversations_dropped.emit(paths)

    @Slot()
    def _show_stopping(self) -> None:
        self._stopping.setGeometry(self.rect())
        self._stopping.show()
        self._stopping.raise_()

    def _add_actions(self) -> None:
        for place in self._places():
            action = self._action(place.title, place.shortcut)
            action.setData(place.name)
            action.triggered.connect(self._show_from_action)
        self._action(self.tr("Settings"), "Ctrl+,").triggered.connect(self._show_settings)
        self._action(self.tr("New chat"), "Ctrl+N").triggered.connect(self._new_chat)
        self._action(self.tr("Search conversations"), "Ctrl+F").triggered.connect(self._search)
        self._action(self.tr("Plan"), "Ctrl+P").triggered.connect(self._plan)
        self._action(self.tr("Go to the newest notice"), "F6").triggered.connect(
            self.toasts.focus_newest
        )
        self._action(self.tr("Quit"), "Ctrl+Q").triggered.connect(self.close)

    def _action(self, text: str, shortcut: str) -> QAction:
        action = QAction(text, self)
        action.setShortcut(QKeySequence(shortcut))
        self.addAction(action)
        return action

    @Slot()
    def _show_from_action(self) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.show_page(action.data())

    @Slot()
    def _show_monitor(self) -> None:
        self.show_page(MONITOR)

    @Slot()
    def _show_settings(self) -> None:
        self.show_page(SETTINGS)

    @Slot()
    def _new_chat(self) -> None:
        self.show_page(CHAT)
        self.new_chat_requested.emit()

    @Slot()
    def _search(self) -> None:
        self.show_page(CHAT)
        self.search_requested.emit()

    @Slot()
    def _plan(self) -> None:
        self.plan_requested.emit()
