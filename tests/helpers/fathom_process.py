"""Runs the whole program as its user does, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TIMEOUT_S = 150
FATHOM = (sys.executable, "-P", "-m", "app")


def fathom(
    *arguments: str | Path, stdin: str | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``fathom ARGUMENTS`` to its end; neither output is a terminal."""
    return subprocess.run(
        [*FATHOM, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, **(env or {})},
    )


def one_object(text: str) -> dict[str, Any]:
    """Return the one JSON object that ``text`` must be, on one line."""
    assert text.count("\n") == 1, text
    data = json.loads(text)
    assert isinstance(data, dict)
    return data


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *, code: int) -> str:
    """Check that a run failed as a user should see it; return the line's words."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("fathom: ")
    assert "Traceback" not in done.stderr + done.stdout
    return lines[0].removeprefix("fathom: ")
