"""How fast bytes come, from how many have come. No Qt here."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 5.0
# Below that, a rate says more about the moment than about the line.
_SHORTEST_S = 0.25


class Meter:
    """The rate over the last seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now_s: float, bytes_fetched: int) -> None:
        """Take note of how many bytes have come in all; ``now_s`` is monotonic."""
        if self._marks and bytes_fetched < self._marks[-1][1]:
            self._marks.clear()
        self._marks.append((now_s, bytes_fetched))
        while len(self._marks) > 2 and self._marks[1][0] < now_s - _WINDOW_S:
            self._marks.popleft()

    def reset(self) -> None:
        """Forget: nothing comes for now."""
        self._marks.clear()

    @property
    def rate_bytes_s(self) -> float:
        """Over the last five seconds, 0 while that cannot be said."""
        if len(self._marks) < 2:
            return 0.0
        (start_s, start_bytes), (end_s, end_bytes) = self._marks[0], self._marks[-1]
        took_s = end_s - start_s
        return (end_bytes - start_bytes) / took_s if took_s >= _SHORTEST_S else 0.0
