"""Attention as llama.cpp builds it: one head layout per cache kind. Pure, no Qt here.

Source: src/llama-graph.cpp (``build_attn_mha`` :2616, ``build_attn`` :2868, :2981, :3039) and the
model files named at each function, all under src/models.
"""

from __future__ import annotations

from models.planner.compute_graph import CELLS, TOKENS, Graph, Node, Size, shaped
from models.planner.compute_layers import Layers
from models.planner.inventory import is_quantized

ROTATED_ROWS = 64


class Attention:
    """Writes attention blocks; holds the inputs that all layers share.

    Args:
        layers: what writes the rest of a layer.
        cpu: index of the CPU among the backends.
    """

    def __init__(self, layers: Layers, cpu: int) -> None:
        self.layers = layers
        self.cpu = cpu
        self.shape = layers.shape
        self.settings = layers.settings
        self.graph: Graph = layers.graph
        element = 2 if self.settings.flash else 4
        self.mask = self.graph.input("mask", CELLS, TOKENS, element_bytes=element)
        self.k_indices = self.graph.input("k_indices", TOKENS, element_bytes=8)

    def multi_head(
        self, q: Node, k: Node, v: Node, mask: Node, *, up: Node | None, v_is_turned: bool
    ) -> Node:
        """``build_attn_mha``; ``up`` expands latent values, ``v_is_turned``: V lies transposed.

        ``q`` is (head, heads, tokens); ``k`` and ``v`` are (row, heads, cells) views of the cache.
        Returns (heads * value, tokens).
        """
        graph = self.graph
        q_turned = graph.view(q, q.dims[0], q.dims[2], q.dims[1])
        k_turned = graph.view(k, k.dims[0], k.dims[2], k.dims[1])
        v_turned = graph.view(v, v.dims[0], v.dims[2], v.dims[1])
        if self.settings.flash:
            result = self._flash(q_turned, k_turned, v_turned, mask, up)
        else:
            values = v_turned if v_is_turned else self._turned_values(v_turned)
            result = self._plain(q_turned, k_turned, values, mask, up)
        graph.expand(result)
        return result

    def _flash(self, q: Node, k: Node, v: Node, mask: Node, up: Node | None) -> Node:
        graph = self.graph
        tokens, heads, value = q.dims[1], q.dims[2], v.dims[0]
        type_k = self.settings.type_k
        type_v = type_k if v.origin is k.origin else self.settings.type_v
        k, v = (
            self._halved(view) if kind == "F32" else view
            for view, kind in ((k, type_k), (v, type_v))
        )
        sinks = self.layers.optional("attn_sinks")
        result = graph.op("FLASH_ATTN_EXT", shaped(value, heads, tokens), q, k, v, mask, sinks)
        self._note_conversion(result, (k, type_k), (v, type_v))
        if up is None:
            return graph.reshape(result, _product(value, heads), tokens)
        turned = graph.view(result, value, tokens, heads)
        expanded = self.layers.matmul(up, turned)
        out = expanded.dims[0]
        turned = graph.view(expanded, out, heads, tokens)
        return graph.reshape(
            graph.op("CONT", shaped(out, heads, tokens), turned), _product(out, heads), tokens
        )

    def _halved(self, view: Node) -> Node:
        """``ggml_cast`` to f16: kernels take no f32 cache."""
        return self.graph.op("CPY", view.dims, view, element_bytes=2)

    def _note_conversion(
        self, result: Node, key: tuple[Node, str], value: tuple[Node, str]
    ) -> None:
        """ggml-cuda/fattn-common.cuh:53: K and V as f16 behind the result."""
        (k, type_k), (v, type_v) = key, value
        ready = ("F16", "F32")  # f32 was cast before
        size: Size = () if type_k in ready else _as_half(k)
        if type_v not in ready:
            if v.origin is not None and v.origin is k.origin:
                result.converted_view = _as_half(v)
            else:
                size = size + _as_half(v)
        result.converted = size

    def _turned_values(self, v: Node) -> Node:
        """Plain attention wants V transposed; MLA's view of K is copied for that."""
        graph = self.graph
        turned = graph.view(v, v.dims[1], v.dims[0], v.dims[2])
        element = 4 if self.settings.type_v == "F32" else 2
        return graph.op("CONT", turned.dims, turned, element_bytes=element)

    def _plain(self, q: Node, k: Node, values: Node, mask: Node, up: Node | None) -> Node:
        graph = self.graph
        tokens, heads, cells = q.dims[1], q.dims[2], k.dims[1]
        scores = graph.op("MUL_MAT", shaped(cells, tokens, heads), k, q)
        weights = graph.like("SOFT_MAX", scores, mask, self.layers.optional("attn_sinks"))
        mixed = graph.op("MUL_MAT", shaped(values.dims[1], tokens, heads), values, weights)
        if up is not None:
            mixed = self.layers.matmul(up, mixed)
        out = mixed.dims[0]
        turned = graph.view(mixed, out, heads, tokens)
        result = graph.op("CONT", shaped(_product(out, heads), tokens), turned)
        if self.settings.pins and self.settings.keeps_kv_on_cpu:
            result.wanted = self.cpu
        return result

    def store(self, cache: Node, rows: Node, indices: Node) -> None:
        """``cpy_k`` and ``cpy_v``: write the new rows into the cache."""
        self.graph.expand(self.graph.set_rows(cache, rows, indices))


