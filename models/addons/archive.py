"""An add-on from a file: its signature first, then unpacked within bounds, then there at once.

An archive is a ``.tar.gz`` whose first member is ``NAME/addon.json``; the files that it lists
follow in its order, and nothing else. So the signature is looked at before anything is written, and
every name and size is known before it comes: no path, link, device or bomb has a place in it. No Qt
here.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from models.addons.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    AddonFile,
    AddonManifest,
    Host,
    misfit,
    open_manifest,
)
from models.errors import AddonError
from models.file_locks import try_lock
from models.private_files import PRIVATE_FILE, make_private_folder, open_private
from models.stopping import Stop, check_stop, never
from models.transfer.disk import disk_full, free_bytes, translated
from models.whole_files import sync_folder

_CHUNK_BYTES = 1 << 20
# Headers and padding of a few files, with room to spare.
_SLACK_BYTES = 1 << 20
# An end in the middle leaves folders of these names: to be removed, and to be put back.
_NEW, _OLD = ".new-", ".old-"
_LOCK = ".lock"

Listen = Callable[[int, int], None]


def add_addon(
    file: Path,
    folder: Path,
    *,
    keys: Sequence[bytes],
    host: Host,
    listen: Listen = lambda _done, _total: None,
    stop: Stop = never,
) -> AddonManifest:
    """Unpack an add-on and put it in the place of one of the same name.

    Nothing is changed unless all of it is there and as it was signed.

    Args:
        file: a ``.tar.gz``.
        folder: ``addons`` among the user's data; made when it is missing.
        keys: public keys of whom to believe.
        host: what it has to fit.
        listen: told how many bytes of how many are unpacked.
        stop: asked between chunks.

    Raises:
        AddonError: it is no add-on, is not signed, does not fit or is damaged.
        DiskError, DiskFullError: it cannot be read, or written.
        StoppedError: ``stop`` said so.
    """
    with translated(file), file.open("rb") as packed, _unpacking(packed) as members:
        manifest_bytes = members.manifest_bytes()
        manifest = open_manifest(manifest_bytes, keys)
        if problem := misfit(manifest, host):
            raise AddonError(f"This add-on does not fit. {problem}")
        if members.name != manifest.name:
            raise _damaged(f"{members.name!r} holds {manifest.name!r}")
        with _alone(folder), _staging(folder, manifest) as new:
            _write(new / MANIFEST_NAME, manifest_bytes)
            done_bytes = 0
            for expected in manifest.files:
                for size_bytes in members.unpack(expected, new, stop):
                    done_bytes += size_bytes
                    listen(done_bytes, manifest.size_bytes)
            members.expect_end()
            with translated(folder):
                _put_in_place(new, folder / manifest.name)
    return manifest


def remove_addon(folder: Path, name: str) -> None:
    """Remove an add-on from the user's folder: gone at once, or not at all.

    Raises:
        AddonError: there is none of that name.
        DiskError: it cannot be removed.
    """
    place = folder / name
    is_one = bool(name) and not name.startswith(".") and Path(name).name == name
    if not is_one or place.is_symlink() or not place.is_dir():
        raise AddonError(f"There is no add-on called {name}.", hint='See "fathom addons".')
    with _alone(folder), translated(place):
        gone = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
        place.rename(gone / name)
        sync_folder(folder)
        shutil.rmtree(gone, ignore_errors=True)


class _Members:
    """The members of an archive, one after the other, each looked at before it is read."""

    def __init__(self, source: _BoundedReader, tar: tarfile.TarFile) -> None:
        self._source = source
        self._tar = tar
        self.name = ""

    def manifest_bytes(self) -> bytes:
        """Return the first member, which has to be ``NAME/addon.json``."""
        member = self._next()
        self.name, _, rest = member.name.partition("/") if member else ("", "", "")
        if member is None or rest != MANIFEST_NAME or not _is_plain(member):
            raise _damaged("it does not begin with addon.json")
        if member.size > MAX_MANIFEST_BYTES:
            raise _damaged("its addon.json is too long")
        return b"".join(self._data(member))

    def unpack(self, expected: AddonFile, folder: Path, stop: Stop) -> Iterator[int]:
        """Write the next member, which has to be this file; yields what each chunk has."""
        self._source.allow(expected.size_bytes + _SLACK_BYTES)
        member = self._next()
        if member is None or member.name != f"{self.name}/{expected.name}":
            raise _damaged(f"{expected.name} does not come where it should")
        if not _is_plain(member) or member.size != expected.size_bytes:
            raise _damaged(f"{expected.name} is not the file it should be")
        digest = hashlib.sha256()
        path = folder / expected.name
        with translated(path, needed_bytes=expected.size_bytes), _new_file(path) as file:
            for chunk in self._data(member):
                check_stop(stop)
                digest.update(chunk)
                file.write(chunk)
                yield len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != expected.sha256:
            raise _damaged(f"{expected.name} has another SHA-256 than the one that was signed")

    def expect_end(self) -> None:
        """Refuse what comes after the last file."""
        if self._next() is not None:
            raise _damaged("something comes after its last file")

    def _next(self) -> tarfile.TarInfo | None:
        return self._tar.next()

    def _data(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        data = self._tar.extractfile(member)
        if data is None:
            raise _damaged(f"{member.name!r} has no content")
        left_bytes = member.size
        while left_bytes > 0:
            chunk = data.read(min(left_bytes, _CHUNK_BYTES))
            if not chunk:
                raise _damaged(f"{member.name!r} ends too early")
            left_bytes -= len(chunk)
            yield chunk


class _BoundedReader:
    """Reads from a decompressed stream no more than is allowed, and never much at once.

    ``tarfile`` believes the sizes in headers, and reads some of them (long names, pax records)
    whole.
    """

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._allowed_bytes = MAX_MANIFEST_BYTES + _SLACK_BYTES

    def allow(self, size_bytes: int) -> None:
        """Let that much more be read."""
        self._allowed_bytes += size_bytes

    def read(self, size_bytes: int = -1) -> bytes:
        """Return at most so many bytes."""
        if not 0 <= size_bytes <= min(_CHUNK_BYTES, self._allowed_bytes):
            raise _damaged("it has more in it than was signed")
        data = self._stream.read(size_bytes)
        self._allowed_bytes -= len(data)
        return data

    def seek(self, place: int) -> int:
        """Go on to a later place: only over what has been allowed."""
        ahead_bytes = place - self._stream.tell()
        if not 0 <= ahead_bytes <= self._allowed_bytes:
            raise _damaged("it leads to a place where nothing was signed")
        self._allowed_bytes -= ahead_bytes
        return self._stream.seek(place)

    def tell(self) -> int:
        """Return the place in the decompressed stream."""
        return self._stream.tell()


@contextlib.contextmanager
def _unpacking(packed: IO[bytes]) -> Iterator[_Members]:
    """Open an archive; whatever it is instead of one is an AddonError."""
    try:
        with gzip.GzipFile(fileobj=packed) as stream:
            source = _BoundedReader(stream)
            with tarfile.open(fileobj=source, mode="r:") as tar:  # type: ignore[call-overload]
                yield _Members(source, tar)
    # tarfile takes numbers out of records without a second look: one that is none, or that has
    # thousands of digits, is a ValueError there.
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise _damaged(str(error)[:300]) from error


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other Fathoms out of the folder, and tidy what one that ended in the middle left."""
    with translated(folder):
        make_private_folder(folder)
        handle = open_private(str(folder / _LOCK), os.O_RDWR | os.O_CREAT)
    try:
        if not try_lock(handle):
            raise AddonError(
                "Another Fathom is changing the add-ons just now.", hint="Wait until it is done."
            )
        with translated(folder):
            _remove_leftovers(folder)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _staging(folder: Path, manifest: AddonManifest) -> Iterator[Path]:
    """Make a folder for what is unpacked, if there is room, and leave nothing of it."""
    needed_bytes = manifest.size_bytes + _SLACK_BYTES
    room_bytes = free_bytes(folder)
    if room_bytes is not None and room_bytes < needed_bytes:
        raise disk_full(folder / manifest.name, needed_bytes)
    with translated(folder):
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _put_in_place(new: Path, place: Path) -> None:
    sync_folder(new)
    old: Path | None = None
    if place.is_dir():
        old = Path(tempfile.mkdtemp(prefix=_OLD, dir=place.parent))
        place.rename(old / place.name)
    try:
        new.rename(place)
    except OSError:
        if old is not None:
            (old / place.name).rename(place)
        raise
    sync_folder(place.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what an end in the middle left behind; an add-on that it moved away comes back."""
    for path in folder.iterdir():
        if path.is_symlink() or not path.name.startswith((_NEW, _OLD)):
            continue
        if path.name.startswith(_OLD):
            for kept in path.iterdir():
                if not (folder / kept.name).exists():
                    kept.rename(folder / kept.name)
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, PRIVATE_FILE), "wb") as file:
        yield file


def _write(path: Path, data: bytes) -> None:
    with translated(path, needed_bytes=len(data)), _new_file(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _damaged(details: str) -> AddonError:
    return AddonError(
        "This file is not a whole add-on of Fathom.",
        hint="Fetch it again from where Fathom comes from.",
        details=details,
    )
