"""Which backend computes what, and what is copied there: ggml's scheduler. Pure, no Qt here.

Source: ggml/src/ggml-backend.cpp, ``ggml_backend_sched_split_graph`` (:992-1590), then
ggml/src/ggml-alloc.c, ``ggml_gallocr_alloc_graph_impl`` (:760). The result is a list of steps per
backend that ``compute_allocator`` sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.planner.compute_allocator import GIVE, SHRINK, TAKE, Step
from models.planner.compute_graph import LEAF, VIEW, Dim, Graph, Node, Size

# ggml-backend.cpp:970: these weights are too small to draw an operation.
_NOT_DRAWN = frozenset({"ROPE", "FLASH_ATTN_EXT"})
# ggml-cuda.cu:5637, get_op_batch_size: rows are the third dimension.
_BY_THIRD = frozenset({"MUL_MAT_ID", "ROPE"})
_PIPELINE_COPIES = 4


@dataclass(frozen=True)
class GpuTraits:
    """What of a GPU's backend decides where operations run and what they take.

    Attributes:
        offload_rows: from how many rows on it takes operations whose weights lie in host memory;
            None when it never does.
        offloads_products_only: only matrix products are taken.
        copies_kv: flash attention keeps f16 copies of a K or V that is not f16.
        copies_views: the copy of V is kept even where V is a view of K.
        attends: it has flash attention for this checkpoint and cache type.
        indexes: it has the fused indexer for them.
        keeps_experts: results of experts are kept until they are added up.
        reads_pinned: it computes on page-locked host memory without a copy.
    """

    offload_rows: int | None = None
    offloads_products_only: bool = False
    copies_kv: bool = False
    copies_views: bool = False
    attends: bool = True
    indexes: bool = True
    keeps_experts: bool = False
    reads_pinned: bool = False

    def supports(self, node: Node) -> bool:
        """Whether it has a kernel for an operation."""
        if node.op == "FLASH_ATTN_EXT":
            return self.attends
        return self.indexes or node.op != "LIGHTNING_INDEXER"

    def takes(self, node: Node, rows: int) -> bool:
        """Whether it computes an operation although the weights lie in host memory."""
        if self.offload_rows is None or rows < self.offload_rows:
            return False
        return not self.offloads_products_only or node.op in ("MUL_MAT", "MUL_MAT_ID")


@dataclass(frozen=True)
class Backends:
    """The backends in llama.cpp's order: GPUs, then the CPU.

    Attributes:
        gpus: in order.
        is_pipelined: inputs are kept four times, so that devices work at the same time.
        cpu_is_pinned: the CPU's own results lie in page-locked memory.
    """

    gpus: tuple[GpuTraits, ...]
    is_pipelined: bool = False
    cpu_is_pinned: bool = False

    @property
    def cpu(self) -> int:
        """Index of the CPU."""
        return len(self.gpus)

    def reads(self, source: Node, home: int, backend: int) -> bool:
        """Whether a backend reads a tensor where it lies."""
        if home == backend:
            return True
        if home != self.cpu or not self.gpus[backend].reads_pinned:
            return False
        origin = source.origin or source
        return origin.is_pinned if origin.place is not None else self.cpu_is_pinned


@dataclass
class Program:
    """Steps of one backend's buffer, ready to be sized."""

    steps: list[Step] = field(default_factory=list)
    sizes: dict[Size, int] = field(default_factory=dict)
    n_slots: int = 0

    def size_index(self, size: Size) -> int:
        """Return the index of a size, the same for equal formulas."""
        return self.sizes.setdefault(size, len(self.sizes))


