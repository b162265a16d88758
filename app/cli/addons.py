"""``fathom addons``: which add-ons there are; adds one from a file, removes one. No Qt here."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from app.cli.checks import WANTS_CUDA
from app.cli.devices import ask_devices
from app.cli.failures import print_line
from app.cli.session import Session
from app.cli.table import format_table
from app.cli.terminal import ProgressLine
from models.addons.advice import has_own_cuda, wants_cuda
from models.addons.archive import add_addon, remove_addon
from models.addons.installed import Addon, find_addons, host_here, program_addons, signed_by
from models.addons.manifest import AddonManifest
from models.errors import BadInputError, FathomError
from models.hardware.sampler import HardwareSampler
from models.runtime.protocol import AddonState
from models.units import format_bytes
from models.updates.keys import load_keys


def addons(options: argparse.Namespace, session: Session) -> int:
    """List add-ons, or add or remove one.

    Raises:
        AddonError: it cannot be added or removed.
        DiskError, DiskFullError: the disk does not take it.
    """
    if (options.action is None) != (options.target is None):
        raise BadInputError('Say "fathom addons add FILE", or "fathom addons rm NAME".')
    if options.action == "add":
        return _add(Path(options.target), session, is_quiet=options.json)
    if options.action == "rm":
        remove_addon(session.paths.addons_dir, options.target)
        print(json.dumps({"removed": options.target}) if options.json else "Removed.")
        return 0
    return _list(session, as_json=options.json)


def _add(file: Path, session: Session, *, is_quiet: bool) -> int:
    line = ProgressLine(sys.stderr)

    def listen(done_bytes: int, total_bytes: int) -> None:
        line.show(f"Unpacking: {format_bytes(done_bytes)} of {format_bytes(total_bytes)}")

    try:
        manifest = add_addon(
            file,
            session.paths.addons_dir,
            keys=load_keys(),
            host=host_here(),
            listen=(lambda _done, _total: None) if is_quiet else listen,
        )
    finally:
        line.clear()
    if is_quiet:
        print(json.dumps({"added": manifest.name, "size_bytes": manifest.size_bytes}))
    else:
        print(_added(manifest))
    return 0


def _added(manifest: AddonManifest) -> str:
    return (
        f"{manifest.title} is there. It is used from the next start of the engine on; "
        '"fathom addons" says whether it works here.'
    )


def _list(session: Session, *, as_json: bool) -> int:
    found = find_addons(session.paths.addons_dir, host_here(), program_folder=program_addons())
    states, problem = _ask_engine(session) if found else ((), None)
    rows = [
        _described(addon, states[index] if index < len(states) else None)
        for index, addon in enumerate(found)
    ]
    advice = WANTS_CUDA if _wants_cuda(found) else ""
    if as_json:
        error = problem.to_json() if problem else None
        print(json.dumps({"addons": rows, "advice": advice, "error": error}, ensure_ascii=False))
    else:
        _print(rows, advice)
    if problem is not None:
        print_line(problem.one_line())
        return problem.exit_code
    return 0


def _ask_engine(session: Session) -> tuple[tuple[AddonState, ...], FathomError | None]:
    """Return how each stands by the engine's own word: only it knows the drivers."""
    with session.open_engine() as engine:
        try:
            return ask_devices(engine).addons, None
        except FathomError as error:
            return (), error


def _described(addon: Addon, state: AddonState | None) -> dict[str, Any]:
    manifest = addon.manifest
    return {
        "name": addon.name,
        "title": addon.title,
        "version": manifest.version if manifest else "",
        "size_bytes": manifest.size_bytes if manifest else 0,
        "folder": str(addon.folder),
        "signed": signed_by(addon, load_keys()),
        "comes_with_program": addon.comes_with_program,
        "in_use": state is not None and not state.problem,
        "problem": state.problem if state is not None else addon.problem,
    }


def _print(rows: list[dict[str, Any]], advice: str) -> None:
    table = [
        (
            row["name"],
            row["version"],
            format_bytes(row["size_bytes"]),
            "signed" if row["signed"] else "not signed",
            "in use" if row["in_use"] else row["problem"] or "not known",
        )
        for row in rows
    ]
    print(format_table(table, wrap=4) if table else "There are no add-ons.")
    if advice:
        print(advice)


def _wants_cuda(found: tuple[Addon, ...]) -> bool:
    with HardwareSampler() as sampler:
        gpus = sampler.sample().gpus
    return wants_cuda(gpus, found, host_here().platform, has_own=has_own_cuda())
