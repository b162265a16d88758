"""Opens checkpoints that lie on this machine, from their headers alone. No Qt here."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from models.gguf.header import GgufHeader, parse_header
from models.gguf.header_file import HeaderFile
from models.gguf.shape_reader import read_shape
from models.gguf.shards import shard_count, shard_paths
from models.gguf.source import FileSource
from models.hub.quants import QuantFiles, quant_name
from models.library.scan import Scan
from models.planning.open_checkpoint import OpenCheckpoint, template_of
from models.stopping import Stop, check_stop


def open_local(path: Path, *, text: str, stop: Stop) -> OpenCheckpoint:
    """Open the checkpoint that ``path`` belongs to; it may be any file of a set.

    Raises:
        CheckpointNotFoundError, CheckpointUnreadableError: no such file, or not readable.
        MissingShardError: a file of the set is not there.
        NotGgufError, UnsupportedGgufError, CorruptGgufError, TruncatedGgufError: not a sound file.
        StoppedError: ``stop`` said so.
    """
    # Children work in folders of their own.
    path = path.absolute()
    with ExitStack() as stack:
        given = stack.enter_context(FileSource(path))
        given_header = parse_header(given)
        paths = _all_files(path, given_header)
        sources, headers = [], []
        for part in paths:
            check_stop(stop)
            source = given if part == path else stack.enter_context(FileSource(part))
            sources.append(source)
            headers.append(given_header if part == path else parse_header(source))
        shape = read_shape(headers, sources)
    files = tuple(
        HeaderFile(part.name, source.size_bytes, path=part)
        for part, source in zip(paths, sources, strict=True)
    )
    return OpenCheckpoint(text, shape.name, shape, files, template_of(headers[0]), False, paths[0])


def quants_in(folder: Path) -> tuple[QuantFiles, ...]:
    """Return the checkpoints below a folder, by their file names, the smallest first."""
    found = (
        QuantFiles(
            name=checkpoint.stem,
            quant=quant_name(checkpoint.path.name),
            size_bytes=checkpoint.size_bytes,
            text=str(checkpoint.path),
            shards=checkpoint.shards,
            missing=checkpoint.missing,
        )
        for checkpoint in Scan().run(folder)
    )
    return tuple(sorted(found, key=lambda quant: (quant.size_bytes, quant.name)))


def _all_files(path: Path, header: GgufHeader) -> tuple[Path, ...]:
    """Return all files of the set, the first one first; a lone file is a set of one."""
    count = shard_count(header)
    return (path,) if count == 1 else shard_paths(path, count)
