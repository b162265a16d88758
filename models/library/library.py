"""The library: what can be loaded, by a name a person can type. No Qt here.

The files on disk are the truth: every look is a new one. What they cannot tell is remembered (see
``index.py``). Headers are read only of the checkpoint that is about to be loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from models.errors import CheckpointNotFoundError, CheckpointUnreadableError, FathomError
from models.library.demo import DEMO_NAME, DEMO_NOTE, DEMO_TITLE, no_demo
from models.library.entry import DEMO, LibraryEntry
from models.library.foreign import ForeignStore
from models.library.index import LibraryIndex, Remembered, Stamps
from models.library.naming import find_named, not_found, unique_names
from models.library.presence import Presence
from models.library.records import Records
from models.library.scan import describe_file
from models.library.survey import (
    Survey,
    candidate_of,
    is_offline,
    offline_entry,
    remembered,
    survey,
)
from models.library.volumes import Mount, Volumes, system_mounts

__all__ = ["Library", "LibraryEntry"]

_SUFFIX = ".gguf"
_HINTED_NAMES = 3
_INDEX_NAME = "library.json"
_RECORDS_FOLDER = "records"
_SHA256 = "sha256:"

FindForeign = Callable[[], tuple[ForeignStore, ...]]


def _no_stores() -> tuple[ForeignStore, ...]:
    return ()


class Library:
    """The checkpoints below some folders, those of other programs, and the demo.

    Every method may be called from any thread; those that look at the disk may take as long as
    the disk does.

    Args:
        roots: folders (or single files) of the user.
        demo: the demo's file, None without one.
        data_dir: where is kept what the disk does not tell (``library.json`` and the records of
            files that Fathom did not fetch); None keeps it as long as the program runs.
        find_foreign: finds the stores of other programs, such as ``partial(find_foreign,
            os.environ, Path.home())``. What lies in them is never written to, also where it is
            not shown.
        shows_foreign: whether their checkpoints are entries.
        presence: asks whether a root is there.
        list_mounts: what is mounted now.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        demo: Path | None,
        *,
        data_dir: Path | None = None,
        find_foreign: FindForeign = _no_stores,
        shows_foreign: bool = True,
        presence: Presence | None = None,
        list_mounts: Callable[[], Sequence[Mount]] = system_mounts,
    ) -> None:
        self._roots = tuple(roots)
        self._demo = demo
        self._find_foreign = find_foreign
        self._shows_foreign = shows_foreign
        self._presence = presence or Presence()
        self._list_mounts = list_mounts
        self._index = LibraryIndex(data_dir / _INDEX_NAME if data_dir else None)
        self.records = Records(data_dir / _RECORDS_FOLDER if data_dir else None)

    @property
    def roots(self) -> tuple[Path, ...]:
        """The user's folders, in their order."""
        return self._roots

    def set_roots(self, roots: Sequence[Path]) -> None:
        """Look into other folders from now on; may be called from any thread."""
        self._roots = tuple(roots)

    def set_shows_foreign(self, shows: bool) -> None:
        """Show the checkpoints of other programs, or not; may be called from any thread."""
        self._shows_foreign = shows

    def entries(self) -> tuple[LibraryEntry, ...]:
        """Look at the disk and return what is there: the demo first, the rest by name.

        What lies on a drive that is absent now is there as well, marked as offline. A root that
        does not answer is left after some seconds.
        """
        roots = self._roots
        found = survey(
            roots,
            self._find_foreign(),
            presence=self._presence,
            records=self.records,
            shows_foreign=self._shows_foreign,
        )
        volumes = Volumes(self._list_mounts)
        stamps = self._index.stamps()
        named = [
            item.entry(name, stamps.get(str(item.path), Stamps()))
            for item, name in zip(found.candidates, unique_names(found.candidates), strict=True)
        ]
        away = self._offline(found, volumes, roots)
        self._remember(named, away, volumes)
        named += self._away_entries(named, away)
        demo = self._demo_entry()
        return ((demo,) if demo else ()) + tuple(sorted(named, key=lambda e: e.name.lower()))

    def resolve(self, name_or_path: str) -> LibraryEntry:
        """Return the checkpoint that a library name or a path means.

        Raises:
            CheckpointNotFoundError: nothing is called so (the hint has what is called nearly so),
                or its drive is not there.
            CheckpointUnreadableError: the system does not let Fathom see it.
        """
        if name_or_path == DEMO_NAME:
            return self._resolve_demo()
        by_path = _existing_file(name_or_path) if _is_plainly_a_path(name_or_path) else None
        entries = self.entries() if by_path is None else ()
        by_name = find_named(entries, name_or_path)
        if by_name is not None:
            if by_name.is_offline:
                raise CheckpointNotFoundError(
                    f'"{by_name.name}" is not there now.', hint=f"{by_name.note} Connect it."
                )
            return by_name
        by_path = by_path or _existing_file(name_or_path)
        if by_path is None:
            raise not_found(name_or_path, entries)
        return self._described(by_path)

    def find_by_digest(
        self, digests: Sequence[str], sizes: Sequence[int] = ()
    ) -> LibraryEntry | None:
        """Return the checkpoint that has just this content by all that is known, None without one.

        Nothing is read but names and records: LM Studio's files and those that were added have no
        digest until they are verified once (see ``find_by_size``). What is there by name only may
        be damaged, so it is verified before it is relied on.

        Args:
            digests: of all files in their order, ``sha256:HEX`` or the hex digits alone.
            sizes: of the files, in the same order; may be empty.
        """
        wanted = tuple(_plain(digest) for digest in digests)
        if not wanted or not all(wanted):
            return None
        for entry in self._complete(len(wanted), sum(sizes) if sizes else None):
            if tuple(_plain(self.records.digest_of(path)) for path in entry.paths) == wanted:
                return entry
        return None

    def find_by_size(self, sizes: Sequence[int]) -> tuple[LibraryEntry, ...]:
        """Return the checkpoints whose files are just so long and whose digests nobody knows.

        One of them may be what is looked for; ``models.library.verifying.take_down`` says.
        """
        return tuple(
            entry
            for entry in self._complete(len(sizes), sum(sizes))
            if _sizes(entry) == tuple(sizes)
            and not all(self.records.digest_of(path) for path in entry.paths)
        )

    def note_used(self, entry: LibraryEntry, when_s: float | None = None) -> None:
        """Remember that a checkpoint was loaded, by default now (as of ``time.time``)."""
        self._index.stamp(entry.path, used_s=time.time() if when_s is None else when_s)

    def note_verified(self, entry: LibraryEntry, when_s: float | None = None) -> None:
        """Remember that a checkpoint was found sound, by default now (as of ``time.time``)."""
        self._index.stamp(entry.path, verified_s=time.time() if when_s is None else when_s)

    def note_moved(self, old: LibraryEntry, new: LibraryEntry) -> None:
        """Take along what is known of a checkpoint that was moved."""
        known = self._index.stamps().get(str(old.path), Stamps())
        self._index.stamp(new.path, used_s=known.used_s, verified_s=known.verified_s)
        self.forget(old)

    def forget(self, entry: LibraryEntry) -> None:
        """Forget a checkpoint that was deleted, or one on a drive that will not come back."""
        self._index.forget(entry.path)
        for path in entry.paths:
            self.records.drop(path)

    # --- what is remembered ---------------------------------------------------------------------

    def _offline(self, found: Survey, volumes: Volumes, roots: Sequence[Path]) -> list[Remembered]:
        present = {path.absolute() for item in found.candidates for path in item.found.files}
        return [
            item
            for item in self._index.checkpoints()
            if item.path not in present and is_offline(item, found, roots=roots, volumes=volumes)
        ]

    def _away_entries(
        self, named: Sequence[LibraryEntry], away: Sequence[Remembered]
    ) -> list[LibraryEntry]:
        stamps = self._index.stamps()
        names = unique_names([*named, *away])[len(named) :]
        return [
            offline_entry(item, name, stamps.get(str(item.path), Stamps()))
            for item, name in zip(away, names, strict=True)
        ]

    def _remember(
        self, named: Sequence[LibraryEntry], away: Sequence[Remembered], volumes: Volumes
    ) -> None:
        present = (remembered(entry, volumes) for entry in named)
        self._index.remember([*(item for item in present if item), *away])

    # --- single ones ----------------------------------------------------------------------------

    def _complete(self, shards: int, size_bytes: int | None) -> list[LibraryEntry]:
        return [
            entry
            for entry in self.entries()
            if (entry.shards, entry.missing) == (shards, 0)
            and not (entry.is_demo or entry.is_offline)
            and size_bytes in (None, entry.size_bytes)
        ]

    def _demo_entry(self) -> LibraryEntry | None:
        if self._demo is None:
            return None
        try:
            size_bytes = self._demo.stat().st_size
        except OSError:
            return None
        stamps = self._index.stamps().get(str(self._demo), Stamps())
        return LibraryEntry(
            DEMO_NAME,
            DEMO_TITLE,
            self._demo,
            size_bytes,
            is_demo=True,
            note=DEMO_NOTE,
            source=DEMO,
            is_read_only=True,
            last_used_s=stamps.used_s,
            files=(self._demo,),
        )

    def _resolve_demo(self) -> LibraryEntry:
        demo = self._demo_entry()
        if demo is None:
            raise no_demo()
        return demo

    def _described(self, path: Path) -> LibraryEntry:
        try:
            found = describe_file(path)
        except OSError as error:
            raise _unreadable(str(path), error) from error
        root = next((root for root in self._roots if path.is_relative_to(root)), None)
        candidate = candidate_of(found, root, self._find_foreign(), self.records)
        stamps = self._index.stamps().get(str(found.path), Stamps())
        return candidate.entry(found.stem, stamps)


def _sizes(entry: LibraryEntry) -> tuple[int, ...]:
    try:
        return tuple(path.stat().st_size for path in entry.paths)
    except OSError:
        return ()


def _plain(digest: str) -> str:
    """Return a SHA-256 as hex digits, empty for anything else (git's SHA-1 for instance)."""
    plain = digest.lower().removeprefix(_SHA256)
    return plain if len(plain) == 64 and ":" not in plain else ""


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


def _is_folder(path: Path) -> FathomError:
    inside = sorted(file.name for file in path.glob(f"*{_SUFFIX}"))[:_HINTED_NAMES]
    hint = f"Choose a file in it: {', '.join(inside)}." if inside else "Choose a GGUF file."
    return CheckpointNotFoundError(f"{path} is a folder, not a checkpoint.", hint=hint)


def _unreadable(text: str, error: Exception) -> FathomError:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CheckpointUnreadableError(f'"{text[:200]}" cannot be read ({words}).')
