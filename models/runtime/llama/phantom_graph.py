"""What backends keep alive longer than a graph needs it, for the sake of fused kernels. No Qt here.

A backend may ask the scheduler to keep the inputs of a group of operations until the group's last
one is computed (``graph_optimize``, ggml-backend-impl.h), because one kernel does them all. That
changes which tensors share memory, hence the size of the compute buffer: with experts on a GPU by
up to the experts' output of a whole batch.

The structure of the groups is checked as the backends do; that nothing else reads what lies in
between (``ggml_can_fuse_subgraph``) is taken for granted, as llama.cpp builds its layers that way.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

from models.runtime.llama.ggml_abi import Abi, Graph, Tensor

_F32 = 0
_SIGMOID, _SOFTPLUS = 7, 15  # enum ggml_unary_op
_MOST_FUSED_EXPERTS = 15  # MOE_WEIGHTED_REDUCTION_MAX_EXPERTS, ggml-cuda/ggml-cuda.cu:3034

# A tensor and the operation up to which it is kept, as addresses.
Keep = tuple[int, int]


class Nodes:
    """The operations of a graph in the order of their computation."""

    def __init__(self, graph: int, abi: Abi) -> None:
        header = Graph.from_address(graph)
        self.count = int(header.n_nodes)
        # One more: CUDA's rule looks at the node after the last of a group.
        array = (ctypes.c_void_p * self.count).from_address(header.nodes) if self.count else ()
        self.addresses: list[int] = list(array)
        offset, names = Tensor.op.offset, abi.op_names
        self.ops = [
            names[ctypes.c_int.from_address(address + offset).value] for address in self.addresses
        ]

    def __getitem__(self, index: int) -> Tensor:
        return Tensor.from_address(self.addresses[index])


def sources(tensor: Tensor) -> Iterator[int]:
    """Yield the addresses of a tensor's operands."""
    return (source for source in tensor.src if source)


# --- CUDA and ROCm ------------------------------------------------------------------------------


def cuda_keeps(nodes: Nodes) -> Iterator[Keep]:
    """Yield what CUDA keeps (``ggml_backend_cuda_graph_optimize``, ggml-cuda/ggml-cuda.cu:4522)."""
    index = 0
    while index < nodes.count:
        if nodes.ops[index] == "MUL":
            length, keeps = _weighted_reduction(nodes, index)
            yield from keeps
            index += max(length, 1)
            continue
        length = _top_k(nodes, index)
        if length and index + length < nodes.count:
            yield from _keep_group(nodes, index, length)
        index += max(length, 1)


def _keep_group(nodes: Nodes, first: int, length: int) -> Iterator[Keep]:
    """Yield a group's nodes and operands, kept up to the node after it (ggml-cuda.cu:4531)."""
    until = nodes.addresses[first + length]
    for index in range(first, first + length):
        yield nodes.addresses[index], until
        yield from ((source, until) for source in sources(nodes[index]))


def _weighted_reduction(nodes: Nodes, first: int) -> tuple[int, list[Keep]]:
    """Match experts * weights, added up over the experts (ggml-cuda.cu:3044).

    Returns:
        How many nodes belong to it, 0 when it is none, and what is kept up to its end.
    """
    product = nodes[first]
    split = _split_product(product)
    n_products = 1
    if first + 1 < nodes.count and nodes.ops[first + 1] == "MUL":
        second = nodes[first + 1]
        outer = _split_product(second)
        if outer and split and outer[0] == product.address:
            product, split, n_products = second, (*split, outer[1]), 2
    if split is None:
        return 0, []
    n_experts = int(product.ne[1])
    length = 2 * n_experts + n_products - 1
    if not 2 <= n_experts <= _MOST_FUSED_EXPERTS or first + length > nodes.count:
        return 0, []
    if not _adds_up_views(nodes, first + n_products, length - n_products, product):
        return 0, []
    until = nodes.addresses[first + length - 1]
    return length, [(kept, until) for kept in split]


def _split_product(product: Tensor) -> tuple[int, ...] | None:
    """Return the full and the broadcast operand of a weighting, None when it is none."""
    if product.type != _F32:
        return None
    left, right = (Tensor.from_address(address) for address in tuple(sources(product))[:2])
    for full, factor in ((left, right), (right, left)):
        if list(full.ne) == list(product.ne) and list(factor.ne) == [1, *product.ne[1:]]:
            return full.address, factor.address
    return None


