"""The parts that llama.cpp's graphs share: norms, feed-forward, experts, attention. Pure, no Qt.

Every function writes the nodes of the function of the same purpose in src/llama-graph.cpp, in the
same order, because the allocator's result depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.gguf.shape import ModelShape, Tensor
from models.planner.compute_graph import CELLS, OUTPUTS, TOKENS, Dim, Graph, Node, Size, shaped
from models.planner.inventory import row_bytes

# ggml-cuda.cu:3034: results of so many experts are weighted and added up by one kernel.
_MOST_FUSED_EXPERTS = 15


@dataclass(frozen=True)
class GraphSettings:
    """What of the settings changes the graph itself, not only its sizes.

    Attributes:
        flash: flash attention.
        turns_v: the V cache lies transposed; it does not where flash attention was asked for, also
            if it turns out not to work.
        type_k, type_v: cache types in GGUF's words (F16, Q8_0).
        keeps_kv_on_cpu: the cache stays on the CPU; then plain attention is pinned there as well
            (llama-graph.cpp:2744).
        pins: llama.cpp's own wishes for single nodes count: norms on their layer's device
            (llama-context.cpp:2646), plain attention. They do when a graph runs and when fused
            operations are looked for; ``ggml_backend_sched_reserve_size`` (ggml-backend.cpp:1982),
            which measures a dry run, forgets them.
    """

    flash: bool
    turns_v: bool
    type_k: str
    type_v: str
    keeps_kv_on_cpu: bool
    pins: bool = False


@dataclass(frozen=True)
class LayerPlace:
    """One layer of the reduced graph.

    Attributes:
        layer: the block it stands for.
        repeats: how many further blocks are like it (their constants are allocated all the same).
        backend: of the layer; ``cache``: of its KV cache.
        weights: by short name, its tensor, backend, whether in a host buffer, largest size.
        is_last: only the rows that are asked for go on.
    """

    layer: int
    repeats: int
    backend: int
    cache: int
    weights: Mapping[str, PlacedWeight]
    is_last: bool = False


@dataclass(frozen=True)
class PlacedWeight:
    """A weight of the reduced graph; ``size_bytes`` is the largest of the blocks it stands for."""

    tensor: Tensor
    backend: int
    is_host: bool
    size_bytes: int
    is_pinned: bool = False


class UnknownGraphError(KeyError):
    """The checkpoint has not the weights of a graph that is known here; never shown."""


class Layers:
    """Writes layers into a graph.

    Args:
        shape: of the checkpoint.
        settings: what changes the graph.
    """

    def __init__(self, shape: ModelShape, settings: GraphSettings) -> None:
        self.shape = shape
        self.settings = settings
        self.graph = Graph()
        self.place: LayerPlace | None = None
        self.frequencies: PlacedWeight | None = None
        self._frequencies_of: dict[int, Node] = {}
        self.positions = self.graph.input("positions", TOKENS)
        self.out_ids = self.graph.input("out_ids", OUTPUTS)

    @property
    def layer(self) -> LayerPlace:
        """The layer that is being written."""
        assert self.place is not None
        return self.place

    def weight(self, name: str) -> Node:
        """Return a weight of the layer.

        Raises:
            UnknownGraphError: there is none of this name.
        """
        found = self.optional(name)
        if found is None:
            raise UnknownGraphError(f"blk.{self.layer.layer}.{name}")
        return found

    def has(self, *names: str) -> bool:
        """Whether the layer has all of these weights."""
        return all(name in self.layer.weights for name in names)

    def optional(self, name: str | None) -> Node | None:
        """Return a weight of the layer, None when the checkpoint has none of this name."""
        placed = self.layer.weights.get(name) if name else None
        return None if placed is None else self.placed(placed)

    def placed(self, placed: PlacedWeight) -> Node:
        """Return the node of a weight."""
        size: Size = ((placed.size_bytes, ()),)
        dims = shaped(*placed.tensor.shape)
        node = self.graph.held(placed.tensor.name, dims, size, placed.backend)
        node.is_weight, node.is_host = True, placed.is_host
        node.is_pinned = placed.is_pinned
        return node

    def matmul(self, weight: Node, x: Node) -> Node:
        """``ggml_mul_mat``."""
        dims = (weight.dims[1], x.dims[1], x.dims[2], x.dims[3])
        return self.graph.op("MUL_MAT", dims, weight, x)

    def matmul_id(self, weight: Node, x: Node, ids: Node) -> Node:
        """``ggml_mul_mat_id``."""
        dims = shaped(weight.dims[1], ids.dims[0], ids.dims[1])
        return self.graph.op("MUL_MAT_ID", dims, weight, x, ids)

    def norm(self, x: Node, weight: Node | None, *, in_layer: bool = True) -> Node:
        """``build_norm`` (llama-graph.cpp:1597): the norm, and the product with its weight."""
        normed = self.graph.like("RMS_NORM", x)
        if weight is None:
            return normed
        if in_layer and self.settings.pins:
            normed.wanted = self.layer.backend
        return self.graph.like("MUL", normed, weight)

    def rope(self, x: Node) -> Node:
        """``ggml_rope_ext``, with the frequencies that some Llama files carry."""
        return self.graph.like("ROPE", x, self.positions, self._frequencies())

    def _frequencies(self) -> Node | None:
        """Llama's own frequencies; every device with layers has a copy (llama-model.cpp)."""
        if self.frequencies is None:
            return None
        backend = self.layer.backend
        if backend not in self._frequencies_of:
            copy = replace(self.frequencies, backend=backend, is_host=True)
            self._frequencies_of[backend] = self.placed(copy)
        return self._frequencies_of[backend]

    def add(self, a: Node, b: Node | None) -> Node:
        """``ggml_add``; a missing bias adds nothing."""
        return a if b is None else self.graph.like("ADD", a, b)

    def feed_forward(self, x: Node, suffix: str = "") -> Node:
        """``build_ffn`` (llama-graph.cpp:1762) with SiLU and a parallel gate."""
        up = self.matmul(self.weight(f"ffn_up{suffix}"), x)
        up = self.add(up, self.optional(f"ffn_up{suffix}.bias"))
        if self.has(f"ffn_gate{suffix}"):
            gate = self.matmul(self.weight(f"ffn_gate{suffix}"), x)
            gate = self.add(gate, self.optional(f"ffn_gate{suffix}.bias"))
            middle = self.graph.op("GLU", gate.dims, gate, up)
        else:
            middle = self.graph.like("UNARY", up)
        down = self.matmul(self.weight(f"ffn_down{suffix}"), middle)
        return self.add(down, self.optional(f"ffn_down{suffix}.bias"))

    def experts(self, x: Node, chosen: Node | None = None) -> Node:
        """``build_moe_ffn`` (llama-graph.cpp:2007); ``chosen``: experts that are known already."""
        graph, shape = self.graph, self.shape
        rows, used = x.dims[1], shape.n_expert_used
        scores = self.matmul(self.weight("ffn_gate_inp"), x)
        probabilities = graph.like("UNARY", scores)
        if chosen is None:
            biased = self.add(probabilities, self.optional("exp_probs_b.bias"))
            sorted_ids = graph.op("ARGSORT", biased.dims, self._grouped(biased))
            chosen = graph.view(sorted_ids, used, rows)
        column = graph.reshape(probabilities, 1, shape.n_expert, rows)
        weights = graph.op("GET_ROWS", shaped(1, used, rows), column, chosen)
        flat = graph.reshape(weights, used, rows)
        total = graph.like("CLAMP", graph.op("SUM_ROWS", shaped(1, rows), flat))
        weights = graph.reshape(graph.like("DIV", flat, total), 1, used, rows)
        weights = graph.like("SCALE", weights)
        graph.expand(weights)
        middle = self._expert_middle(graph.reshape(x, x.dims[0], 1, rows), chosen)
        results = self.matmul_id(self.weight("ffn_down_exps"), middle, chosen)
        weighted = graph.like("MUL", results, weights)
        graph.expand(weighted)
        total = self._sum_of_experts(weighted, rows)
        if 2 <= used <= _MOST_FUSED_EXPERTS:
            total.keeps = (weighted, results, weights)
        return total

    def _grouped(self, scores: Node) -> Node:
        """The choice of expert groups (V3; llama-graph.cpp:2092)."""
        graph = self.graph
        groups = self.shape.n_expert_groups
        if groups <= 1:
            return scores
        rows, each = scores.dims[1], self.shape.n_expert // groups
        grouped = graph.reshape(scores, each, groups, rows)
        best = graph.view(graph.op("ARGSORT", shaped(each, groups, rows), grouped), 2, groups, rows)
        single = graph.reshape(scores, 1, each, groups, rows)
        picked = graph.op("GET_ROWS", shaped(1, 2, groups, rows), single, best)
        picked = graph.reshape(picked, 2, groups, rows)
        totals = graph.op("SUM_ROWS", shaped(1, groups, rows), picked)
        totals = graph.reshape(totals, groups, rows)
        top = graph.view(graph.op("ARGSORT", shaped(groups, rows), totals), groups // 2, rows)
        kept = graph.op("GET_ROWS", shaped(each, groups // 2, rows), grouped, top)
        emptied = graph.op("FILL", shaped(each, groups, rows), grouped)
        masked = graph.set_rows(emptied, kept, top)
        return graph.view(masked, self.shape.n_expert, rows)

    def _expert_middle(self, x: Node, chosen: Node) -> Node:
        graph = self.graph
        if self.has("ffn_gate_up_exps"):
            both = self.matmul_id(self.weight("ffn_gate_up_exps"), x, chosen)
            width = self.shape.n_ff_expert
            gate = graph.cut(both, width, both.dims[1], both.dims[2])
            up = graph.cut(both, width, both.dims[1], both.dims[2])
            return graph.op("GLU", gate.dims, gate, up)
        up = self.matmul_id(self.weight("ffn_up_exps"), x, chosen)
        if not self.has("ffn_gate_exps"):
            return graph.like("UNARY", up)
        gate = self.matmul_id(self.weight("ffn_gate_exps"), x, chosen)
        return graph.op("GLU", gate.dims, gate, up)

    def _sum_of_experts(self, results: Node, rows: Dim) -> Node:
        graph = self.graph
        width, used = results.dims[0], self.shape.n_expert_used
        parts = [graph.cut(results, width, rows) for _ in range(used)]
        for part in parts:
            part.is_contiguous = False
            graph.expand(part)
        if used == 1:
            return graph.op("CONT", parts[0].dims, parts[0])
        total = parts[0]
        for part in parts[1:]:
            total = graph.op("ADD", shaped(width, rows), total, part)
            graph.expand(total)
        return total

    def shared_and_routed(self, x: Node, chosen: Node | None = None) -> Node:
        """The feed-forward half of a layer, whatever the checkpoint has for it."""
        if not self.has("ffn_gate_inp"):
            return self.feed_forward(x)
        routed = self.experts(x, chosen)
        if not self.has("ffn_up_shexp"):
            return routed
        return self.add(routed, self.feed_forward(x, "_shexp"))

    def rotated(self, x: Node, rotation: Node | None) -> Node:
        """``llama_mul_mat_hadamard`` (llama-impl.h:57), for caches that are quantized."""
        if rotation is None:
            return x
        graph, width = self.graph, rotation.dims[0]
        count = _divided(x.dims, width)
        flat = (
            graph.view(x, width, *count, contiguous=True)
            if x.is_contiguous
            else graph.op("CONT", shaped(width, *count), x)
        )
        turned = graph.op("MUL_MAT", flat.dims, rotation, flat)
        return graph.reshape(turned, *x.dims)

    def cache(self, name: str, type_name: str, elements: int, cells: Dim = CELLS) -> Node:
        """Return a cache tensor of the layer, ``elements`` per cell."""
        size: Size = ((row_bytes(type_name, elements), _symbols(cells)),)
        return self.graph.held(name, shaped(elements, cells), size, self.layer.cache)


def _symbols(dim: Dim) -> tuple[str, ...]:
    return (dim,) if isinstance(dim, str) else ()


def _divided(dims: tuple[Dim, ...], width: Dim) -> tuple[Dim, ...]:
    """Return dimensions whose product is that of ``dims`` over ``width`` (at most three)."""
    factor = 1
    symbols: list[Dim] = []
    for dim in dims:
        if isinstance(dim, int):
            factor *= dim
        else:
            symbols.append(dim)
    assert isinstance(width, int)
    return (factor // width, *symbols)