class GroupedAttention(Attention):
    """K and V of every KV head (llama, qwen, deepseek, deepseek2-ocr, pre-MLA files)."""

    def __init__(self, layers: Layers, cpu: int) -> None:
        super().__init__(layers, cpu)
        graph, kv = self.graph, self.shape.kv
        turned = self.settings.turns_v
        widest = max(kv.n_head_kv, default=1) * kv.value_length
        rows = (TOKENS, widest) if turned else (TOKENS,)
        self.v_indices = graph.input("v_indices", *rows, element_bytes=8)
        self.k_rotation = self._rotation("k", self.settings.type_k, kv.key_length)
        self.v_rotation = self._rotation("v", self.settings.type_v, kv.value_length)

    def _rotation(self, name: str, type_name: str, width: int) -> Node | None:
        """llama-kv-cache.cpp:318-345: quantized caches are rotated."""
        if not is_quantized(type_name) or width % ROTATED_ROWS:
            return None
        side = ROTATED_ROWS
        if name == "k":
            while width % (2 * side) == 0:
                side *= 2
        return self.graph.input(f"{name}_rotation", side, side)

    def attend(self, q: Node, k: Node, v: Node) -> Node:
        """``build_attn`` over a K and a V cache (llama-graph.cpp:2868), without the output."""
        graph, kv = self.graph, self.shape.kv
        q = self.layers.rotated(q, self.k_rotation)
        k = self.layers.rotated(k, self.k_rotation)
        v = self.layers.rotated(v, self.v_rotation)
        for node in (q, v, k):
            graph.expand(node)
        heads = kv.n_head_kv[self.layers.layer.layer]
        k_cache = self.layers.cache("cache_k", self.settings.type_k, kv.key_length * heads)
        v_cache = self.layers.cache("cache_v", self.settings.type_v, kv.value_length * heads)
        self.store(k_cache, graph.view(k, kv.key_length * heads, TOKENS), self.k_indices)
        turned = self.settings.turns_v
        v_rows = graph.reshape(v, 1, v.dims[0], v.dims[1], TOKENS) if turned else v
        self.store(v_cache, v_rows, self.v_indices)
        keys = graph.view(k_cache, kv.key_length, heads, CELLS)
        if turned:
            values = graph.view(v_cache, CELLS, heads, kv.value_length)
        else:
            values = graph.view(v_cache, kv.value_length, heads, CELLS)
        result = self.multi_head(q, keys, values, self.mask, up=None, v_is_turned=turned)
        return self.layers.rotated(result, self.v_rotation)

    def write(self, x: Node) -> Node:
        """A layer's attention with plain Q, K and V (qwen2.cpp, qwen3.cpp, llama.cpp)."""
        layers, graph, kv = self.layers, self.graph, self.shape.kv
        heads = kv.n_head_kv[layers.layer.layer]
        q, k, v = self._projections(x)
        q = graph.reshape(q, kv.key_length, self.shape.n_head, TOKENS)
        k = graph.reshape(k, kv.key_length, heads, TOKENS)
        v = graph.reshape(v, kv.value_length, heads, TOKENS)
        if layers.has("attn_q_norm"):
            q = layers.norm(q, layers.weight("attn_q_norm"))
        q = layers.rope(q)
        if layers.has("attn_k_norm"):
            k = layers.norm(k, layers.weight("attn_k_norm"))
        k = layers.rope(k)
        result = layers.matmul(layers.weight("attn_output"), self.attend(q, k, v))
        return layers.add(result, layers.optional("attn_output.bias"))

    def _projections(self, x: Node) -> tuple[Node, Node, Node]:
        layers, graph = self.layers, self.graph
        if not layers.has("attn_qkv"):
            q, k, v = (self._projection(x, name) for name in ("attn_q", "attn_k", "attn_v"))
            return q, k, v
        kv, heads = self.shape.kv, self.shape.kv.n_head_kv[layers.layer.layer]
        both = self._projection(x, "attn_qkv")
        q = graph.cut(both, kv.key_length * self.shape.n_head, TOKENS)
        k = graph.cut(both, kv.key_length * heads, TOKENS)
        v = graph.cut(both, kv.value_length * heads, TOKENS)
        return q, k, v

    def _projection(self, x: Node, name: str) -> Node:
        layers = self.layers
        result = layers.matmul(layers.weight(name), x)
        return layers.add(result, layers.optional(f"{name}.bias"))


