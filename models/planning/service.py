"""The planner with everything round it: opening, this machine, formulas, llama.cpp. No Qt here.

The command line and the window plan through this. Its methods block, are called from any thread,
and stop soon after ``stop`` says so.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from models.gguf.shape import ModelShape
from models.hub.hub import Hub
from models.library.library import Library
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.plan import Plan, PlanSettings
from models.planner.solver import solve
from models.planner.wishes import Wishes
from models.planning.opening import OpenCheckpoint, is_elsewhere, open_checkpoint
from models.planning.verification import verify
from models.stopping import Stop, never

# Under the cache folder: header-only files of dry runs.
WORK_FOLDER = "dry-runs"
_MAX_INVENTORIES = 16


# Plans a shape, near settings found before; raises as ``solve``.
Solve = Callable[[ModelShape, Machine, Wishes, "PlanSettings | None"], Plan]


class Planning:
    """Plans any checkpoint on any machine.

    Args:
        library: where names are looked up.
        hub: where repositories are read, or what returns it when it is needed.
        read_machine: reads this machine; its argument is the file whose disk matters.
        work_dir: where the dry run keeps header-only files for as long as it runs.
        solve_elsewhere: plans in another process; None plans in the thread that asks.
    """

    def __init__(
        self,
        *,
        library: Library,
        hub: Hub | Callable[[], Hub],
        read_machine: Callable[[Path | None], Machine],
        work_dir: Path,
        solve_elsewhere: Solve | None = None,
    ) -> None:
        self._library = library
        self._hub = hub
        self._read_machine = read_machine
        self._work_dir = work_dir
        self._solve_elsewhere = solve_elsewhere
        self._lock = threading.Lock()
        # By identity: comparing shapes would compare a thousand tensors.
        self._inventories: OrderedDict[int, Inventory] = OrderedDict()

    def open(self, text: str, stop: Stop = never) -> OpenCheckpoint:
        """Read the header of the checkpoint that ``text`` means; raises as ``open_checkpoint``."""
        return open_checkpoint(text, library=self._library, hub=self._hub_for(text), stop=stop)

    def _hub_for(self, text: str) -> Hub:
        """Return the hub; for what lies here none is asked for, as that may ask the user."""
        if isinstance(self._hub, Hub):
            return self._hub
        return self._hub() if is_elsewhere(text) else Hub(is_offline=True)

    def machine(self, path: Path | None = None) -> Machine:
        """Read this machine as it is now."""
        return self._read_machine(path)

    def plan(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
    ) -> Plan:
        """Plan by formulas; ``near`` as in ``solve``.

        Raises:
            InvalidSettingError: the wishes contradict the architecture or each other.
        """
        if self._solve_elsewhere is not None:
            return self._solve_elsewhere(checkpoint.shape, machine, wishes, near)
        return solve(self.inventory(checkpoint.shape), machine, wishes, near=near)

    def verify(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        plan: Plan,
        stop: Stop = never,
    ) -> Plan:
        """Ask llama.cpp itself what a plan takes, stepping down until it fits.

        Raises:
            OracleError: llama.cpp refuses the checkpoint or the settings.
            StoppedError: ``stop`` said so.
        """
        return verify(
            checkpoint.files,
            self.inventory(checkpoint.shape),
            machine,
            wishes,
            plan,
            work_dir=self._work_dir,
            stop=stop,
        )

    def inventory(self, shape: ModelShape) -> Inventory:
        """Return the added-up weights of a shape, the same object for the same shape."""
        with self._lock:
            known = self._inventories.get(id(shape))
            if known is None or known.shape is not shape:
                known = self._inventories[id(shape)] = Inventory(shape)
            self._inventories.move_to_end(id(shape))
            while len(self._inventories) > _MAX_INVENTORIES:
                self._inventories.popitem(last=False)
            return known
