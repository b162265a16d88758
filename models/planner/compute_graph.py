"""A compute graph as ggml builds it, with sizes that are still formulas. Pure, no Qt here.

llama.cpp reserves compute buffers by building the graph of one full ubatch and walking it with an
allocator. ``models/planner/compute_*.py`` does the same in small: the builders write the nodes that
llama.cpp's builders write, in the same order, for one layer of every kind; dimensions that depend
on settings stay symbols, so that a graph is built once for a checkpoint and placement and sized
for any context and ubatch.
"""

from __future__ import annotations

from dataclasses import dataclass

Dim = int | str
Dims = tuple[Dim, Dim, Dim, Dim]
# Bytes as a sum of products: (factor, symbols multiplied with it).
Term = tuple[int, tuple[str, ...]]
Size = tuple[Term, ...]

TOKENS = "tokens"
OUTPUTS = "outputs"
CELLS = "cells"

# ggml-alloc.c:22, ggml_op_can_inplace.
_IN_PLACE = frozenset(
    {
        "FILL",
        "SCALE",
        "ADD",
        "MUL",
        "DIV",
        "SQRT",
        "UNARY",
        "ROPE",
        "RMS_NORM",
        "CLAMP",
        "SOFT_MAX",
    }
)
VIEW = "VIEW"
LEAF = "LEAF"


@dataclass(slots=True, eq=False)
class Node:
    """A tensor of the graph.

    Attributes:
        index: position in ``Graph.nodes``.
        op: operation; VIEW for every operation that only reads differently, LEAF for none.
        dims: sizes of the four dimensions.
        size: bytes as a formula, before a device's own rules.
        element_bytes: of one element; 0 where it does not matter (weights, cache).
        sources: what is read.
        origin: the tensor whose memory it shows, None when it has its own.
        is_contiguous: rows follow each other without gaps.
        place: backend that holds it already (weights, cache), None: the allocator's.
        is_weight: weights draw operations to their backend.
        is_host: lies in a host buffer that a GPU may take operations from.
        is_input: filled before the graph runs; on the CPU.
        is_output: read after the graph ran; never reused.
        wanted: backend that llama.cpp asks for, None: the scheduler's choice.
        converted: flash attention: what K, and V where it is no view of K, take as f16 when they
            are not f16; ``converted_view``: V that is a view of K, if it is copied by itself.
        is_pinned: a weight in page-locked host memory.
        keeps: what a GPU holds until this operation is done, for the sake of a fused kernel.
        name: for reading and for errors.
    """

    index: int
    op: str
    dims: Dims
    size: Size
    element_bytes: int
    sources: tuple[Node, ...]
    origin: Node | None = None
    is_contiguous: bool = True
    place: int | None = None
    is_weight: bool = False
    is_host: bool = False
    is_input: bool = False
    is_output: bool = False
    wanted: int | None = None
    converted: Size = ()
    converted_view: Size = ()
    is_pinned: bool = False
    keeps: tuple[Node, ...] = ()
    name: str = ""

    @property
    def can_be_in_place(self) -> bool:
        """Whether it may take over the memory of a source."""
        return self.op in _IN_PLACE

    def looks_like(self, other: Node) -> bool:
        """Whether both have the same type, dimensions and strides (ggml_are_same_layout)."""
        return (
            self.dims == other.dims
            and self.element_bytes == other.element_bytes
            and self.is_contiguous
            and other.is_contiguous
        )


def size_of(dims: Dims, element_bytes: int) -> Size:
    """Return the bytes of a contiguous tensor."""
    factor = element_bytes
    symbols: list[str] = []
    for dim in dims:
        if isinstance(dim, int):
            factor *= dim
        else:
            symbols.append(dim)
    return ((factor, tuple(sorted(symbols))),)


def shaped(*dims: Dim) -> Dims:
    """Fill up with ones to four dimensions."""
    filled = (*dims, 1, 1, 1)
    return filled[0], filled[1], filled[2], filled[3]


class Graph:
    """Nodes, and the order in which ggml computes and allocates them.

    Attributes:
        nodes: everything that was created.
        order: operations in the order of ``ggml_build_forward_expand`` (ggml.c:7245).
        leaves: inputs, weights and constants in the order they were met.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.order: list[Node] = []
        self.leaves: list[Node] = []
        self._visited: set[int] = set()

    def _add(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def op(self, op: str, dims: Dims, *sources: Node | None, element_bytes: int = 4) -> Node:
        """Create an operation's result with memory of its own (f32 unless told otherwise)."""
        given = tuple(source for source in sources if source is not None)
        size = size_of(dims, element_bytes)
        return self._add(Node(len(self.nodes), op, dims, size, element_bytes, given))

    def like(self, op: str, *sources: Node | None) -> Node:
        """Create an operation's result with the dimensions and type of its first source."""
        first = sources[0]
        assert first is not None
        return self.op(op, first.dims, *sources, element_bytes=first.element_bytes)

    def view(self, source: Node, *dims: Dim, contiguous: bool = False) -> Node:
        """Create a view; ``contiguous`` for a reshape of something contiguous."""
        filled = shaped(*dims)
        size = size_of(filled, source.element_bytes) if contiguous else source.size
        return self._add(
            Node(
                len(self.nodes),
                VIEW,
                filled,
                size,
                source.element_bytes,
                (source,),
                origin=source.origin or source,
                is_contiguous=contiguous and source.is_contiguous,
            )
        )

    def reshape(self, source: Node, *dims: Dim) -> Node:
        """Create a reshape (contiguous)."""
        return self.view(source, *dims, contiguous=True)

    def cut(self, source: Node, *dims: Dim) -> Node:
        """Create a view of a part; a copy of it to another device takes the part only."""
        node = self.view(source, *dims)
        node.size = size_of(node.dims, source.element_bytes)
        return node

    def leaf(self, name: str, *dims: Dim, element_bytes: int = 4) -> Node:
        """Create a constant that the allocator places before everything else."""
        filled = shaped(*dims)
        size = size_of(filled, element_bytes)
        return self._add(Node(len(self.nodes), LEAF, filled, size, element_bytes, (), name=name))

    def input(self, name: str, *dims: Dim, element_bytes: int = 4) -> Node:
        """Create an input."""
        node = self.leaf(name, *dims, element_bytes=element_bytes)
        node.is_input = True
        return node

    def held(self, name: str, dims: Dims, size: Size, place: int) -> Node:
        """Create a tensor that has its memory already: a weight or a cache."""
        node = Node(len(self.nodes), LEAF, dims, size, 0, (), place=place, name=name)
        return self._add(node)

    def set_rows(self, target: Node, rows: Node, indices: Node) -> Node:
        """Create ``ggml_set_rows``: writes into ``target`` and is a view of it."""
        node = self.view(target, *target.dims)
        node.op = "SET_ROWS"
        node.sources = (rows, indices, target)
        node.is_contiguous = target.is_contiguous
        return node

    def expand(self, node: Node) -> None:
        """Append a node and everything it needs, sources first and in their order."""
        if node.index in self._visited:
            return
        self._visited.add(node.index)
        for source in node.sources:
            self.expand(source)
        (self.leaves if node.op == LEAF else self.order).append(node)
