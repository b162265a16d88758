"""Checkpoints on disk as Fathom and other programs leave them: small, with true digests."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from models.library.entry import LibraryEntry
from models.library.library import Library
from models.transfer.record import FileRecord, write_record

BLOCK_BYTES = 4096
REPOSITORY = "someone/Model-GGUF"
COMMIT = "ab" * 20


def content(seed: int, size_bytes: int = 3 * BLOCK_BYTES + 5) -> bytes:
    """Return a file's content that begins as GGUF does."""
    return b"GGUF" + random.Random(seed).randbytes(size_bytes - 4)


def put(path: Path, data: bytes) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hex digits."""
    return hashlib.sha256(data).hexdigest()


def record_of(data: bytes, path: str, *, repository: str = REPOSITORY) -> FileRecord:
    """Return what a download of ``data`` would write down."""
    starts = range(0, len(data), BLOCK_BYTES)
    blocks = (sha256(data[at : at + BLOCK_BYTES])[:32] for at in starts)
    return FileRecord(
        endpoint="http://hub.example",
        repository=repository,
        commit=COMMIT,
        path=path,
        size_bytes=len(data),
        digest=f"sha256:{sha256(data)}",
        block_bytes=BLOCK_BYTES,
        block_digests=tuple(blocks),
        verified_s=time.time(),
        is_independent=True,
    )


def fetched(root: Path, name: str, data: bytes, *, repository: str = REPOSITORY) -> Path:
    """Leave a file as a download does: below ``root/owner/name``, with its record."""
    path = put(root / repository / name, data)
    write_record(path, record_of(data, name, repository=repository))
    return path


def fetched_set(root: Path, count: int = 3, stem: str = "Model-Q4_K_M") -> tuple[Path, ...]:
    """Leave a set of shards as a download does."""
    names = [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    return tuple(
        fetched(root, f"Q4_K_M/{name}", content(number)) for number, name in enumerate(names)
    )


def only_entry(library: Library) -> LibraryEntry:
    """Return the one checkpoint of a library."""
    (entry,) = library.entries()
    return entry


def entry_of(root: Path) -> LibraryEntry:
    """Return the one checkpoint below a folder."""
    return only_entry(Library([root], None))


def ollama_model(store: Path, name: Sequence[str], data: bytes) -> Path:
    """Leave a model as Ollama does; return its blob. ``name`` is host, namespace, model, tag."""
    blob = put(store / "blobs" / f"sha256-{sha256(data)}", data)
    layer = "application/vnd.ollama.image."
    manifest = {
        "schemaVersion": 2,
        "layers": [
            {"mediaType": f"{layer}model", "digest": f"sha256:{sha256(data)}", "size": len(data)},
            {"mediaType": f"{layer}template", "digest": f"sha256:{'0' * 64}", "size": 3},
        ],
    }
    put(store.joinpath("manifests", *name), json.dumps(manifest).encode())
    return blob


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes | str]]:
    """Return all that a change below a folder would change: names, modes, times, contents."""
    found: dict[str, tuple[int, int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        what: bytes | str = ""
        if path.is_symlink():
            what = str(path.readlink())
        elif path.is_file():
            what = path.read_bytes()
        key = str(path.relative_to(folder))
        found[key] = (status.st_mode, status.st_mtime_ns, what)
    return found


@contextmanager
def other_drive(than: Path) -> Iterator[Path | None]:
    """Give an empty folder on another drive than ``than``, None where there is no other."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == than.stat().st_dev:
        yield None
        return
    folder = Path(mkdtemp(dir=memory))
    try:
        yield folder
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        folder.rmdir()