class Assignment:
    """Passes 1 to 4: the backend of every node.

    Args:
        graph: the graph.
        backends: where it can run.
        values: of the symbols; only whether a batch is large enough depends on them.
    """

    def __init__(self, graph: Graph, backends: Backends, values: Mapping[str, int]) -> None:
        self._graph = graph
        self._backends = backends
        self._values = values
        self.of: list[int] = [-1] * len(graph.nodes)
        self._place_leaves()
        for node in graph.order:
            self.of[node.index] = self._by_itself(node)
        self._expand()
        self._complete()

    def _number(self, dim: Dim) -> int:
        return dim if isinstance(dim, int) else self._values[dim]

    def _rows(self, node: Node) -> int:
        if node.op == "GET_ROWS":
            return 0
        dims = node.dims
        if node.op == "MUL_MAT":
            return self._number(dims[1])
        if node.op in _BY_THIRD:
            return self._number(dims[2])
        return self._number(dims[1]) * self._number(dims[2]) * self._number(dims[3])

    def _place_leaves(self) -> None:
        cpu = self._backends.cpu
        for leaf in self._graph.leaves:
            if leaf.place is not None:
                self.of[leaf.index] = leaf.place
            elif leaf.is_input:
                self.of[leaf.index] = cpu

    def _by_itself(self, node: Node) -> int:
        if node.wanted is not None:
            return node.wanted
        if node.origin is not None and node.origin.place is not None:
            return node.origin.place
        if node.op in _NOT_DRAWN:
            return -1
        for source in node.sources:
            if source.is_weight and source.place is not None:
                return self._drawn_by(source, node)
        return -1

    def _drawn_by(self, weight: Node, node: Node) -> int:
        assert weight.place is not None
        if weight.place == self._backends.cpu and weight.is_host:
            rows = self._rows(node)
            for backend, gpu in enumerate(self._backends.gpus):
                if gpu.takes(node, rows) and self._supports(node, backend):
                    return backend
        return weight.place

    def _supports(self, node: Node, backend: int) -> bool:
        """A GPU reads host memory (by a copy) and its own, not another GPU's."""
        cpu = self._backends.cpu
        if backend == cpu:
            return True
        return self._backends.gpus[backend].supports(node) and all(
            source.place in (None, cpu, backend) for source in node.sources
        )

    def _expand(self) -> None:
        """Pass 2: neighbours follow a GPU, then whatever there is."""
        worked = [node for node in self._graph.order if node.op != VIEW]
        for gpu_only in (True, False):
            self._sweep(worked, gpu_only=gpu_only)
            worked.reverse()
            self._sweep(worked, gpu_only=gpu_only)
            worked.reverse()

    def _sweep(self, nodes: Sequence[Node], *, gpu_only: bool) -> None:
        of, cpu, current = self.of, self._backends.cpu, -1
        for node in nodes:
            assigned = of[node.index]
            if assigned != -1:
                current = -1 if gpu_only and assigned == cpu else assigned
            elif current != -1 and self._supports(node, current):
                of[node.index] = current

    def _complete(self) -> None:
        """Passes 3 and 4: most inputs at hand; views and constants go with their neighbours."""
        of = self.of
        for node in self._graph.order:
            if node.op != VIEW and of[node.index] == -1:
                of[node.index] = self._nearest(node)
        for node in self._graph.order:
            if node.origin is not None and of[node.index] == -1:
                of[node.index] = of[node.origin.index]
            for source in node.sources:
                if of[source.index] == -1:
                    origin = source.origin
                    of[source.index] = of[origin.index] if origin else of[node.index]
            if of[node.index] == -1:
                of[node.index] = 0

    def _nearest(self, node: Node) -> int:
        best, best_count = self._backends.cpu, -1
        for backend in range(self._backends.cpu + 1):
            if self._supports(node, backend):
                at_hand = sum(
                    self._backends.reads(source, self._home(source), backend)
                    for source in node.sources
                )
                if at_hand > best_count:
                    best, best_count = backend, at_hand
        return best

    def _home(self, source: Node) -> int:
        return self.of[(source.origin or source).index]


@dataclass(slots=True)
class _Held:
    """What the allocator knows of a tensor (``struct hash_node``)."""

    children: int = 0
    views: int = 0
    is_allocated: bool = False
    backend: int = -1
    slot: int = -1
    size_index: int = -1


