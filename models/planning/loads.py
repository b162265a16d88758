"""What loads are planned with, and what came of them. No Qt here."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from models.hardware.calibration_store import CalibrationStore
    from models.planner.machine import Machine
    from models.planner.plan import Plan
    from models.planner.wishes import Wishes
    from models.planning.desk import PlannedLoad, PlanningDesk
    from models.planning.measured import MeasuredLoad, MeasuredStore
    from models.planning.open_checkpoint import OpenCheckpoint
    from models.planning.wishes_store import WishesStore
    from models.runtime.protocol import Loaded, LoadSettings, Usage

WISHES_FILE = "wishes.json"
MEASURED_FILE = "measured-loads.jsonl"
# A rate over fewer tokens than these says more about the moment than about the machine.
MIN_DECODE_TOKENS, MIN_PREFILL_TOKENS = 16, 64

_log = logging.getLogger(__name__)


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
        self._calibration_store: CalibrationStore | None = None

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

    def prepare(self) -> None:
        """Import the planner, when it is about to be needed."""
        self._desk.prepare()

    def plan(self, path: Path, n_ctx: int | None) -> PlannedLoad:
        """Plan a load that begins now, by formulas.

        Raises:
            FathomError: the checkpoint or the machine cannot be read.
        """
        return self._desk.plan_load(path, self.wishes(str(path), n_ctx=n_ctx))

    def keep_measured(self, plan: Plan, loaded: Loaded) -> MeasuredLoad:
        """Write down what a load took beside what was planned, and return the record."""
        from models.planning.measured import measured_load

        record = measured_load(plan, loaded)
        self._measured.append(record)
        return record

    def keep_run(self, planned: PlannedLoad, usage: Usage) -> None:
        """Write down how fast an answer was beside what was predicted."""
        from models.hardware.calibration_store import (
            Correction,
            checkpoint_signature,
            placement_class,
        )

        plan, machine, shape = planned.plan, planned.machine, planned.checkpoint.shape
        read_tokens = usage.prompt_tokens - usage.reused_tokens
        enough = usage.completion_tokens >= MIN_DECODE_TOKENS, read_tokens >= MIN_PREFILL_TOKENS
        try:
            self.calibration_store.record_run(
                checkpoint_signature(shape),
                placement_class(shape, plan.settings, reads_disk=plan.memory.host.disk_bytes > 0),
                predicted_decode_tok_s=plan.speed.decode.mid,
                measured_decode_tok_s=usage.decode_tok_s if enough[0] else None,
                predicted_prefill_tok_s=plan.speed.prefill.mid,
                measured_prefill_tok_s=usage.prefill_tok_s if enough[1] else None,
                used=Correction(machine.decode_correction, machine.prefill_correction),
            )
        except OSError as error:
            _log.info("Measured speed not kept: %s", error)

    def corrected(self, machine: Machine, checkpoint: OpenCheckpoint, plan: Plan) -> Machine:
        """Return the machine with what was measured with this checkpoint, or such plans of it."""
        from models.hardware.calibration_store import checkpoint_signature
        from models.hardware.machine import corrected

        if machine.is_described:
            return machine
        shape, store = checkpoint.shape, self.calibration_store
        own = store.calibration(checkpoint_signature(shape))
        return corrected(
            dataclasses.replace(machine, calibration=own or machine.calibration),
            store,
            shape,
            plan.settings,
            reads_disk=plan.memory.host.disk_bytes > 0,
        )

    @property
    def calibration_store(self) -> CalibrationStore:
        """What was measured on this machine; the first use imports it."""
        from models.hardware.calibration_store import CalibrationStore

        with self._lock:
            if self._calibration_store is None:
                self._calibration_store = CalibrationStore(self._data_dir)
            return self._calibration_store

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
