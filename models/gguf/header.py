"""Reads a GGUF header (v2, v3) and trusts none of its numbers. No Qt here.

Nothing of the tensor data is read, and arrays (the vocabulary) are only measured unless they
are asked for. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Where the
format allows more than llama.cpp reads, llama.cpp's rules hold (``gguf_init_from_reader``).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import TruncatedGgufError, UnsupportedGgufError
from models.gguf.cursor import CHUNK_BYTES, Cursor, corrupt
from models.gguf.sniff import not_gguf_error
from models.gguf.source import ByteSource, FileSource
from models.gguf.types import ARRAY, GGML_TYPES, SCALARS, STRING
from models.units import format_bytes

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
ALIGNMENT_KEY = "general.alignment"

MAX_METADATA = 10_000
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 65_535
MAX_ALL_KEYS_BYTES = 1024 * 1024
MAX_NAME_BYTES = 63
MAX_DIMENSIONS = 4
# Texts above this are measured, not kept; so are all once the second limit is reached.
MAX_TEXT_BYTES = 1024 * 1024
MAX_KEPT_TEXT_BYTES = 4 * 1024 * 1024
# Elements of one array that may be asked for.
MAX_ARRAY_ELEMENTS = 1_000_000
# Arrays of numbers up to this length (a number for each layer) are kept unasked, this many in all.
MAX_SHORT_ARRAY = 512
MAX_KEPT_ELEMENTS = 65_536

# A key of one byte, its type and a value of one byte; a nameless tensor without dimensions.
_LEAST_METADATA_BYTES = 8 + 1 + 4 + 1
_LEAST_TENSOR_BYTES = 8 + 4 + 4 + 8
_MAX_ELEMENTS = 2**63 - 1
_ARRAY_CHUNK_BYTES = 16 * 1024
_KIND_OF = {"str": STRING} | {scalar.name: kind for kind, scalar in SCALARS.items()}


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """An array in the metadata: what it holds and where.

    Attributes:
        type_name: ``str``, ``u32``, ``f32`` and so on.
        count: how many elements.
        offset: where the first element starts in the file.
        values: the elements, when they were asked for or are a few numbers, else None.
    """

    type_name: str
    count: int
    offset: int
    values: tuple[Scalar, ...] | None = None


@dataclass(frozen=True, slots=True)
class LongText:
    """A text in the metadata that is too long to be kept."""

    size_bytes: int
    offset: int


Scalar = bool | int | float | str
Value = Scalar | ArrayInfo | LongText


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: ``offset`` counts from the header's ``data_offset``.

    ``info_offset`` is where the header describes it, -1 when it was not read from one.
    """

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int
    size_bytes: int
    info_offset: int = -1

    @property
    def elements(self) -> int:
        """How many numbers the tensor has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """All of a GGUF file but its tensor data.

    Attributes:
        name: what messages call the file.
        key_offsets: where in the file each metadata key stands.
    """

    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    alignment: int
    file_bytes: int
    name: str = ""
    key_offsets: Mapping[str, int] = field(default_factory=dict, repr=False)

    def text(self, key: str) -> str | None:
        """Return a metadata text, None when there is none of that type."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        """Return a metadata integer, None when there is none of that type."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def offset_of(self, key: str) -> int:
        """Return where a metadata key stands in the file, -1 when it is not there."""
        return self.key_offsets.get(key, -1)


def read_header(path: Path, *, arrays: Mapping[str, int] | None = None) -> GgufHeader:
    """Read the header of a file on disk; ``arrays`` as in ``parse_header``.

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointUnreadableError: the system refuses to read it.
        NotGgufError, UnsupportedGgufError, CorruptGgufError, TruncatedGgufError.
    """
    with FileSource(path) as source:
        return parse_header(source, arrays=arrays)


