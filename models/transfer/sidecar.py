"""What is known of a file that is being fetched: ``<target>.part.json``. No Qt here.

Whatever it says is safe on the disk: it is written after the data. It alone is enough to go on,
and to know again what was wanted. Its format is in docs/transfer.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.transfer.blocks import Partial, Snapshot
from models.transfer.disk import translated, write_whole
from models.transfer.part_file import part_path
from models.transfer.remote import FileSpec, RemoteObject
from models.transfer.small_json import read_small_json

FORMAT = 1
SUFFIX = ".part.json"

# A file of 512 TB in 64-MiB blocks; nobody sends us into the swap with a sidecar.
_MAX_BYTES = 256 * 1024 * 1024
_MAX_BLOCKS = 8 * 1024 * 1024
_DIGEST_HEX = 32
_NONE_HEX = "-" * _DIGEST_HEX


@dataclass(frozen=True)
class Sidecar:
    """What one sidecar says.

    Attributes:
        remote: what is fetched.
        block_bytes: how it is cut into blocks.
        snapshot: what is in place.
        notes: whatever the caller of the transfer wants to find again.
    """

    remote: RemoteObject
    block_bytes: int
    snapshot: Snapshot
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes_in_place(self) -> int:
        """How many bytes it tells of."""
        size_bytes, step = self.remote.file.size_bytes, self.block_bytes
        done = sum(
            min(step, size_bytes - index * step)
            for index, digest in enumerate(self.snapshot.digests)
            if digest
        )
        return done + sum(partial.position for partial in self.snapshot.partials.values())


def sidecar_path(target: Path) -> Path:
    """Return where the sidecar of a file lies."""
    return target.with_name(target.name + SUFFIX)


def write_sidecar(target: Path, sidecar: Sidecar) -> None:
    """Write it whole or not at all.

    Raises:
        DiskFullError, DiskError.
    """
    remote = sidecar.remote
    data = {
        "format": FORMAT,
        "endpoint": remote.endpoint,
        "repository": remote.repository,
        "commit": remote.commit,
        "path": remote.file.path,
        "target": remote.file.target,
        "size_bytes": remote.file.size_bytes,
        "digest": remote.file.digest,
        "block_bytes": sidecar.block_bytes,
        "blocks": "".join(digest or _NONE_HEX for digest in sidecar.snapshot.digests),
        "partial": {
            str(index): [partial.position, partial.digest]
            for index, partial in sidecar.snapshot.partials.items()
        },
        "notes": dict(sidecar.notes),
    }
    write_whole(sidecar_path(target), json.dumps(data).encode())


def read_sidecar(target: Path) -> Sidecar | None:
    """Return what the sidecar of a file says; None when there is none that can be used."""
    return read_sidecar_file(sidecar_path(target))


def read_sidecar_file(path: Path) -> Sidecar | None:
    """As ``read_sidecar``, by the sidecar's own path."""
    # Not there, or not ours: what was fetched is fetched anew then.
    return read_small_json(path, _parsed, limit_bytes=_MAX_BYTES)


def bytes_in_place(target: Path) -> int:
    """Return what an earlier run left of a file, by its sidecar alone; 0 when there is nothing."""
    try:
        if not part_path(target).is_file():
            return 0
    except OSError:
        return 0
    sidecar = read_sidecar(target)
    return sidecar.bytes_in_place if sidecar else 0


def _parsed(data: Any) -> Sidecar:
    """Return what a sidecar holds.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    if data["format"] != FORMAT:
        raise ValueError("another format")
    file = FileSpec(
        str(data["path"]), str(data["target"]), int(data["size_bytes"]), str(data["digest"])
    )
    remote = RemoteObject(str(data["endpoint"]), str(data["repository"]), str(data["commit"]), file)
    block_bytes = int(data["block_bytes"])
    if block_bytes <= 0 or file.size_bytes < 0:
        raise ValueError("no blocks")
    count = -(-file.size_bytes // block_bytes)
    if count > _MAX_BLOCKS:
        raise ValueError("too many blocks")
    digests = _digests(data["blocks"], count)
    partials = {
        int(index): Partial(int(position), str(digest))
        for index, (position, digest) in dict(data["partial"]).items()
    }
    for index, partial in partials.items():
        room = min(block_bytes, file.size_bytes - index * block_bytes)
        if not (0 <= index < count and 0 < partial.position <= room) or digests[index]:
            raise ValueError("a part of a block that is none")
    notes = data.get("notes", {})
    return Sidecar(remote, block_bytes, Snapshot(digests, partials), dict(notes))


def _digests(text: str, count: int) -> tuple[str, ...]:
    pieces = [text[at : at + _DIGEST_HEX] for at in range(0, len(text), _DIGEST_HEX)]
    if len(pieces) != count:
        raise ValueError("another number of blocks")
    for piece in pieces:
        if piece != _NONE_HEX and len(bytes.fromhex(piece)) * 2 != _DIGEST_HEX:
            raise ValueError("no digest")
    return tuple("" if piece == _NONE_HEX else piece for piece in pieces)


def forget_sidecar(target: Path) -> None:
    """Remove the sidecar if it is there.

    Raises:
        DiskError: it cannot be removed.
    """
    path = sidecar_path(target)
    with translated(path):
        path.unlink(missing_ok=True)
