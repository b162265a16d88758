"""When to look again for room on a disk: calmly, and ever more so where it does not last. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 600.0


@dataclass
class _Watch:
    """One download without room: what it had when it came to rest, when it is looked at next."""

    bytes_done: int
    pause_s: float
    at_s: float | None


class RoomWatch:
    """Downloads that rest for want of room; used by one thread.

    Room that is there by all figures and refused all the same (a quota, say) must not lead to an
    attempt every few seconds: one that got nowhere doubles the pause.

    Args:
        pause_s: between two looks at a disk.
    """

    def __init__(self, pause_s: float = FIRST_PAUSE_S) -> None:
        self._pause_s = pause_s
        self._watches: dict[str, _Watch] = {}

    @property
    def next_s(self) -> float | None:
        """When something is due, on the monotonic clock; None when nothing is."""
        at_s = [watch.at_s for watch in self._watches.values() if watch.at_s is not None]
        return min(at_s, default=None)

    def rests(self, job_id: str, bytes_done: int, now_s: float) -> None:
        """Take note that a download came to rest with so many bytes."""
        before = self._watches.get(job_id)
        pause_s = self._pause_s
        if before is not None and bytes_done <= before.bytes_done:
            pause_s = min(2 * before.pause_s, _LONGEST_PAUSE_S)
        self._watches[job_id] = _Watch(bytes_done, pause_s, now_s + pause_s)

    def due(self, now_s: float) -> list[str]:
        """Return what is to be looked at now; each is due again a pause later."""
        due = []
        for job_id, watch in self._watches.items():
            if watch.at_s is not None and watch.at_s <= now_s:
                watch.at_s = now_s + watch.pause_s
                due.append(job_id)
        return due

    def sleep(self, job_id: str) -> None:
        """Look no more for now: the download goes on, and may come back."""
        if job_id in self._watches:
            self._watches[job_id].at_s = None

    def forget(self, job_id: str) -> None:
        """Forget a download: it does not rest, or somebody wants something else of it."""
        self._watches.pop(job_id, None)
