"""A child in the place of the planner's that fails on demand; it plans nothing.

    python problem_planner.py SCRIPT.json

The script is a list of what to do with each request, counted over all children that use the same
file: ``abort``, ``exit``, ``hang``, ``garbage``, ``wrong_shape``, ``error``; after it: ``ok``.
Requests are written down one a line in SCRIPT.json.seen. Written from docs/protocol.md alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

JUDGEMENT = {
    "card_id": "r1",
    "where": None,
    "quant": "",
    "size_bytes": 0,
    "plan": None,
    "reason": "Said by the child.",
}


def tell(**event: Any) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def next_step(script: Path) -> str:
    """Take the next word out of the script, so that later children go on behind it."""
    steps = json.loads(script.read_text())
    script.write_text(json.dumps(steps[1:]))
    return str(steps[0]) if steps else "ok"


def answer(step: str, request_id: int) -> None:
    """Do what the script says."""
    if step == "ok":
        tell(id=request_id, event="judge", judgement=JUDGEMENT)
    elif step == "abort":
        sys.stderr.write("free(): invalid pointer\n")
        sys.stderr.flush()
        os.abort()
    elif step == "exit":
        os._exit(3)
    elif step == "garbage":
        sys.stdout.write("Traceback (most recent call last):\n")
        sys.stdout.flush()
    elif step == "wrong_shape":
        tell(id=request_id, event="judge", judgement={"card_id": 7})
    elif step == "error":
        tell(id=request_id, event="error", code="setting", message="No.", hint="n_ctx", details="")


def main(script: Path) -> None:
    """Serve until the input ends; ``hang`` answers nothing."""
    seen = script.with_name(script.name + ".seen")
    for line in sys.stdin:
        request = json.loads(line)
        with seen.open("a") as file:
            file.write(f"{request['op']} {request['id']}\n")
        if request["op"] != "cancel":
            answer(next_step(script), request["id"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
