"""Runs llama.cpp on a file in a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = Path(__file__).with_name("load_and_decode.py")


def load_and_decode(path: Path) -> subprocess.CompletedProcess[str]:
    """Load a checkpoint and decode one token; a negative ``returncode`` is a signal."""
    # Without this a GGML_ABORT starts a debugger to print its backtrace.
    env = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    return subprocess.run(
        [sys.executable, _PROGRAM, path],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        env=env,
        check=False,
    )
