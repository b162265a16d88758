"""What the planning verbs share: wishes and machine from options. No Qt here."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from app.cli.devices import ask_devices
from app.cli.session import EngineConversation, Session
from models.engine_settings import load_settings, rpc_hosts
from models.errors import CheckpointNotFoundError, CheckpointUnreadableError
from models.planner.machine import Machine
from models.planner.machine_file import machine_from_json
from models.planner.plan import Plan, Profile
from models.planner.wish_text import with_fixed
from models.planner.wishes import Wishes
from models.planning.desk import PlanningDesk
from models.planning.loads import Loads
from models.planning.opening import OpenCheckpoint
from models.planning.service import WORK_FOLDER, Planning

_MAX_MACHINE_BYTES = 1 << 20


def make_planning(
    session: Session, engine: EngineConversation | None = None, *, text: str = ""
) -> Planning:
    """Return the planner for this user; an engine is asked for devices when they are needed.

    Without ``engine`` one is started for the question. ``text`` is what is to be planned.
    """
    return Planning(
        library=session.library(),
        hub=session.hub(text=text),
        read_machine=lambda checkpoint: _this_machine(session, checkpoint, engine),
        work_dir=session.paths.cache_dir / WORK_FOLDER,
    )


def make_loads(session: Session, planning: Planning) -> tuple[PlanningDesk, Loads]:
    """Return what plans with the corrections of real runs, and what keeps such runs."""

    def correct(machine: Machine, checkpoint: OpenCheckpoint, plan: Plan) -> Machine:
        return loads.corrected(machine, checkpoint, plan)

    desk = PlanningDesk(lambda: planning, correct=correct)
    loads = Loads(desk, session.paths.data_dir, lambda: load_settings(session.settings))
    return desk, loads


def _this_machine(
    session: Session, checkpoint: Path | None, engine: EngineConversation | None
) -> Machine:
    from models.hardware.calibration_store import CalibrationStore
    from models.hardware.machine import this_machine

    hosts = rpc_hosts(session.settings)
    if engine is not None:
        listed = ask_devices(engine, hosts)
    else:
        with session.open_engine() as own:
            listed = ask_devices(own, hosts)
    store = CalibrationStore(session.paths.data_dir)
    return this_machine(listed, checkpoint_path=checkpoint, calibration_store=store)


def read_wishes(options: argparse.Namespace) -> Wishes:
    """Return what ``--ctx``, ``--kv``, ``--profile`` and ``--fix`` fix.

    Raises:
        InvalidSettingError: a value is not one of its key's.
    """
    wishes = with_fixed(Wishes(), options.fix or ())
    if options.ctx:
        wishes = replace(wishes, n_ctx=options.ctx)
    if options.kv:
        wishes = with_fixed(wishes, (f"type_k={options.kv}", f"type_v={options.kv}"))
    if options.profile:
        wishes = replace(wishes, profile=Profile(options.profile))
    return wishes


def read_machine(planning: Planning, file: Path | None, checkpoint: Path | None) -> Machine:
    """Return the machine that a file describes, or this one.

    Raises:
        BadInputError: the file cannot be read or describes no machine.
    """
    if file is None:
        return planning.machine(checkpoint)
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_MACHINE_BYTES).decode("utf-8")
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f"There is no machine file {file}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointUnreadableError(f"The machine file {file} cannot be read.") from error
    return replace(machine_from_json(text), is_described=True)
