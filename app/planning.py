"""The planner's parts of the window, composed; the planner itself is imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from app.actions.forecasts import Forecasts
from app.actions.load_model import LoadModel
from app.actions.load_outcomes import LoadOutcomes
from app.actions.model_status import LoadGate
from app.actions.plan import PlanCheckpoint
from app.actions.plan_verifier import PlanVerifier
from app.bridges.engine import EngineBridge
from app.bridges.settings import SettingsBridge
from app.messages import Messages
from app.tasks import TaskRunner
from models.engine_settings import load_settings, rpc_hosts
from models.library.library import Library
from models.paths import Paths
from models.planning.desk import Opened, PlanningDesk
from models.planning.loads import Loads
from models.planning.machine_reader import MachineReader
from models.planning.planner_children import PlannerChildren
from models.runtime.supervisor import EngineSupervisor

if TYPE_CHECKING:
    from pathlib import Path

    from models.gguf.shape import ModelShape
    from models.hub.hub import Hub
    from models.planner.machine import Machine
    from models.planner.plan import Plan, PlanSettings
    from models.planner.wishes import Wishes
    from models.planning.desk import PlanningService
    from models.planning.open_checkpoint import OpenCheckpoint
    from models.planning.service import Solve
    from models.runtime.protocol import DeviceList, DeviceMemory


class PlanParts:
    """The desk, and what works at it: loader, plan, forecasts, what is written down after loads."""

    def __init__(
        self,
        *,
        paths: Paths,
        supervisor: EngineSupervisor,
        bridge: EngineBridge,
        library: Library,
        settings: SettingsBridge,
        runner: TaskRunner,
        messages: Messages,
        make_planning: Callable[[], PlanningService] | None = None,
        gate: LoadGate | None = None,
        hub: Callable[[], Hub],
    ) -> None:
        """Compose; ``make_planning`` makes another planner than this machine's.

        ``gate`` looks at a checkpoint before it is loaded; ``hub`` returns the hub as the settings
        are, in background threads.
        """
        self._hub = hub
        self._paths = paths
        self._supervisor = supervisor
        self._library = library
        self._settings = settings
        self._reader = MachineReader(
            supervisor,
            held=self._held,
            describe=self._describe,
            rpc_hosts=lambda: rpc_hosts(settings.settings),
        )
        self.children = PlannerChildren()
        self.desk = self._make_desk(make_planning, partial(self._solve, in_background=False))
        # What is looked at ahead never stands before what somebody waits for.
        ahead = self._make_desk(
            make_planning, partial(self._solve, in_background=True), self.desk.opened
        )
        self.loads = Loads(self.desk, paths.data_dir, lambda: load_settings(settings.settings))
        self.loader = LoadModel(
            supervisor=supervisor,
            bridge=bridge,
            library=library,
            settings=settings,
            runner=runner,
            messages=messages,
            loads=self.loads,
            gate=gate,
        )
        self.plan = self._make_plan(bridge, runner, messages)
        self.forecasts = Forecasts(desk=ahead, loads=self.loads, runner=runner)
        # What is planned for a load is newer than what a row was told.
        self.plan.status_changed.connect(self.forecasts.keep_planned)
        self.outcomes = LoadOutcomes(
            loads=self.loads, loader=self.loader, bridge=bridge, runner=runner
        )

    def read_machine(self) -> Machine:
        """Return this machine as it is now; in a background thread."""
        return self.desk.machine(None)

    def stop(self) -> None:
        """End what is under way; what has to be written is on its way to the store lane.

        A child may be on its way already: the supervisor is to be stopped once more when all
        background work has ended.
        """
        self._reader.close()
        self.plan.stop()
        self.forecasts.stop()

    def stop_children(self) -> None:
        """End the children that plan and wait for them, in any thread."""
        self.children.close()

    def _make_plan(
        self, bridge: EngineBridge, runner: TaskRunner, messages: Messages
    ) -> PlanCheckpoint:
        return PlanCheckpoint(
            desk=self.desk,
            loads=self.loads,
            loader=self.loader,
            verifier=PlanVerifier(desk=self.desk, runner=runner, bridge=bridge),
            runner=runner,
            messages=messages,
        )

    def _make_desk(
        self,
        make_planning: Callable[[], PlanningService] | None,
        solve: Solve,
        opened: Opened | None = None,
    ) -> PlanningDesk:
        return PlanningDesk(
            make_planning or partial(self._make_planning, solve),
            read_machine=None if make_planning else self._reader.read,
            correct=self._correct,
            opened=opened,
        )

    def _solve(
        self,
        shape: ModelShape,
        machine: Machine,
        wishes: Wishes,
        near: PlanSettings | None,
        *,
        in_background: bool,
    ) -> Plan:
        child = self.children.background if in_background else self.children.now
        return child.plan(shape, machine, wishes, near=near)

    def _held(self) -> tuple[DeviceMemory, ...]:
        loaded = self.loader.status.loaded
        return loaded.devices if loaded is not None else ()

    def _correct(self, machine: Machine, checkpoint: OpenCheckpoint, plan: Plan) -> Machine:
        return self.loads.corrected(machine, checkpoint, plan)

    def _describe(self, found: DeviceList, path: Path | None) -> Machine:
        from models.hardware.machine import this_machine

        store = self.loads.calibration_store
        return this_machine(found, checkpoint_path=path, calibration_store=store)

    def _make_planning(self, solve: Solve) -> PlanningService:
        from models.planning.service import WORK_FOLDER, Planning

        return Planning(
            library=self._library,
            hub=self._hub,
            read_machine=self._reader.read,
            work_dir=self._paths.cache_dir / WORK_FOLDER,
            solve_elsewhere=solve,
        )
