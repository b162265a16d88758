"""What a child does before it loads llama.cpp. No Qt here."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Give Python's own streams something to write to where the system gave none.

    A program without a console (pythonw, a windowed PyInstaller build) has ``sys.stderr = None``,
    and whatever prints a warning would end with an AttributeError. Where descriptor 2 is open, it
    is used: the parent reads it.
    """
    if sys.stderr is None:
        try:
            sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="replace", closefd=False)
        except OSError:
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
            os.dup2(sys.stderr.fileno(), 2)
    if sys.stdout is None:
        sys.stdout = sys.stderr


def take_protocol_fd() -> int:
    """Keep the protocol on a private descriptor and point fd 1 at fd 2.

    Whatever a library prints from now on lands in the parent's error tail, never between two
    events.
    """
    protocol_fd = os.dup(1)
    os.dup2(2, 1)
    return protocol_fd


def prepare_environment() -> None:
    """Set what the native libraries read when they are loaded; what the user set stays."""
    # An abort would start a debugger to print a backtrace: slow, and of no use to the user.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")


def limit_resources(memory_bytes: int, cpu_s: int | None = None) -> None:
    """Let the system bound this process: memory, processor time, no file written, no core dump.

    A harder limit that is there already stays. Not for Windows.
    """
    import resource

    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    if cpu_s is not None:
        limits[resource.RLIMIT_CPU] = cpu_s
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (least, hard))
