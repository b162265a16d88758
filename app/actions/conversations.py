"""The list of conversations: search, new, rename, delete with undo, choose, export, import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.actions.chat import Chat
from app.messages import Action, Messages
from app.tasks import Task, TaskRunner
from models.chat.conversation import Conversation, Message, SearchHit
from models.chat.export_file import export_text, write_export
from models.chat.import_file import read_export
from models.chat.store import ConversationStore, set_aside
from models.errors import (
    BadInputError,
    DiskError,
    DiskFullError,
    StoreCorruptError,
    StoreError,
    StoreVersionError,
)

SEARCH_DELAY_MS = 120
KEEP_DELETED_S = 30 * 24 * 3600.0
_SHOWN_PROMPT_CHARS = 200


class Conversations(QObject):
    """What the list shows and does. The store is asked in its lane, never waited for."""

    listed = Signal(list)  # list[SearchHit]; without a query the snippets are empty
    search_ended = Signal()  # what is shown now would not be among what was searched for

    def __init__(
        self,
        *,
        store: ConversationStore,
        chat: Chat,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._store = store
        self._chat = chat
        self._runner = runner
        self._messages = messages
        self._query = ""
        self._listing: Task | None = None
        self._select_newest = False
        self._to_import: list[Path] = []
        self._is_reading = False
        self._delay = QTimer(self, singleShot=True, interval=SEARCH_DELAY_MS)
        self._delay.timeout.connect(self.refresh)
        chat.conversations_changed.connect(self.refresh)

    @property
    def query(self) -> str:
        """What is searched for."""
        return self._query

    def open_store(self, *, show_newest: bool = True) -> None:
        """Open the store, mend what a crash left, list, and show the newest conversation."""
        self._select_newest = show_newest
        self._open(partial(_open, self._store))

    def begin_anew(self) -> None:
        """Set a damaged store aside, where it is kept, and begin an empty one."""
        self._chat.show(None)
        self._open(partial(_open_new, self._store))

    def _open(self, operation: Callable[[], int]) -> None:
        self._runner.run(operation, done=self._on_opened, error=self._on_open_failed, lane="store")

    def search(self, query: str) -> None:
        """List what matches, shortly after the last key."""
        if query != self._query:
            self._query = query
            self._delay.start()

    @Slot()
    def refresh(self) -> None:
        """Read the list again; an older answer that is still on its way is dropped."""
        if self._listing is not None:
            self._listing.drop()
        self._listing = self._runner.run(
            partial(_list, self._store, self._query),
            done=self._on_listed,
            error=self._on_error,
            lane="store",
        )

    def show(self, conversation_id: int) -> None:
        """Put a conversation on the page."""
        if conversation_id != self._chat.conversation_id:
            self._chat.show(conversation_id)

    def new(self) -> None:
        """Put an empty conversation on the page; it is stored with its first message."""
        self._chat.show(None)

    def rename(self, conversation_id: int, title: str) -> None:
        """Give a conversation another title; an empty one changes nothing."""
        title = " ".join(title.split())
        if not title:
            return
        self._change(partial(self._store.rename, conversation_id, title))

    def set_pinned(self, conversation_id: int, *, pinned: bool) -> None:
        """Keep a conversation at the top of the list, or no longer."""
        self._change(partial(self._store.set_pinned, conversation_id, pinned))

    def delete(self, conversation: Conversation) -> None:
        """Take a conversation out of the list, with a way back."""
        self._chat.stop_in(conversation.id)
        if self._chat.conversation_id == conversation.id:
            self._chat.show(None)
        self._change(partial(self._store.delete, conversation.id))
        self._messages.undo(
            self.tr("“{title}” was deleted.").format(title=_short(conversation.title)),
            partial(self.restore, conversation.id),
        )

    def restore(self, conversation_id: int) -> None:
        """Bring a deleted conversation back and show it."""
        self._change(partial(self._store.restore, conversation_id))
        self._chat.show(conversation_id)

    def export(self, conversation_id: int, path: Path) -> None:
        """Write a conversation into a file: JSON by its ending, Markdown otherwise."""
        self._runner.run(
            partial(export_text, self._store, conversation_id, path),
            done=partial(self._write_export, path),
            error=self._on_error,
            lane="store",
        )

    def _write_export(self, path: Path, text: str) -> None:
        # Not in the store's lane: a slow drive must not hold up an answer's text.
        self._runner.run(
            partial(write_export, path, text),
            done=partial(self._on_exported, path),
            error=self._on_error,
        )

    def _on_exported(self, path: Path, _result: None) -> None:
        self._messages.info(self.tr("Exported to {name}.").format(name=path.name))

    def import_files(self, paths: Sequence[Path]) -> None:
        """Add the conversations of exported files, each as a new one; show the last of them."""
        self._to_import += paths
        if not self._is_reading:
            self._read_next()

    def _read_next(self) -> None:
        self._is_reading = bool(self._to_import)
        if self._to_import:
            # One after the other, in their order; not in the store's lane, as an export.
            self._runner.run(
                partial(read_export, self._to_import.pop(0)),
                done=self._on_read,
                error=self._on_not_read,
            )

    def _on_not_read(self, error: Exception) -> None:
        self._read_next()
        self._on_error(error)

    def _on_read(self, found: tuple[Conversation, list[Message]]) -> None:
        self._read_next()
        self._runner.run(
            partial(self._store.import_conversation, *found),
            done=self._on_imported,
            error=self._on_error,
            lane="store",
        )

    def _on_imported(self, conversation: Conversation) -> None:
        text = self.tr("“{title}” was imported.").format(title=_short(conversation.title))
        prompt = " ".join(conversation.system_prompt.split())
        if prompt:
            # It speaks to the model in every answer, and stands nowhere on the page.
            words = _short(prompt, _SHOWN_PROMPT_CHARS)
            self._messages.warning(
                text,
                hint=self.tr("It has a system prompt of its own: “{prompt}”").format(prompt=words),
            )
        else:
            self._messages.info(text)
        if self._query:
            self._query = ""
            self.search_ended.emit()
        self.refresh()
        self._chat.show(conversation.id)

    def _change(self, operation: partial[None]) -> None:
        self._runner.run(operation, done=self._on_changed, error=self._on_error, lane="store")

    def _on_changed(self, _result: None) -> None:
        self.refresh()

    def _on_opened(self, recovered: int) -> None:
        if recovered:
            self._messages.info(
                self.tr("The program ended during an answer. Its text up to then was kept.")
            )
        self.refresh()

    def _on_listed(self, hits: list[SearchHit]) -> None:
        self._listing = None
        self.listed.emit(hits)
        if self._select_newest:
            self._select_newest = False
            if hits and self._chat.conversation_id is None:
                # Not the first: pinned ones stand above it.
                newest = max((hit.conversation for hit in hits), key=lambda c: c.updated_at)
                self._chat.show(newest.id)

    def _on_open_failed(self, error: Exception) -> None:
        if not isinstance(error, StoreError) or isinstance(
            error, (StoreCorruptError, StoreVersionError)
        ):
            self._on_error(error)
        else:
            # Another program may let go of it, a drive may come back.
            self._messages.error(error, Action(self.tr("Try again"), self.open_store))

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, (StoreError, DiskError, DiskFullError, BadInputError)):
            raise error
        action = None
        if isinstance(error, StoreCorruptError):
            action = Action(self.tr("Begin anew"), self.begin_anew)
        self._messages.error(error, action)


def _open(store: ConversationStore) -> int:
    store.open()
    store.purge_deleted(older_than_s=KEEP_DELETED_S)
    return store.recover()


def _open_new(store: ConversationStore) -> int:
    store.close()
    set_aside(store.path)
    return _open(store)


def _list(store: ConversationStore, query: str) -> list[SearchHit]:
    if query.strip():
        return store.search(query)
    return [SearchHit(found, None, "", ()) for found in store.list_conversations()]


def _short(text: str, limit_chars: int = 40) -> str:
    return text if len(text) <= limit_chars else text[: limit_chars - 1].rstrip() + "…"
