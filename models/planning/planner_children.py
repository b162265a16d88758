"""The two children that plan for a window: one that answers at once, one that takes its time.

What a slider asks must not wait behind a whole catalogue. Both are made when they are first asked,
in the thread that asks; nothing of the planner is imported before. No Qt here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from models.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.planning.planner_child import PlannerChild


class PlannerChildren:
    """Keeps them; for any thread.

    Args:
        command: of both, for tests; None: this program's own.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._now: PlannerChild | None = None
        self._background: PlannerChild | None = None
        self._is_closed = False

    @property
    def now(self) -> PlannerChild:
        """For what a person waits for.

        Raises:
            StoppedError: the program ends.
        """
        with self._lock:
            if self._now is None:
                self._now = self._make(in_background=False)
            return self._now

    @property
    def background(self) -> PlannerChild:
        """For what is looked at ahead; the processor is everybody else's first.

        Raises:
            StoppedError: the program ends.
        """
        with self._lock:
            if self._background is None:
                self._background = self._make(in_background=True)
            return self._background

    def rest(self) -> None:
        """End the child in the background until it is asked again."""
        with self._lock:
            child = self._background
        if child is not None:
            child.rest()

    def close(self) -> None:
        """End both for good; what is asked of them is stopped."""
        with self._lock:
            self._is_closed = True
            children = (self._now, self._background)
        for child in children:
            if child is not None:
                child.close()

    def _make(self, *, in_background: bool) -> PlannerChild:
        from models.planning.planner_child import PlannerChild, planner_command

        if self._is_closed:
            raise StoppedError
        return PlannerChild(command=self._command or planner_command(in_background=in_background))
