"""What the KV cache takes, per architecture and to the byte. Pure, no Qt here.

src/llama-kv-cache.cpp and its relatives for DSA and DeepSeek V4, as ``llama_model::create_memory``
(src/llama-model.cpp:2352) chooses among them. The engine keeps one sequence, so one stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.gguf.shape import AttentionKind, ModelShape
from models.planner.buffer_rules import CPU_RULE, gpu_rule
from models.planner.inventory import BufferRule, Inventory, allocated_bytes, row_bytes
from models.planner.machine import Machine
from models.planner.plan import CPU, PlanSettings

# What llama.cpp's own programs offer (common/arg.cpp, ``kv_cache_types``), the best first.
KV_TYPES = ("f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "f32")
_BLOCK_ELEMENTS = {"f32": 1, "f16": 1, "bf16": 1}
_QUANTIZED_BLOCK = 32
# llama-context.cpp:287 and llama-kv-cache-iswa.cpp:66: caches have a multiple of this in cells.
CELL_STEP = 256
# src/llama-kv-cache-dsv4.cpp, DSV4_CSA_RATIO and DSV4_HCA_RATIO: tokens that one row stands for.
_CSA_RATIO = 4
_HCA_RATIO = 128
_K_ONLY = (AttentionKind.MLA, AttentionKind.DSA, AttentionKind.COMPRESSED)


@dataclass(frozen=True, slots=True)
class CacheTensor:
    """One tensor of the cache: ``n_rows`` rows of ``elements`` numbers."""

    type_name: str
    elements: int
    n_rows: int


def padded(value: int, step: int = CELL_STEP) -> int:
    """Round up to a multiple (GGML_PAD)."""
    return value + -value % step


def cells(settings: PlanSettings) -> int:
    """Return the tokens that the cache has room for (llama-context.cpp:287)."""
    return padded(settings.n_ctx)


def window_cells(shape: ModelShape, settings: PlanSettings) -> int:
    """Return the cells of V4's raw window (llama-kv-cache-iswa.cpp:66).

    The window and one ubatch; llama.cpp never makes a batch larger than the context
    (llama-context.cpp:240).
    """
    n_ubatch = min(settings.n_ctx, settings.n_batch, settings.n_ubatch)
    return padded(min(cells(settings), shape.kv.sliding_window + n_ubatch))


def compressed_cells(n_cells: int, ratio: int) -> int:
    """Return the rows of one of V4's compressed caches (llama-kv-cache-dsv4.cpp:28)."""
    return padded(max(1, -(-n_cells // ratio)))


def layer_tensors(shape: ModelShape, settings: PlanSettings) -> tuple[tuple[CacheTensor, ...], ...]:
    """Return the cache tensors of every block, MTP blocks included (they have none but in V4).

    Blocks whose caches are alike share one tuple.
    """
    kv = shape.kv
    make = _compressed_layer if kv.kind is AttentionKind.COMPRESSED else _plain_layer
    ratios = (*kv.compress_ratios, *(0 for _ in range(shape.n_layer_all)))
    known: dict[tuple[int, int, bool], tuple[CacheTensor, ...]] = {}
    found = []
    for layer in range(shape.n_layer_all):
        key = (kv.n_head_kv[layer], ratios[layer], layer < shape.n_layer)
        if key not in known:
            known[key] = make(shape, settings, layer)
        found.append(known[key])
    return tuple(found)


def _plain_layer(shape: ModelShape, settings: PlanSettings, layer: int) -> tuple[CacheTensor, ...]:
    kv = shape.kv
    if layer >= shape.n_layer:
        # llama-model.cpp:2795: the trunk's context never attends to MTP blocks.
        return ()
    n_cells, type_k, type_v = cells(settings), settings.type_k.upper(), settings.type_v.upper()
    key = CacheTensor(type_k, kv.key_length * kv.n_head_kv[layer], n_cells)
    if kv.kind is AttentionKind.MLA:
        return (key,)
    if kv.kind is AttentionKind.DSA:
        return (key, CacheTensor(type_k, kv.indexer_key_length, n_cells))
    # Without flash attention V is kept transposed, all layers as wide as the widest
    # (llama-kv-cache.cpp:200, TAG_V_CACHE_VARIABLE).
    heads = max(kv.n_head_kv) if settings.flash_attn == "off" else kv.n_head_kv[layer]
    return (key, CacheTensor(type_v, kv.value_length * heads, n_cells))


def _compressed_layer(
    shape: ModelShape, settings: PlanSettings, layer: int
) -> tuple[CacheTensor, ...]:
    """V4 (llama-kv-cache-dsv4.cpp:1210): raw window, compressed rows, compressor states in F32.

    The raw window and the rows are made for MTP blocks, too; the states are not.
    """
    kv, type_k = shape.kv, settings.type_k.upper()
    width = kv.key_length * kv.n_head_kv[layer]
    ratio = kv.compress_ratios[layer] if layer < len(kv.compress_ratios) else 0
    tensors = [CacheTensor(type_k, width, window_cells(shape, settings))]
    if ratio in (_CSA_RATIO, _HCA_RATIO):
        n_rows = compressed_cells(cells(settings), ratio)
        tensors.append(CacheTensor(type_k, width, n_rows))
        if ratio == _CSA_RATIO:
            tensors.append(CacheTensor(type_k, kv.indexer_key_length, n_rows))
    if layer < shape.n_layer and ratio == _CSA_RATIO:
        for length in (kv.key_length, kv.indexer_key_length):
            tensors += 2 * [CacheTensor("F32", 2 * length, 2 * _CSA_RATIO)]
    if layer < shape.n_layer and ratio == _HCA_RATIO:
        tensors += 2 * [CacheTensor("F32", kv.key_length, _HCA_RATIO)]
    return tuple(tensors)


def allocated(tensor: CacheTensor, rule: BufferRule) -> int:
    """Return what a cache tensor takes in a buffer; GPUs pad quantized rows here, too."""
    size_bytes = row_bytes(tensor.type_name, tensor.elements) * tensor.n_rows
    return allocated_bytes(tensor.type_name, tensor.elements, size_bytes, rule)


def kv_layer_bytes(
    inventory: Inventory, settings: PlanSettings, rule: BufferRule
) -> tuple[int, ...]:
    """Return what the cache of every block takes under a buffer rule, in bytes."""
    every = layer_tensors(inventory.shape, settings)
    alike = {id(tensors): tensors for tensors in every}
    sums = {key: sum(allocated(t, rule) for t in tensors) for key, tensors in alike.items()}
    return tuple(sums[id(tensors)] for tensors in every)


def kv_cache_bytes(
    inventory: Inventory, machine: Machine, settings: PlanSettings, layer_devices: Sequence[str]
) -> Mapping[str, int]:
    """Return the bytes of the KV cache by buffer: device names and ``CPU``.

    Args:
        layer_devices: device of each block, see ``Placement.layer_devices``; a layer's cache lies
            beside its attention, or in RAM without ``offload_kqv`` (llama-kv-cache.cpp:215).
    """
    sums: dict[str, int] = {}
    gpus = {gpu.device: gpu for gpu in machine.gpus} if settings.offload_kqv else {}
    by_rule: dict[BufferRule, tuple[int, ...]] = {}
    by_device: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name in dict.fromkeys(layer_devices):
        rule = gpu_rule(gpus[name]) if name in gpus else CPU_RULE
        if rule not in by_rule:
            by_rule[rule] = kv_layer_bytes(inventory, settings, rule)
        by_device[name] = (name if name in gpus else CPU, by_rule[rule])
    for layer, name in enumerate(layer_devices):
        buffer, sizes = by_device[name]
        sums[buffer] = sums.get(buffer, 0) + sizes[layer]
    return {buffer: size for buffer, size in sums.items() if size}


def kv_bytes_per_token(shape: ModelShape, type_k: str, type_v: str) -> float:
    """Return what one more token of context takes; V4's window and states are not in it."""
    kv, name_k, name_v = shape.kv, type_k.upper(), type_v.upper()
    total = 0.0
    for layer in range(shape.n_layer):
        key = row_bytes(name_k, kv.key_length * kv.n_head_kv[layer])
        if kv.kind is AttentionKind.COMPRESSED:
            ratio = kv.compress_ratios[layer] if layer < len(kv.compress_ratios) else 0
            indexer = row_bytes(name_k, kv.indexer_key_length) if ratio == _CSA_RATIO else 0
            total += (key + indexer) / ratio if ratio else 0.0
        elif kv.kind is AttentionKind.MLA:
            total += key
        elif kv.kind is AttentionKind.DSA:
            total += key + row_bytes(name_k, kv.indexer_key_length)
        else:
            total += key + row_bytes(name_v, kv.value_length * kv.n_head_kv[layer])
    return total


def kv_types_allowed(shape: ModelShape) -> tuple[str, ...]:
    """Return the types that K and V may both have, with flash attention."""
    return tuple(kind for kind in KV_TYPES if check_kv(shape, kind, kind, "on") is None)


def check_kv(shape: ModelShape, type_k: str, type_v: str, flash_attn: str) -> str | None:
    """Return why llama.cpp refuses a KV cache, None when it does not.

    llama-context.cpp:3835-3870; the last rule is ``ggml_row_size``'s assertion, which would end
    the process.
    """
    for kind in (type_k, type_v):
        if kind not in KV_TYPES:
            return f"There is no KV cache type {kind!r}; there is {', '.join(KV_TYPES)}."
    kv = shape.kv
    if kv.kind in _K_ONLY and type_k != type_v:
        return (
            f"This architecture keeps K and V as one: both need the same type, "
            f"not {type_k} and {type_v}."
        )
    if _is_quantized(type_v) and flash_attn == "off":
        return f"A V cache of type {type_v} needs flash attention."
    rows = {("K", type_k): _key_rows(shape), ("V", type_v): _value_rows(shape)}
    for (what, kind), (head, rest) in rows.items():
        lengths = rest if flash_attn == "off" else (head, *rest)
        odd = next((n for n in lengths if _is_quantized(kind) and n % _QUANTIZED_BLOCK), None)
        if odd is not None:
            return (
                f"A {what} cache of type {kind} is kept in blocks of {_QUANTIZED_BLOCK}, "
                f"which do not divide rows of {odd}."
            )
    return None


def _is_quantized(kind: str) -> bool:
    return _BLOCK_ELEMENTS.get(kind, _QUANTIZED_BLOCK) > 1


def _key_rows(shape: ModelShape) -> tuple[int, tuple[int, ...]]:
    """Return a head's K elements, and the elements of all rows that hold keys."""
    kv = shape.kv
    rows = {kv.key_length * heads for heads in kv.n_head_kv[: shape.n_layer]}
    if kv.kind in (AttentionKind.DSA, AttentionKind.COMPRESSED):
        rows.add(kv.indexer_key_length)
    return kv.key_length, tuple(sorted(rows))


def _value_rows(shape: ModelShape) -> tuple[int, tuple[int, ...]]:
    kv = shape.kv
    if kv.kind in _K_ONLY:
        # V is a part of K; its length is asked for all the same (n_embd_head_v).
        return kv.value_length or kv.key_length, ()
    rows = {kv.value_length * heads for heads in kv.n_head_kv[: shape.n_layer]}
    return kv.value_length, tuple(sorted(rows))
