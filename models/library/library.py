"""The library: what can be loaded, by a name a person can type. No Qt here.

The files on disk are the truth. Nothing is remembered between two looks, and headers are read
only of the checkpoint that is about to be loaded.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import CheckpointNotFoundError, CheckpointUnreadableError, FathomError
from models.library.demo import DEMO_NAME, DEMO_NOTE, DEMO_TITLE
from models.library.scan import FoundCheckpoint, Scan, describe_file

_SUFFIX = ".gguf"
_HINTED_NAMES = 3


@dataclass(frozen=True)
class LibraryEntry:
    """One checkpoint that can be chosen.

    Attributes:
        name: unique in the library; what ``fathom run`` takes.
        title: for people.
        path: its first file.
        size_bytes: of all its files.
        is_demo: whether it is the one that came with Fathom.
        note: what one should know before loading it; may be empty.
        source: where it comes from: ``demo``, ``fathom`` (fetched by it), ``added`` (in a folder of
            the user), ``huggingface``, ``lmstudio``, ``ollama``.
        root: the folder of the library it was found below, None for the demo.
        is_read_only: belongs to another program: never written, moved or deleted.
        is_offline: its drive is not there now; the other facts are from when it was.
        shards: how many files it has.
        missing: how many of them are not there.
        quant: the quantization by its file's name; may be empty.
        repository: ``owner/name`` on the hub it was fetched from, empty when that is not known.
        commit: of the repository, 40 hex digits or empty.
        verified_s: when its content was last checked against its digests, on the clock of
            ``time.time``; None when never.
        last_used_s: when it was last loaded; None when never.
    """

    name: str
    title: str
    path: Path
    size_bytes: int
    is_demo: bool = False
    note: str = ""
    source: str = "added"
    root: Path | None = None
    is_read_only: bool = False
    is_offline: bool = False
    shards: int = 1
    missing: int = 0
    quant: str = ""
    repository: str = ""
    commit: str = ""
    verified_s: float | None = None
    last_used_s: float | None = None


class Library:
    """The checkpoints below some folders, and the demo."""

    def __init__(self, roots: Sequence[Path], demo: Path | None) -> None:
        self._roots = tuple(roots)
        self._demo = demo

    def set_roots(self, roots: Sequence[Path]) -> None:
        """Look into other folders from now on; may be called from any thread."""
        self._roots = tuple(roots)

    def entries(self) -> tuple[LibraryEntry, ...]:
        """Look at the disk and return what is there: the demo first, the rest by name.

        A root that is absent is passed over.
        """
        scan = Scan()
        found = [checkpoint for root in self._roots for checkpoint in scan.run(root)]
        named = _with_names(found)
        demo = self._demo_entry()
        return ((demo,) if demo else ()) + tuple(sorted(named, key=lambda e: e.name.lower()))

    def resolve(self, name_or_path: str) -> LibraryEntry:
        """Return the checkpoint that a library name or a path means.

        Raises:
            CheckpointNotFoundError: nothing is called so; the hint has what is called nearly so.
            CheckpointUnreadableError: the system does not let Fathom see it.
        """
        if name_or_path == DEMO_NAME:
            return self._resolve_demo()
        by_path = _existing_file(name_or_path) if _is_plainly_a_path(name_or_path) else None
        entries = self.entries() if by_path is None else ()
        by_name = _match(entries, name_or_path)
        if by_name is not None:
            return by_name
        by_path = by_path or _existing_file(name_or_path)
        if by_path is None:
            raise _not_found(name_or_path, entries)
        return _described(by_path)

    def _demo_entry(self) -> LibraryEntry | None:
        if self._demo is None:
            return None
        try:
            size_bytes = self._demo.stat().st_size
        except OSError:
            return None
        return LibraryEntry(
            DEMO_NAME, DEMO_TITLE, self._demo, size_bytes, is_demo=True, note=DEMO_NOTE
        )

    def _resolve_demo(self) -> LibraryEntry:
        demo = self._demo_entry()
        if demo is None:
            raise CheckpointNotFoundError(
                "The demo checkpoint is not installed.",
                hint="Install Fathom again, or give the path of a GGUF file.",
            )
        return demo


def _with_names(found: Iterable[FoundCheckpoint]) -> list[LibraryEntry]:
    """Give every checkpoint a name of its own: its file's, with as much of its folder as needed."""
    taken = {DEMO_NAME}
    entries: list[LibraryEntry] = []
    for checkpoint in found:
        folders = list(reversed(checkpoint.path.absolute().parent.parts))
        name = checkpoint.stem
        while name.lower() in taken and folders:
            name = f"{folders.pop(0).strip(os.sep)}/{name}"
        number = 2
        while name.lower() in taken:
            name, number = f"{checkpoint.stem} ({number})", number + 1
        taken.add(name.lower())
        entries.append(_entry(checkpoint, name))
    return entries


def _entry(checkpoint: FoundCheckpoint, name: str) -> LibraryEntry:
    note = ""
    if checkpoint.missing:
        note = f"{checkpoint.missing} of {checkpoint.shards} parts are missing."
    return LibraryEntry(name, checkpoint.stem, checkpoint.path, checkpoint.size_bytes, note=note)


def _match(entries: Sequence[LibraryEntry], name: str) -> LibraryEntry | None:
    for entry in entries:
        if entry.name == name:
            return entry
    wanted = name.lower().removesuffix(_SUFFIX)
    return next((entry for entry in entries if entry.name.lower() == wanted), None)


def _existing_file(text: str) -> Path | None:
    """Return the file that ``text`` leads to, None when it leads nowhere."""
    try:
        path = Path(text).expanduser()
        if not text or not path.exists():
            return None
        if path.is_dir():
            raise _is_folder(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(text, error) from error
    return path


def _is_plainly_a_path(text: str) -> bool:
    # Looking at the disk for names is only worth it when the text could be one.
    return Path(text).is_absolute() or text.startswith((".", "~"))


def _described(path: Path) -> LibraryEntry:
    try:
        checkpoint = describe_file(path)
    except OSError as error:
        raise _unreadable(str(path), error) from error
    return _entry(checkpoint, checkpoint.stem)


def _is_folder(path: Path) -> FathomError:
    inside = sorted(file.name for file in path.glob(f"*{_SUFFIX}"))[:_HINTED_NAMES]
    hint = f"Choose a file in it: {', '.join(inside)}." if inside else "Choose a GGUF file."
    return CheckpointNotFoundError(f"{path} is a folder, not a checkpoint.", hint=hint)


def _unreadable(text: str, error: Exception) -> FathomError:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CheckpointUnreadableError(f'"{text[:200]}" cannot be read ({words}).')


def _not_found(text: str, entries: Sequence[LibraryEntry]) -> FathomError:
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
