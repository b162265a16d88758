"""Whose turn it is to ask the engine: it answers one question at a time. No Qt here.

The chat and the server for other programs share one engine. Whoever wants an answer asks for a turn
and gets it in the order of asking, so that neither can starve the other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Turn:
    """A place in the queue, or the turn itself; made by ``EngineTurns.ask``."""

    def __init__(
        self, turns: EngineTurns, begin: Callable[[], None], moved: Callable[[], None] | None
    ) -> None:
        self._turns = turns
        self.begin = begin
        self.moved = moved

    @property
    def ahead(self) -> int:
        """How many come before this one; 0 when it has begun, or has ended."""
        return self._turns.ahead_of(self)

    @property
    def has_begun(self) -> bool:
        """Whether it is this one's turn now."""
        return self._turns.is_current(self)

    def end(self) -> None:
        """Let the next one begin, or leave the queue; safe twice and from any thread."""
        self._turns.end(self)


class EngineTurns:
    """One turn at a time, in the order of asking. From any thread."""

    def __init__(self) -> None:
        # Guards the two below; never held while somebody begins. While anybody waits, somebody has
        # the turn: what is handed over never lies about for the next thread that comes by.
        self._lock = threading.Lock()
        self._current: Turn | None = None
        self._waiting: deque[Turn] = deque()

    def ask(self, begin: Callable[[], None], *, moved: Callable[[], None] | None = None) -> Turn:
        """Ask for a turn and return at once.

        Args:
            begin: called once when the turn has come: before this returns where nobody is
                before, else in the thread that ended the turn before. It must not wait or raise.
                It may still be called when another thread ends the turn at that moment.
            moved: called when somebody before has ended, while it waits; by the same rules.
        """
        turn = Turn(self, begin, moved)
        with self._lock:
            if self._current is not None:
                self._waiting.append(turn)
                return turn
            self._current = turn
        turn.begin()
        return turn

    def end(self, turn: Turn) -> None:
        """As ``Turn.end``."""
        begins: Turn | None = None
        with self._lock:
            if turn is self._current:
                begins = self._current = self._waiting.popleft() if self._waiting else None
                behind = list(self._waiting)
            elif turn in self._waiting:
                behind = list(self._waiting)[self._waiting.index(turn) + 1 :]
                self._waiting.remove(turn)
            else:
                return
        if begins is not None:
            begins.begin()
        for other in behind:
            # Some may have begun or left by now.
            if other.moved is not None and other.ahead:
                other.moved()

    def is_current(self, turn: Turn) -> bool:
        """As ``Turn.has_begun``."""
        with self._lock:
            return turn is self._current

    def ahead_of(self, turn: Turn) -> int:
        """As ``Turn.ahead``."""
        with self._lock:
            return self._waiting.index(turn) + 1 if turn in self._waiting else 0
