"""Selecting text with the mouse or the keyboard, across pieces and messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QPointF
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QWidget

from app.widgets.chat_body import MessageBody, Spot

_MOVES = {
    "left": QTextCursor.MoveOperation.Left,
    "right": QTextCursor.MoveOperation.Right,
    "word_left": QTextCursor.MoveOperation.WordLeft,
    "word_right": QTextCursor.MoveOperation.WordRight,
    "up": QTextCursor.MoveOperation.Up,
    "down": QTextCursor.MoveOperation.Down,
    "home": QTextCursor.MoveOperation.StartOfLine,
    "end": QTextCursor.MoveOperation.EndOfLine,
}
_FORWARD = frozenset({"right", "word_right", "down", "end"})


@dataclass(frozen=True)
class _End:
    """One end of the selection: a body and the first and last place of what was clicked."""

    body: MessageBody
    first: Spot
    last: Spot


class TextSelection:
    """Holds the selection of a transcript; ``bodies`` returns the texts that stand there now."""

    def __init__(self, column: QWidget, bodies: Callable[[], list[MessageBody]]) -> None:
        self._column = column
        self._bodies = bodies
        self._anchor: _End | None = None
        self._focus: _End | None = None
        self._unit: QTextCursor.SelectionType | None = None
        self.is_dragging = False
        self.everything = False

    def begin(self, point: QPoint, unit: QTextCursor.SelectionType | None = None) -> None:
        """Begin at a point of the column, with a word or a block where ``unit`` says so."""
        self.clear()
        self._unit = unit
        self._anchor = self._focus = self._end_at(point)
        self.is_dragging = True
        self._paint()

    def extend(self, point: QPoint) -> None:
        """Select up to a point of the column."""
        if self._anchor is not None:
            self._focus = self._end_at(point) or self._focus
            self._paint()

    def end(self) -> None:
        """The button was let go."""
        self.is_dragging = False

    def clear(self) -> None:
        """Select nothing."""
        self._anchor = self._focus = None
        self.everything = False
        for body in self._bodies():
            body.select(None, None)

    def select_all(self) -> None:
        """Select every text, those that are not on the page included."""
        bodies = self._bodies()
        if not bodies:
            return
        start = Spot(0, 0)
        self._anchor = _End(bodies[0], start, start)
        end = bodies[-1].end_spot()
        self._focus = _End(bodies[-1], end, end)
        self.everything = True
        self._paint()

    def move(self, where: str) -> None:
        """Move the selection's end by a character, a word or a line; begin at the top."""
        bodies = self._bodies()
        if not bodies:
            return
        if self._focus is None or self._focus.body not in bodies:
            start = Spot(0, 0)
            self._anchor = self._focus = _End(bodies[0], start, start)
        self.everything = False
        self._focus = self._moved(self._focus, where, bodies)
        self._paint()

    def repaint(self) -> None:
        """Show the selection again after texts have come or gone."""
        if self.everything:
            self.select_all()
        elif self._anchor is not None:
            self._paint()

    def text(self) -> str:
        """Return what is selected; messages are parted by a blank line."""
        parts = [body.selected_text() for body in self._bodies()]
        return "\n\n".join(part for part in parts if part)

    def _end_at(self, point: QPoint) -> _End | None:
        bodies = self._bodies()
        if not bodies:
            return None
        chosen = bodies[0]
        for body in bodies:
            if body.mapTo(self._column, QPoint(0, 0)).y() <= point.y():
                chosen = body
        local = QPointF(chosen.mapFrom(self._column, point))
        spot = chosen.spot_at(local)
        if self._unit is None:
            return _End(chosen, spot, spot)
        return _End(chosen, *chosen.unit_at(spot, self._unit))

    def _moved(self, end: _End, where: str, bodies: list[MessageBody]) -> _End:
        piece = end.body.pieces[end.last.piece] if end.body.pieces else None
        if piece is not None:
            cursor = QTextCursor(piece.document)
            cursor.setPosition(min(end.last.position, piece.length))
            if cursor.movePosition(_MOVES[where]):
                spot = Spot(end.last.piece, cursor.position())
                return _End(end.body, spot, spot)
        return self._across(end, forward=where in _FORWARD, bodies=bodies)

    def _across(self, end: _End, *, forward: bool, bodies: list[MessageBody]) -> _End:
        step = 1 if forward else -1
        index = end.last.piece + step
        body = end.body
        if not 0 <= index < len(body.pieces):
            place = bodies.index(body) + step
            if not 0 <= place < len(bodies) or not bodies[place].pieces:
                return end
            body = bodies[place]
            index = 0 if forward else len(body.pieces) - 1
        spot = Spot(index, 0 if forward else body.pieces[index].length)
        return _End(body, spot, spot)

    def _paint(self) -> None:
        bodies = self._bodies()
        if self._anchor is None or self._focus is None:
            return
        if self._anchor.body not in bodies or self._focus.body not in bodies:
            return
        first, last = sorted(
            (self._anchor, self._focus), key=lambda end: (bodies.index(end.body), end.first)
        )
        low, high = bodies.index(first.body), bodies.index(last.body)
        for index, body in enumerate(bodies):
            if not low <= index <= high:
                body.select(None, None)
                continue
            start = first.first if index == low else Spot(0, 0)
            end = max(last.last, first.last) if low == high else last.last
            body.select(start, end if index == high else body.end_spot())
