"""``fathom plan``: which settings, what every device will hold, how fast it will be. No Qt here."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from app.cli.plan_text import compared_table, plan_text
from app.cli.planning import make_loads, make_planning, read_machine, read_wishes
from app.cli.session import Session
from app.cli.terminal import ProgressLine, without_controls
from models.errors import BadInputError, FathomError, StoppedError
from models.planner.compare import Row, recommended, verdict, where_of, where_words
from models.planner.machine import Machine
from models.planner.plan import Plan, PlanSettings
from models.planner.plan_json import plan_to_json
from models.planner.wishes import Wishes
from models.planning.opening import OpenCheckpoint, quants_of
from models.planning.service import Planning


def plan(options: argparse.Namespace, session: Session) -> int:
    """Print one plan, or one row per checkpoint with ``--compare``; 1 when nothing fits."""
    wishes = read_wishes(options)
    planning = make_planning(session, text=" ".join(options.checkpoints))
    if options.compare:
        return _compare(options, session, planning, wishes)
    if len(options.checkpoints) != 1:
        raise BadInputError("Give one checkpoint, or --compare several.")
    checkpoint, machine, found = _plan_one(options, session, planning, wishes)
    if options.json:
        data = {"checkpoint": _checkpoint_json(checkpoint), **plan_to_json(found)}
        print(json.dumps(data, ensure_ascii=False))
    else:
        print(without_controls(plan_text(checkpoint, machine, found)))
    return 0 if found.fits else 1


def _plan_one(
    options: argparse.Namespace, session: Session, planning: Planning, wishes: Wishes
) -> tuple[OpenCheckpoint, Machine, Plan]:
    line = ProgressLine(sys.stderr)
    text = options.checkpoints[0]
    quiet = options.json
    try:
        if not quiet:
            line.show(f"Reading {without_controls(text)}")
        checkpoint = planning.open(text)
        machine = read_machine(planning, options.machine, checkpoint.path)
        desk, _ = make_loads(session, planning)
        machine, found = desk.plan_fully(checkpoint, machine, wishes)
        if not options.fast:
            if not quiet:
                line.show("Asking llama.cpp")
            found = planning.verify(checkpoint, machine, wishes, found)
    finally:
        line.clear()
    return checkpoint, machine, found


def _checkpoint_json(checkpoint: OpenCheckpoint) -> dict[str, Any]:
    shape = checkpoint.shape
    return {
        "name": checkpoint.name,
        "text": checkpoint.text,
        "architecture": shape.architecture,
        "quantization": shape.quantization,
        "size_bytes": shape.file_bytes,
        "is_remote": checkpoint.is_remote,
        "is_approximate": shape.is_approximate,
    }


# --- several beside each other ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Compared:
    """One checkpoint of a comparison; ``error`` in place of a plan where it cannot be read."""

    text: str
    name: str
    quant: str
    size_bytes: int
    plan: Plan | None = None
    most_ctx: int = 0
    error: FathomError | None = None


def _compare(
    options: argparse.Namespace, session: Session, planning: Planning, wishes: Wishes
) -> int:
    texts = _texts(options.checkpoints, session)
    machine: Machine | None = None
    found: list[Compared] = []
    line = ProgressLine(sys.stderr)
    try:
        for number, text in enumerate(texts, start=1):
            if not options.json:
                line.show(f"Planning {number} of {len(texts)}: {without_controls(text)}")
            machine = machine or read_machine(planning, options.machine, None)
            found.append(_compared(planning, text, machine, wishes))
    finally:
        line.clear()
    found.sort(key=lambda row: (row.plan is None, row.size_bytes))
    planned = [row for row in found if row.plan is not None]
    best = recommended([Row(r.name, r.size_bytes, r.plan) for r in planned if r.plan is not None])
    chosen = planned[best] if best is not None else None
    if options.json:
        print(json.dumps({"rows": [_row_json(row, row is chosen) for row in found]}))
    else:
        print(without_controls(compared_table(found, chosen)))
    return 0 if chosen is not None else 1


def _texts(given: list[str], session: Session) -> list[str]:
    """Return checkpoints to compare: a repository or folder stands for all of its own."""
    texts: list[str] = []
    for text in given:
        if text.lower().partition("@")[0].endswith(".gguf"):
            texts.append(text)
            continue
        # One that lacks parts is a row that says so.
        texts += [quant.text for quant in quants_of(text, hub=session.hub(text=text))]
    if not texts:
        raise BadInputError("There is no checkpoint to compare.", hint="Give files or folders.")
    return texts


def _compared(planning: Planning, text: str, machine: Machine, wishes: Wishes) -> Compared:
    try:
        checkpoint = planning.open(text)
        found = planning.plan(checkpoint, machine, wishes)
    except StoppedError:
        raise
    except FathomError as error:
        return Compared(text, text, "", 0, error=error)
    shape = checkpoint.shape
    most = _most_context(planning, checkpoint, machine, wishes, found.settings)
    return Compared(
        text,
        checkpoint.name,
        shape.quantization,
        shape.file_bytes,
        found,
        most if found.fits else 0,
    )


def _most_context(
    planning: Planning,
    checkpoint: OpenCheckpoint,
    machine: Machine,
    wishes: Wishes,
    settings: PlanSettings,
) -> int:
    """Return the largest context that fits with these settings, in tokens, to 1/16."""
    low, high = settings.n_ctx, max(checkpoint.shape.n_ctx_train, settings.n_ctx)
    if wishes.n_ctx is not None or low >= high:
        return low

    def fits(n_ctx: int) -> bool:
        tried = dataclasses.replace(wishes, n_ctx=n_ctx)
        return planning.plan(checkpoint, machine, tried, near=settings).fits

    if fits(high):
        return high
    while high - low > max(256, low // 16):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low // 256 * 256


def _row_json(row: Compared, is_recommended: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "text": row.text,
        "name": row.name,
        "quantization": row.quant,
        "size_bytes": row.size_bytes,
        "recommended": is_recommended,
    }
    if row.plan is None:
        return data | {"error": row.error.to_json() if row.error else None}
    return data | {
        "where": where_of(row.plan).value,
        "where_words": where_words(row.plan),
        "most_ctx": row.most_ctx,
        "verdict": verdict(row.plan),
        "plan": plan_to_json(row.plan),
    }
