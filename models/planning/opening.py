"""Opens a checkpoint by path, library name, file on the hub or web address. No Qt here."""

from __future__ import annotations

from pathlib import Path

from models.errors import CheckpointNotFoundError
from models.hub.hub import Hub
from models.hub.quants import QuantFiles
from models.library.library import Library
from models.planning.local_files import open_local, quants_in
from models.planning.open_checkpoint import OpenCheckpoint
from models.stopping import Stop, never

__all__ = ["OpenCheckpoint", "QuantFiles", "open_checkpoint", "quants_of"]


def open_checkpoint(text: str, *, library: Library, hub: Hub, stop: Stop = never) -> OpenCheckpoint:
    """Read the header of the checkpoint that ``text`` means.

    Raises:
        CheckpointNotFoundError, CheckpointUnreadableError: no such file, or not readable.
        MissingShardError: a file of the set is not there.
        NotGgufError, UnsupportedGgufError, CorruptGgufError, TruncatedGgufError: not a sound file.
        StoppedError: ``stop`` said so.
    """
    del hub
    return open_local(library.resolve(text).path, text=text, stop=stop)


def quants_of(text: str, *, hub: Hub, stop: Stop = never) -> tuple[QuantFiles, ...]:
    """Return the checkpoints of a folder or repository, the smallest first."""
    del hub, stop
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise CheckpointNotFoundError(f"There is no folder {text}.")
    return quants_in(folder)
