"""The list of conversations as an item model: day headings and rows, nothing of its own."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt, Signal

from models.chat.conversation import Conversation, SearchHit

Index = QModelIndex | QPersistentModelIndex
_USER_ROLE = Qt.ItemDataRole.UserRole


class ConversationRole(enum.IntEnum):
    """What a row can be asked for."""

    HEADING = _USER_ROLE + 1  # bool: a day heading, not a conversation
    ID = _USER_ROLE + 2
    SNIPPET = _USER_ROLE + 3
    MARKS = _USER_ROLE + 4
    PINNED = _USER_ROLE + 5
    LIVE = _USER_ROLE + 6


class Section(enum.Enum):
    """The groups, in their order."""

    PINNED = "pinned"
    TODAY = "today"
    YESTERDAY = "yesterday"
    EARLIER = "earlier"


@dataclass(frozen=True)
class _Row:
    heading: str = ""
    hit: SearchHit | None = None


class ConversationListModel(QAbstractListModel):
    """Rows of headings and conversations; editing a title asks for a rename."""

    rename_requested = Signal(int, str)

    def __init__(self, headings: dict[Section, str], untitled: str) -> None:
        super().__init__()
        self._headings = headings
        self._untitled = untitled
        self._rows: list[_Row] = []
        self._live_id: int | None = None

    def set_hits(self, hits: Sequence[SearchHit], today: datetime.date | None = None) -> None:
        """Show these conversations, in their order, under day headings."""
        rows: list[_Row] = []
        section: Section | None = None
        today_s, yesterday_s = _midnights(today or datetime.datetime.now().astimezone().date())
        for hit in hits:
            found = _section(hit.conversation, today_s, yesterday_s)
            if found is not section:
                section = found
                rows.append(_Row(heading=self._headings[found]))
            rows.append(_Row(hit=hit))
        if rows == self._rows:
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def set_live(self, conversation_id: int | None) -> None:
        """Mark the conversation that is being answered."""
        if conversation_id != self._live_id:
            self._live_id = conversation_id
            if self._rows:
                last = self.index(len(self._rows) - 1)
                self.dataChanged.emit(self.index(0), last, [ConversationRole.LIVE])

    def conversation(self, index: Index) -> Conversation | None:
        """Return the conversation of a row, None for a heading."""
        if not index.isValid() or not 0 <= index.row() < len(self._rows):
            return None
        hit = self._rows[index.row()].hit
        return hit.conversation if hit else None

    def index_of(self, conversation_id: int | None) -> QModelIndex:
        """Return where a conversation is listed; an invalid index where it is not."""
        for number, row in enumerate(self._rows):
            if row.hit is not None and row.hit.conversation.id == conversation_id:
                return self.index(number)
        return QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  (Qt's own default)
        """Return headings and conversations together."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return one property of a row."""
        if not index.isValid() or not 0 <= index.row() < len(self._rows):
            return None
        row = self._rows[index.row()]
        if row.hit is None:
            return self._heading_data(row, role)
        found = row.hit.conversation
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.AccessibleTextRole:
                return found.title or self._untitled
            case Qt.ItemDataRole.EditRole:
                return found.title
            case ConversationRole.HEADING:
                return False
            case ConversationRole.ID:
                return found.id
            case ConversationRole.SNIPPET:
                return row.hit.snippet
            case ConversationRole.MARKS:
                return row.hit.marks
            case ConversationRole.PINNED:
                return found.pinned
            case ConversationRole.LIVE:
                return found.id == self._live_id
        return None

    def _heading_data(self, row: _Row, role: int) -> Any:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.heading
        return True if role == ConversationRole.HEADING else None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Let conversations be chosen and renamed, headings nothing."""
        if self.conversation(index) is None:
            return Qt.ItemFlag.NoItemFlags
        return (
            Qt.ItemFlag.ItemIsEnabled
            | Qt.ItemFlag.ItemIsSelectable
            | Qt.ItemFlag.ItemIsEditable
            | Qt.ItemFlag.ItemNeverHasChildren
        )

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask for a rename; the list changes once it is stored."""
        found = self.conversation(index)
        title = " ".join(str(value).split())
        if role != Qt.ItemDataRole.EditRole or found is None or not title or title == found.title:
            return False
        self.rename_requested.emit(found.id, title)
        return True


def _midnights(today: datetime.date) -> tuple[float, float]:
    """Return when a day and the one before it began; asked once, not for every conversation."""
    starts = (today, today - datetime.timedelta(days=1))
    today_s, yesterday_s = (
        datetime.datetime.combine(day, datetime.time()).timestamp() for day in starts
    )
    return today_s, yesterday_s


def _section(conversation: Conversation, today_s: float, yesterday_s: float) -> Section:
    if conversation.pinned:
        return Section.PINNED
    if conversation.updated_at >= today_s:
        return Section.TODAY
    return Section.YESTERDAY if conversation.updated_at >= yesterday_s else Section.EARLIER
