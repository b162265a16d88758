"""Looks at all places where checkpoints may lie and says what is there now. No Qt here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.hub.quants import quant_name
from models.library.entry import ADDED, FATHOM, LibraryEntry
from models.library.foreign import ForeignCheckpoint, ForeignStore, scan_foreign, store_of
from models.library.index import Remembered, Stamps
from models.library.presence import Presence, RootState
from models.library.records import KnownFile, Records
from models.library.scan import FoundCheckpoint, Scan
from models.library.volumes import Volumes


@dataclass(frozen=True)
class Candidate:
    """A checkpoint before it has a name of its own; the rest as in ``LibraryEntry``."""

    found: FoundCheckpoint
    root: Path | None
    name: str
    source: str = ADDED
    is_read_only: bool = False
    repository: str = ""
    commit: str = ""
    verified_s: float | None = None

    @property
    def path(self) -> Path:
        """Its first file."""
        return self.found.path

    def entry(self, name: str, stamps: Stamps) -> LibraryEntry:
        """Return it as the library shows it."""
        found = self.found
        checked = [time for time in (self.verified_s, stamps.verified_s) if time is not None]
        return LibraryEntry(
            name,
            # What Ollama calls a checkpoint is not the name of its file.
            self.name,
            found.path,
            found.size_bytes,
            note=_note(found),
            source=self.source,
            root=self.root,
            is_read_only=self.is_read_only,
            shards=found.shards,
            missing=found.missing,
            quant=_quant(self),
            repository=self.repository,
            commit=self.commit,
            verified_s=max(checked, default=None),
            last_used_s=stamps.used_s,
            files=found.files,
        )


@dataclass(frozen=True)
class Survey:
    """What one look found.

    Attributes:
        candidates: what is there, the user's own first.
        absent: the roots that are not there.
        silent: the roots that do not answer.
    """

    candidates: tuple[Candidate, ...]
    absent: frozenset[Path]
    silent: frozenset[Path]


def survey(
    roots: Sequence[Path],
    stores: tuple[ForeignStore, ...],
    *,
    presence: Presence,
    records: Records,
    shows_foreign: bool,
) -> Survey:
    """Look at all roots, and at the stores of other programs where they are to be shown."""
    scan = Scan()
    states = {root: presence.of(root) for root in roots}
    own = [
        candidate_of(found, root, stores, records)
        for root, state in states.items()
        if state is RootState.PRESENT
        for found in scan.run(root)
    ]
    foreign = _foreign(stores) if shows_foreign else []
    # A folder of another program that the user added: its own layout says more.
    shown = {identity for item in foreign for identity in item.found.identities}
    own = [item for item in own if not (item.is_read_only and item.found.identities <= shown)]
    mine = {identity for item in own for identity in item.found.identities}
    others = [item for item in foreign if not item.found.identities <= mine]
    absent, silent = (
        frozenset(root for root, found in states.items() if found is state)
        for state in (RootState.ABSENT, RootState.SILENT)
    )
    return Survey((*own, *others), absent, silent)


def candidate_of(
    found: FoundCheckpoint,
    root: Path | None,
    stores: tuple[ForeignStore, ...],
    records: Records,
) -> Candidate:
    """Return what is known of a checkpoint that was found by its file."""
    known = [records.of(path) for path in found.files]
    store = store_of(found.path, stores)
    # Fathom may have been told to download into another program's folder: that is its own.
    is_ours = root is not None and all(file and file.repository for file in known)
    if store is not None and not is_ours:
        return Candidate(found, root, found.stem, store.source, is_read_only=True)
    first = known[0] if known else None
    if first is None or not first.repository:
        return Candidate(found, root, found.stem, verified_s=_verified_s(known))
    return Candidate(
        found,
        root,
        found.stem,
        FATHOM,
        repository=first.repository,
        commit=first.commit,
        verified_s=_verified_s(known),
    )


def is_offline(item: Remembered, found: Survey, *, roots: Sequence[Path], volumes: Volumes) -> bool:
    """Whether a checkpoint that is not there lies on a drive that is not there.

    Else it was deleted or moved by somebody: it is gone. A folder that does not exist or does not
    answer counts as absent. So does one that exists where a drive was mounted and is not: the
    system often leaves the empty folder. A file that was added alone is gone when only it is
    missing.
    """
    if item.root not in roots:
        return False
    if item.root in found.silent:
        return True
    if item.mount and not volumes.is_mounted(item.mount):
        return True
    if item.root not in found.absent:
        return False
    was_file = item.root == item.path or item.root in item.files
    return not (was_file and item.root.parent.is_dir())


def offline_entry(item: Remembered, name: str, stamps: Stamps) -> LibraryEntry:
    """Return a checkpoint on an absent drive as the library shows it."""
    drive = item.mount or str(item.root)
    return LibraryEntry(
        name,
        item.title,
        item.path,
        item.size_bytes,
        note=f"It lies on a drive that is not connected ({drive}).",
        source=item.source,
        root=item.root,
        is_offline=True,
        shards=item.shards,
        missing=item.missing,
        quant=item.quant,
        repository=item.repository,
        commit=item.commit,
        verified_s=stamps.verified_s,
        last_used_s=stamps.used_s,
        files=item.files,
    )


def remembered(entry: LibraryEntry, volumes: Volumes) -> Remembered | None:
    """Return what is kept of an entry, None for one that is not the user's."""
    if entry.root is None or entry.is_read_only or entry.is_demo:
        return None
    mount = volumes.mount_of(entry.path)
    return Remembered(
        root=entry.root,
        mount=mount.point if mount else "",
        name=entry.name,
        title=entry.title,
        files=tuple(path.absolute() for path in entry.paths),
        size_bytes=entry.size_bytes,
        shards=entry.shards,
        missing=entry.missing,
        quant=entry.quant,
        source=entry.source,
        repository=entry.repository,
        commit=entry.commit,
    )


def _foreign(stores: tuple[ForeignStore, ...]) -> list[Candidate]:
    found: list[Candidate] = []
    seen: set[tuple[int, int]] = set()
    for store in stores:
        for item in scan_foreign(store):
            if not item.found.identities <= seen:
                seen |= item.found.identities
                found.append(_foreign_candidate(item))
    return found


def _foreign_candidate(item: ForeignCheckpoint) -> Candidate:
    return Candidate(
        item.found,
        item.store.folder,
        item.name,
        item.store.source,
        is_read_only=True,
        repository=item.repository,
        commit=item.commit,
    )


def _verified_s(known: Sequence[KnownFile | None]) -> float | None:
    """Return when all files were verified, by the oldest of them."""
    times = [file.verified_s if file else None for file in known]
    sound = [time for time in times if time is not None]
    return min(sound) if sound and len(sound) == len(times) else None


def _note(found: FoundCheckpoint) -> str:
    if not found.missing:
        return ""
    is_coming = any(path.exists() for path in found.unfinished())
    tail = "; it is being downloaded" if is_coming else ""
    return f"{found.missing} of {found.shards} parts are missing{tail}."


def _quant(candidate: Candidate) -> str:
    path = candidate.found.path
    if candidate.root is not None and path.is_relative_to(candidate.root):
        path = path.relative_to(candidate.root)
    return quant_name(path.as_posix()) or quant_name(candidate.name.replace(":", "-"))