def parse_header(
    source: ByteSource,
    *,
    arrays: Mapping[str, int] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> GgufHeader:
    """Read the header of any source.

    Args:
        source: where the bytes come from.
        arrays: keys of arrays to read, with the largest count of elements to accept for each;
            longer ones are left unread.
        chunk_bytes: how much is read at once.

    Raises:
        NotGgufError, UnsupportedGgufError, CorruptGgufError, TruncatedGgufError.
    """
    return HeaderParser(source, arrays, Cursor(source, chunk_bytes=chunk_bytes)).parse()


def read_array(source: ByteSource, info: ArrayInfo, *, limit: int) -> tuple[Scalar, ...] | None:
    """Return the elements of an array that was only measured, None above ``limit`` of them.

    Raises:
        CorruptGgufError, TruncatedGgufError: the source is no longer what it was.
    """
    if info.values is not None or info.count > min(limit, MAX_ARRAY_ELEMENTS):
        return info.values
    cursor = Cursor(source, chunk_bytes=_ARRAY_CHUNK_BYTES)
    cursor.skip(info.offset)
    return _elements(cursor, _KIND_OF[info.type_name], info.count)


def _elements(cursor: Cursor, kind: int, count: int) -> tuple[Scalar, ...]:
    if kind == STRING:
        return tuple(cursor.text(MAX_TEXT_BYTES, "a text") for _ in range(count))
    layout = struct.Struct(f"<{count}{SCALARS[kind].letter}")
    return cursor.unpack(layout)


class HeaderParser:
    """Reads one header from its start; what was read stays here when a later part fails.

    Attributes:
        version, n_tensors, n_metadata: the file's first numbers.
        metadata: the entries read so far.
        array_begun: key and measures of the array that was read last, or is being read.
    """

    def __init__(
        self, source: ByteSource, arrays: Mapping[str, int] | None, cursor: Cursor
    ) -> None:
        self.version = self.n_tensors = self.n_metadata = 0
        self.metadata: dict[str, Value] = {}
        self.array_begun: tuple[str, ArrayInfo] | None = None
        self._source = source
        self._arrays = arrays or {}
        self._cursor = cursor
        self._kept_text_bytes = 0
        self._kept_elements = 0
        self._key_bytes = 0
        self._key_offsets: dict[str, int] = {}

    def parse(self) -> GgufHeader:
        """Read everything."""
        self.read_metadata()
        alignment = self._alignment(self.metadata)
        self._cursor.require(self.n_tensors, _LEAST_TENSOR_BYTES, "tensors")
        tensors = self._tensors(self.n_tensors, alignment)
        data_offset = self._cursor.position
        if tensors:
            data_offset += -data_offset % alignment
            self._check_data(tensors[-1], data_offset)
        return self.header(tensors, data_offset, alignment)

    def read_metadata(self) -> None:
        """Read up to the first tensor info."""
        self.version = self._version()
        self.n_tensors = self._count("tensors", MAX_TENSORS)
        self.n_metadata = self._count("metadata entries", MAX_METADATA)
        self._cursor.require(self.n_metadata, _LEAST_METADATA_BYTES, "metadata entries")
        for _ in range(self.n_metadata):
            self._read_entry()

    def header(
        self,
        tensors: tuple[TensorInfo, ...] = (),
        data_offset: int = 0,
        alignment: int = DEFAULT_ALIGNMENT,
    ) -> GgufHeader:
        """Return what was read so far as a header."""
        return GgufHeader(
            self.version,
            self.metadata,
            tensors,
            data_offset,
            alignment,
            self._source.size_bytes,
            self._source.name,
            self._key_offsets,
        )

    def _version(self) -> int:
        name = self._source.name
        if self._source.read_at(0, len(MAGIC)) != MAGIC:
            raise not_gguf_error(self._source)
        self._cursor.skip(len(MAGIC))
        version = self._cursor.u32()
        if version in VERSIONS:
            return version
        # llama.cpp's own test: the version of a file in the other byte order ends in zeros.
        if version and version & 0xFFFF == 0:
            raise UnsupportedGgufError(
                f"{name} is a big-endian GGUF file, which this machine cannot read.",
                hint="Look for the little-endian file of the model.",
            )
        if version == 1:
            raise UnsupportedGgufError(
                f"{name} is a GGUF file of version 1, which is no longer supported.",
                hint="Look for a newer file of the model.",
            )
        if version == 0:
            raise corrupt(name, "the version is 0", len(MAGIC))
        raise UnsupportedGgufError(
            f"{name} is a GGUF file of version {version}; Fathom reads 2 and 3.",
            hint="Look for a newer Fathom, or for another file of the model.",
        )

    def _count(self, what: str, limit: int) -> int:
        offset = self._cursor.position
        count = self._cursor.u64()
        if count > limit:
            raise corrupt(self._source.name, f"it claims {count:,} {what}", offset)
        return count

    def _read_entry(self) -> None:
        offset = self._cursor.position
        key = self._cursor.text(MAX_KEY_BYTES, "a key")
        if not key or key in self.metadata:
            what = f'the key "{key[:80]}" comes twice' if key else "a key is empty"
            raise corrupt(self._source.name, what, offset)
        self._key_bytes += self._cursor.position - offset
        if self._key_bytes > MAX_ALL_KEYS_BYTES:
            limit = format_bytes(MAX_ALL_KEYS_BYTES)
            raise corrupt(self._source.name, f"its keys take more than {limit}", offset)
        self._key_offsets[key] = offset
        self.metadata[key] = self._value(key)

    def _value(self, key: str) -> Value:
        offset = self._cursor.position
        kind = self._cursor.u32()
        if kind == STRING:
            return self._text()
        if kind == ARRAY:
            return self._array(key)
        if kind not in SCALARS:
            raise corrupt(self._source.name, f'"{key[:80]}" has the unknown type {kind}', offset)
        return _elements(self._cursor, kind, 1)[0]

    def _text(self) -> str | LongText:
        size = self._cursor.u64()
        offset = self._cursor.position
        if size > MAX_TEXT_BYTES or self._kept_text_bytes + size > MAX_KEPT_TEXT_BYTES:
            self._cursor.skip(size)
            return LongText(size, offset)
        self._kept_text_bytes += size
        return self._cursor.take(size).decode("utf-8", errors="replace")

    def _array(self, key: str) -> ArrayInfo:
        offset = self._cursor.position
        kind = self._cursor.u32()
        count = self._cursor.u64()
        if kind == ARRAY:
            what = f'"{key[:80]}" is an array of arrays, which llama.cpp does not read'
            raise corrupt(self._source.name, what, offset)
        if kind != STRING and kind not in SCALARS:
            what = f'the array "{key[:80]}" has the unknown type {kind}'
            raise corrupt(self._source.name, what, offset)
        type_name, element_bytes = ("str", 8)
        if kind != STRING:
            type_name, _, element_bytes = SCALARS[kind]
        self._cursor.require(count, element_bytes, f'elements of "{key[:80]}"')
        start = self._cursor.position
        self.array_begun = (key, ArrayInfo(type_name, count, start))
        if self._is_wanted(key, kind, count):
            return ArrayInfo(type_name, count, start, _elements(self._cursor, kind, count))
        if kind == STRING:
            self._cursor.skip_strings(count)
        else:
            self._cursor.skip(count * element_bytes)
        return self.array_begun[1]

    def _is_wanted(self, key: str, kind: int, count: int) -> bool:
        """Whether an array's elements are kept: as asked for, or a few numbers."""
        if count <= min(self._arrays.get(key, -1), MAX_ARRAY_ELEMENTS):
            return True
        if kind == STRING or count > MAX_SHORT_ARRAY:
            return False
        self._kept_elements += count
        return self._kept_elements <= MAX_KEPT_ELEMENTS

    def _alignment(self, metadata: Mapping[str, Value]) -> int:
        alignment = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
        sound = isinstance(alignment, int) and not isinstance(alignment, bool) and alignment > 0
        if not sound or not isinstance(alignment, int) or alignment & (alignment - 1):
            what = f"its alignment is {str(alignment)[:80]}, not a power of two"
            raise corrupt(self._source.name, what, self._cursor.position)
        return alignment

    def _tensors(self, count: int, alignment: int) -> tuple[TensorInfo, ...]:
        tensors: list[TensorInfo] = []
        names: set[str] = set()
        data_end = 0
        for _ in range(count):
            offset = self._cursor.position
            tensor = self._tensor(data_end)
            if tensor.name in names:
                raise corrupt(self._source.name, f'"{tensor.name}" comes twice', offset)
            names.add(tensor.name)
            tensors.append(tensor)
            data_end += tensor.size_bytes + -tensor.size_bytes % alignment
        return tuple(tensors)

    def _tensor(self, expected_offset: int) -> TensorInfo:
        start = self._cursor.position
        name = self._cursor.text(MAX_NAME_BYTES, "the name of a tensor")
        dimensions = self._cursor.u32()
        if dimensions > MAX_DIMENSIONS:
            what = f'the tensor "{name}" has {dimensions:,} dimensions'
            raise corrupt(self._source.name, what, start)
        shape = tuple(self._cursor.u64() for _ in range(dimensions))
        kind = self._cursor.u32()
        offset = self._cursor.u64()
        type_name, size_bytes = self._tensor_size(name, shape, kind, start)
        if offset != expected_offset:
            what = f'the data of "{name}" starts at {offset:,} instead of {expected_offset:,}'
            raise corrupt(self._source.name, what, start)
        return TensorInfo(name, shape, type_name, offset, size_bytes, start)

    def _tensor_size(
        self, name: str, shape: tuple[int, ...], kind: int, start: int
    ) -> tuple[str, int]:
        elements = math.prod(shape)
        if not 1 <= elements <= _MAX_ELEMENTS:
            what = f'the shape of "{name}" cannot be true: {shape}'
            raise corrupt(self._source.name, what, start)
        if kind not in GGML_TYPES:
            what = f'the tensor "{name}" has the unknown type {kind}'
            raise corrupt(self._source.name, what, start)
        type_name, block_elements, block_bytes = GGML_TYPES[kind]
        row = shape[0] if shape else 1
        if row % block_elements:
            what = f'the rows of "{name}" ({row:,}) do not divide into blocks of {type_name}'
            raise corrupt(self._source.name, what, start)
        return type_name, elements // block_elements * block_bytes

    def _check_data(self, last: TensorInfo, data_offset: int) -> None:
        needed = data_offset + last.offset + last.size_bytes
        missing = needed - self._source.size_bytes
        if missing > 0:
            raise TruncatedGgufError(
                f"{self._source.name} is incomplete: {format_bytes(missing)} of "
                f"{format_bytes(needed)} are missing.",
                offset=self._source.size_bytes,
                hint="Finish the download, or download it again.",
                details=f"{missing:,} of {needed:,} bytes are missing",
            )
