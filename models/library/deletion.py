"""Deleting a checkpoint: planned, shown, and done just as it was shown. No Qt here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import LibraryError
from models.library.entry import LibraryEntry
from models.library.ownership import (
    check_file,
    check_idle,
    check_own,
    companions,
    records,
    remove_empty_folders,
    set_paths,
    unfinished,
)
from models.library.trash import Trash, find_trash
from models.stopping import Stop, check_stop, never
from models.transfer.part_file import SUFFIX as PART

# What POSIX counts a file's blocks in, whatever those of the drive are.
_BLOCK_BYTES = 512


@dataclass(frozen=True)
class PlannedFile:
    """A file that goes, as it was when that was planned."""

    path: Path
    size_bytes: int
    identity: tuple[int, int, int]


@dataclass(frozen=True)
class DeletionPlan:
    """What is going to happen.

    Attributes:
        files: that go: the checkpoint's, texts that were fetched with it and serve no other one.
        leftovers: deleted with them and never in the trash: what an unfinished download of the
            same files left, and Fathom's records of them.
        bound: the folder of the library that they lie below.
        size_bytes: of ``files`` and ``leftovers``.
        frees_bytes: what becomes free on the drive; with a trash, when that is emptied.
        goes_to_trash: whether the files can be restored from the system's trash.
        warnings: sentences to be read before.
        trash: which one; None deletes for good.
    """

    entry: LibraryEntry
    files: tuple[Path, ...]
    size_bytes: int
    frees_bytes: int
    goes_to_trash: bool
    warnings: tuple[str, ...] = ()
    leftovers: tuple[Path, ...] = ()
    bound: Path = Path()
    trash: Trash | None = None
    planned: tuple[PlannedFile, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class DeletionResult:
    """What happened.

    Attributes:
        deleted: the files that are gone from where they were.
        freed_bytes: what is free now; 0 for files in the trash.
        went_to_trash: whether they can be restored.
    """

    deleted: tuple[Path, ...]
    freed_bytes: int
    went_to_trash: bool


def plan_deletion(entry: LibraryEntry, *, for_good: bool = False) -> DeletionPlan:
    """Return what deleting a checkpoint would do; nothing is changed.

    Args:
        for_good: leave the trash out, also where there is one.

    Raises:
        LibraryError: it is not the user's to delete: of another program, reached through a link,
            outside the library, on a drive that is not there or cannot be written.
        DownloadBusyError: a download writes to it right now.
    """
    bound = check_own(entry)
    check_idle(entry)
    files = (*entry.paths, *companions(entry, bound))
    recorded = dict.fromkeys((*files, *set_paths(entry)))
    leftovers = (*unfinished(entry), *records(list(recorded)))
    statuses = {path: check_file(path, bound) for path in (*files, *leftovers)}
    trash = None if for_good else _common_trash(files)
    linked = [path for path in files if statuses[path].st_nlink > 1]
    return DeletionPlan(
        entry,
        files,
        size_bytes=sum(status.st_size for status in statuses.values()),
        frees_bytes=sum(_allocated(status) for status in statuses.values()),
        goes_to_trash=trash is not None,
        warnings=(
            *_trash_words(trash, for_good=for_good),
            *_content_words(entry, leftovers, len(linked)),
        ),
        leftovers=leftovers,
        bound=bound,
        trash=trash,
        planned=tuple(
            PlannedFile(path, status.st_size, _identity(status))
            for path, status in statuses.items()
        ),
    )


def delete(plan: DeletionPlan, *, stop: Stop = never) -> DeletionResult:
    """Do what was planned. Once it has begun it is brought to its end: half a set is of no use.

    A file that the trash does not take stays: nothing is deleted for good that was to be
    restorable.

    Raises:
        LibraryError: something else lies there than when it was planned (nothing is changed), or
            the system refuses (the details say what is left).
        DownloadBusyError: a download writes to it right now.
        StoppedError: ``stop`` said so before the first file.
    """
    _check_unchanged(plan)
    check_idle(plan.entry)
    check_stop(stop)
    deleted: list[Path] = []
    # The records last: whatever is left half-way is still known for what it is.
    for path in (*plan.files, *plan.leftovers):
        try:
            if plan.trash is not None and path in plan.files:
                plan.trash.put(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _refused(path, error, plan, deleted) from error
        deleted.append(path)
    folders = {path.parent for path in deleted}
    remove_empty_folders(folders, plan.bound)
    freed_bytes = 0 if plan.goes_to_trash else plan.frees_bytes
    return DeletionResult(tuple(deleted), freed_bytes, plan.goes_to_trash)


def _common_trash(files: Sequence[Path]) -> Trash | None:
    """Return the trash that takes all files, None when one of them would not be taken."""
    found = [find_trash(path) for path in files]
    first = found[0]
    return first if all(trash == first for trash in found) else None


def _trash_words(trash: Trash | None, *, for_good: bool) -> tuple[str, ...]:
    if trash is not None:
        return ("The space becomes free when the trash is emptied.",)
    if for_good:
        return ("The files are deleted for good.",)
    return ("There is no trash on this drive: the files are deleted for good.",)


def _content_words(entry: LibraryEntry, leftovers: Sequence[Path], linked: int) -> tuple[str, ...]:
    words = []
    if any(path.name.endswith(PART) for path in leftovers):
        words.append("What an unfinished download of it left is deleted for good.")
    if not entry.repository:
        words.append("Fathom did not fetch this checkpoint and does not know where it is from.")
    if linked:
        count = "One file has" if linked == 1 else f"{linked} files have"
        words.append(f"{count} another name on the drive as well and will free nothing.")
    return tuple(words)


def _check_unchanged(plan: DeletionPlan) -> None:
    for planned in plan.planned:
        status = check_file(planned.path, plan.bound)
        if (status.st_size, _identity(status)) != (planned.size_bytes, planned.identity):
            raise LibraryError(
                f"{planned.path.name} has changed since this was planned.",
                hint="Look at the library again.",
            )


def _refused(
    path: Path, error: OSError, plan: DeletionPlan, deleted: Sequence[Path]
) -> LibraryError:
    where = "moved to the trash" if plan.trash is not None else "deleted"
    left = [str(file) for file in (*plan.files, *plan.leftovers) if file not in deleted]
    return LibraryError(
        f"{path.name} cannot be {where} ({error.strerror or error}).",
        hint="It is still where it was. Check whether another program uses it.",
        details="Still there:\n" + "\n".join(left[:100]),
    )


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    # A file system gives the number of a deleted file to the next one.
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _allocated(status: os.stat_result) -> int:
    """Return what a file takes from the drive that nothing else keeps."""
    if status.st_nlink > 1:
        return 0
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * _BLOCK_BYTES