class LatentParts(Attention):
    """Q and the compressed rows of latent attention (deepseek2.cpp:497-545)."""

    def query(self, x: Node) -> Node:
        """Return Q of all heads, (head, heads, tokens)."""
        layers = self.layers
        if layers.has("attn_q_a"):
            low = layers.matmul(layers.weight("attn_q_a"), x)
            low = layers.norm(low, layers.weight("attn_q_a_norm"))
            q = layers.matmul(layers.weight("attn_q_b"), low)
        else:
            q = layers.matmul(layers.weight("attn_q"), x)
        return self.graph.reshape(q, self._head(q), self.shape.n_head, TOKENS)

    def _head(self, q: Node) -> int:
        width = q.dims[0]
        assert isinstance(width, int)
        return width // self.shape.n_head

    def compressed(self, x: Node) -> tuple[Node, Node]:
        """Return the normed latent row and the roped key part of every token."""
        layers, graph, shape = self.layers, self.graph, self.shape
        both = layers.matmul(layers.weight("attn_kv_a_mqa"), x)
        latent = graph.cut(both, shape.kv_lora_rank, TOKENS)
        latent.is_contiguous = False
        rope_part = graph.cut(both, shape.rope_length, 1, TOKENS)
        rope_part.is_contiguous = False
        rope_part = layers.rope(rope_part)
        return layers.norm(latent, layers.weight("attn_kv_a_norm")), rope_part


