"""The rules of each kind of GPU backend, read in their sources (ggml 0.25.3). No Qt here.

Every rule names its file and line below ``ggml/src`` of llama.cpp. Only operations that occur in
language models of the DeepSeek families are looked at; the others count as supported. Nothing here
was compared with real devices yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from models.runtime.llama.ggml_abi import Abi, Tensor
from models.runtime.llama.phantom_graph import Keep, Nodes, cuda_keeps, metal_keeps
from models.runtime.llama.phantom_rules import (
    BF16,
    F16,
    F32,
    IQ4_NL,
    QUANTIZED_KV,
    BackendFacts,
    BackendRules,
    Check,
    has_aligned_rows,
    is_view_of,
    padded,
)

_KV_STRIDE = 256  # FATTN_KQ_STRIDE
_TERNARY = frozenset((34, 35))  # TQ1_0, TQ2_0
_FLOATS = frozenset((F32, F16, BF16))
_SQUARE_HEADS = frozenset((40, 64, 72, 80, 96, 112, 128, 256))


def _grouped(attention: Tensor) -> int:
    """Return heads of Q per head of K where kernels can use it, else 1 (fattn.cu:553-572)."""
    query, key, value = (attention.source(index) for index in range(3))
    mask = attention.source(3) if attention.src[3] else None
    ratio = int(query.ne[2] // max(key.ne[2], 1))
    max_bias = attention.op_params[1]  # a float; only zero matters
    tensors = [query, key, value, *([mask] if mask else [])]
    usable = ratio >= 2 and mask and max_bias == 0 and key.ne[1] % _KV_STRIDE == 0
    return ratio if usable and all(map(has_aligned_rows, tensors)) else 1


def _mask_is_shared(attention: Tensor) -> bool:
    return not attention.src[3] or attention.source(3).ne[2] == 1


class CudaRules(BackendRules):
    """CUDA, and ROCm, which is the same source built with another name.

    Alignment ggml-cuda/ggml-cuda.cu:897, padding of quantized rows :903-920, page-locked host
    buffers of the first device :1257-1316, capabilities :5123, offloading :5651 (32 rows unless
    GGML_OP_OFFLOAD_MIN_BATCH says otherwise), supported operations :5149-5634. Integrated GPUs
    read host buffers :5632 and have files not mapped :5128. Of the GPU itself nothing is known
    but that it has tensor cores (Turing or later): older ones convert K and V as well.
    """

    def checks(self) -> Mapping[str, Check]:
        """Return what CUDA does not always do."""
        return {
            "FLASH_ATTN_EXT": _cuda_attends,
            "LIGHTNING_INDEXER": _cuda_indexes,
            "MUL_MAT": _cuda_multiplies,
            "MUL_MAT_ID": _cuda_multiplies,
            "SCALE": lambda tensor: tensor.type in (F32, BF16),
        }

    def attention_bytes(self, tensor: Tensor, size: int) -> int:
        """Add K and V as f16 (ggml-cuda/fattn-common.cuh:53).

        Which kernel runs depends on the GPU (fattn.cu:722); all but the vector kernel, which is
        for single tokens, need the copies, and the buffer is sized for a whole batch.
        """
        key, value = tensor.source(1), tensor.source(2)
        if key.type != F16:
            size = padded(size, 128) + key.elements * 2
        if value.type != F16 and not is_view_of(value, key):
            size = padded(size, 128) + value.elements * 2
        return size

    def keeps(self, nodes: Nodes) -> Iterator[Keep]:
        """Yield what is kept for fused kernels."""
        return cuda_keeps(nodes)


def _cuda_attends(attention: Tensor) -> bool:
    """Whether there is a kernel (``ggml_cuda_get_best_fattn_kernel``, fattn.cu:541-632)."""
    key, value = attention.source(1), attention.source(2)
    size, value_size, ratio = key.ne[0], value.ne[0], _grouped(attention)
    if size in _SQUARE_HEADS:
        fits = value_size == size
    elif size == 192:
        fits = value_size == 128 and ratio >= 2 and ratio % 8 == 0
    elif size == 320:
        fits = value_size == 256 and ratio >= 2 and ratio % 32 == 0
    else:
        fits = (size, value_size) in ((512, 512), (576, 512)) and ratio >= 2
    kinds = _FLOATS | QUANTIZED_KV
    return fits and {key.type, value.type} <= kinds and _mask_is_shared(attention)


def _cuda_indexes(indexer: Tensor) -> bool:
    """``ggml_cuda_lightning_indexer_supported`` (lightning-indexer.cu:536)."""
    query, key = indexer.source(0), indexer.source(1)
    sizes_fit = query.ne[0] == 128 and query.ne[1] in (32, 64)
    kinds = _FLOATS | QUANTIZED_KV
    return sizes_fit and has_aligned_rows(query) and has_aligned_rows(key) and key.type in kinds


def _cuda_multiplies(product: Tensor) -> bool:
    """ggml-cuda.cu:5216: rows in one piece, no f16 operand of quantized weights."""
    weights, values = product.source(0), product.source(1)
    if weights.nb[0] != weights.element_bytes or values.nb[0] != values.element_bytes:
        return False
    return weights.type not in _TERNARY and (values.type != F16 or weights.type == F16)


class VulkanRules(BackendRules):
    """Vulkan, on a device with 4 GiB buffers and the usual extensions.

    Alignment is the device's minStorageBufferOffsetAlignment (ggml-vulkan.cpp:13034), 4 to 64
    bytes; 64 is taken. Buffers are at most 1 GiB each (:4216), which only cuts them up. Host
    buffers of the first device :13060-13120, capabilities :15285, offloading :15973, supported
    operations :15300-15950. Reorders nodes (``ggml_vk_graph_optimize`` :14663).
    """

    def checks(self) -> Mapping[str, Check]:
        """Return what Vulkan does not always do."""
        return {
            "FLASH_ATTN_EXT": _vulkan_attends,
            "LIGHTNING_INDEXER": _vulkan_indexes,
            "DSV4_HC_PRE": lambda tensor: tensor.source(0).ne[1] == 4,
            "DSV4_HC_POST": lambda tensor: tensor.source(1).ne[1] == 4,
        }


def _vulkan_attends(attention: Tensor) -> bool:
    """ggml-vulkan.cpp:15430: row lengths by 8, K and V both or neither bf16."""
    key, value = attention.source(1), attention.source(2)
    kinds = _FLOATS | QUANTIZED_KV | {IQ4_NL}
    return (
        key.ne[0] % 8 == 0
        and value.ne[0] % 8 == 0
        and {key.type, value.type} <= kinds
        and (key.type == BF16) == (value.type == BF16)
    )


def _vulkan_indexes(indexer: Tensor) -> bool:
    """ggml-vulkan.cpp:15842."""
    query, key = indexer.source(0), indexer.source(1)
    return bool(query.ne[0] == 128 and key.type in _FLOATS | QUANTIZED_KV | {IQ4_NL})


class MetalRules(BackendRules):
    """Metal on Apple silicon.

    Alignment ggml-metal/ggml-metal.cpp:269, scratch memory behind results :220-255, no host
    buffers :770, capabilities :668, offloading of matrix products only :750, a GPU even though it
    shares RAM :650, supported operations ggml-metal-device.m:1539. Reorders nodes
    (ggml-metal-common.cpp:453).
    """

    def __init__(self, abi: Abi, facts: BackendFacts) -> None:
        super().__init__(abi, facts)
        self._products = frozenset((abi.ops["MUL_MAT"], abi.ops["MUL_MAT_ID"]))
        self._scratch: Mapping[int, Callable[[Tensor, int], int]] = {
            abi.ops["MUL_MAT_ID"]: _metal_expert_bytes,
            abi.ops["CUMSUM"]: lambda _, size: 2 * size,
            abi.ops["ARGSORT"]: lambda _, size: 2 * size,
            abi.ops["TOP_K"]: lambda tensor, _: 8 * tensor.source(0).elements,
        }

    def checks(self) -> Mapping[str, Check]:
        """Return what Metal does not always do."""
        return {
            "FLASH_ATTN_EXT": _metal_attends,
            "LIGHTNING_INDEXER": _metal_indexes,
            "DSV4_HC_COMB": lambda tensor: tensor.source(0).ne[0] == 24,
            "DSV4_HC_POST": lambda tensor: tensor.source(1).ne[1] == 4,
        }

    def allocated_bytes(self, tensor: Tensor) -> int:
        """Return the size with the scratch memory that an operation needs."""
        size = super().allocated_bytes(tensor)
        scratch = self._scratch.get(tensor.op)
        return size if scratch is None else scratch(tensor, size)

    def attention_bytes(self, tensor: Tensor, size: int) -> int:
        """Add padding, block map, partial results and K and V as f16 (ggml-metal-ops.cpp:3064)."""
        query, key, value = (tensor.source(index) for index in range(3))
        is_view = is_view_of(value, key)
        size += _metal_padding_bytes(tensor)
        if tensor.src[3]:
            mask = tensor.source(3)
            rows, columns = (1, 32) if query.ne[1] < 20 and query.ne[0] % 32 == 0 else (8, 64)
            blocks = -(-query.ne[1] // rows) * -(-mask.ne[0] // columns)
            size += padded(blocks * mask.ne[2] * mask.ne[3], 32)
        heads = min(query.ne[1], 32) * query.ne[2] * query.ne[3]
        size += 4 * heads * 32 * (value.ne[0] + 2)
        size += padded(2 * key.elements, 16)
        return size if is_view else size + padded(2 * value.elements, 16)

    def offloads(self, tensor: Tensor) -> bool:
        """Whether it is a matrix product of enough rows."""
        return tensor.op in self._products and super().offloads(tensor)

    def keeps(self, nodes: Nodes) -> Iterator[Keep]:
        """Yield what is kept for fused kernels."""
        return metal_keeps(nodes)


def _metal_expert_bytes(product: Tensor, size: int) -> int:
    """Add the lists of tokens per expert and scaling factors (ggml-metal-ops.cpp:2650)."""
    experts, tokens = product.source(0).ne[2], product.source(2).ne[1]
    return int(size + 4 * experts + 4 * experts * tokens + 8 + 256 * 4)


def _metal_padding_bytes(attention: Tensor) -> int:
    query, key, value = (attention.source(index) for index in range(3))
    key_row, value_row = int(key.nb[1]), int(value.nb[1])
    if query.ne[1] >= 32 and key.type in QUANTIZED_KV:
        key_row = 2 * key.ne[0]
        value_row = 2 * (key.ne[0] if is_view_of(value, key) else value.ne[0])
    size = key_row * key.ne[2] * key.ne[3] + value_row * value.ne[2] * value.ne[3]
    if attention.src[3]:
        mask = attention.source(3)
        size += 2 * mask.ne[1] * mask.ne[2] * mask.ne[3]
    return int(64 * size)


_METAL_HEADS = frozenset((32, 40, 48, 64, 72, 80, 96, 112, 128, 192, 256, 320, 512, 576))


def _metal_attends(attention: Tensor) -> bool:
    """ggml-metal-device.m:1727."""
    query, key, value = (attention.source(index) for index in range(3))
    return (
        query.ne[0] in _METAL_HEADS
        and key.ne[0] >= value.ne[0]
        and not (key.ne[0] == 72 and value.ne[0] != 72)
        and key.type == value.type
        and key.type in _FLOATS | QUANTIZED_KV
    )


def _metal_indexes(indexer: Tensor) -> bool:
    """ggml-metal-device.m:1772."""
    query, key = indexer.source(0), indexer.source(1)
    return query.ne[0] == 128 and query.ne[1] == 64 and key.type in _FLOATS | QUANTIZED_KV


class SyclRules(BackendRules):
    """SYCL without oneDNN's attention, which copies Q and the result besides.

    Alignment and padding ggml-sycl/ggml-sycl.cpp:1021-1065, host buffers per device :1640,
    capabilities :6375, offloading :6863, supported operations :6408-6830.
    """

    def checks(self) -> Mapping[str, Check]:
        """Return what SYCL does not always do."""
        return {
            "FLASH_ATTN_EXT": _sycl_attends,
            "MUL_MAT": lambda tensor: tensor.source(0).type not in _TERNARY,
            "MUL_MAT_ID": lambda tensor: tensor.source(0).type not in _TERNARY,
        }

    def attention_bytes(self, tensor: Tensor, size: int) -> int:
        """Add K and V as f16 (ggml-sycl/fattn.cpp:396)."""
        key, value = tensor.source(1), tensor.source(2)
        if key.type != F16:
            size = padded(size, 128) + key.elements * 2
        if value.type != F16 and not is_view_of(value, key):
            size = padded(size, 128) + value.elements * 2
        return size


def _sycl_attends(attention: Tensor) -> bool:
    """``ggml_sycl_get_best_fattn_kernel`` (ggml-sycl/fattn.cpp:189-235)."""
    key, value = attention.source(1), attention.source(2)
    if key.ne[0] in _SQUARE_HEADS | {512}:
        fits = value.ne[0] == key.ne[0]
    else:
        fits = (key.ne[0], value.ne[0]) == (576, 512) and _grouped(attention) >= 2
    kinds = _FLOATS | {2, 8}  # q4_0, q8_0
    same = key.type == value.type
    return bool(fits and same and key.type in kinds and _mask_is_shared(attention))


class RpcRules(CudaRules):
    """A device behind the network: the RPC backend, with a CUDA card or a CPU at its other end.

    Every operation is claimed (ggml-rpc/ggml-rpc.cpp:2216) and none is offloaded (:2262); no host
    buffers (:2258); capabilities :2191. Sizes are asked of the other end (:806), which does not
    learn that V is a view of K (:1378), so its copy is counted too. Nothing is kept for fused
    kernels (:1086).
    """

    def checks(self) -> Mapping[str, Check]:
        """Return nothing: everything is supported."""
        return {}

    def attention_bytes(self, tensor: Tensor, size: int) -> int:
        """Add K and V as f16 where the other end is a CUDA card."""
        if not self.facts.row_elements:
            return size
        for operand in (tensor.source(1), tensor.source(2)):
            if operand.type != F16:
                size = padded(size, 128) + operand.elements * 2
        return size

    def keeps(self, _nodes: Nodes) -> Iterator[Keep]:
        """Yield nothing."""
        return iter(())


_CUDA = BackendFacts(
    "CUDA",
    align_bytes=128,
    row_elements=512,
    host_buffer="CUDA_Host",
    shared_maps_files=False,
    shared_reads_host=True,
    checks_devices=True,
)
_ROCM = BackendFacts(
    "ROCm",
    align_bytes=128,
    row_elements=512,
    host_buffer="ROCm_Host",
    shared_maps_files=False,
    shared_reads_host=True,
    checks_devices=True,
)
_VULKAN = BackendFacts(
    "Vulkan",
    align_bytes=64,
    host_buffer="Vulkan_Host",
    host_align_bytes=64,
    max_buffer_bytes=2**30,
    shared_maps_files=False,
    reorders=True,
)
_METAL = BackendFacts(
    "MTL", align_bytes=32, maps_host_memory=True, shared_is_igpu=False, reorders=True
)
_SYCL = BackendFacts(
    "SYCL", align_bytes=128, row_elements=512, host_buffer="SYCL_Host", host_per_device=True
)
_RPC_CUDA = BackendFacts("RPC", align_bytes=128, row_elements=512, offload_batch=None)
_RPC_CPU = BackendFacts("RPC", align_bytes=32, offload_batch=None)

_KINDS: Mapping[tuple[str, str], tuple[type[BackendRules], BackendFacts]] = {
    ("cuda", ""): (CudaRules, _CUDA),
    ("rocm", ""): (CudaRules, _ROCM),
    ("vulkan", ""): (VulkanRules, _VULKAN),
    ("metal", ""): (MetalRules, _METAL),
    ("sycl", ""): (SyclRules, _SYCL),
    ("rpc", "cuda"): (RpcRules, _RPC_CUDA),
    ("rpc", "cpu"): (RpcRules, _RPC_CPU),
}


def rules_of(kind: str, remote: str, abi: Abi) -> BackendRules:
    """Return the rules of a kind of GPU.

    Args:
        kind: a value of ``models.planner.machine.GpuKind``.
        remote: what an RPC host computes with, ``cuda`` or ``cpu``; ignored for the others.
        abi: of the installed library.
    """
    rules, facts = _KINDS[kind, remote if kind == "rpc" else ""]
    return rules(abi, facts)
