"""The last requests of other programs as an item model: figures, and never what was said."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from app.widgets.tips import plain_tip
from models.api.requests import RequestNote, RequestState
from models.units import format_duration, format_rate

Index = QModelIndex | QPersistentModelIndex
TONE_ROLE = Qt.ItemDataRole.UserRole + 1
_TONES: dict[RequestState, str] = {"answering": "accent", "failed": "fail", "done": "text"}
_SHORTEST_S = 0.01
_DISPLAY, _TIP = Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole


@dataclass(frozen=True)
class ServedRequest:
    """A request and when it came, in this machine's time."""

    note: RequestNote
    at: datetime.datetime

    @property
    def is_open(self) -> bool:
        """Whether it is waiting or being answered."""
        return self.note.state in ("waiting", "answering")


class RequestColumn(enum.IntEnum):
    """The columns, in their order."""

    TIME = 0
    MODEL = 1
    STATE = 2
    TOKENS = 3
    SPEED = 4
    TOOK = 5


class ServedRequestModel(QAbstractTableModel):
    """Rows of requests, the newest first."""

    def __init__(self, heads: Sequence[str], states: dict[RequestState, str]) -> None:
        """Prepare.

        Args:
            heads: of the columns.
            states: the word for each state.
        """
        super().__init__()
        self._heads = tuple(heads)
        self._states = states
        self._rows: tuple[ServedRequest, ...] = ()

    def set_requests(self, requests: Sequence[ServedRequest]) -> None:
        """Show these, in their order."""
        rows = tuple(requests)
        if [row.note.id for row in rows] != [row.note.id for row in self._rows]:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()
            return
        before, self._rows = self._rows, rows
        last = len(RequestColumn) - 1
        for number, (old, new) in enumerate(zip(before, rows, strict=True)):
            if old != new:
                self.dataChanged.emit(self.index(number, 0), self.index(number, last))

    def why(self, row: int) -> str:
        """Return when and why the request of a row failed; empty where it did not."""
        if row >= len(self._rows) or not self._rows[row].note.error:
            return ""
        one = self._rows[row]
        return f"{one.at:%H:%M:%S}: {one.note.error}"

    def rowCount(self, parent: Index | None = None) -> int:
        """Return how many requests there are."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """Return how many columns there are."""
        return 0 if parent is not None and parent.isValid() else len(RequestColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _DISPLAY) -> Any:
        """Return the head of a column."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return self._heads[section] if role == _DISPLAY else None

    def data(self, index: Index, role: int = _DISPLAY) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], index.column()
        if role in (_DISPLAY, Qt.ItemDataRole.AccessibleTextRole):
            return self._text(row, column)
        if role == _TIP:
            is_state = column == RequestColumn.STATE
            return plain_tip(row.note.error if is_state else self._text(row, column))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == TONE_ROLE:
            is_state = column == RequestColumn.STATE
            return _TONES.get(row.note.state, "text_quiet") if is_state else "text"
        return None

    def _text(self, row: ServedRequest, column: int) -> str:
        note = row.note
        match column:
            case RequestColumn.TIME:
                return row.at.strftime("%H:%M:%S")
            case RequestColumn.MODEL:
                return note.model
            case RequestColumn.STATE:
                return self._states[note.state]
            case RequestColumn.TOKENS:
                figures = f"{note.prompt_tokens:,} \N{RIGHTWARDS ARROW} {note.completion_tokens:,}"
                return figures if note.prompt_tokens else ""
            case RequestColumn.SPEED:
                return format_rate(note.decode_tok_s) if note.decode_tok_s else ""
            case _:
                # What was refused at once took no time that anybody would want to know.
                is_told = not row.is_open and note.elapsed_s >= _SHORTEST_S
                return format_duration(note.elapsed_s) if is_told else ""


def _alignment(column: int) -> Qt.AlignmentFlag:
    is_figure = column >= RequestColumn.TOKENS
    side = Qt.AlignmentFlag.AlignRight if is_figure else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