class LatentAttention(LatentParts):
    """MLA: one compressed row per token, V is a view of it (deepseek2.cpp:546-590)."""

    def absorbed(self, q: Node, latent: Node, k_rope: Node, mask: Node) -> Node:
        """Attend over the compressed rows; returns (heads * value, tokens)."""
        layers, graph, shape = self.layers, self.graph, self.shape
        rank, rope, heads = shape.kv_lora_rank, shape.rope_length, shape.n_head
        plain = self._head_of(q) - rope
        q_plain = graph.view(q, plain, heads, TOKENS)
        q_rope = layers.rope(self._rope_part(q))
        q_plain = graph.view(q_plain, plain, TOKENS, heads)
        taken_in = layers.matmul(layers.weight("attn_k_b"), q_plain)
        taken_in = graph.view(taken_in, rank, heads, TOKENS)
        queries = graph.op("CONCAT", shaped(rank + rope, heads, TOKENS), taken_in, q_rope)
        latent = graph.reshape(latent, rank, 1, TOKENS)
        keys = graph.op("CONCAT", shaped(rank + rope, 1, TOKENS), latent, k_rope)
        for node in (queries, latent, keys):
            graph.expand(node)
        cache = layers.cache("cache_k", self.settings.type_k, rank + rope)
        self.store(cache, graph.view(keys, rank + rope, TOKENS), self.k_indices)
        mask = self.narrowed(mask)
        k = graph.view(cache, rank + rope, 1, CELLS)
        v = graph.view(cache, rank, 1, CELLS)
        result = self.multi_head(
            queries, k, v, mask, up=layers.weight("attn_v_b"), v_is_turned=False
        )
        return layers.matmul(layers.weight("attn_output"), result)

    def narrowed(self, mask: Node) -> Node:
        """Return the mask to use; a subclass narrows it to the tokens it picked."""
        return mask

    def _rope_part(self, q: Node) -> Node:
        part = self.graph.cut(q, self.shape.rope_length, self.shape.n_head, TOKENS)
        part.is_contiguous = False
        return part

    def _head_of(self, q: Node) -> int:
        head = q.dims[0]
        assert isinstance(head, int)
        return head

    def write(self, x: Node) -> Node:
        """A layer's attention."""
        q = self.query(x)
        latent, k_rope = self.compressed(x)
        return self.absorbed(q, latent, k_rope, self.mask)


class ExpandedAttention(LatentParts, GroupedAttention):
    """A pre-MLA file: K and V of every head are expanded and kept (deepseek2.cpp:591-640)."""

    def write(self, x: Node) -> Node:
        """A layer's attention."""
        layers, graph, shape = self.layers, self.graph, self.shape
        q = self.query(x)
        latent, k_rope = self.compressed(x)
        heads, value = shape.n_head, shape.value_head_length
        plain = shape.kv.key_length - shape.rope_length
        both = layers.matmul(layers.weight("attn_kv_b"), latent)
        k_plain = graph.view(both, plain, heads, TOKENS)
        v_part = graph.view(both, value, heads, TOKENS)
        v = graph.op("CONT", shaped(value, heads, TOKENS), v_part)
        q = layers.rope(q)
        repeated = graph.op("REPEAT", shaped(shape.rope_length, heads, TOKENS), k_rope)
        k = graph.op("CONCAT", shaped(shape.kv.key_length, heads, TOKENS), k_plain, repeated)
        return layers.matmul(layers.weight("attn_output"), self.attend(q, k, v))


