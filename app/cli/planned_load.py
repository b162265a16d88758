"""Load settings for a verb that loads a checkpoint: planned, as in the window. No Qt here."""

from __future__ import annotations

import logging
from pathlib import Path

from app.cli.devices import ask_devices
from app.cli.session import EngineConversation, Session
from models.engine_settings import load_settings, rpc_hosts
from models.errors import FathomError
from models.runtime.protocol import LoadSettings
from models.stopping import never

_log = logging.getLogger(__name__)


def planned_settings(
    session: Session, engine: EngineConversation, path: Path, *, n_ctx: int | None
) -> LoadSettings:
    """Return how to load a checkpoint on this machine; ``n_ctx`` None takes the setting.

    Where nothing can be planned, what the settings say: the engine then chooses the rest.
    """
    plain = load_settings(session.settings, n_ctx=n_ctx)
    try:
        return _planned(session, engine, path, plain)
    except FathomError as error:
        _log.info("Loading without a plan: %s", error.one_line())
        return plain


def _planned(
    session: Session, engine: EngineConversation, path: Path, plain: LoadSettings
) -> LoadSettings:
    from models.hardware.calibration_store import CalibrationStore
    from models.hardware.machine import this_machine
    from models.planner.inventory import Inventory
    from models.planner.solver import solve
    from models.planning.load_plan import load_settings_of, rpc_hosts_of
    from models.planning.local_files import open_local
    from models.planning.wishes_store import wishes_of_settings

    shape = open_local(path, text=str(path), stop=never).shape
    listed = ask_devices(engine, rpc_hosts(session.settings))
    machine = this_machine(
        listed,
        checkpoint_path=path,
        calibration_store=CalibrationStore(session.paths.data_dir),
        shape=shape,
    )
    plan = solve(Inventory(shape), machine, wishes_of_settings(plain))
    return load_settings_of(plan.settings, rpc_hosts=rpc_hosts_of(machine, plan.settings))