class Recorder:
    """Pass 5 and the allocator: splits, copies, and when memory is taken and given back."""

    def __init__(self, graph: Graph, backends: Backends, assignment: Assignment) -> None:
        self._graph = graph
        self._backends = backends
        self._of = assignment.of
        self._sources: dict[int, list[Node]] = {}
        self._copies: dict[tuple[int, int], Node] = {}
        self._sequence: list[tuple[Node, int, bool]] = []
        self._copied_leaves: list[tuple[Node, int]] = []
        self.programs = [Program() for _ in range(backends.cpu + 1)]
        self._split()
        self._held = [_Held() for _ in graph.nodes]
        self._record()

    def _needs_copy(self, source: Node, backend: int) -> bool:
        home = self._of[source.index]
        if home == backend:
            return False
        if backend == self._backends.cpu:
            return True
        return not self._backends.reads(source, home, backend)

    def _starts_split(self, node: Node) -> bool:
        """A weight from elsewhere begins a split, so that earlier ones can be given back."""
        backend = self._of[node.index]
        return any(
            source.is_weight and self._needs_copy(source, backend) for source in node.sources
        )

    def _split(self) -> None:
        worked = [node for node in self._graph.order if node.op != VIEW]
        current = self._of[worked[0].index]
        inputs: list[tuple[Node, Node]] = []
        pending: list[Node] = []
        for node in self._graph.order:
            if node.op != VIEW:
                backend = self._of[node.index]
                if backend != current or (inputs and self._starts_split(node)):
                    self._close(current, inputs, pending)
                    inputs, pending, current = [], [], backend
                self._read_from(node, current, inputs)
            pending.append(node)
        self._close(current, inputs, pending)

    def _read_from(self, node: Node, backend: int, inputs: list[tuple[Node, Node]]) -> None:
        sources = list(node.sources)
        for position, source in enumerate(sources):
            if not self._needs_copy(source, backend):
                continue
            key = (source.index, backend)
            if key not in self._copies:
                self._copies[key] = self._copy(source, backend)
                inputs.append((source, self._copies[key]))
            sources[position] = self._copies[key]
        self._sources[node.index] = sources

    def _copy(self, source: Node, backend: int) -> Node:
        graph = self._graph
        copy = Node(
            len(graph.nodes), LEAF, source.dims, source.size, source.element_bytes, (), name="copy"
        )
        copy.is_contiguous = source.is_contiguous
        copy.is_output = self._backends.is_pipelined
        graph.nodes.append(copy)
        self._of.append(backend)
        return copy

    def _close(self, backend: int, inputs: list[tuple[Node, Node]], pending: list[Node]) -> None:
        for source, copy in inputs:
            self._sequence.append((source, self._of[source.index], True))
            self._sequence.append((copy, backend, False))
            if self._backends.is_pipelined:
                self._copied_leaves.append((copy, backend))
        keeps = backend < self._backends.cpu and self._backends.gpus[backend].keeps_experts
        inside = {node.index for node in pending} if keeps else set()
        for node in pending:
            self._sequence.append((node, self._of[node.index], False))
            if node.keeps and keeps and node.keeps[0].index in inside:
                kept = (self._copies.get((one.index, backend), one) for one in node.keeps[1:])
                self._sequence.extend((one, backend, True) for one in kept)

    def _record(self) -> None:
        self._take_leaves()
        for node, _, is_dependency in self._sequence:
            if is_dependency:
                self._held[node.index].children += 1
                continue
            if node.origin is not None:
                self._held[node.origin.index].views += 1
            for source in self._sources_of(node):
                self._held[source.index].children += 1
        for node, backend, is_dependency in self._sequence:
            if is_dependency:
                self._done_with(node)
                continue
            sources = self._sources_of(node)
            for source in sources:
                self._take(source, backend)
            self._take(node, backend)
            for source in sources:
                self._done_with(source)

    def _sources_of(self, node: Node) -> Sequence[Node]:
        return self._sources.get(node.index, node.sources)

    def _take_leaves(self) -> None:
        if self._backends.is_pipelined:
            for leaf in self._graph.leaves:
                if leaf.is_input:
                    leaf.is_output = True
                    self._take(leaf, self._backends.cpu)
                    self._take_more(leaf, self._backends.cpu)
            for copy, backend in self._copied_leaves:
                self._take(copy, backend)
                self._take_more(copy, backend)
        for leaf in self._graph.leaves:
            self._take(leaf, self._of[leaf.index])

    def _take_more(self, node: Node, backend: int) -> None:
        program = self.programs[backend]
        for _ in range(_PIPELINE_COPIES - 1):
            program.steps.append((TAKE, program.n_slots, program.size_index(node.size)))
            program.n_slots += 1

    def _allocated(self, node: Node, backend: int) -> Size:
        if backend == self._backends.cpu or not (node.converted or node.converted_view):
            return node.size
        gpu = self._backends.gpus[backend]
        if not gpu.copies_kv:
            return node.size
        has_own_value = gpu.copies_views or self._sources_of(node)[2].origin is None
        return node.size + node.converted + (node.converted_view if has_own_value else ())

    def _take(self, node: Node, backend: int) -> None:
        held = self._held[node.index]
        if held.is_allocated or node.place is not None or node.origin is not None:
            return
        held.is_allocated = True
        if node.can_be_in_place and self._take_over(node, held):
            return
        program = self.programs[backend]
        held.backend, held.slot = backend, program.n_slots
        held.size_index = program.size_index(self._allocated(node, backend))
        program.n_slots += 1
        program.steps.append((TAKE, held.slot, held.size_index))

    def _take_over(self, node: Node, held: _Held) -> bool:
        for parent in self._sources_of(node):
            before = self._held[parent.index]
            if not before.is_allocated or parent.is_output or not node.looks_like(parent):
                continue
            if before.children == 1 and before.views == 0:
                held.backend, held.slot = before.backend, before.slot
                program = self.programs[held.backend]
                held.size_index = program.size_index(node.size)
                before.is_allocated = False
                if held.size_index != before.size_index:
                    program.steps.append((SHRINK, held.slot, held.size_index))
                return True
        return False

    def _done_with(self, parent: Node) -> None:
        held = self._held[parent.index]
        held.children -= 1
        if held.children or held.views:
            return
        if parent.origin is not None:
            origin = self._held[parent.origin.index]
            origin.views -= 1
            if origin.views == 0 and origin.children == 0 and origin.is_allocated:
                self._give(parent.origin)
        elif held.is_allocated:
            self._give(parent)

    def _give(self, node: Node) -> None:
        if node.is_output:
            return
        held = self._held[node.index]
        held.is_allocated = False
        self.programs[held.backend].steps.append((GIVE, held.slot, held.size_index))


def schedule(graph: Graph, backends: Backends, values: Mapping[str, int]) -> list[Program]:
    """Return the steps of every backend's compute buffer, GPUs first, the CPU last.

    Args:
        graph: the reduced graph; copies are added to its nodes.
        backends: where it can run.
        values: of the graph's symbols, for the decision what is worth offloading.
    """
    assignment = Assignment(graph, backends, values)
    return Recorder(graph, backends, assignment).programs
