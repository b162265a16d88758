"""``fathom verify``: whether a checkpoint is what it was when it was fetched. No Qt here."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from app.cli.failures import print_line
from app.cli.pull import fetch
from app.cli.session import Session
from app.cli.terminal import ProgressLine, without_controls
from models.errors import ChecksumError
from models.library.library import Library, LibraryEntry
from models.library.verifying import LibraryVerification, repair_spec
from models.library.verifying import verify as verified
from models.units import format_byte_rate, format_bytes, format_duration

_SHOWN_EVERY_S = 0.2


def verify(options: argparse.Namespace, session: Session) -> int:
    """Read a whole checkpoint and say whether it is intact; 1 when it is not."""
    library = session.library()
    entry = library.resolve(options.name)
    found = _read(entry, library, quiet=options.json)
    if found.is_good:
        if found.has_reference:
            library.note_verified(entry, found.verified_s)
        _tell(found, json_output=options.json)
        return 0
    if not options.repair:
        if options.json:
            _tell(found, json_output=True)
            return 1
        raise ChecksumError(
            _damage_words(found), hint="--repair fetches the damaged parts again, and only those."
        )
    print_line(without_controls(f"{_damage_words(found)} They are fetched again."))
    return fetch(repair_spec(entry, session.hub(text=entry.repository)), options, session)


def verification_json(found: LibraryVerification) -> dict[str, Any]:
    """Return the findings as ``--json`` prints them."""
    return {
        "name": found.entry.name,
        "is_good": found.is_good,
        "has_reference": found.has_reference,
        "verified_s": found.verified_s,
        "missing": list(found.missing),
        "files": [
            {
                "path": str(file.path),
                "size_bytes": file.size_bytes,
                "digest": file.digest,
                "is_good": file.is_good,
                "has_reference": file.has_reference,
                "damaged_blocks": list(file.damaged_blocks),
                "block_bytes": file.block_bytes,
            }
            for file in found.files
        ],
    }


def _read(entry: LibraryEntry, library: Library, *, quiet: bool) -> LibraryVerification:
    line = ProgressLine(sys.stderr)
    started_s = time.monotonic()
    shown_s = 0.0

    def listen(done_bytes: int) -> None:
        nonlocal shown_s
        now_s = time.monotonic()
        if quiet or now_s - shown_s < _SHOWN_EVERY_S:
            return
        shown_s = now_s
        rate_bytes_s = done_bytes / max(now_s - started_s, 1e-3)
        left_s = (entry.size_bytes - done_bytes) / max(rate_bytes_s, 1.0)
        line.show(
            f"Reading, {format_bytes(done_bytes)} of {format_bytes(entry.size_bytes)}, "
            f"{format_byte_rate(rate_bytes_s)}, {format_duration(left_s)} left"
        )

    try:
        return verified(entry, listen=listen, records=library.records)
    finally:
        line.clear()


def _tell(found: LibraryVerification, *, json_output: bool) -> None:
    if json_output:
        print(json.dumps(verification_json(found), ensure_ascii=False))
    elif found.has_reference:
        print(without_controls(f"{found.entry.name} is intact."))
    else:
        print(
            without_controls(
                f"Nobody has said what {found.entry.name} should be. "
                "What it is now was taken down; the next check compares with that."
            )
        )


def _damage_words(found: LibraryVerification) -> str:
    parts = []
    if found.missing:
        parts.append(f"{len(found.missing)} of its files are missing")
    damaged = found.damaged
    if damaged:
        blocks = sum(len(blocks) for blocks in damaged.values())
        where = f", in {blocks} blocks" if blocks else ""
        parts.append(f"{len(damaged)} of its files are damaged{where}")
    return f"{found.entry.name} is not intact: {' and '.join(parts)}."
