"""What the planning verbs share: wishes and machine from options. No Qt here."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from app.cli.session import Session
from models.errors import CheckpointNotFoundError, CheckpointUnreadableError
from models.planner.machine import Machine
from models.planner.machine_file import machine_from_json
from models.planner.plan import Profile
from models.planner.wish_text import with_fixed
from models.planner.wishes import Wishes
from models.planning.service import WORK_FOLDER, Planning

_MAX_MACHINE_BYTES = 1 << 20


def make_planning(session: Session) -> Planning:
    """Return the planner for this user; the engine is asked for devices when they are needed."""
    return Planning(
        library=session.library(),
        hub=session.hub(),
        read_machine=lambda checkpoint: _this_machine(session, checkpoint),
        work_dir=session.paths.cache_dir / WORK_FOLDER,
    )


def _this_machine(session: Session, checkpoint: Path | None) -> Machine:
    from app.cli.devices import ask_devices
    from models.engine_settings import rpc_hosts
    from models.hardware.calibration_store import CalibrationStore
    from models.hardware.machine import this_machine

    with session.open_engine() as engine:
        listed = ask_devices(engine, rpc_hosts(session.settings))
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