class IndexedAttention(LatentAttention):
    """DSA: an indexer picks the tokens of a latent attention (deepseek32.cpp:220-400)."""

    def __init__(self, layers: Layers, cpu: int) -> None:
        super().__init__(layers, cpu)
        graph, width = self.graph, self.shape.kv.indexer_key_length
        self.index_rows = graph.input("index_rows", TOKENS, element_bytes=8)
        self.rotation = graph.input("index_rotation", width, width)
        self.top: Node | None = None
        # A fused indexer wants an f16 mask whether flash attention is on or off.
        self.index_mask = graph.input("index_mask", CELLS, TOKENS, element_bytes=2)

    def write(self, x: Node) -> Node:
        """A layer's attention."""
        layers = self.layers
        low = layers.matmul(layers.weight("attn_q_a"), x)
        low = layers.norm(low, layers.weight("attn_q_a_norm"))
        self.top = self._pick(low, x)
        q = layers.matmul(layers.weight("attn_q_b"), low)
        q = self.graph.reshape(q, self._head(q), self.shape.n_head, TOKENS)
        latent, k_rope = self.compressed(x)
        return self.absorbed(q, latent, k_rope, self.mask)

    def _pick(self, low: Node, x: Node) -> Node:
        layers, graph, kv = self.layers, self.graph, self.shape.kv
        width, heads = kv.indexer_key_length, kv.indexer_head_count
        q = layers.matmul(layers.weight("indexer.attn_q_b"), low)
        q = layers.rope(graph.reshape(q, width, heads, TOKENS))
        k = layers.matmul(layers.weight("indexer.attn_k"), x)
        k = layers.norm(k, layers.weight("indexer.k_norm"))
        k = layers.add(k, layers.optional("indexer.k_norm.bias"))
        k = layers.rope(graph.reshape(k, width, 1, TOKENS))
        q = graph.op("MUL_MAT", q.dims, self.rotation, q)
        k = graph.op("MUL_MAT", k.dims, self.rotation, k)
        cache = layers.cache("cache_index", self.settings.type_k, width)
        self.store(cache, graph.view(k, width, TOKENS), self.index_rows)
        weights = layers.matmul(layers.weight("indexer.proj"), x)
        weights = graph.like("SCALE", graph.view(weights, heads, TOKENS))
        scores = indexer_scores(self, q, cache, weights, self.index_mask)
        top = graph.op("TOP_K", shaped("top_k", TOKENS), scores)
        return graph.op("CONT", top.dims, top)

    def narrowed(self, mask: Node) -> Node:
        """Return the mask that shows the picked tokens only (llama-graph.cpp:3055)."""
        assert self.top is not None
        return top_k_mask(self, mask, self.top, zero_bytes=4)


def indexer_scores(attention: Attention, q: Node, cache: Node, weights: Node, mask: Node) -> Node:
    """Scores of every cached token; always fused (llama-context.cpp:237)."""
    cells = mask.dims[0]
    graph, kv = attention.graph, attention.shape.kv
    width, heads = kv.indexer_key_length, kv.indexer_head_count
    keys = graph.view(cache, width, 1, cells)
    queries = graph.view(q, width, heads, TOKENS)
    return graph.op("LIGHTNING_INDEXER", shaped(cells, TOKENS), queries, keys, weights, mask)


def top_k_mask(attention: Attention, mask: Node, top: Node, *, zero_bytes: int) -> Node:
    """A mask that is open for the picked tokens (llama-graph.cpp:3055-3085).

    Its zeros are a constant of every layer, and constants are allocated before everything else:
    that is why V3.2 needs far more than what is alive at any time.
    """
    graph, layers = attention.graph, attention.layers
    closed = graph.like("FILL", mask)
    rows = graph.view(closed, 1, *mask.dims[:2])
    picked = graph.view(top, top.dims[0], TOKENS)
    repeats = layers.layer.repeats
    zeros = graph.leaf("zeros", 1, top.dims[0], TOKENS, element_bytes=zero_bytes)
    zeros_filled = graph.like("FILL", zeros)
    opened = graph.set_rows(rows, zeros_filled, picked)
    if repeats:
        more = graph.leaf("more_zeros", repeats, top.dims[0], TOKENS, element_bytes=zero_bytes)
        opened.sources = (*opened.sources, more)
    turned = graph.view(opened, *mask.dims[:2])
    return graph.like("ADD", turned, mask)


def _product(a: int | str, b: int | str) -> int:
    assert isinstance(a, int)
    assert isinstance(b, int)
    return a * b


def _as_half(view: Node) -> Size:
    """Return the bytes of a view's elements as f16."""
    factor = 2
    symbols: list[str] = []
    for dim in view.dims:
        if isinstance(dim, int):
            factor *= dim
        else:
            symbols.append(dim)
    return ((factor, tuple(symbols)),)
