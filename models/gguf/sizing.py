"""What the first 64 KB of a GGUF file say: the numbers that size it, before any vocabulary. No Qt.

Converters write the architecture's keys before the tokenizer's, so that the start of a file is
enough to know its layers, experts and cache. The format promises no order, though: where the start
is not enough, ``SizingFacts`` says so instead of guessing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

from models.errors import CorruptGgufError
from models.gguf.checkpoint import quantization_name
from models.gguf.cursor import MAX_HEADER_BYTES, Cursor
from models.gguf.header import GgufHeader, HeaderParser
from models.gguf.hyperparameters import ARCHITECTURE_KEY, read_hyperparameters
from models.gguf.shape import ModelShape
from models.gguf.shape_reader import checkpoint_name
from models.gguf.shards import shard_count
from models.gguf.source import ByteSource, BytesSource

SIZING_BYTES = 64 * 1024


@dataclass(frozen=True)
class SizingFacts:
    """What the start of a file says about its size.

    Attributes:
        shape: layers, experts, cache and so on, without tensors; None when more has to be read.
            MTP blocks are counted by the header's word, dense ones by their key.
        n_tensors: tensor infos in this file.
        n_files: how many files the checkpoint has, 1 while that is not known.
        file_bytes: size of this file.
        read_bytes: how much of it was read for this.
        is_whole: whether all metadata was in there, so that nothing later can change the answer.
        missing: why more has to be read, in words; empty when ``shape`` is there.
    """

    shape: ModelShape | None
    n_tensors: int
    n_files: int
    file_bytes: int
    read_bytes: int
    is_whole: bool
    missing: str = ""


def read_sizing(source: ByteSource, *, limit_bytes: int = SIZING_BYTES) -> SizingFacts:
    """Read the metadata in the first ``limit_bytes`` of a file, in one piece.

    Only the first file of a set has the numbers.

    Raises:
        NotGgufError, UnsupportedGgufError, CorruptGgufError, TruncatedGgufError: not a sound file,
            as far as its start tells.
    """
    data = source.read_at(0, min(limit_bytes, source.size_bytes))
    start = BytesSource(data, name=source.name, size_bytes=source.size_bytes)
    parser = HeaderParser(start, None, _StartCursor(start))
    try:
        parser.read_metadata()
        is_whole = True
    except _StartEndsError:
        is_whole = False
    shape, missing = _shape(parser, is_whole=is_whole)
    n_files = shard_count(parser.header())
    if shape is not None and n_files == 1:
        shape = replace(shape, file_bytes=source.size_bytes)
    return SizingFacts(
        shape=shape,
        n_tensors=parser.n_tensors,
        n_files=n_files,
        file_bytes=source.size_bytes,
        read_bytes=len(data),
        is_whole=is_whole,
        missing=missing,
    )


class _StartEndsError(Exception):
    """The start of the file is over, the file is not."""


class _StartCursor(Cursor):
    """Tells a file that goes on from one that was cut off."""

    def beyond(self, end: int, what: str = "its header") -> NoReturn:
        if end <= min(self._source.size_bytes, MAX_HEADER_BYTES):
            raise _StartEndsError
        super().beyond(end, what)


def _shape(parser: HeaderParser, *, is_whole: bool) -> tuple[ModelShape | None, str]:
    """Return the shape, or None and why it takes more to know it."""
    header = parser.header()
    if not is_whole:
        if parser.array_begun is not None:
            # Its length stands before its elements, which are cut off.
            parser.metadata.setdefault(*parser.array_begun)
        missing = _not_reached(header)
        if missing:
            return None, missing
    try:
        numbers = read_hyperparameters(header)
    except CorruptGgufError as error:
        if is_whole:
            raise
        # A key further on may put it right.
        return None, error.message
    return numbers.bare_shape(checkpoint_name(header), quantization_name(header, ())), ""


def _not_reached(header: GgufHeader) -> str:
    """Return why the architecture's keys may go on behind the start, empty when they do not.

    They stand together: once a key of something else has followed them, they are over.
    """
    architecture = header.text(ARCHITECTURE_KEY)
    if not architecture:
        return "the architecture comes after the start of the file"
    keys = list(header.metadata)
    own = [number for number, key in enumerate(keys) if key.startswith(f"{architecture}.")]
    if not own:
        return f"the keys of {architecture} come after the start of the file"
    if own[-1] == len(keys) - 1:
        return f"the keys of {architecture} may go on after the start of the file"
    return ""
