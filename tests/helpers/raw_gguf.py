"""GGUF headers put together byte by byte, so that any field can lie; and true-scale ones."""

from __future__ import annotations

import lzma
import struct
from pathlib import Path

from models.gguf.source import BytesSource

U8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10

_HEADERS_DIR = Path(__file__).resolve().parent.parent / "data" / "headers"


def text(value: str) -> bytes:
    """Return a string as GGUF has it."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key: str, kind: int, payload: bytes) -> bytes:
    """Return one metadata entry."""
    return text(key) + struct.pack("<I", kind) + payload


def string_entry(key: str, value: str) -> bytes:
    """Return a metadata entry that holds a string."""
    return entry(key, STRING, text(value))


def u32_entry(key: str, value: int) -> bytes:
    """Return a metadata entry that holds a 32-bit number."""
    return entry(key, U32, struct.pack("<I", value))


def array_entry(key: str, kind: int, count: int, elements: bytes) -> bytes:
    """Return a metadata entry that holds an array; ``count`` may lie."""
    return entry(key, ARRAY, struct.pack("<IQ", kind, count) + elements)


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    """Return one tensor info."""
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dims + struct.pack("<IQ", kind, offset)


def gguf_bytes(
    *entries: bytes,
    tensors: tuple[bytes, ...] = (),
    version: int = 3,
    n_entries: int | None = None,
    n_tensors: int | None = None,
    data_bytes: int = 0,
) -> bytes:
    """Return a whole file; the counts may lie."""
    counts = (
        len(tensors) if n_tensors is None else n_tensors,
        len(entries) if n_entries is None else n_entries,
    )
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join((*entries, *tensors))
    if tensors:
        header += bytes(-len(header) % 32)
    return header + bytes(data_bytes)


def true_scale(name: str, folder: Path) -> Path:
    """Write a true-scale header as a sparse file of the checkpoint's full size."""
    data, size_bytes = true_scale_bytes(name)
    path = folder / f"{name}.gguf"
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(size_bytes)
    return path


def true_scale_source(name: str) -> BytesSource:
    """Return a true-scale header as the start of a file of the checkpoint's full size."""
    data, size_bytes = true_scale_bytes(name)
    return BytesSource(data, name=f"{name}.gguf", size_bytes=size_bytes)


def true_scale_bytes(name: str) -> tuple[bytes, int]:
    """Return a true-scale header (see tests/data/headers) and the size of the whole file."""
    (packed,) = _HEADERS_DIR.glob(f"{name}.gguf.*.hdr.xz")
    return lzma.decompress(packed.read_bytes()), int(packed.name.split(".")[2])
