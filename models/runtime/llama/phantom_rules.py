"""What a GPU backend decides about a tensor, as far as llama.cpp's loader and scheduler ask.

``BackendRules`` is the plain case; the kinds are in phantom_kinds.py. No Qt here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from models.runtime.llama.ggml_abi import Abi, Tensor
from models.runtime.llama.phantom_graph import Keep, Nodes

F32, F16, I32, BF16 = 0, 1, 26, 30
# KV types with a conversion in every backend: q4_0, q4_1, q5_0, q5_1, q8_0.
QUANTIZED_KV = frozenset((2, 3, 6, 7, 8))
IQ4_NL = 20

Check = Callable[[Tensor], bool]


@dataclass(frozen=True)
class BackendFacts:
    """What does not depend on a tensor.

    Attributes:
        registry: name of the backend's registry.
        align_bytes: alignment of tensors in its buffers.
        row_elements: quantized rows are padded to a multiple of it, once per tensor; 0: not.
        host_buffer: name of its page-locked host buffers, None when it has none.
        host_align_bytes: alignment in those, 0: the CPU's own.
        host_per_device: every device has host buffers of its own, not the first one's.
        is_async, has_events: capabilities; both are needed for pipeline parallelism.
        offload_batch: rows from which on it takes operations whose weights lie in host memory,
            None when it never does.
        max_buffer_bytes: largest single buffer, None when there is no limit that is known.
        maps_host_memory: buffers can be made of host memory (mapped weights without a copy).
        shared_is_igpu: a device that shares the machine's RAM counts as an integrated GPU.
        shared_maps_files: whether such a device still has files mapped by load mode ``auto``.
        shared_reads_host: whether such a device computes on host buffers without a copy.
        checks_devices: operands on another device of the backend make it refuse an operation.
        reorders: it computes operations in another order than the graph's, which is not imitated:
            compute buffers are approximate.
    """

    registry: str
    align_bytes: int
    row_elements: int = 0
    host_buffer: str | None = None
    host_align_bytes: int = 0
    host_per_device: bool = False
    is_async: bool = True
    has_events: bool = True
    offload_batch: int | None = 32
    max_buffer_bytes: int | None = None
    maps_host_memory: bool = False
    shared_is_igpu: bool = True
    shared_maps_files: bool = True
    shared_reads_host: bool = False
    checks_devices: bool = False
    reorders: bool = False


class BackendRules:
    """A backend's rules about tensors.

    Args:
        abi: of the installed library.
        facts: what does not depend on a tensor.
    """

    def __init__(self, abi: Abi, facts: BackendFacts) -> None:
        self.facts = facts
        self.abi = abi
        ops = abi.ops
        self._get_rows = ops["GET_ROWS"]
        self._mul_mat = ops["MUL_MAT"]
        self._by_third_size = frozenset((ops["MUL_MAT_ID"], ops["ROPE"], ops["ROPE_BACK"]))
        self.flash_attention = ops["FLASH_ATTN_EXT"]
        self._checks = {ops[name]: check for name, check in self.checks().items()}

    def checks(self) -> Mapping[str, Check]:
        """Return what to ask about which operations; all others are supported."""
        return {}

    def allocated_bytes(self, tensor: Tensor) -> int:
        """Return what a tensor takes in a buffer, before alignment."""
        size = int(self.abi.nbytes(tensor.address))
        if tensor.op == self.flash_attention:
            return self.attention_bytes(tensor, size)
        pad = self.facts.row_elements
        if pad and tensor.ne[0] % pad and tensor.is_quantized:
            size += self.abi.row_size(tensor.type, pad - tensor.ne[0] % pad)
        return size

    def attention_bytes(self, _tensor: Tensor, size: int) -> int:
        """Return what the result of flash attention takes, ``size`` being the result alone."""
        return size

    def supports(self, tensor: Tensor) -> bool:
        """Whether the device computes an operation, wherever its operands lie."""
        check = self._checks.get(tensor.op)
        return check is None or check(tensor)

    def offloads(self, tensor: Tensor) -> bool:
        """Whether the device takes an operation although the weights lie in host memory."""
        batch = self.facts.offload_batch
        return batch is not None and self._batch_size(tensor) >= batch

    def keeps(self, _nodes: Nodes) -> Iterator[Keep]:
        """Yield which tensors are kept longer than needed, and until when."""
        return iter(())

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


def padded(size: int, align: int) -> int:
    """Return a size rounded up."""
    return size + -size % align


def is_view_of(value: Tensor, key: Tensor) -> bool:
    """Whether V is a view of K, as in latent attention."""
    if not value.view_src:
        return False
    same_origin = value.view_src == key.view_src and value.view_offs == key.view_offs
    return bool(value.view_src == key.address or same_origin)


def has_aligned_rows(tensor: Tensor) -> bool:
    """Whether all strides are multiples of 16 bytes; quantized types are not asked."""
    return tensor.is_quantized or all(stride % 16 == 0 for stride in tensor.nb[1:])
