"""Work that can be stopped: how it is asked, and how it waits. No Qt here."""

from __future__ import annotations

import time
from collections.abc import Callable

from models.errors import StoppedError

Stop = Callable[[], bool]

# How often a wait looks whether it should end; what a person still feels as at once.
POLL_S = 0.05


def never() -> bool:
    """Never ask to stop."""
    return False


def check_stop(stop: Stop) -> None:
    """Raise ``StoppedError`` when a stop was asked for."""
    if stop():
        raise StoppedError


def pause(duration_s: float, stop: Stop) -> None:
    """Wait; a stop ends it within ``POLL_S``.

    Raises:
        StoppedError: a stop was asked for.
    """
    end = time.monotonic() + duration_s
    check_stop(stop)
    while (left_s := end - time.monotonic()) > 0:
        time.sleep(min(left_s, POLL_S))
        check_stop(stop)
