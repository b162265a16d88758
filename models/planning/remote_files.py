"""Opens checkpoints that lie elsewhere, from their headers alone. No Qt here.

Whatever was read once is kept, so that it can be planned again without a network.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from models.errors import MissingShardError, NetworkError, RemoteNotFoundError, StoppedError
from models.gguf.header import GgufHeader, parse_header
from models.gguf.header_file import HeaderFile
from models.gguf.http_source import HttpRangeSource
from models.gguf.shape_reader import read_shape
from models.gguf.shards import parse_shard_name, shard_count
from models.gguf.source import BytesSource
from models.hub.api import RepositoryFiles
from models.hub.hub import Hub
from models.hub.names import RepositoryPlace, quoted
from models.hub.quants import QuantFiles, group_quants
from models.hub.store import Entry
from models.planning.open_checkpoint import OpenCheckpoint, template_of
from models.stopping import Stop, check_stop

_log = logging.getLogger(__name__)

# Smaller than what the source reads at first: a window begins behind the magic number, and one as
# large would ask for more before anything is known to be there.
_WINDOW_BYTES = 16 * 1024
# Headers of shards that are read at the same time.
_AT_ONCE = 4
_HINTED_FILES = 3
_MAX_SHARDS = 1000


@dataclass(frozen=True)
class _Part:
    """A file that is read from elsewhere: its header, and all bytes of that."""

    name: str
    header: GgufHeader
    source: BytesSource
    data: bytes

    def as_file(self) -> HeaderFile:
        return HeaderFile(self.name, self.source.size_bytes, header=self.data)


_Read = Callable[[str, Stop], _Part]


def open_repository_file(
    place: RepositoryPlace, *, text: str, hub: Hub, stop: Stop
) -> OpenCheckpoint:
    """Open a file of a repository, at the commit that its revision means now.

    Raises:
        RemoteNotFoundError, AccessError: no such repository, revision or file, or not for this
            user.
        MissingShardError: the repository lacks a file of the set.
        NotGgufError, UnsupportedGgufError, CorruptGgufError, TruncatedGgufError: not a sound file.
        NetworkError: the hub gave no answer that makes sense; ``OfflineError`` where it may not
            be asked.
        StoppedError: ``stop`` said so.
    """
    listed = hub.files(place, stop=stop)
    _check_listed(place, listed, hub)

    def url_of(name: str) -> str:
        path = PurePosixPath(place.path).with_name(name).as_posix()
        return hub.file_url(listed.repository, listed.commit, path)

    def read(name: str, stop: Stop) -> _Part:
        return _read_pinned(url_of(name), name, hub, stop)

    return _open(PurePosixPath(place.path).name, read, text=text, stop=stop)


def open_url(url: str, *, text: str, hub: Hub, stop: Stop) -> OpenCheckpoint:
    """Open a file at any address; the other files of a set are looked for beside it.

    Raises:
        BadInputError: the address is none.
        RemoteNotFoundError, AccessError: there is no such file, or it is refused.
        MissingShardError, NotGgufError, UnsupportedGgufError, CorruptGgufError,
        TruncatedGgufError, NetworkError, StoppedError: as ``open_repository_file``.
    """
    folder, _, last = urlsplit(url).path.rpartition("/")

    def read(name: str, stop: Stop) -> _Part:
        path = f"{folder}/{quoted(name)}" if unquote(last) != name else f"{folder}/{last}"
        return _read_changing(urlsplit(url)._replace(path=path).geturl(), name, hub, stop)

    return _open(unquote(last), read, text=text, stop=stop)


def quants_in_repository(place: RepositoryPlace, *, hub: Hub, stop: Stop) -> tuple[QuantFiles, ...]:
    """Return the checkpoints of a repository or of a folder in it, the smallest first.

    Raises:
        RemoteNotFoundError: there is no such repository, or nothing to open in it.
        AccessError, NetworkError, StoppedError: as ``open_repository_file``.
    """
    listed = hub.files(place, stop=stop)
    files = listed.files
    if place.is_file:
        _check_listed(place, listed, hub)
        wanted = _set_of(place.path)
        files = tuple(file for file in files if _set_of(file.path) == wanted)
    elif place.path:
        files = tuple(file for file in files if file.path.startswith(f"{place.path}/"))
    quants = group_quants(files, text_of=place.text_of("{path}"))
    if not quants:
        where = f"{place.repository}/{place.path}" if place.path else place.repository
        raise RemoteNotFoundError(
            f"There is no GGUF file in {where} ({hub.host}).",
            hint="Look for a repository with GGUF in its name.",
        )
    return quants


def _open(name: str, read: _Read, *, text: str, stop: Stop) -> OpenCheckpoint:
    """Read a file and the rest of its set."""
    given = read(name, stop)
    names = _names_of_set(name, shard_count(given.header))
    parts = {name: given} | _read_others([other for other in names if other != name], read, stop)
    ordered = [parts[part] for part in names]
    headers = [part.header for part in ordered]
    shape = read_shape(headers, [part.source for part in ordered])
    files = tuple(part.as_file() for part in ordered)
    return OpenCheckpoint(text, shape.name, shape, files, template_of(headers[0]), True, None)


def _read_others(names: Sequence[str], read: _Read, stop: Stop) -> dict[str, _Part]:
    """Read several files at the same time; the first that fails ends the others."""
    if not names:
        return {}
    is_over = threading.Event()

    def read_one(name: str) -> _Part:
        try:
            return read(name, lambda: is_over.is_set() or stop())
        except RemoteNotFoundError as error:
            raise MissingShardError(
                f"A part of the checkpoint is missing: {name}.",
                hint="Look for another repository of the model.",
                details=error.message,
            ) from error

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="headers") as pool:
        futures = {name: pool.submit(read_one, name) for name in names}
        try:
            wait(futures.values(), return_when=FIRST_EXCEPTION)
        finally:
            is_over.set()
            pool.shutdown(cancel_futures=True)
    failures = [f.exception() for f in futures.values() if f.done() and not f.cancelled()]
    for failure in sorted(filter(None, failures), key=lambda f: isinstance(f, StoppedError)):
        # What failed by itself comes before what was stopped because of it.
        raise failure
    return {name: future.result() for name, future in futures.items()}


def _read_pinned(url: str, name: str, hub: Hub, stop: Stop) -> _Part:
    """Read a header behind an address whose content never changes."""
    check_stop(stop)
    kept = hub.store.get(url) if hub.store else None
    if kept is not None:
        return _part_of(name, kept)
    with hub.open_url(url, stop=stop) as source:
        return _read_and_keep(url, name, source, hub)


def _read_changing(url: str, name: str, hub: Hub, stop: Stop) -> _Part:
    """Read a header behind an address whose content may change; where it cannot be asked
    whether it did, what was there before counts."""
    check_stop(stop)
    kept = hub.store.get(url) if hub.store else None
    try:
        with hub.open_url(url, stop=stop) as source:
            is_same = kept and source.etag and kept.etag == source.etag
            if kept and is_same and kept.size_bytes == source.size_bytes:
                return _part_of(name, kept)
            return _read_and_keep(url, name, source, hub)
    except NetworkError as error:
        if kept is None:
            raise
        _log.info("An older header is used: %s", error.one_line())
        return _part_of(name, kept)


def _read_and_keep(url: str, name: str, source: HttpRangeSource, hub: Hub) -> _Part:
    header = parse_header(source, chunk_bytes=_WINDOW_BYTES)
    data = source.read_at(0, header.data_offset)
    if hub.store is not None:
        hub.store.put(Entry(url, source.etag, source.size_bytes, data))
    return _Part(name, header, BytesSource(data, name=name, size_bytes=source.size_bytes), data)


def _part_of(name: str, kept: Entry) -> _Part:
    source = BytesSource(kept.data, name=name, size_bytes=kept.size_bytes)
    return _Part(name, parse_header(source), source, kept.data)


def _names_of_set(name: str, count: int) -> list[str]:
    if count == 1:
        return [name]
    shard = parse_shard_name(name)
    if shard is None or shard.count != count or count > _MAX_SHARDS:
        raise MissingShardError(
            f"{name} is one of {count:,} parts, but its name does not lead to the others.",
            hint="Look for another repository of the model.",
        )
    return [shard.sibling(number) for number in range(1, count + 1)]


def _check_listed(place: RepositoryPlace, listed: RepositoryFiles, hub: Hub) -> None:
    """Check that the file and all of its set are in the repository, by their names."""
    paths = {file.path for file in listed.files}
    if place.path not in paths:
        raise _no_such_file(place, listed, hub)
    pure = PurePosixPath(place.path)
    shard = parse_shard_name(pure.name)
    if shard is None:
        return
    needed = (pure.with_name(shard.sibling(n)).as_posix() for n in range(1, shard.count + 1))
    missing = [path for path in needed if path not in paths]
    if missing:
        raise MissingShardError(
            f"{len(missing)} of {shard.count} parts of the checkpoint are not in "
            f"{place.repository}: {missing[0]}{' and more' if missing[1:] else ''}.",
            hint="Perhaps they are still being uploaded; else look for another repository.",
            details="\n".join(missing[:100]),
        )


def _no_such_file(place: RepositoryPlace, listed: RepositoryFiles, hub: Hub) -> RemoteNotFoundError:
    quants = group_quants(listed.files, text_of=place.text_of("{path}"))
    texts = [quant.text for quant in quants]
    close = difflib.get_close_matches(place.text_of(place.path), texts, n=1, cutoff=0.6)
    shown = close or texts[:_HINTED_FILES]
    hint = "It has no GGUF file."
    if shown:
        hint = f"{'Did you mean' if close else 'It has'} {', '.join(shown)}{'?' if close else '.'}"
    return RemoteNotFoundError(
        f"There is no file {place.path} in {place.repository} ({hub.host}).", hint=hint
    )


def _set_of(path: str) -> tuple[str, str, int]:
    """Return what all files of a set have in common."""
    pure = PurePosixPath(path)
    shard = parse_shard_name(pure.name)
    return (str(pure.parent), *((shard.stem, shard.count) if shard else (pure.name, 1)))
