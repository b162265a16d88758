"""What loads are planned with, and what came of them. No Qt here."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from models.planner.plan import Plan
    from models.planner.wishes import Wishes
    from models.planning.desk import PlannedLoad, PlanningDesk
    from models.planning.measured import MeasuredLoad, MeasuredStore
    from models.planning.wishes_store import WishesStore
    from models.runtime.protocol import Loaded, LoadSettings, Usage

WISHES_FILE = "wishes.json"
MEASURED_FILE = "measured-loads.jsonl"


class Loads:
    """Wishes before a load, measured bytes after it; used from any thread.

    Args:
        desk: the planner.
        data_dir: where the files lie.
        settings: the program's own load settings as they are now.
    """

    def __init__(
        self, desk: PlanningDesk, data_dir: Path, settings: Callable[[], LoadSettings]
    ) -> None:
        self._desk = desk
        self._data_dir = data_dir
        self._settings = settings
        # Held only while a store is made; each of them has a lock of its own.
        self._lock = threading.Lock()
        self._wishes_store: WishesStore | None = None
        self._measured_store: MeasuredStore | None = None

    def wishes(self, text: str, *, n_ctx: int | None = None) -> Wishes:
        """Return what is fixed for a checkpoint: its own wishes, else the program's settings.

        ``n_ctx`` is fixed on top of that when it is given.
        """
        from models.planning.wishes_store import wishes_of_settings

        wishes = self._kept.get(text)
        if wishes is None:
            wishes = wishes_of_settings(self._settings())
        return wishes if n_ctx is None else dataclasses.replace(wishes, n_ctx=n_ctx or None)

    def keep_wishes(self, text: str, wishes: Wishes) -> None:
        """Keep them for the next time this checkpoint is chosen."""
        self._kept.put(text, wishes)

    def plan(self, text: str, n_ctx: int | None) -> PlannedLoad:
        """Plan a load that begins now, by formulas.

        Raises:
            FathomError: the checkpoint or the machine cannot be read.
        """
        return self._desk.plan_load(text, self.wishes(text, n_ctx=n_ctx))

    def keep_measured(self, plan: Plan, loaded: Loaded) -> MeasuredLoad:
        """Write down what a load took beside what was planned, and return the record."""
        from models.planning.measured import measured_load

        record = measured_load(plan, loaded)
        self._measured.append(record)
        return record

    def keep_run(self, planned: PlannedLoad, usage: Usage) -> None:
        """Write down how fast an answer was beside what was predicted."""

    @property
    def _kept(self) -> WishesStore:
        from models.planning.wishes_store import WishesStore

        with self._lock:
            if self._wishes_store is None:
                self._wishes_store = WishesStore(self._data_dir / WISHES_FILE)
            return self._wishes_store

    @property
    def _measured(self) -> MeasuredStore:
        from models.planning.measured import MeasuredStore

        with self._lock:
            if self._measured_store is None:
                self._measured_store = MeasuredStore(self._data_dir / MEASURED_FILE)
            return self._measured_store
