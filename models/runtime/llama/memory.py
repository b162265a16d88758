"""Bytes per device, from llama.cpp itself. No Qt here.

``llama_get_memory_breakdown`` (src/llama-ext.h) returns ``std::map<buffer type, {model, context,
compute}>`` by value. It is the exact account of a context, and of a simulated one (``no_alloc``)
as well. The map is read here by its memory layout, libstdc++'s or (macOS) libc++'s; with another
C++ library the figures come from the log, rounded to 10 KiB, and say so.
"""

from __future__ import annotations

import ctypes
import dataclasses
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.protocol import DeviceMemory

_SYMBOL = "_Z26llama_get_memory_breakdownPK13llama_context"
_MOST_BUFFER_TYPES = 256
_LOG_LINE = re.compile(
    r"\s(?P<buffer>\S+) +(?P<part>model|KV|output|compute|RS) buffer size"
    r"\s*=\s*(?P<mib>[0-9.]+) MiB"
)


_VALUE = (
    ("buft", ctypes.c_void_p),
    ("weights", ctypes.c_size_t),
    ("context", ctypes.c_size_t),
    ("compute", ctypes.c_size_t),
)


class _GnuNode(ctypes.Structure):
    """libstdc++'s ``std::_Rb_tree_node<pair<buffer type, three size_t>>``."""


_GnuNode._fields_ = (
    ("color", ctypes.c_int),
    ("parent", ctypes.POINTER(_GnuNode)),
    ("left", ctypes.POINTER(_GnuNode)),
    ("right", ctypes.POINTER(_GnuNode)),
    *_VALUE,
)


class GnuMap(ctypes.Structure):
    """libstdc++'s ``std::map``: an empty comparator padded to a pointer, header node, size."""

    _fields_ = (
        ("comparator", ctypes.c_void_p),
        ("color", ctypes.c_int),
        ("root", ctypes.POINTER(_GnuNode)),
        ("first", ctypes.POINTER(_GnuNode)),
        ("last", ctypes.POINTER(_GnuNode)),
        ("count", ctypes.c_size_t),
    )


class _LlvmNode(ctypes.Structure):
    """libc++'s ``std::__tree_node``."""


_LlvmNode._fields_ = (
    ("left", ctypes.POINTER(_LlvmNode)),
    ("right", ctypes.POINTER(_LlvmNode)),
    ("parent", ctypes.POINTER(_LlvmNode)),
    ("is_black", ctypes.c_bool),
    *_VALUE,
)


class LlvmMap(ctypes.Structure):
    """libc++'s ``std::map``: first node, end node (which is the root's parent), size. Not tried."""

    _fields_ = (
        ("first", ctypes.POINTER(_LlvmNode)),
        ("root", ctypes.POINTER(_LlvmNode)),
        ("count", ctypes.c_size_t),
    )


@dataclass(frozen=True)
class BufferUse:
    """What one buffer type holds, in bytes."""

    buffer: str
    device: str
    kind: str
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int


def read_breakdown(library: LlamaLibrary, context: Any) -> list[BufferUse] | None:
    """Return llama.cpp's own account, or None where its C++ map cannot be read."""
    function = getattr(library.api._lib, _SYMBOL, None)
    if function is None:
        return None
    # A struct that is returned by value: libffi knows where each processor wants its address.
    function.restype = LlvmMap if sys.platform == "darwin" else GnuMap
    function.argtypes = [ctypes.c_void_p]
    nodes = map_nodes(function(context))
    return None if nodes is None else [_buffer_use(library, node) for node in nodes]


def map_nodes(tree: Any) -> list[Any] | None:
    """Return the entries of a C++ map, None when its memory does not look like one."""
    nodes: list[Any] = []
    if tree.count > _MOST_BUFFER_TYPES:
        return None
    _walk(tree.root, nodes)
    return nodes if len(nodes) == tree.count else None


def _walk(node: Any, into: list[Any]) -> None:
    if node and len(into) <= _MOST_BUFFER_TYPES:
        _walk(node.contents.left, into)
        into.append(node.contents)
        _walk(node.contents.right, into)


def _buffer_use(library: LlamaLibrary, node: Any) -> BufferUse:
    ggml = library.ggml
    device = ggml.buft_device(node.buft)
    kind = ggml.device_kind(device) if device else "cpu"
    on_cpu = ggml.buft_is_host(node.buft) or kind in ("cpu", "accel")
    return BufferUse(
        buffer=ggml.buft_name(node.buft).decode(),
        device="CPU" if on_cpu else ggml.dev_name(device).decode(),
        kind="cpu" if on_cpu else kind,
        weights_bytes=node.weights,
        kv_bytes=node.context,
        compute_bytes=node.compute,
    )


def fold_mapped(uses: Iterable[BufferUse]) -> list[BufferUse]:
    """Return the account of a dry run as it is when the file is memory-mapped.

    A dry run cannot map the file. Then weights that stay with the CPU go to the first GPU's
    page-locked buffer type; with a mapped file llama.cpp puts plain CPU memory, which is the file's
    own pages, in its place (src/llama-model-loader.cpp:1269).
    """
    folded: list[BufferUse] = []
    moved = 0
    for use in uses:
        if use.buffer.endswith("_Host"):
            moved += use.weights_bytes
            use = dataclasses.replace(use, weights_bytes=0)  # noqa: PLW2901
        folded.append(use)
    for index, use in enumerate(folded):
        if use.buffer == "CPU":
            folded[index] = dataclasses.replace(use, weights_bytes=use.weights_bytes + moved)
            return folded
    return [*folded, BufferUse("CPU", "CPU", "cpu", moved, 0, 0)] if moved else folded


def per_device(uses: Iterable[BufferUse], output_bytes: int) -> tuple[DeviceMemory, ...]:
    """Add up buffer types per device; the output buffer lies in host memory."""
    totals: dict[str, DeviceMemory] = {}
    for use in uses:
        before = totals.get(use.device, DeviceMemory(use.device, use.kind, 0, 0, 0))
        totals[use.device] = DeviceMemory(
            use.device,
            use.kind,
            before.weights_bytes + use.weights_bytes,
            before.kv_bytes + use.kv_bytes,
            before.compute_bytes + use.compute_bytes,
            output_bytes if use.device == "CPU" else 0,
        )
    return tuple(sorted(totals.values(), key=lambda memory: (memory.kind == "cpu", memory.name)))


def from_log(lines: Iterable[tuple[str, str]]) -> tuple[DeviceMemory, ...]:
    """Read the same figures from llama.cpp's log of a load (MiB with two decimals)."""
    totals: dict[str, dict[str, int]] = {}
    for _, line in lines:
        match = _LOG_LINE.search(line)
        if match is None:
            continue
        buffer = match["buffer"]
        device = "CPU" if buffer.startswith("CPU") or buffer.endswith("_Host") else buffer
        part = {"RS": "KV"}.get(match["part"], match["part"])
        parts = totals.setdefault(device, {})
        parts[part] = parts.get(part, 0) + round(float(match["mib"]) * 2**20)
    return tuple(
        DeviceMemory(
            name,
            "cpu" if name == "CPU" else "gpu",
            parts.get("model", 0),
            parts.get("KV", 0),
            parts.get("compute", 0),
            parts.get("output", 0),
            "llama.cpp log",
        )
        for name, parts in totals.items()
    )
