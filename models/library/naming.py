"""Names of checkpoints that a person can type, each its own; and which one is meant. No Qt here."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from models.errors import CheckpointNotFoundError
from models.library.demo import DEMO_NAME
from models.library.entry import LibraryEntry

_SUFFIX = ".gguf"
_HINTED_NAMES = 3


class Named(Protocol):
    """What gets a name: ``name`` as it would like to be called, and where it lies."""

    @property
    def name(self) -> str:
        """What it is called without regard to others."""

    @property
    def path(self) -> Path:
        """Its first file."""


def unique_names(items: Iterable[Named]) -> list[str]:
    """Return a name for each item: its own, with as much of its folder as needed."""
    taken = {DEMO_NAME}
    names: list[str] = []
    for item in items:
        folders = list(reversed(item.path.absolute().parent.parts))
        name = item.name
        while name.lower() in taken and folders:
            name = f"{folders.pop(0).strip(os.sep)}/{name}"
        number = 2
        while name.lower() in taken:
            name, number = f"{item.name} ({number})", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


def find_named(entries: Sequence[LibraryEntry], name: str) -> LibraryEntry | None:
    """Return the entry of that name, whatever its case and with or without the suffix."""
    for entry in entries:
        if entry.name == name:
            return entry
    wanted = name.lower().removesuffix(_SUFFIX)
    return next((entry for entry in entries if entry.name.lower() == wanted), None)


def not_found(text: str, entries: Sequence[LibraryEntry]) -> CheckpointNotFoundError:
    """Return the error for a text that means nothing; its hint has what is called nearly so."""
    names = {entry.name.lower(): entry.name for entry in entries}
    wanted = Path(text).name.lower().removesuffix(_SUFFIX) if text else ""
    close = difflib.get_close_matches(wanted, names, n=_HINTED_NAMES, cutoff=0.5)
    if close:
        hint = f"Did you mean {' or '.join(names[name] for name in close)}?"
    elif names:
        hint = f"The library has: {', '.join(sorted(names.values())[:_HINTED_NAMES])}."
    else:
        hint = "The library is empty; give the path of a GGUF file."
    return CheckpointNotFoundError(
        f'There is no file and no checkpoint in the library called "{text[:200]}".', hint=hint
    )
