"""``fathom search``: GGUF repositories of the hub. No Qt here."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from app.cli.session import Session
from app.cli.table import format_table
from app.cli.terminal import ProgressLine, without_controls
from models.hub.pages import Gate, SearchHit, SortBy
from models.units import format_count, format_duration

_ORDERS = {
    "downloads": SortBy.DOWNLOADS,
    "likes": SortBy.LIKES,
    "updated": SortBy.UPDATED,
    "created": SortBy.CREATED,
    "trending": SortBy.TRENDING,
}
_GATES = {Gate.OPEN: "", Gate.AUTOMATIC: "terms to accept", Gate.MANUAL: "access on request"}


def search(options: argparse.Namespace, session: Session) -> int:
    """Print the repositories that were found; 1 when there are none."""
    words = " ".join(options.words).strip() or "deepseek"
    hub = session.hub(text=f"/{words}")
    line = ProgressLine(sys.stderr)
    try:
        if not options.json:
            line.show(f"Asking {hub.host}")
        hits = hub.search(
            words, author=options.author, sort=_ORDERS[options.sort], limit=options.limit
        )
    finally:
        line.clear()
    if options.json:
        print(json.dumps({"words": words, "hits": [hit_json(hit) for hit in hits]}))
    elif hits:
        print(without_controls(_table(hits)))
    else:
        print(f'No GGUF repository of {hub.host} is found by "{without_controls(words)}".')
    return 0 if hits else 1


def hit_json(hit: SearchHit) -> dict[str, Any]:
    """Return a hit as ``--json`` prints it."""
    return {
        "repository": hit.repository,
        "downloads": hit.downloads,
        "likes": hit.likes,
        "updated_s": hit.updated_s,
        "created_s": hit.created_s,
        "gate": hit.gate.value,
        "architecture": hit.architecture,
        "parameters": hit.parameters,
        "n_ctx_train": hit.n_ctx_train,
    }


def _table(hits: tuple[SearchHit, ...]) -> str:
    rows = [("repository", "parameters", "downloads", "likes", "updated", "")]
    for hit in hits:
        parameters = format_count(hit.parameters) if hit.parameters else ""
        rows.append(
            (
                hit.repository,
                parameters.rjust(10),
                format_count(hit.downloads).rjust(9),
                format_count(hit.likes).rjust(5),
                _ago(hit.updated_s),
                _GATES[hit.gate],
            )
        )
    return format_table(rows, wrap=0)


def _ago(moment_s: float | None) -> str:
    if moment_s is None:
        return ""
    passed_s = max(time.time() - moment_s, 0.0)
    days = int(passed_s // 86_400)
    return f"{days} d ago" if days else f"{format_duration(passed_s)} ago"
