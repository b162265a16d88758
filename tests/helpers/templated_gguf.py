"""True-scale headers with another chat template, vocabulary or key put in, as sparse files."""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Mapping
from pathlib import Path

from helpers.raw_gguf import ARRAY, STRING, entry, string_entry, text, true_scale_bytes
from models.gguf.header import ArrayInfo, GgufHeader, parse_header
from models.gguf.source import BytesSource

_COUNT_OFFSET = 16
_TEMPLATE = "tokenizer.chat_template"
_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_MAX_TOKENS = 400_000
_I32, _USER_DEFINED = 5, 4
# ruff: noqa: RUF001 - the full-width bars are what the tokens are made of.
# Of R1 distills and of everything since V2.5.
TURN_TOKENS = {
    0: "<｜begin▁of▁sentence｜>",
    1: "<｜end▁of▁sentence｜>",
    2: "<｜User｜>",
    3: "<｜Assistant｜>",
}


def with_template(
    name: str,
    template: str | None,
    path: Path,
    *extra: bytes,
    tokens: Mapping[int, str] | None = None,
    without: tuple[str, ...] = (),
    bytes_behind: int = 0,
) -> Path:
    """Write the true-scale checkpoint ``name``, changed.

    Args:
        name: of a header in tests/data/headers.
        template: its chat template, None for none.
        path: where to.
        extra: further metadata entries.
        tokens: texts of some tokens, by number; they are marked as tokens of the user.
        without: keys to leave out.
        bytes_behind: how much longer than its tensors the file is.
    """
    data, header = _read(name)
    changed = dict.fromkeys(without, b"")
    if tokens is not None:
        changed[_TOKENS] = _token_entry(header, tokens)
        changed[_TYPES] = _type_entry(header, tokens)
    entries = [part for part in _entries(data, header, changed) if part]
    entries += extra
    if template is not None:
        entries.append(string_entry(_TEMPLATE, template))
    whole = data[:_COUNT_OFFSET] + struct.pack("<Q", len(entries)) + b"".join(entries)
    whole += data[header.tensors[0].info_offset : header.data_offset]
    whole += bytes(-len(whole) % header.alignment)
    last = header.tensors[-1]
    path.write_bytes(whole)
    with path.open("r+b") as file:
        file.truncate(len(whole) + last.offset + last.size_bytes + bytes_behind)
    return path


@functools.cache
def _read(name: str) -> tuple[bytes, GgufHeader]:
    data, size_bytes = true_scale_bytes(name)
    source = BytesSource(data, size_bytes=size_bytes)
    return data, parse_header(source, arrays=dict.fromkeys((_TOKENS, _TYPES), _MAX_TOKENS))


def _entries(data: bytes, header: GgufHeader, changed: Mapping[str, bytes]) -> list[bytes]:
    starts = [*header.key_offsets.items(), ("", header.tensors[0].info_offset)]
    return [
        changed.get(key, data[start:end]) for (key, start), (_, end) in itertools.pairwise(starts)
    ]


def _token_entry(header: GgufHeader, tokens: Mapping[int, str]) -> bytes:
    info = header.metadata[_TOKENS]
    assert isinstance(info, ArrayInfo)
    assert info.values is not None
    texts = [tokens.get(number, str(token)) for number, token in enumerate(info.values)]
    elements = b"".join(text(one) for one in texts)
    return entry(_TOKENS, ARRAY, struct.pack("<IQ", STRING, len(texts)) + elements)


def _type_entry(header: GgufHeader, tokens: Mapping[int, str]) -> bytes:
    info = header.metadata[_TYPES]
    assert isinstance(info, ArrayInfo)
    assert info.values is not None
    kinds = [_USER_DEFINED if n in tokens else int(kind) for n, kind in enumerate(info.values)]
    elements = struct.pack(f"<{len(kinds)}i", *kinds)
    return entry(_TYPES, ARRAY, struct.pack("<IQ", _I32, len(kinds)) + elements)
