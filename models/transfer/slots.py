"""How many blocks may be in flight at once, over all files. No Qt here."""

from __future__ import annotations

import threading
from collections.abc import Callable

MIN_COUNT, MAX_COUNT = 1, 8


class Slots:
    """Shared out fairly: who holds fewer gets the next one. May be used from any thread.

    Args:
        count: 1 to 8; what is beyond is cut off.
    """

    def __init__(self, count: int = 4) -> None:
        self._lock = threading.Lock()
        self._count = _bounded(count)
        self._held: dict[object, int] = {}
        # Who was refused, in that order, and how to tell them that it is worth another try.
        self._waiting: dict[object, Callable[[], None]] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return self._count

    def set_count(self, count: int) -> None:
        """Set how many there are; what is in flight beyond that ends first."""
        with self._lock:
            self._count = _bounded(count)
        self._wake()

    def try_take(self, owner: object, wake: Callable[[], None]) -> bool:
        """Take a slot, or return False and have ``wake`` called when one may be free.

        ``wake`` is called from another thread and must return at once.
        """
        with self._lock:
            own = self._held.get(owner, 0)
            is_free = sum(self._held.values()) < self._count
            # A tie goes to who has waited longest.
            others = {other: self._held.get(other, 0) for other in self._waiting}
            is_next = next(iter(others), owner) is owner
            least = min((n for other, n in others.items() if other is not owner), default=own + 1)
            if is_free and (own < least or (own == least and is_next)):
                self._held[owner] = own + 1
                # Whoever got one queues behind the others.
                self._waiting.pop(owner, None)
                return True
            self._waiting.setdefault(owner, wake)
            return False

    def give_back(self, owner: object) -> None:
        """Give one slot back."""
        with self._lock:
            left = self._held.get(owner, 0) - 1
            if left > 0:
                self._held[owner] = left
            else:
                self._held.pop(owner, None)
        self._wake()

    def leave(self, owner: object) -> None:
        """Want no slot any more, for now; those held stay held."""
        with self._lock:
            was_waiting = self._waiting.pop(owner, None) is not None
        if was_waiting:
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            waiting = list(self._waiting.values())
        for wake in waiting:
            wake()


def _bounded(count: int) -> int:
    return max(MIN_COUNT, min(int(count), MAX_COUNT))
