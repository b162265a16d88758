"""A child in the place of the oracle's that fails on demand; it loads no model.

    python problem_oracle.py SCRIPT.json

The script is a list of what to do with each ``account``, counted over all children that use the
same file: ``ok``, ``error``, ``abort``, ``hang``, ``garbage``, ``long_silence`` (answers once the
next request comes), ``wrong_shape``, ``exit``. It is written from docs/protocol.md alone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any


def answer(request: dict[str, Any], **fields: Any) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps({"id": request["id"], **fields}) + "\n")
    sys.stdout.flush()


def account(request: dict[str, Any]) -> None:
    """Answer as a sound child does; the weights are the request's id."""
    buffer = {"buffer": "CPU", "device": "CPU", "weights_bytes": request["id"]}
    answer(request, event="account", buffers=[buffer], load_s=0.0, context_s=0.0)


def next_step(script: Path) -> str:
    """Take the next word out of the script, so that later children go on behind it."""
    steps = json.loads(script.read_text())
    script.write_text(json.dumps(steps[1:]))
    return str(steps[0]) if steps else "ok"


def misbehave(step: str, request: dict[str, Any]) -> None:
    """Do what the script says."""
    if step == "abort":
        sys.stderr.write("ggml.c:1234: GGML_ASSERT(n > 0) failed\n")
        sys.stderr.flush()
        os.abort()
    elif step == "exit":
        os._exit(3)
    elif step == "hang":
        threading.Event().wait()
    elif step == "garbage":
        sys.stdout.write("Segmentation fault (core dumped)\n")
        sys.stdout.flush()
    elif step == "wrong_shape":
        answer(request, event="account", buffers=[{"buffer": 7}])
    elif step == "error":
        answer(request, event="error", code="oracle", message="No.", hint="n_ctx", details="said")


def main(script: Path) -> None:
    """Serve until the input ends."""
    waiting: list[dict[str, Any]] = []
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "open":
            answer(request, event="opened", engine_version="0", cpu_features=[], cpu_matches=True)
            continue
        step = next_step(script)
        for late in waiting:
            account(late)
        waiting.clear()
        if step == "ok":
            account(request)
        elif step == "long_silence":
            waiting.append(request)
        else:
            misbehave(step, request)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
