"""What a child does before it loads llama.cpp. No Qt here."""

from __future__ import annotations

import os


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
