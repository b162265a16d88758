"""Opens a checkpoint by path, library name, file on the hub or web address. No Qt here."""

from __future__ import annotations

from pathlib import Path

from models.errors import (
    BadInputError,
    CheckpointNotFoundError,
    CheckpointUnreadableError,
    NetworkError,
    RemoteNotFoundError,
)
from models.hub.hub import Hub
from models.hub.names import RepositoryPlace, is_web_address, parse_place
from models.hub.quants import QuantFiles
from models.library.library import Library
from models.planning.local_files import open_local, quants_in
from models.planning.open_checkpoint import OpenCheckpoint
from models.planning.remote_files import open_repository_file, open_url, quants_in_repository
from models.stopping import Stop, check_stop, never

__all__ = ["OpenCheckpoint", "QuantFiles", "is_elsewhere", "open_checkpoint", "quants_of"]

_WEB = ("https://", "http://")
_SUFFIX = ".gguf"


def open_checkpoint(text: str, *, library: Library, hub: Hub, stop: Stop = never) -> OpenCheckpoint:
    """Read the header of the checkpoint that ``text`` means; no weights are read.

    Args:
        text: a path (of any file of a set), a name in the library, a file of a repository as
            ``owner/name/path/file.gguf[@revision]``, or a web address. What lies on this machine
            comes first.
        library: the checkpoints on this machine.
        hub: where repositories are.
        stop: is asked all the time; opening then ends within half a second.

    Raises:
        BadInputError: the text leads nowhere, or not to a sound checkpoint; its subclasses say
            why (``CheckpointNotFoundError``, ``MissingShardError``, ``NotGgufError``,
            ``CorruptGgufError``, ``RemoteNotFoundError``, ``AccessError`` and so on).
        NetworkError: the hub gave no answer that makes sense.
        StoppedError: ``stop`` said so.
    """
    check_stop(stop)
    if text.lower().startswith(_WEB):
        return _open_address(text, hub, stop)
    try:
        path = library.resolve(text).path
    except CheckpointNotFoundError as error:
        place = parse_place(text)
        # "folder/file.gguf" could be a repository's name too, but hardly is meant so.
        if place is None or _exists(text) or (text.lower().endswith(_SUFFIX) and not place.path):
            raise
        if not place.is_file:
            raise _no_file_of(place, error) from error
        return _open_elsewhere(place, text, hub, stop)
    return open_local(path, text=text, stop=stop)


def quants_of(text: str, *, hub: Hub, stop: Stop = never) -> tuple[QuantFiles, ...]:
    """Return the checkpoints of a folder or a repository, by their file names, smallest first.

    Args:
        text: a folder, or a file for the one checkpoint it belongs to; ``owner/name[@revision]``,
            a folder or file in it, or its web address.
        hub: where repositories are.
        stop: is asked all the time.

    Raises:
        CheckpointNotFoundError, RemoteNotFoundError: there is no such folder or repository, or
            no GGUF file in it.
        CheckpointUnreadableError, AccessError, NetworkError, StoppedError.
    """
    check_stop(stop)
    if text.lower().startswith(_WEB):
        place = hub.place_of(text)
        if place is None:
            raise CheckpointNotFoundError(
                f"{text[:200]} is not a repository of {hub.host}.",
                hint=f"It should look like {hub.endpoint}/owner/name.",
            )
        return quants_in_repository(place, hub=hub, stop=stop)
    if _exists(text):
        return _quants_here(Path(text).expanduser())
    place = parse_place(text)
    if place is None:
        raise CheckpointNotFoundError(
            f'There is no folder "{text[:200]}", and it is not the name of a repository.',
            hint="A repository is written as owner/name.",
        )
    return quants_in_repository(place, hub=hub, stop=stop)


def is_elsewhere(text: str) -> bool:
    """Whether a text may mean something that is not on this machine."""
    return "/" in text and not _exists(text)


def _open_elsewhere(place: RepositoryPlace, text: str, hub: Hub, stop: Stop) -> OpenCheckpoint:
    """Open a file of a repository whose text could have meant a file here as well."""
    try:
        return open_repository_file(place, text=text, hub=hub, stop=stop)
    except (RemoteNotFoundError, NetworkError) as error:
        error.hint = f"There is no such file on this machine either. {error.hint}".strip()
        raise


def _open_address(text: str, hub: Hub, stop: Stop) -> OpenCheckpoint:
    place = hub.place_of(text)
    if place is not None and place.is_file:
        return open_repository_file(place, text=text, hub=hub, stop=stop)
    if place is not None:
        raise _no_file_of(place, None)
    if not is_web_address(text) or not _path_of(text).lower().endswith(_SUFFIX):
        raise BadInputError(
            f"{text[:200]} is not the address of a GGUF file.",
            hint="It should look like https://host/folder/file.gguf.",
        )
    return open_url(text, text=text, hub=hub, stop=stop)


def _path_of(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]


def _no_file_of(
    place: RepositoryPlace, local: CheckpointNotFoundError | None
) -> CheckpointNotFoundError:
    """Return the error for a repository where a file was wanted."""
    what = "There is no such file here, and " if local else ""
    return CheckpointNotFoundError(
        f"{what}{place.repository} names a repository, not a GGUF file in it.",
        hint=f"Write {place.repository}/FILE.gguf; "
        f'"fathom plan --compare {place.repository}" lists its files.',
        details=local.one_line() if local else "",
    )


def _exists(text: str) -> bool:
    try:
        return bool(text) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _quants_here(path: Path) -> tuple[QuantFiles, ...]:
    try:
        found = quants_in(path)
    except OSError as error:
        raise CheckpointUnreadableError(f"{path} cannot be read ({error.strerror}).") from error
    if not found:
        raise CheckpointNotFoundError(f"There is no GGUF file in {path}.", hint="Choose another.")
    return found