def _adds_up_views(nodes: Nodes, first: int, length: int, product: Tensor) -> bool:
    """Whether the nodes are one view of every expert and the additions over them."""
    views, adds = 0, 0
    for index in range(first, first + length):
        if nodes.ops[index] == "VIEW" and nodes[index].view_src == product.address:
            views += 1
        elif nodes.ops[index] == "ADD" and views >= 2 and adds + 1 < views:
            adds += 1
        else:
            return False
    return views == product.ne[1] and adds == views - 1


def _top_k(nodes: Nodes, first: int) -> int:
    """Return how many nodes choose experts from ``first`` on, 0: none (ggml-cuda.cu:2813)."""
    gating = _gating_length(nodes, first)
    if not gating:
        return 0
    tail = ["RESHAPE", "ARGSORT", "VIEW", "GET_ROWS"]
    after = first + gating
    if nodes.ops[after + 1 : after + 2] == ["ADD"]:
        tail.insert(1, "ADD")
    if nodes.ops[after : after + len(tail)] != tail:
        return 0
    length = gating + len(tail)
    norm = ["RESHAPE", "SUM_ROWS", "CLAMP", "DIV", "RESHAPE"]
    if nodes.ops[first + length : first + length + len(norm)] == norm:
        length += len(norm)
    if nodes.ops[first + length : first + length + 1] == ["SCALE"]:
        length += 1
    return length


def _gating_length(nodes: Nodes, first: int) -> int:
    """Return how many nodes turn the router's output into probabilities."""
    if nodes.ops[first] == "SOFT_MAX":
        return 1
    if nodes.ops[first] != "UNARY":
        return 0
    kind = nodes[first].op_params[0]
    if kind == _SIGMOID:
        return 1
    return 2 if kind == _SOFTPLUS and nodes.ops[first + 1 : first + 2] == ["SQRT"] else 0


# --- Metal --------------------------------------------------------------------------------------

# ggml-metal/ggml-metal-fusion.cpp:614-701, those that occur in language models.
_TOP_K = ("SOFT_MAX", "RESHAPE", "ARGSORT", "VIEW", "GET_ROWS")
_TOP_K_NORM = (*_TOP_K, "RESHAPE", "SUM_ROWS", "CLAMP", "DIV", "RESHAPE")
_METAL_GROUPS: tuple[tuple[str, ...], ...] = (
    *((norm, *rest) for norm in ("NORM", "RMS_NORM") for rest in (("MUL",), ("MUL", "ADD"))),
    *((norm, "SCALE") for norm in ("NORM", "RMS_NORM")),
    *(("ADD",) * count for count in range(2, 8)),
    _TOP_K,
    (*_TOP_K, "SCALE"),
    _TOP_K_NORM,
    (*_TOP_K_NORM, "SCALE"),
    *(("MUL", *("VIEW",) * count, *("ADD",) * (count - 1)) for count in range(2, 9)),
)


def _by_first(groups: Sequence[tuple[str, ...]]) -> dict[str, list[tuple[str, ...]]]:
    """Return groups by their first operation, longest first."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for group in sorted(groups, key=len, reverse=True):
        found.setdefault(group[0], []).append(group)
    return found


_METAL_BY_FIRST = _by_first(_METAL_GROUPS)


def metal_keeps(nodes: Nodes) -> Iterator[Keep]:
    """Yield what Metal keeps (``ggml_metal_fusion_add_alloc_deps``, ggml-metal-fusion.cpp:742)."""
    index = 0
    while index < nodes.count:
        length = _longest(nodes.ops, index)
        if length:
            yield from _external_inputs(nodes, index, length)
        index += max(length, 1)


def _longest(ops: Sequence[str], first: int) -> int:
    """Return the length of the longest of Metal's groups that begins at ``first``, 0: none."""
    for group in _METAL_BY_FIRST.get(ops[first], ()):
        if tuple(ops[first : first + len(group)]) == group:
            return len(group)
    return 0


def _external_inputs(nodes: Nodes, first: int, length: int) -> Iterator[Keep]:
    """Yield what a group reads from outside, kept up to its last node."""
    until = nodes.addresses[first + length - 1]
    seen: set[int] = set()
    for index in range(first, first + length):
        for source in sources(nodes[index]):
            if source not in seen:
                seen.add(source)
                yield source, until
        seen.add(nodes.addresses[index])
