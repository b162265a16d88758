"""Versions such as 1.4.2, compared by their numbers. No Qt here."""

from __future__ import annotations

import re

_VERSION = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5}){1,3}")

Version = tuple[int, ...]


def version_of(text: str) -> Version | None:
    """Return a version as numbers, zeros at its end left out; None when it is none."""
    if not _VERSION.fullmatch(text):
        return None
    numbers = [int(part) for part in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
