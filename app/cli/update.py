"""``fathom update``: whether there is a newer version, and its file if wanted. No Qt here."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from app.cli.session import Session
from app.cli.terminal import ProgressLine, without_controls
from models.errors import UpdateError
from models.transfer.remote import FileProgress
from models.units import format_bytes
from models.updates.check import Standing, UpdateAnswer, check_for_update
from models.updates.fetch import fetch_release
from models.updates.user_source import source_of_user


def update(options: argparse.Namespace, session: Session) -> int:
    """Print what came of asking; nothing is installed."""
    source = source_of_user(session.paths, session.settings, os.environ)
    answer = check_for_update(source)
    path = None
    if not options.json:
        print(without_controls(_words(answer)), flush=True)
    if options.download is not None and answer.standing is Standing.NEWER:
        path = _fetch(answer, options.download, is_quiet=options.json)
    if options.json:
        print(json.dumps(answer_json(answer, path)))
    elif path is not None:
        print(path)
    return 0


def answer_json(answer: UpdateAnswer, path: Path | None) -> dict[str, Any]:
    """Return an answer as ``--json`` prints it."""
    manifest, file = answer.manifest, answer.file
    return {
        "standing": answer.standing.value,
        "installed": answer.installed,
        "version": manifest.version,
        "date": manifest.date.isoformat(),
        "notes": manifest.notes,
        "notes_url": manifest.notes_url,
        "file": vars(file) if file else None,
        "path": str(path) if path else None,
    }


def _words(answer: UpdateAnswer) -> str:
    manifest = answer.manifest
    if answer.standing is Standing.UP_TO_DATE:
        return f"Fathom {answer.installed} is the newest version."
    lines = [
        f"Fathom {manifest.version} of {manifest.date.date()} is there; this is {answer.installed}."
    ]
    if manifest.notes:
        lines.append(manifest.notes)
    lines.append(manifest.notes_url)
    if answer.file is None:
        lines.append("It has no file that could be installed over this one; see its page.")
    else:
        lines.append(f"{answer.file.name}, {format_bytes(answer.file.size_bytes)}")
    return "\n".join(lines)


def _fetch(answer: UpdateAnswer, folder: Path, *, is_quiet: bool) -> Path:
    if answer.file is None:
        raise UpdateError(
            "This release has no file that could be installed over this version.",
            hint=f"See {answer.manifest.notes_url}.",
        )
    if not folder.is_dir():
        raise UpdateError(f"There is no folder {folder}.", hint="Make it, or name another one.")
    file, line = answer.file, ProgressLine(sys.stderr)

    def listen(progress: FileProgress) -> None:
        done, whole = format_bytes(progress.bytes_done), format_bytes(file.size_bytes)
        line.show(f"Fetching {file.name}: {done} of {whole}")

    try:
        return fetch_release(file, folder, listen=(lambda _: None) if is_quiet else listen)
    finally:
        line.clear()
