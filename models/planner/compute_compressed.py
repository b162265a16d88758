"""The graph of V4: parallel residual streams, compressed caches. Pure, no Qt here.

Source: src/models/deepseek4.cpp (graph :1219, attention :892, compressors :465 and :513, indexer
:600), src/llama-graph.cpp:3485 (inputs), src/llama-kv-cache-dsv4.cpp:843 (how many rows are
reserved).
"""

from __future__ import annotations

from dataclasses import dataclass

from models.planner.compute_attention import Attention, indexer_scores, top_k_mask
from models.planner.compute_graph import TOKENS, Dim, Node, shaped
from models.planner.compute_layers import Layers
from models.planner.inventory import is_quantized

RAW, PICKED, COARSE = "raw_cells", "picked_cells", "coarse_cells"
_PICKED_RATIO = 4


@dataclass(frozen=True)
class Fused:
    """Which of llama.cpp's fused operations are used (llama-context.cpp:575)."""

    before: bool = True
    mixing: bool = True
    after: bool = True


@dataclass(frozen=True)
class Compressor:
    """One compressed cache's inputs.

    Attributes:
        name: prefix of its inputs, and of its weights ``attn`` or ``indexer``.
        cells: symbol of its rows; ``blocks``: of the rows that one ubatch can complete.
        width: of a row; ``state_width``: of a row of its running state.
        state_rows: rows of that state; ``kept``: symbol of those that a ubatch writes.
        joined: symbol of tokens and state rows together; ``padded``: with one row of zeros.
        reads: rows that make up one block.
    """

    name: str
    weights: str
    cells: str
    blocks: str
    width: int
    state_width: int
    state_rows: int
    kept: str
    joined: str
    padded: str
    reads: int


