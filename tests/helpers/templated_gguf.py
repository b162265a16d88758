"""True-scale headers with a chat template and a vocabulary put in, as sparse files."""

from __future__ import annotations

import struct
from pathlib import Path

from helpers.raw_gguf import string_entry, true_scale_bytes
from models.gguf.header import parse_header
from models.gguf.source import BytesSource

_COUNT_OFFSET = 16
_TEMPLATE = "tokenizer.chat_template"


def with_template(name: str, template: str, path: Path, *extra: bytes) -> Path:
    """Write the true-scale checkpoint ``name`` with a template of its own.

    Args:
        name: of a header in tests/data/headers.
        template: the text.
        path: where to.
        extra: further metadata entries.
    """
    data, size_bytes = true_scale_bytes(name)
    header = parse_header(BytesSource(data, size_bytes=size_bytes))
    entries = [string_entry(_TEMPLATE, template), *extra]
    metadata_end = header.tensors[0].info_offset
    (count,) = struct.unpack_from("<Q", data, _COUNT_OFFSET)
    start = data[:_COUNT_OFFSET] + struct.pack("<Q", count + len(entries))
    last = header.tensors[-1]
    infos_end = _end_of_infos(data, header.data_offset)
    whole = start + data[_COUNT_OFFSET + 8 : metadata_end] + b"".join(entries)
    whole += data[metadata_end:infos_end]
    whole += bytes(-len(whole) % header.alignment)
    path.write_bytes(whole)
    with path.open("r+b") as file:
        file.truncate(len(whole) + last.offset + last.size_bytes)
    return path


def _end_of_infos(data: bytes, data_offset: int) -> int:
    # Padding behind the infos is refilled for the new length.
    return min(data_offset, len(data))
