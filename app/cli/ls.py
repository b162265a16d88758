"""``fathom ls`` and ``rm``: what is on this machine, and taking it away. No Qt here."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from app.cli.failures import print_line
from app.cli.session import Session
from app.cli.table import format_table
from app.cli.terminal import is_terminal, without_controls
from models.errors import BadInputError, LibraryError
from models.library.deletion import DeletionPlan, DeletionResult, delete, plan_deletion
from models.library.library import LibraryEntry
from models.units import format_bytes

_SOURCES = {
    "demo": "came with Fathom",
    "fathom": "fetched",
    "added": "added",
    "huggingface": "Hugging Face cache",
    "lmstudio": "LM Studio",
    "ollama": "Ollama",
}


def ls(options: argparse.Namespace, session: Session) -> int:
    """Print what the library has."""
    entries = session.library().entries()
    if options.json:
        print(json.dumps({"checkpoints": [entry_json(entry) for entry in entries]}))
    elif entries:
        print(without_controls(_table(entries)))
    else:
        print('The library is empty. "fathom search deepseek" finds checkpoints to pull.')
    return 0


def entry_json(entry: LibraryEntry) -> dict[str, Any]:
    """Return a checkpoint of the library as ``--json`` prints it."""
    return {
        "name": entry.name,
        "title": entry.title,
        "path": str(entry.path),
        "quantization": entry.quant,
        "size_bytes": entry.size_bytes,
        "shards": entry.shards,
        "missing": entry.missing,
        "source": entry.source,
        "is_read_only": entry.is_read_only,
        "is_offline": entry.is_offline,
        "repository": entry.repository,
        "commit": entry.commit,
        "verified_s": entry.verified_s,
        "last_used_s": entry.last_used_s,
        "note": entry.note,
    }


def _table(entries: tuple[LibraryEntry, ...]) -> str:
    rows = [("name", "quant", "size", "from", "checked", "used", "")]
    for entry in entries:
        rows.append(
            (
                entry.name,
                entry.quant,
                format_bytes(entry.size_bytes).rjust(7),
                _SOURCES.get(entry.source, entry.source),
                _day(entry.verified_s),
                _day(entry.last_used_s),
                "its drive is not there" if entry.is_offline else entry.note,
            )
        )
    return format_table(rows, wrap=6)


def _day(moment_s: float | None) -> str:
    return "never" if moment_s is None else time.strftime("%Y-%m-%d", time.localtime(moment_s))


def rm(options: argparse.Namespace, session: Session) -> int:
    """Show what deleting a checkpoint does, ask, and do it; return the exit code."""
    library = session.library()
    entry = library.resolve(options.name)
    if entry.is_demo:
        raise LibraryError("The demo is a part of Fathom and is not deleted.")
    plan = plan_deletion(entry, for_good=options.for_good)
    if not options.yes and not _is_agreed(plan):
        print_line("Nothing was deleted.")
        return 1
    result = delete(plan)
    library.forget(entry)
    if options.json:
        print(json.dumps(_result_json(plan, result), ensure_ascii=False))
    else:
        print(without_controls(_result_words(plan, result)))
    return 0


def _is_agreed(plan: DeletionPlan) -> bool:
    """Show the plan to a person and ask.

    Raises:
        BadInputError: nobody is there to be asked.
    """
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise BadInputError(
            f"Nobody can be asked whether to delete {plan.entry.name}.", hint="Say --yes."
        )
    for path in (*plan.files, *plan.leftovers):
        print(without_controls(f"  {path}"), file=sys.stderr)
    for warning in plan.warnings:
        print_line(warning)
    where = "to the trash" if plan.goes_to_trash else "for good, there is no way back"
    print(
        f"Delete these {len(plan.files)} files, {format_bytes(plan.size_bytes)}, {where}? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _result_json(plan: DeletionPlan, result: DeletionResult) -> dict[str, Any]:
    return {
        "name": plan.entry.name,
        "deleted": [str(path) for path in result.deleted],
        "freed_bytes": result.freed_bytes,
        "went_to_trash": result.went_to_trash,
    }


def _result_words(plan: DeletionPlan, result: DeletionResult) -> str:
    if result.went_to_trash:
        frees = format_bytes(plan.frees_bytes)
        return f"{plan.entry.name} is in the trash; emptying it frees {frees}."
    return f"{plan.entry.name} is deleted; {format_bytes(result.freed_bytes)} are free again."