class CompressedAttention(Attention):
    """V4's attention: a raw window, and compressed rows of what lies further back."""

    def __init__(self, layers: Layers, cpu: int) -> None:
        super().__init__(layers, cpu)
        graph, kv = self.graph, self.shape.kv
        self._element = 2 if self.settings.flash else 4
        self.mask = graph.input("raw_mask", RAW, TOKENS, element_bytes=self._element)
        head, index = kv.key_length, kv.indexer_key_length
        self._csa = Compressor(
            "csa",
            "attn",
            PICKED,
            "blocks_4",
            head,
            2 * head,
            8,
            "kept_8",
            "joined_8",
            "padded_8",
            8,
        )
        self._lid = Compressor(
            "lid",
            "indexer",
            PICKED,
            "blocks_4",
            index,
            2 * index,
            8,
            "kept_8",
            "joined_8",
            "padded_8",
            8,
        )
        self._hca = Compressor(
            "hca", "attn", COARSE, "blocks_128", head, head, 128, "kept_128", "joined_128", "", 128
        )
        self._inputs: dict[str, Node] = {}
        quantized = is_quantized(self.settings.type_k)
        self._raw_rotation = self._turn("raw", head) if quantized else None
        self._csa_rotation = self._turn("csa", head) if quantized else None
        self._hca_rotation = self._turn("hca", head) if quantized else None
        self._lid_rotation = self._turn("lid", index)

    def _turn(self, name: str, width: int) -> Node:
        side = 64
        while width % (2 * side) == 0:
            side *= 2
        return self.graph.input(f"{name}_rotation", side, side)

    def _input(self, name: str, *dims: Dim, element_bytes: int = 4) -> Node:
        if name not in self._inputs:
            self._inputs[name] = self.graph.input(name, *dims, element_bytes=element_bytes)
        return self._inputs[name]

    def write(self, x: Node) -> Node:
        """A layer's attention (deepseek4.cpp:892)."""
        layers, graph, kv = self.layers, self.graph, self.shape.kv
        low = layers.matmul(layers.weight("attn_q_a"), x)
        low = layers.norm(low, layers.weight("attn_q_a_norm"))
        q = layers.matmul(layers.weight("attn_q_b"), low)
        q = graph.reshape(q, kv.key_length, self.shape.n_head, TOKENS)
        q = layers.rope(layers.norm(q, None))
        row = layers.matmul(layers.weight("attn_kv"), x)
        row = layers.norm(row, layers.weight("attn_kv_a_norm"))
        row = layers.rope(graph.reshape(row, kv.key_length, 1, TOKENS))
        ratio = kv.compress_ratios[layers.layer.layer] if kv.compress_ratios else 0
        if ratio == _PICKED_RATIO:
            self._compress(self._csa, x, self._csa_rotation)
            self._compress(self._lid, x, self._lid_rotation)
            result = self._picked(q, row, low, x)
        elif ratio:
            self._compress(self._hca, x, self._hca_rotation)
            result = self._coarse(q, row)
        else:
            result = self._window(q, row)
        return self._output(result)

    def _output(self, result: Node) -> Node:
        """Groups of heads are brought down first (deepseek4.cpp:1199-1213)."""
        layers, graph = self.layers, self.graph
        down = layers.weight("attn_output_a")
        group, total = down.dims[0], down.dims[1]
        assert isinstance(group, int)
        assert isinstance(total, int)
        width = self.shape.n_head * self.shape.kv.key_length
        groups = width // group
        result = graph.reshape(result, self.shape.kv.key_length, self.shape.n_head, TOKENS)
        result = graph.reshape(layers.rope(result), group, groups, TOKENS)
        result = graph.view(result, group, TOKENS, groups)
        low = graph.op("MUL_MAT", shaped(total // groups, TOKENS, groups), down, result)
        low = graph.op("CONT", shaped(total, TOKENS), graph.view(low, total, TOKENS))
        return layers.matmul(layers.weight("attn_output_b"), low)

    def _window(self, q: Node, row: Node) -> Node:
        q, row = self._rotate_both(q, row)
        raw = self._store_row(q, row)
        keys = self.graph.view(raw, self.shape.kv.key_length, 1, RAW)
        return self._finish(q, keys, keys, self.mask)

    def _store_row(self, q: Node, row: Node) -> Node:
        """Rotate, expand and write the window's rows; ``q`` is expanded with them."""
        graph, layers = self.graph, self.layers
        graph.expand(q)
        graph.expand(row)
        width = self.shape.kv.key_length
        cache = layers.cache("cache_raw", self.settings.type_k, width, RAW)
        self.store(cache, graph.view(row, width, TOKENS), self.k_indices)
        return cache

    def _rotate_both(self, q: Node, row: Node) -> tuple[Node, Node]:
        rotation = self._raw_rotation
        return self.layers.rotated(q, rotation), self.layers.rotated(row, rotation)

    def _finish(self, q: Node, k: Node, v: Node, mask: Node) -> Node:
        result = self.multi_head(q, k, v, mask, up=None, v_is_turned=False)
        return self.layers.rotated(result, self._raw_rotation)

    def _joined(self, cells: str, q: Node, row: Node, mask: Node) -> Node:
        """Attend over window and compressed rows, put together (deepseek4.cpp:745, :801)."""
        graph, layers, width = self.graph, self.layers, self.shape.kv.key_length
        raw = self._store_row(q, row)
        cache = layers.cache(f"cache_{cells}", self.settings.type_k, width, cells)
        joined = f"raw_and_{cells}"
        keys = graph.op(
            "CONCAT",
            shaped(width, 1, joined),
            graph.view(raw, width, 1, RAW),
            graph.view(cache, width, 1, cells),
        )
        keys.element_bytes = 0
        keys.size = self.layers.cache("joined", self.settings.type_k, width, joined).size
        both = graph.op(
            "CONCAT", shaped(joined, TOKENS), self.mask, mask, element_bytes=self._element
        )
        return self._finish(q, keys, keys, both)

    def _coarse(self, q: Node, row: Node) -> Node:
        q, row = self._rotate_both(q, row)
        mask = self._input("hca_mask", COARSE, TOKENS, element_bytes=self._element)
        return self._joined(COARSE, q, row, mask)

    def _picked(self, q: Node, row: Node, low: Node, x: Node) -> Node:
        top = self._pick(low, x)
        q, row = self._rotate_both(q, row)
        mask = self._input("csa_mask", PICKED, TOKENS, element_bytes=self._element)
        narrowed = top_k_mask(self, mask, top, zero_bytes=self._element)
        return self._joined(PICKED, q, row, narrowed)

    def _pick(self, low: Node, x: Node) -> Node:
        layers, graph, kv = self.layers, self.graph, self.shape.kv
        width, heads = kv.indexer_key_length, kv.indexer_head_count
        q = layers.matmul(layers.weight("indexer.attn_q_b"), low)
        q = layers.rope(graph.reshape(q, width, heads, TOKENS))
        q = layers.rotated(q, self._lid_rotation)
        weights = layers.matmul(layers.weight("indexer.proj"), x)
        weights = graph.like("SCALE", weights)
        cache = layers.cache("cache_index", self.settings.type_k, width, PICKED)
        mask = self._input("lid_mask", PICKED, TOKENS, element_bytes=2)
        scores = indexer_scores(self, q, cache, weights, mask)
        top = graph.op("TOP_K", shaped("top_k", TOKENS), scores)
        return graph.op("CONT", top.dims, top)

    def _compress(self, part: Compressor, x: Node, rotation: Node | None) -> None:
        """Bring the running state forward and write the rows it completes."""
        layers, graph = self.layers, self.graph
        prefix = f"{part.weights}_compressor"
        state = layers.matmul(layers.weight(f"{prefix}_kv"), x)
        score = layers.matmul(layers.weight(f"{prefix}_gate"), x)
        where = self._input(f"{part.name}_positions", TOKENS)
        position = graph.op(
            "GET_ROWS", shaped(part.state_width, TOKENS), layers.weight(f"{prefix}_ape"), where
        )
        score = graph.like("ADD", score, position)
        states = [self._state(part, kind) for kind in ("kv", "score")]
        sources = [
            graph.op("CONCAT", shaped(part.state_width, part.joined), held, new)
            for held, new in zip(states, (state, score), strict=True)
        ]
        read = self._input(f"{part.name}_reads", part.reads, part.blocks)
        rows = (self._overlapping if part.padded else self._plain_rows)(part, sources, read)
        norm = layers.norm(rows, layers.weight(f"{prefix}_norm"))
        places = self._input(f"{part.name}_block_positions", part.blocks)
        done = layers.graph.like("ROPE", norm, places)
        done = layers.rotated(done, rotation)
        cache = layers.cache(f"cache_{part.name}", self.settings.type_k, part.width, part.cells)
        target = self._input(f"{part.name}_targets", part.blocks, element_bytes=8)
        self.store(cache, graph.view(done, part.width, part.blocks), target)
        self._keep(part, states, (state, score))

    def _keep(self, part: Compressor, states: list[Node], new: tuple[Node, Node]) -> None:
        graph = self.graph
        source = self._input(f"{part.name}_kept", part.kept)
        target = self._input(f"{part.name}_kept_to", part.kept)
        written = []
        for held, rows in zip(states, new, strict=True):
            kept = graph.op("GET_ROWS", shaped(part.state_width, part.kept), rows, source)
            assert held.origin is not None
            written.append(graph.set_rows(held, kept, target))
        for node in written:
            graph.expand(node)

    def _state(self, part: Compressor, kind: str) -> Node:
        held = self.graph.held(
            f"state_{part.name}_{kind}",
            shaped(part.state_width, part.state_rows),
            ((4 * part.state_width * part.state_rows, ()),),
            self.layers.layer.cache,
        )
        held.element_bytes = 4
        return self.graph.view(held, part.state_width, part.state_rows)

    def _plain_rows(self, part: Compressor, sources: list[Node], read: Node) -> Node:
        """deepseek4.cpp:465, blocks that do not overlap."""
        graph, width = self.graph, part.width
        turned = []
        for source in sources:
            rows = graph.op("GET_ROWS", shaped(width, part.reads, part.blocks), source, read)
            rows = graph.view(rows, part.reads, width, part.blocks)
            turned.append(graph.op("CONT", rows.dims, rows))
        return self._weighted(part, turned)

    def _overlapping(self, part: Compressor, sources: list[Node], read: Node) -> Node:
        """deepseek4.cpp:513, blocks that overlap with the one before."""
        graph, width, half = self.graph, part.width, part.reads // 2
        rows = []
        for source in sources:
            first = graph.cut(source, part.state_width)
            zero = graph.op("SCALE", shaped(part.state_width), first)
            zero = graph.reshape(zero, part.state_width, 1)
            padded = graph.op("CONCAT", shaped(part.state_width, part.padded), source, zero)
            rows.append(
                graph.op(
                    "GET_ROWS", shaped(part.state_width, part.reads, part.blocks), padded, read
                )
            )
        halves = []
        for _ in range(2):
            for both in rows:
                cut = graph.cut(both, width, half, part.blocks)
                cut.is_contiguous = False
                halves.append(graph.op("CONT", cut.dims, cut))
        dims = shaped(width, part.reads, part.blocks)
        values = graph.op("CONCAT", dims, halves[0], halves[2])
        scores = graph.op("CONCAT", dims, halves[1], halves[3])
        turned = []
        for source in (values, scores):
            view = graph.view(source, part.reads, width, part.blocks)
            turned.append(graph.op("CONT", view.dims, view))
        return self._weighted(part, turned)

    def _weighted(self, part: Compressor, turned: list[Node]) -> Node:
        graph, width = self.graph, part.width
        values, scores = turned
        weighted = graph.like("MUL", values, graph.like("SOFT_MAX", scores))
        total = graph.op("SUM_ROWS", shaped(1, width, part.blocks), weighted)
        view = graph.view(total, width, 1, part.blocks)
        return graph.op("CONT", view.dims, view)


class ResidualStreams:
    """V4's parallel residual streams ("hyper connections", deepseek4.cpp:290-460)."""

    def __init__(self, layers: Layers, fused: Fused) -> None:
        self.layers = layers
        self.graph = layers.graph
        self.n_streams = layers.shape.n_hyper_connection
        self._fused = fused

    def before(self, x: Node, name: str) -> tuple[Node, Node, Node]:
        """``build_hc_pre``: return the block's input and what mixes its result back."""
        graph, layers, streams = self.graph, self.layers, self.n_streams
        width = layers.shape.n_embd
        flat = graph.reshape(x, streams * width, TOKENS)
        mixes = layers.matmul(layers.weight(f"hc_{name}_fn"), graph.like("RMS_NORM", flat))
        scale = layers.weight(f"hc_{name}_scale")
        base = layers.weight(f"hc_{name}_base")
        weights = self._gate(mixes, scale, base)
        back = self._gate(mixes, scale, base)
        if self._fused.mixing:
            mixing = graph.op("DSV4_HC_COMB", shaped(streams, streams, TOKENS), mixes, scale, base)
        else:
            part = graph.cut(mixes, streams * streams, TOKENS)
            part.is_contiguous = False
            square = graph.op("MUL", part.dims, part, graph.cut(scale, 1))
            square = graph.like("ADD", square, graph.cut(base, streams * streams))
            mixing = graph.like("DIV", graph.reshape(square, streams, streams, TOKENS))
        return self._weighted(x, weights, fused=self._fused.before), back, mixing

    def _gate(self, mixes: Node, scale: Node, base: Node) -> Node:
        graph, streams = self.graph, self.n_streams
        part = graph.cut(mixes, streams, TOKENS)
        part.is_contiguous = False
        gate = graph.op("MUL", part.dims, part, graph.cut(scale, 1))
        gate = graph.like("ADD", gate, graph.cut(base, streams))
        return graph.like("SCALE", graph.like("UNARY", gate))

    def _weighted(self, x: Node, weights: Node, *, fused: bool) -> Node:
        graph, width, rows = self.graph, x.dims[0], x.dims[2]
        if fused:
            return graph.op("DSV4_HC_PRE", shaped(width, rows), x, weights)
        total: Node | None = None
        for _ in range(self.n_streams):
            one = graph.cut(x, width, rows)
            one.is_contiguous = False
            share = graph.cut(weights, 1, rows)
            product = graph.op("MUL", one.dims, one, share)
            total = product if total is None else graph.like("ADD", total, product)
        assert total is not None
        return total

    def after(self, x: Node, residual: Node, back: Node, mixing: Node) -> Node:
        """``build_hc_post``: mix a block's result into the streams."""
        graph, width, streams = self.graph, x.dims[0], self.n_streams
        if self._fused.after:
            dims = shaped(width, streams, TOKENS)
            return graph.op("DSV4_HC_POST", dims, x, residual, back, mixing)
        out: Node | None = None
        for stream in range(streams):
            current = graph.like("MUL", x, graph.cut(back, 1, TOKENS))
            for _ in range(streams):
                one = graph.cut(residual, width, TOKENS)
                one.is_contiguous = False
                product = graph.op("MUL", one.dims, one, graph.cut(mixing, 1, TOKENS))
                current = graph.like("ADD", current, product)
            current = graph.reshape(current, width, 1, TOKENS)
            dims = shaped(width, stream + 1, TOKENS)
            out = current if out is None else graph.op("CONCAT", dims, out, current)
        assert out is not None
        return out

    def head(self, x: Node, weights: tuple[Node, Node, Node]) -> Node:
        """``build_hc_head``: one stream again, for the rows that are asked for."""
        graph, layers = self.graph, self.layers
        function, scale, base = weights
        rows = x.dims[2]
        flat = graph.reshape(x, self.n_streams * layers.shape.n_embd, rows)
        gate = layers.matmul(function, graph.like("RMS_NORM", flat))
        gate = graph.like("ADD", graph.like("MUL", gate, scale), base)
        gate = graph.like("SCALE", graph.like("UNARY", gate))
        return self._weighted(x, gate, fused=False)
