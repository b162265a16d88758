"""Adding what a person has already: files and folders stay where they are. No Qt here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import CheckpointNotFoundError, CheckpointUnreadableError, LibraryError
from models.gguf.sniff import not_gguf_error
from models.gguf.source import FileSource
from models.library.scan import FoundCheckpoint, Scan, describe_file
from models.transfer.part_file import SUFFIX as PART

_MAGIC = b"GGUF"
# Unfinished downloads of this program, of browsers and of others.
_UNFINISHED = (PART, ".incomplete", ".crdownload", ".download", ".aria2", ".downloadinprogress")


@dataclass(frozen=True)
class Addition:
    """What adding a path means.

    Attributes:
        root: what becomes a root of the library: the folder, or the (first) file of a checkpoint.
        found: the checkpoints in it; nothing is read of them but their names.
        is_known: whether it lies below a root that the library has already.
    """

    root: Path
    found: tuple[FoundCheckpoint, ...]
    is_known: bool


def plan_addition(path: Path, roots: Sequence[Path]) -> Addition:
    """Return what adding a file or folder in place would mean; nothing is changed.

    Args:
        path: a folder, or any file of a checkpoint.
        roots: what the library has already.

    Raises:
        CheckpointNotFoundError: there is nothing at this place.
        CheckpointUnreadableError: the system does not let Fathom see it.
        NotGgufError: a file of another kind; the message says which.
        LibraryError: an unfinished download, or a folder without a checkpoint.
    """
    place = path.absolute()
    try:
        if place.is_dir():
            return _folder(place, roots)
        if place.exists():
            return _file(place, roots)
    except OSError as error:
        raise CheckpointUnreadableError(
            f"{place} cannot be read ({error.strerror or error}).",
            hint="Check its permissions and whether its drive is connected.",
        ) from error
    raise CheckpointNotFoundError(f"There is nothing at {place}.", hint="Choose a GGUF file.")


def _folder(folder: Path, roots: Sequence[Path]) -> Addition:
    # A folder that cannot be listed is an error here; a scan passes it over.
    next(folder.iterdir(), None)
    found = tuple(Scan().run(folder))
    if not found:
        raise LibraryError(f"There is no GGUF file in {folder}.", hint="Choose another folder.")
    return Addition(folder, found, _is_known(folder, roots))


def _file(path: Path, roots: Sequence[Path]) -> Addition:
    if path.name.lower().endswith(_UNFINISHED):
        raise LibraryError(
            f"{path.name} is a download that was not finished.",
            hint="Finish it with the program that began it, then add the file that it makes.",
        )
    with FileSource(path) as source:
        if source.size_bytes < len(_MAGIC) or source.read_at(0, len(_MAGIC)) != _MAGIC:
            raise not_gguf_error(source)
    found = describe_file(path)
    return Addition(found.path, (found,), _is_known(found.path, roots))


def _is_known(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root.absolute()) for root in roots)
