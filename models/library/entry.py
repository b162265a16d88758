"""A checkpoint of the library: plain data. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DEMO, FATHOM, ADDED = "demo", "fathom", "added"
HUGGING_FACE, LM_STUDIO, OLLAMA = "huggingface", "lmstudio", "ollama"


@dataclass(frozen=True)
class LibraryEntry:
    """One checkpoint that can be chosen.

    Two entries are equal when a reader would see the same checkpoint in the same state; when it
    was used and verified plays no part in that, so that an entry stays the key it was. Whoever
    shows these times takes them from the newest ``Library.entries()``.

    Attributes:
        name: unique in the library; what ``fathom run`` takes.
        title: for people.
        path: its first file.
        size_bytes: of all its files.
        is_demo: whether it is the one that came with Fathom.
        note: what one should know before loading it; may be empty.
        source: where it comes from: ``demo``, ``fathom`` (fetched by it), ``added`` (in a folder of
            the user), ``huggingface``, ``lmstudio``, ``ollama``.
        root: the folder of the library it was found below, None for the demo and for a file that
            was named by its path; for a file that was added alone, the file.
        is_read_only: belongs to another program: never written, moved or deleted.
        is_offline: its drive is not there now; the other facts are from when it was.
        shards: how many files it has.
        missing: how many of them are not there.
        quant: the quantization by its file's name; may be empty.
        repository: ``owner/name`` on the hub it was fetched from, empty when that is not known.
        commit: of the repository, 40 hex digits or empty.
        files: all its files that are there, in their order; the first is ``path``.
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
    source: str = ADDED
    root: Path | None = None
    is_read_only: bool = False
    is_offline: bool = False
    shards: int = 1
    missing: int = 0
    quant: str = ""
    repository: str = ""
    commit: str = ""
    verified_s: float | None = field(default=None, compare=False)
    last_used_s: float | None = field(default=None, compare=False)
    files: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that are there; at least the first."""
        return self.files or (self.path,)
