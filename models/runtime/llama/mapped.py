"""What a loaded checkpoint really uses of a memory-mapped file. No Qt here.

For weights used in place llama.cpp's account (``llama_get_memory_breakdown``) counts the stretch
of the file from the first to the last of them (src/llama-model.cpp:1858, ``get_mapping_range``):
with a few tensors at both ends that is the whole file, whatever lies elsewhere. So these are
counted here, tensor by tensor, in the model as loaded (``llama_internal_get_tensor_map``,
src/llama-model.h).
"""

from __future__ import annotations

import ctypes
import dataclasses
import sys
from collections.abc import Iterable
from typing import Any

from models.runtime.llama.bindings import LlamaLibrary, declare
from models.runtime.llama.ggml_abi import Tensor
from models.runtime.llama.memory import BufferUse

_SYMBOL = "_Z29llama_internal_get_tensor_mapB5cxx11PK11llama_model"
_MAPPED = "_Mapped"
_MOST_TENSORS = 1 << 20
# Where a buffer made of these tensors would put the next one (TENSOR_ALIGNMENT, ggml-impl.h).
_ALIGNMENT_BYTES = 32


class _Entry(ctypes.Structure):
    """libstdc++'s ``std::pair<std::string, ggml_tensor *>``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_size_t),
        ("name_short", ctypes.c_char * 16),
        ("tensor", ctypes.c_void_p),
    )


class EntryVector(ctypes.Structure):
    """``std::vector`` of entries."""

    _fields_ = (("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("limit", ctypes.c_void_p))


def mapped_weights(library: LlamaLibrary, model: Any) -> dict[str, int] | None:
    """Return the bytes of weights in mapped buffers, by the buffer type's name.

    Returns:
        None where the model's tensors cannot be read: another C++ library.
    """
    function = getattr(library.api._lib, _SYMBOL, None)
    if function is None or not sys.platform.startswith("linux"):
        return None
    function.restype = ctypes.POINTER(EntryVector)
    function.argtypes = [ctypes.c_void_p]
    tensors = tensors_of(function(model).contents)
    if tensors is None:
        return None
    base = library.ggml.base
    size = declare(base, "ggml_nbytes", ctypes.c_size_t, ctypes.c_void_p)
    name_of = declare(base, "ggml_backend_buffer_name", ctypes.c_char_p, ctypes.c_void_p)
    sums: dict[str, int] = {}
    for tensor in tensors:
        name = name_of(tensor.buffer).decode() if tensor.buffer else ""
        if name.endswith(_MAPPED):
            size_bytes = size(tensor.address)
            padding = -size_bytes % _ALIGNMENT_BYTES
            sums[name] = sums.get(name, 0) + size_bytes + padding
    return sums


def tensors_of(entries: EntryVector) -> list[Tensor] | None:
    """Return the tensors of a model, None when its memory does not look like a list of them."""
    begin, end = entries.begin or 0, entries.end or 0
    count, rest = divmod(end - begin, ctypes.sizeof(_Entry))
    if rest or not 0 <= count <= _MOST_TENSORS:
        return None
    tensors = []
    for entry in (_Entry * count).from_address(begin) if count else ():
        if not entry.tensor or not 0 < entry.name_length < Tensor.name.size:
            return None
        tensor = Tensor.from_address(entry.tensor)
        if tensor.name != ctypes.string_at(entry.name, entry.name_length):
            return None
        tensors.append(tensor)
    return tensors


def used_in_place(uses: Iterable[BufferUse], mapped: dict[str, int] | None) -> list[BufferUse]:
    """Return the account of a load with mapped weights in their own size."""
    if mapped is None:
        return list(uses)
    return [
        dataclasses.replace(use, weights_bytes=mapped.get(use.buffer, 0))
        if use.buffer.endswith(_MAPPED)
        else use
        for use in uses
    ]
