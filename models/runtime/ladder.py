"""Ending a child politely, then firmly: which step is due when. No Qt here."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from models.errors import FathomError
from models.runtime.states import Limits


class Rung(enum.IntEnum):
    """The steps, in order; docs/protocol.md, "The parent's ladder"."""

    CANCEL = 0
    SHUTDOWN = 1
    TERMINATE = 2
    KILL = 3
    GIVE_UP = 4


@dataclass
class Ladder:
    """One way down; it only ever gets firmer.

    Attributes:
        first: where to begin.
        reason: the failure that makes the child have to go; None when somebody asked for it.
        remark: what the user is told afterwards although it is no failure of a request.
        by_user: whether somebody called ``stop``.
    """

    first: Rung
    reason: FathomError | None = None
    remark: FathomError | None = None
    by_user: bool = False
    _rung: Rung | None = None
    _deadline: float = 0.0

    @property
    def deadline(self) -> float:
        """When ``climb`` has something to say, in monotonic seconds."""
        return self._deadline

    def climb(self, now: float, limits: Limits, *, works: bool) -> Rung | None:
        """Return the step to take now, or None to go on waiting.

        Args:
            now: monotonic seconds.
            limits: how long each step may take.
            works: whether a request is still in flight, so that there is something to cancel.
        """
        rung = self._rung
        if rung is Rung.GIVE_UP:
            return None
        if rung is None:
            rung = self.first
        elif now >= self._deadline or (rung is Rung.CANCEL and not works):
            rung = Rung(rung + 1)
        else:
            return None
        if rung is Rung.CANCEL and not works:
            rung = Rung.SHUTDOWN
        self._rung = rung
        self._deadline = now + _limit_s(rung, limits)
        return rung


def _limit_s(rung: Rung, limits: Limits) -> float:
    return {
        Rung.CANCEL: limits.stop_cancel_s,
        Rung.SHUTDOWN: limits.stop_shutdown_s,
        Rung.TERMINATE: limits.stop_terminate_s,
        Rung.KILL: limits.stop_kill_s,
        Rung.GIVE_UP: limits.stop_kill_s,
    }[rung]
