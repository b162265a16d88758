"""How each kind of GPU backend lays out buffers and which operations it takes. No Qt here.

Read in the backends' sources of llama.cpp (ggml 0.25.3); every rule names its file and line below
``ggml/src``. They decide what llama.cpp's loader and scheduler ask of a device before anything is
computed.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.runtime.llama.ggml_abi import Abi, Tensor

_F16 = 1


@dataclass(frozen=True)
class BackendFacts:
    """What does not depend on a tensor.

    Attributes:
        registry: name of the backend's registry, to which a number is added for a device.
        align_bytes: alignment of tensors in its buffers.
        row_elements: quantized rows are padded to a multiple of it, once per tensor; 0: not.
        host_buffer: name of its page-locked host buffers, None when it has none.
        is_async, has_events: capabilities; both are needed for pipeline parallelism.
        offload_batch: rows from which on it takes operations whose weights lie in host memory,
            None when it never does.
        max_buffer_bytes: largest single buffer, None when there is no limit.
        maps_host_memory: buffers can be made of host memory (mapped weights without a copy).
        shared_maps_files: whether a device that shares the machine's RAM still prefers mapped
            files with load mode ``auto``.
    """

    registry: str
    align_bytes: int
    row_elements: int = 0
    host_buffer: str | None = None
    is_async: bool = True
    has_events: bool = True
    offload_batch: int | None = 32
    max_buffer_bytes: int | None = None
    maps_host_memory: bool = False
    shared_maps_files: bool = True


class BackendRules:
    """A backend's rules about tensors; subclasses are the kinds.

    Args:
        abi: of the installed library.
        facts: what does not depend on a tensor.
    """

    def __init__(self, abi: Abi, facts: BackendFacts) -> None:
        self.facts = facts
        self._abi = abi
        ops = abi.ops
        self._get_rows = ops["GET_ROWS"]
        self._mul_mat = ops["MUL_MAT"]
        self._by_third_size = frozenset((ops["MUL_MAT_ID"], ops["ROPE"], ops["ROPE_BACK"]))
        self._flash_attention = ops["FLASH_ATTN_EXT"]

    def allocated_bytes(self, tensor: Tensor) -> int:
        """Return what a tensor takes in a buffer, before alignment."""
        return int(self._abi.nbytes(tensor.address))

    def supports(self, tensor: Tensor) -> bool:
        """Whether the device computes an operation, wherever its operands lie."""
        return bool(tensor.op >= 0)

    def offloads(self, tensor: Tensor) -> bool:
        """Whether the device takes an operation although the weights lie in host memory."""
        batch = self.facts.offload_batch
        return batch is not None and self._batch_size(tensor) >= batch

    def _batch_size(self, tensor: Tensor) -> int:
        """Return ``get_op_batch_size`` (ggml-cuda/ggml-cuda.cu:5637, the same in the others)."""
        if tensor.op == self._get_rows:
            return 0
        size = tensor.ne
        if tensor.op == self._mul_mat:
            return int(size[1])
        if tensor.op in self._by_third_size:
            return int(size[2])
        return int(size[1] * size[2] * size[3])


class CudaRules(BackendRules):
    """CUDA, and ROCm, which is the same source built with another name.

    Alignment ggml-cuda.cu:897; padding of quantized rows and flash attention's conversion
    ggml-cuda.cu:903-920; page-locked host buffers :1257-1316; capabilities :5123; offloading
    :5651 (32 rows unless GGML_OP_OFFLOAD_MIN_BATCH says otherwise).
    """

    def allocated_bytes(self, tensor: Tensor) -> int:
        """Return the size with padded rows, or with flash attention's f16 copies of K and V."""
        size = int(self._abi.nbytes(tensor.address))
        if tensor.op == self._flash_attention:
            return _with_f16_copies(tensor, size)
        pad = self.facts.row_elements
        if pad and tensor.ne[0] % pad and tensor.is_quantized:
            size += self._abi.row_size(tensor.type, pad - tensor.ne[0] % pad)
        return size


def _with_f16_copies(result: Tensor, size: int) -> int:
    """Add K and V as f16 (ggml-cuda/fattn-common.cuh:53).

    Which kernel runs depends on the GPU (fattn.cu:722); all but the vector kernel, which is for
    single tokens, need the copies, and the buffer is sized for a whole batch.
    """
    key, value = result.source(1), result.source(2)
    if key.type != _F16:
        size = _padded(size, 128) + key.elements * 2
    if value.type != _F16 and not _is_view_of(value, key):
        size = _padded(size, 128) + value.elements * 2
    return size


def _is_view_of(value: Tensor, key: Tensor) -> bool:
    if not value.view_src:
        return False
    same_origin = value.view_src == key.view_src and value.view_offs == key.view_offs
    return bool(value.view_src == key.address or same_origin)


def _padded(size: int, align: int) -> int:
    return size + -size % align


_CUDA = BackendFacts("CUDA", align_bytes=128, row_elements=512, host_buffer="CUDA_Host")
_ROCM = BackendFacts("ROCm", align_bytes=128, row_elements=512, host_buffer="ROCm_Host")


def rules_of(kind: str, abi: Abi) -> BackendRules:
    """Return the rules of a GPU kind (the values of ``models.planner.machine.GpuKind``)."""
    return {
        "cuda": lambda: CudaRules(abi, _CUDA),
        "rocm": lambda: CudaRules(abi, _ROCM),
    }[kind]()
