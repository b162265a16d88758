"""Checkpoints at full size of which only the header is here, whole or cut into shards."""

from __future__ import annotations

import functools
import lzma
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.raw_gguf import entry, tensor
from models.gguf.header import GgufHeader, TensorInfo, parse_header
from models.gguf.header_file import HeaderFile
from models.gguf.shape import ModelShape
from models.gguf.shape_reader import read_shape
from models.gguf.source import BytesSource
from models.gguf.types import GGML_TYPES

_HEADERS_DIR = Path(__file__).resolve().parent.parent / "data" / "headers"
_U16, _I32 = 2, 5
# Types of weights; the others are for activations or for whole numbers.
_WEIGHT_TYPES = {
    kind.name: kind
    for kind in GGML_TYPES.values()
    if kind.name not in ("I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K")
}
_TYPE_IDS = {kind.name: number for number, kind in GGML_TYPES.items()}
NAMES = tuple(sorted(path.name.split(".")[0] for path in _HEADERS_DIR.glob("*.hdr.xz")))


@dataclass(frozen=True)
class TrueScale:
    """One checkpoint: its files as headers, and what was read of them."""

    name: str
    files: tuple[HeaderFile, ...]
    shape: ModelShape


@functools.cache
def true_scale(name: str, n_shards: int = 1) -> TrueScale:
    """Return a checkpoint of tests/data/headers, cut into shards when more than one is wanted."""
    (packed,) = _HEADERS_DIR.glob(f"{name}.gguf.*.hdr.xz")
    data = lzma.decompress(packed.read_bytes())
    size_bytes = int(packed.name.split(".")[2])
    if n_shards == 1:
        return _read(name, [HeaderFile(f"{name}.gguf", size_bytes, header=data)])
    header = parse_header(BytesSource(data, size_bytes=size_bytes))
    return _read(name, _cut(name, data, header, n_shards))


def retyped(name: str, rng: random.Random) -> TrueScale:
    """Return a checkpoint whose weights have random types, every one that ggml can multiply."""
    whole = true_scale(name).files[0]
    header = _parse(whole)
    header = replace(header, tensors=tuple(_with_random_type(t, rng) for t in header.tensors))
    return _read(f"{name}-retyped", _cut(name, whole.header, header, 1))


def _with_random_type(info: TensorInfo, rng: random.Random) -> TensorInfo:
    fitting = [kind for kind in _WEIGHT_TYPES.values() if not info.shape[0] % kind.block_elements]
    if info.type_name in ("F32", "I32") or len(info.shape) < 2:
        return info
    kind = rng.choice(fitting)
    size_bytes = info.elements // kind.block_elements * kind.block_bytes
    return replace(info, type_name=kind.name, size_bytes=size_bytes)


def _read(name: str, files: Sequence[HeaderFile]) -> TrueScale:
    headers = [_parse(file) for file in files]
    return TrueScale(name, tuple(files), read_shape(headers, [_source(file) for file in files]))


def _source(file: HeaderFile) -> BytesSource:
    return BytesSource(file.header, name=file.name, size_bytes=file.size_bytes)


def _parse(file: HeaderFile) -> GgufHeader:
    return parse_header(_source(file))


def _cut(name: str, data: bytes, header: GgufHeader, n_shards: int) -> list[HeaderFile]:
    """Cut as llama.cpp's gguf-split does: tensors in order, the metadata in the first shard.

    ``header`` says which tensors there are, ``data`` has the metadata.
    """
    n_keys = struct.unpack_from("<Q", data, 16)[0]
    metadata = data[24 : header.tensors[0].info_offset]
    step = -(-len(header.tensors) // n_shards)
    files = []
    for number in range(n_shards):
        own = header.tensors[number * step : (number + 1) * step]
        keys = (
            []
            if n_shards == 1
            else [
                entry("split.no", _U16, struct.pack("<H", number)),
                entry("split.count", _U16, struct.pack("<H", n_shards)),
                entry("split.tensors.count", _I32, struct.pack("<i", len(header.tensors))),
            ]
        )
        count = len(keys) + (0 if number else n_keys)
        start = b"GGUF" + struct.pack("<IQQ", 3, len(own), count)
        whole = start + (b"" if number else metadata) + b"".join(keys)
        whole, data_bytes = _with_tensors(whole, own)
        shard = f"{name}-{number + 1:05d}-of-{n_shards:05d}.gguf" if n_shards > 1 else name
        files.append(HeaderFile(shard, len(whole) + data_bytes, header=whole))
    return files


def _with_tensors(start: bytes, infos: Sequence[TensorInfo]) -> tuple[bytes, int]:
    offset, parts = 0, []
    for info in infos:
        parts.append(tensor(info.name, info.shape, _TYPE_IDS[info.type_name], offset))
        offset += info.size_bytes + -info.size_bytes % 32
    whole = start + b"".join(parts)
    return whole + bytes(-len(whole) % 32), offset
