"""How many threads to compute with. No Qt here."""

from __future__ import annotations

import os

import psutil


def physical_cores() -> int:
    """Return the physical cores this process may run on, at least 1.

    One thread per physical core: two threads of one core share its vector units, and threads spin
    at every barrier, so one too many costs far more than its share.
    """
    logical = psutil.cpu_count(logical=True) or 1
    physical = psutil.cpu_count(logical=False) or logical
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
        physical = min(physical, max(1, allowed * physical // logical))
    return max(1, physical)
