"""What of a checkpoint is the user's to move or delete, and what belongs to it. No Qt here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from models.errors import LibraryError
from models.gguf.shards import parse_shard_name
from models.library.entry import LibraryEntry
from models.library.scan import Scan
from models.stopping import never
from models.transfer.part_file import open_part, part_path
from models.transfer.record import read_record, record_path
from models.transfer.sidecar import sidecar_path

_SUFFIX = ".gguf"
_PROGRAMS = {"huggingface": "the Hugging Face cache", "lmstudio": "LM Studio", "ollama": "Ollama"}


def check_own(entry: LibraryEntry) -> Path:
    """Check that a checkpoint may be moved and deleted; return the folder that bounds it.

    Raises:
        LibraryError: it belongs to somebody else, is reached through a link, lies outside the
            library or on a drive that is not there, or its folder cannot be written.
    """
    if entry.is_demo:
        raise LibraryError("The demo is a part of Fathom; it cannot be moved or deleted.")
    if entry.is_read_only:
        whose = _PROGRAMS.get(entry.source, "another program")
        raise LibraryError(
            f"{entry.name} belongs to {whose}; Fathom only reads it.",
            hint="Delete it with the program that fetched it.",
        )
    if entry.is_offline:
        raise LibraryError(f"{entry.name} is not there now.", hint="Connect its drive first.")
    if entry.root is None:
        raise LibraryError(
            f"{entry.path} is not in a folder of the library.", hint="Add its folder first."
        )
    bound = entry.root.parent if entry.root in entry.paths else entry.root
    for path in entry.paths:
        check_file(path, bound)
    return bound


def check_file(path: Path, bound: Path) -> os.stat_result:
    """Check that a path is a plain file below ``bound``, reached without links; return its status.

    Links above ``bound`` are the user's own way to the folder and do not matter.

    Raises:
        LibraryError: it is not, or the system does not let it be changed.
    """
    try:
        status = os.lstat(path)
    except OSError as error:
        raise LibraryError(
            f"{path} is not there any more ({error.strerror or error}).",
            hint="Look at the library again.",
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise LibraryError(
            f"{path.name} is a link or no plain file; Fathom leaves it alone.",
            hint=f"It leads to {os.path.realpath(path)}.",
        )
    real_folder, real_bound = os.path.realpath(path.parent), os.path.realpath(bound)
    if path.is_relative_to(bound):
        expected = os.path.join(real_bound, path.parent.relative_to(bound))  # noqa: PTH118
        is_inside = os.path.normpath(expected) == real_folder
    else:
        is_inside = False
    if not is_inside:
        raise LibraryError(
            f"{path} lies outside the library's folder {bound}; Fathom leaves it alone.",
            hint=f"It leads to {os.path.join(real_folder, path.name)}.",  # noqa: PTH118
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise LibraryError(
            f"The folder {path.parent} cannot be changed by this user.",
            hint="Check the permissions there.",
        )
    if _is_held_by_its_owner(path.parent, status):
        raise LibraryError(
            f"{path.name} belongs to another user, and only its owner may move or delete it there.",
            hint=f"Ask whoever put it into {path.parent}.",
        )
    return status


def _is_held_by_its_owner(folder: Path, status: os.stat_result) -> bool:
    """Whether a folder that all may write to (as /tmp) keeps a file for another user.

    Known before anything is copied: a move between drives would find out at its end, hours later.
    """
    if not hasattr(os, "geteuid"):
        return False
    try:
        above = folder.stat()
    except OSError:
        return False
    is_sticky = bool(above.st_mode & stat.S_ISVTX)
    return is_sticky and os.geteuid() not in (0, status.st_uid, above.st_uid)


def set_paths(entry: LibraryEntry) -> list[Path]:
    """Return where all files of the set would be, also those that are missing."""
    name = parse_shard_name(entry.path.name)
    if name is None:
        return list(entry.paths)
    return [entry.path.with_name(name.sibling(number)) for number in range(1, name.count + 1)]


def check_idle(entry: LibraryEntry) -> None:
    """Check that no download writes to one of the checkpoint's files right now.

    Raises:
        DownloadBusyError: one does, in this program or in another one.
        DiskError: the system does not say.
    """
    for target in set_paths(entry):
        if _is_plain(part_path(target)):
            open_part(target, lock_s=0.0, stop=never).close()


def unfinished(entry: LibraryEntry) -> list[Path]:
    """Return what a download of the same files left that was not finished."""
    places = [place for path in set_paths(entry) for place in (part_path(path), sidecar_path(path))]
    return [place for place in places if _is_plain(place)]


def records(paths: list[Path]) -> list[Path]:
    """Return the records of files that have one."""
    return [place for place in map(record_path, paths) if _is_plain(place)]


def companions(entry: LibraryEntry, bound: Path) -> list[Path]:
    """Return the texts that were fetched with a checkpoint and serve no other one.

    They lie in ``bound/owner/name`` and have records that say so. As long as there is another
    checkpoint below that folder, they stay.
    """
    base = repository_folder(entry, bound)
    if base is None or not entry.repository:
        return []
    own = set(entry.paths)
    if any(not set(found.files) <= own for found in Scan().run(base)):
        return []
    found = []
    for folder in {base, *(path.parent for path in own)}:
        for text in _recorded(folder):
            record = read_record(text)
            if record is not None and record.repository == entry.repository:
                found.append(text)
    return sorted(found)


def repository_folder(entry: LibraryEntry, bound: Path) -> Path | None:
    """Return ``bound/owner/name`` when the checkpoint lies below it, else None."""
    parts = entry.path.parent.relative_to(bound).parts
    owner, _, name = entry.repository.partition("/")
    if len(parts) < 2 or not owner or (parts[0], parts[1]) != (owner, name):
        return None
    return bound / owner / name


def remove_empty_folders(folders: set[Path], bound: Path) -> None:
    """Remove folders that hold nothing any more, and those above them up to ``bound``."""
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        for place in (folder, *folder.parents):
            if place == bound or not place.is_relative_to(bound):
                break
            try:
                place.rmdir()
            except OSError:
                break


def _recorded(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that have records and are no checkpoints."""
    try:
        places = sorted(record_path(folder / "x").parent.iterdir())
    except OSError:
        return
    for place in places:
        text = folder / place.name.removesuffix(".json")
        is_record = place.suffix == ".json" and record_path(text) == place
        if is_record and not text.name.lower().endswith(_SUFFIX) and _is_plain(text):
            yield text


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
