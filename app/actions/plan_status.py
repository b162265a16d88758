"""The chosen checkpoint and how far its plan is, as the window shows it."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.actions.model_status import ModelStatus
from models.errors import FathomError, InvalidSettingError

if TYPE_CHECKING:
    from models.library.library import LibraryEntry
    from models.planner.machine import Machine
    from models.planner.plan import Plan
    from models.planner.wishes import Wishes
    from models.planning.measured import DeviceDifference
    from models.planning.open_checkpoint import OpenCheckpoint
    from models.runtime.protocol import LoadProgress


class PlanState(enum.Enum):
    """How far the plan is. READY is by formulas, EXACT by llama.cpp's own account."""

    NONE = "none"
    OPENING = "opening"
    PLANNING = "planning"
    READY = "ready"
    VERIFYING = "verifying"
    EXACT = "exact"
    FAILED = "failed"


@dataclass(frozen=True)
class PlanStatus:
    """Everything a plan panel shows.

    Attributes:
        text: what was chosen, as ``models.planning.opening.open_checkpoint`` takes it.
        title: the same for people.
        entry: the checkpoint in the library; None while it is not on this machine.
        wishes: the newest.
        is_stale: ``plan`` is still of older wishes, or of an older reading of the machine.
        error: why there is no plan (FAILED), or why it could not be verified (READY).
        is_smaller: the plan is a smaller one, made because the load before ran out of room.
        measured: what the engine holds since it loaded this plan, beside what was planned; empty
            when it has not.
        is_loading: this checkpoint is on its way into memory; ``progress`` is how far, None while
            nobody knows, and ``is_stopping`` when it was told to stop.
        load_error: why the last load of this checkpoint came to nothing.
        is_loaded: it is loaded, with this plan or with another.
    """

    state: PlanState = PlanState.NONE
    text: str = ""
    title: str = ""
    entry: LibraryEntry | None = None
    checkpoint: OpenCheckpoint | None = None
    machine: Machine | None = None
    wishes: Wishes | None = None
    plan: Plan | None = None
    error: FathomError | None = None
    is_stale: bool = False
    is_smaller: bool = False
    measured: tuple[DeviceDifference, ...] = ()
    is_loading: bool = False
    is_loaded: bool = False
    progress: LoadProgress | None = None
    is_stopping: bool = False
    load_error: FathomError | None = None

    @property
    def is_busy(self) -> bool:
        """Whether figures will change by themselves."""
        return self.state in (PlanState.OPENING, PlanState.PLANNING, PlanState.VERIFYING)

    @property
    def is_refused(self) -> bool:
        """Whether the newest wishes contradict each other; ``plan`` is of those before."""
        return self.state is PlanState.FAILED and isinstance(self.error, InvalidSettingError)


def ready_state(plan: Plan) -> PlanState:
    """Return the state of a plan that nothing more is done about: by its tier."""
    from models.planner.plan import Tier

    return PlanState.EXACT if plan.tier is Tier.EXACT else PlanState.READY


def entry_text(entry: LibraryEntry) -> str:
    """Return what a checkpoint of the library is opened by."""
    return str(entry.path)


def with_model(status: PlanStatus, model: ModelStatus) -> PlanStatus:
    """Return the status with what the loader says of the same checkpoint."""
    if model.entry is None or entry_text(model.entry) != status.text:
        return dataclasses.replace(
            status,
            measured=(),
            is_loading=False,
            is_loaded=False,
            progress=None,
            is_stopping=False,
            load_error=None,
        )
    return dataclasses.replace(
        status,
        measured=_measured(status, model),
        is_loading=model.is_loading,
        is_loaded=model.is_ready,
        progress=model.progress if model.is_loading else None,
        is_stopping=model.is_stopping,
        load_error=_load_error(status, model),
    )


def _load_error(status: PlanStatus, model: ModelStatus) -> FathomError | None:
    # A plan that does not fit, or a smaller one in its place, says it better.
    is_told = status.is_smaller or (status.plan is not None and not status.plan.fits)
    return None if model.is_out_of_room and is_told else model.error


def _measured(status: PlanStatus, model: ModelStatus) -> tuple[DeviceDifference, ...]:
    """Return what the engine holds, when it was loaded as the plan that is shown says."""
    if model.loaded is None or model.planned is None or status.plan is None:
        return ()
    if model.planned.plan.settings != status.plan.settings:
        return ()
    from models.planning.measured import compare

    return compare(status.plan, model.loaded.devices)
