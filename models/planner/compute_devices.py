"""What each kind of GPU backend does with a graph, as far as it moves compute buffers. Pure.

Read in the backends' sources (ggml 0.25.3, files below ggml/src), as models/runtime/llama/
phantom_kinds.py does for llama.cpp's own dry run. No Qt here.
"""

from __future__ import annotations

from models.gguf.shape import AttentionKind, ModelShape
from models.planner.compute_schedule import GpuTraits
from models.planner.machine import Gpu, GpuKind
from models.planner.plan import PlanSettings

_OFFLOAD_ROWS = 32
_FLOATS = frozenset({"f32", "f16", "bf16"})
_QUANTIZED = frozenset({"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"})
_SQUARE_HEADS = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
_METAL_HEADS = frozenset({32, 40, 48, 64, 72, 80, 96, 112, 128, 192, 256, 320, 512, 576})
_INDEXER_WIDTH = 128


def gpu_traits(
    gpu: Gpu, shape: ModelShape, settings: PlanSettings, *, has_pinned: bool
) -> GpuTraits:
    """Return how a GPU's backend treats a checkpoint's graph.

    Args:
        has_pinned: its page-locked host buffers are the CPU's.
    """
    is_cuda = gpu.kind in (GpuKind.CUDA, GpuKind.ROCM)
    is_remote = gpu.kind is GpuKind.RPC
    # ggml-rpc.cpp:2262: nothing is offloaded over a network.
    offloads = settings.op_offload and not is_remote
    converts = is_cuda or gpu.kind in (GpuKind.METAL, GpuKind.SYCL)
    return GpuTraits(
        offload_rows=_OFFLOAD_ROWS if offloads else None,
        offloads_products_only=gpu.kind is GpuKind.METAL,
        copies_kv=converts or (is_remote and gpu.remote == "cuda"),
        # ggml-rpc.cpp:1378: the other end does not learn that V is a view of K.
        copies_views=is_remote,
        attends=_attends(gpu.kind, shape, settings),
        indexes=_indexes(gpu.kind, shape, settings),
        keeps_experts=is_cuda,
        reads_pinned=is_cuda and gpu.is_unified and has_pinned,
    )


def _heads(shape: ModelShape) -> tuple[int, int, int]:
    """Return K and V elements of a head in the cache, and query heads per KV head."""
    kv = shape.kv
    if kv.kind in (AttentionKind.MLA, AttentionKind.DSA):
        return shape.kv_lora_rank + shape.rope_length, shape.kv_lora_rank, shape.n_head
    if kv.kind is AttentionKind.COMPRESSED:
        return kv.key_length, kv.key_length, shape.n_head
    return kv.key_length, kv.value_length, shape.n_head // max(*kv.n_head_kv, 1)


def _attends(kind: GpuKind, shape: ModelShape, settings: PlanSettings) -> bool:
    """Whether there is a flash attention kernel for the checkpoint's heads and cache types."""
    size, value_size, ratio = _heads(shape)
    # f32 is cast to f16 before (llama-graph.cpp:2652); MLA's V is K.
    type_k = settings.type_k
    is_shared = shape.kv.kind is not AttentionKind.GQA and (
        shape.kv.kind is not AttentionKind.MLA_EXPANDED
    )
    type_v = type_k if is_shared else settings.type_v
    types = {"f16" if name == "f32" else name for name in (type_k, type_v)}
    if kind in (GpuKind.CUDA, GpuKind.ROCM):
        return types <= _FLOATS | _QUANTIZED and _cuda_heads(size, value_size, ratio)
    if kind is GpuKind.VULKAN:
        fits = size % 8 == 0 and value_size % 8 == 0
        return fits and ("bf16" not in types or types == {"bf16"})
    if kind is GpuKind.METAL:
        return size in _METAL_HEADS and len(types) == 1 and types <= _FLOATS | _QUANTIZED
    if kind is GpuKind.SYCL:
        square = size in _SQUARE_HEADS | {512} and value_size == size
        latent = (size, value_size) == (576, 512) and ratio >= 2
        return (square or latent) and len(types) == 1 and types <= _FLOATS | {"q4_0", "q8_0"}
    return True


def _cuda_heads(size: int, value_size: int, ratio: int) -> bool:
    """ggml-cuda/fattn.cu:541-632."""
    if size in _SQUARE_HEADS:
        return value_size == size
    if size == 192:
        return value_size == 128 and ratio >= 2 and ratio % 8 == 0
    if size == 320:
        return value_size == 256 and ratio >= 2 and ratio % 32 == 0
    return (size, value_size) in {(512, 512), (576, 512)} and ratio >= 2


def _indexes(kind: GpuKind, shape: ModelShape, settings: PlanSettings) -> bool:
    """Whether there is a fused indexer for the checkpoint (lightning-indexer.cu:536 and others)."""
    kv = shape.kv
    if kind is GpuKind.RPC:
        return True
    types = _FLOATS | _QUANTIZED
    if kind is GpuKind.VULKAN:
        return kv.indexer_key_length == _INDEXER_WIDTH and settings.type_k in types | {"iq4_nl"}
    heads = {64} if kind is GpuKind.METAL else {32, 64}
    fits = kv.indexer_key_length == _INDEXER_WIDTH and kv.indexer_head_count in heads
    return kind is GpuKind.SYCL or (fits and settings.type_k in types)
