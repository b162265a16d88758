"""Compute buffers in a tenth of a millisecond, for the search only. Pure, no Qt here.

Sums of the largest tensors that live at once in llama.cpp's graph (src/llama-graph.cpp,
src/models/deepseek*.cpp), with constants found by holding them against llama.cpp's own account on a
grid of placements: median error 2 %, mean 6 %, and more than 1 GiB in rare cases. What a search
finds is therefore worked out again by ``compute.py``, and by llama.cpp itself before it is final.
Where the graph of an architecture is not known these figures are all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.gguf.shape import AttentionKind, ModelShape, Role
from models.planner.buffer_rules import host_buffer_of, host_gpu
from models.planner.compute import compute_bytes
from models.planner.compute_layers import UnknownGraphError
from models.planner.inventory import Inventory, row_bytes
from models.planner.machine import GpuKind, Machine
from models.planner.placement import Placement
from models.planner.plan import CPU, PlanSettings

_CELL_STEP = 256
# From this many rows on an operation is worth copying its weights to the GPU (ggml-cuda.cu).
_OFFLOAD_ROWS = 32
_LATENT = (AttentionKind.MLA, AttentionKind.DSA)


@dataclass(frozen=True)
class _Peaks:
    """Bytes that live at once in the parts of a graph, and what every part shares."""

    attention: float
    feed_forward: float
    logits: float
    mask: float
    embeddings: float


def rough_compute_bytes(
    inventory: Inventory, machine: Machine, settings: PlanSettings, placement: Placement
) -> Mapping[str, int]:
    """Return about what ``compute_bytes`` would, by buffer name."""
    peaks = _peaks(inventory.shape, settings)
    if not settings.devices:
        return {CPU: int(max(peaks.attention, peaks.feed_forward, peaks.logits))}
    host = host_buffer_of(host_gpu(machine, settings.devices)) or CPU
    stager = _stager(machine, settings)
    return _on_devices(inventory, settings, placement, peaks, host=host, stager=stager)


def _stager(machine: Machine, settings: PlanSettings) -> str:
    """Return the device that copies weights from RAM, empty: none (ggml-rpc.cpp never does)."""
    if not settings.op_offload:
        return ""
    gpus = (machine.gpu(device) for device in settings.devices)
    return next((gpu.device for gpu in gpus if gpu and gpu.kind is not GpuKind.RPC), "")


def close_compute_bytes(
    inventory: Inventory, machine: Machine, settings: PlanSettings, placement: Placement
) -> Mapping[str, int]:
    """Return compute buffers as the graph itself says, roughly where it is not known.

    That is the case for other architectures than Fathom's own, and for a file that lacks tensors:
    llama.cpp then says which, when it is asked.
    """
    try:
        return compute_bytes(inventory, machine, settings, placement)
    except UnknownGraphError:
        return rough_compute_bytes(inventory, machine, settings, placement)


def _on_devices(
    inventory: Inventory,
    settings: PlanSettings,
    placement: Placement,
    peaks: _Peaks,
    *,
    host: str,
    stager: str,
) -> dict[str, int]:
    shape = inventory.shape
    n_tokens = _tokens(settings)
    layers = placement.layer_devices[: shape.n_layer]
    largest = _largest_on_cpu(inventory, placement)
    experts_on_cpu = any("_exps" in name for name in largest)
    copies = bool(stager) and bool(largest) and n_tokens >= _OFFLOAD_ROWS
    found: dict[str, int] = {}
    for device in settings.devices:
        size = 0.0
        if device in layers or (copies and device == stager):
            with_experts = copies or not experts_on_cpu
            size = max(peaks.attention, peaks.feed_forward if with_experts else 0.0)
        if device in layers and settings.type_k != "f16" and settings.flash_attn != "off":
            # Flash attention keeps an f16 copy of one layer's cache (ggml-cuda/fattn.cu).
            size += 2 * _cells(settings) * _cache_row(shape)
        if placement.output_device == device:
            size = max(size, peaks.logits)
        if copies and device == stager:
            size = max(size, _staged(largest, peaks, n_devices=len(settings.devices)))
        found[device] = int(size)
    if copies:
        on_host = peaks.mask + 2 * peaks.embeddings
    else:
        computes = experts_on_cpu or CPU in layers
        on_host = max(peaks.feed_forward if computes else 0.0, peaks.mask + 2 * peaks.embeddings)
        if CPU in layers:
            on_host = max(on_host, peaks.attention)
    found[host] = found.get(host, 0) + int(on_host)
    return found


def _staged(largest: Mapping[str, int], peaks: _Peaks, *, n_devices: int) -> float:
    """Return what copies of weights take on the first GPU (ggml-backend.cpp, split inputs)."""
    sizes = sorted(largest.values(), reverse=True)
    if n_devices == 1:
        return sizes[0] + 0.82 * peaks.feed_forward + 0.18 * peaks.mask
    return sum(sizes[:2]) + peaks.embeddings


def _largest_on_cpu(inventory: Inventory, placement: Placement) -> dict[str, int]:
    """Return the size of the largest block weight of each name that lies in RAM."""
    largest: dict[str, int] = {}
    n_layer = inventory.shape.n_layer
    for tensor, device in zip(inventory.shape.tensors, placement.device_of, strict=True):
        if device != CPU or tensor.layer is None or tensor.layer >= n_layer:
            continue
        if tensor.role in (Role.NORM, Role.ROUTER):
            continue
        name = tensor.name.split(".", 2)[-1]
        if tensor.size_bytes > largest.get(name, 0):
            largest[name] = tensor.size_bytes
    return largest


def _tokens(settings: PlanSettings) -> int:
    return min(settings.n_ubatch, _cells(settings))


def _cells(settings: PlanSettings) -> int:
    return settings.n_ctx + -settings.n_ctx % _CELL_STEP


def _cache_row(shape: ModelShape) -> int:
    if shape.kv.kind in (*_LATENT, AttentionKind.COMPRESSED):
        return shape.kv.key_length
    heads = max(shape.kv.n_head_kv, default=0)
    return heads * (shape.kv.key_length + shape.kv.value_length)


def _peaks(shape: ModelShape, settings: PlanSettings) -> _Peaks:
    tokens, cells = _tokens(settings), _cells(settings)
    outputs = min(tokens, settings.n_outputs_max or tokens)
    flash = settings.flash_attn != "off"
    width = shape.n_embd
    mask = (2.0 if flash else 4.0) * tokens * cells
    attention, mask = _attention(shape, settings, mask, flash=flash)
    if shape.is_moe:
        per_token = shape.n_expert_used * (2 * width + 2 * shape.n_ff_expert) + 3 * width
        beside = 2 * width + 0.75 * shape.n_expert_used * width
    else:
        per_token = 3 * shape.n_ff + 2 * width
        beside = 2.0 * width
    if shape.kv.kind is AttentionKind.COMPRESSED:
        beside = 6.0 * width
    return _Peaks(
        attention=attention + mask,
        feed_forward=4.0 * tokens * per_token + mask,
        logits=4.0 * outputs * shape.n_vocab + 4.0 * tokens * beside,
        mask=mask,
        embeddings=4.0 * tokens * width,
    )


def _attention(
    shape: ModelShape, settings: PlanSettings, mask: float, *, flash: bool
) -> tuple[float, float]:
    """Return the bytes of one layer's attention without the mask, and the mask."""
    tokens, cells = _tokens(settings), _cells(settings)
    heads, width, kv = shape.n_head, shape.n_embd, shape.kv
    query = heads * kv.key_length
    if kv.kind is AttentionKind.COMPRESSED:
        rows = -(-cells // 4)
        rows += -rows % _CELL_STEP
        streams = max(shape.n_hyper_connection, 1)
        floats = 2 * query + 2.5 * streams * width + 2 * rows
        if not flash:
            floats += 1.02 * heads * (rows + 768)
        bytes_per_cell = 2 if flash else 4
        return 4.0 * tokens * floats, bytes_per_cell * tokens * (rows + 1024) + 2.0 * tokens * rows
    if kv.kind in _LATENT:
        absorbed = heads * shape.kv_lora_rank
        if flash:
            size = 4.0 * tokens * (query + 2 * absorbed + 0.57 * width)
        else:
            size = 4.0 * tokens * (query + 0.6 * absorbed + 2 * width + cells * heads)
            size += row_bytes("F16", cells * shape.kv_lora_rank)
        if kv.kind is AttentionKind.DSA:
            # Scores of the indexer and their order, a mask of its own, what it picks.
            scores = 4.0 * tokens * cells + 2.0 * (2.0 if flash else 4.0) * tokens * cells
            picked = 8.0 * tokens * kv.indexer_head_count * kv.indexer_key_length
            size += scores + picked + 32.0 * kv.indexer_top_k * tokens
            mask += 2.0 * tokens * cells
        return size, mask
    if not flash:
        mask += 8.0 * tokens * max(kv.n_head_kv, default=0) * kv.value_length
        return 4.0 * tokens * (cells * heads + query + 2 * width), mask
    if max(kv.n_head_kv, default=0) < heads:
        return 4.0 * tokens * (3 * query + 2 * width), mask
    return 4.0 * tokens * (2 * query + 3 * heads * kv.value_length + width), mask
