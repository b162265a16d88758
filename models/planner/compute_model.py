"""The whole reduced graph of a checkpoint: embedding, layers, output. Pure, no Qt here.

Sources: src/models/*.cpp, the constructors of ``graph``; src/llama-graph.cpp:2376
(``build_inp_embd``), :1367 (``set_outputs``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.gguf.shape import AttentionKind, ModelShape
from models.planner.compute_attention import (
    ExpandedAttention,
    GroupedAttention,
    IndexedAttention,
    LatentAttention,
)
from models.planner.compute_compressed import (
    COARSE,
    PICKED,
    RAW,
    CompressedAttention,
    Fused,
    ResidualStreams,
)
from models.planner.compute_graph import CELLS, OUTPUTS, TOKENS, Graph, Node, shaped
from models.planner.compute_layers import (
    GraphSettings,
    LayerPlace,
    Layers,
    PlacedWeight,
    UnknownGraphError,
)
from models.planner.compute_schedule import Assignment, Backends
from models.planner.plan import PlanSettings

_CELL_BLOCK = 256
# Operations that llama.cpp uses only where they run on their layer's device.
_FUSED = {"DSV4_HC_PRE": "before", "DSV4_HC_COMB": "mixing", "DSV4_HC_POST": "after"}
_FLASH = "FLASH_ATTN_EXT"


def symbol_values(shape: ModelShape, settings: PlanSettings) -> dict[str, int]:
    """Return the numbers for a graph's symbols (llama-context.cpp:285-305 and :670)."""
    cells = _padded(settings.n_ctx)
    tokens = min(settings.n_ubatch, settings.n_batch, settings.n_ctx)
    outputs = min(tokens, settings.n_outputs_max or tokens)
    values = {TOKENS: tokens, OUTPUTS: outputs, CELLS: cells}
    kv = shape.kv
    if kv.kind is AttentionKind.COMPRESSED:
        raw = _padded(min(cells, kv.sliding_window + tokens))
        picked, coarse = _padded(-(-cells // 4)), _padded(-(-cells // 128))
        values |= {
            RAW: raw,
            PICKED: picked,
            COARSE: coarse,
            f"raw_and_{PICKED}": raw + picked,
            f"raw_and_{COARSE}": raw + coarse,
            "blocks_4": tokens // 4 + 1,
            "blocks_128": tokens // 128 + 1,
            "kept_8": min(tokens, 8),
            "kept_128": min(tokens, 128),
            "joined_8": tokens + 8,
            "joined_128": tokens + 128,
            "padded_8": tokens + 9,
            "top_k": min(kv.indexer_top_k, picked),
        }
    elif kv.kind is AttentionKind.DSA:
        values["top_k"] = min(kv.indexer_top_k, cells)
    return values


def _padded(cells: int) -> int:
    return cells + -cells % _CELL_BLOCK


@dataclass(frozen=True)
class Blueprint:
    """What a graph is built from.

    Attributes:
        shape: of the checkpoint.
        settings: what changes the graph.
        places: the layers to write.
        outside: the weights outside of layers, by name.
        backends: where it can run.
    """

    shape: ModelShape
    settings: GraphSettings
    places: Sequence[LayerPlace]
    outside: Mapping[str, PlacedWeight]
    backends: Backends


def build_graph(plan: Blueprint, fused: Fused) -> Graph:
    """Return the graph of one ubatch over the given layers."""
    return _Model(plan, fused).build()


def fused_ops(plan: Blueprint, values: Mapping[str, int]) -> Fused:
    """Return which fused operations llama.cpp keeps: those that run where their layer lies.

    src/llama-context.cpp:507 looks at the graph of a single token, with what it pins in place.
    """
    pinned = replace(plan.settings, pins=True)
    model = _Model(replace(plan, settings=pinned), Fused())
    graph = model.build()
    of = Assignment(graph, plan.backends, {**values, TOKENS: 1, OUTPUTS: 1}).of
    kept = dict.fromkeys(_FUSED.values(), True)
    for node, backend in model.watched:
        if node.op in _FUSED and of[node.index] != backend:
            kept[_FUSED[node.op]] = False
    return Fused(**kept)


def attends_in_place(plan: Blueprint, values: Mapping[str, int]) -> bool:
    """Whether flash attention runs on every layer's own device (llama-context.cpp:557)."""
    pinned = replace(plan.settings, pins=True, flash=True)
    model = _Model(replace(plan, settings=pinned), Fused())
    of = Assignment(model.build(), plan.backends, {**values, TOKENS: 1, OUTPUTS: 1}).of
    return all(of[node.index] == home for node, home in model.watched if node.op == _FLASH)


class _Model:
    """Writes one graph."""

    def __init__(self, plan: Blueprint, fused: Fused) -> None:
        self._shape = plan.shape
        self._fused = fused
        self._places = plan.places
        self._outside = plan.outside
        self._layers = Layers(plan.shape, plan.settings)
        self._layers.frequencies = plan.outside.get("rope_freqs")
        self._graph = self._layers.graph
        self._tokens = self._graph.input("tokens", TOKENS)
        self._cpu = plan.backends.cpu
        self.watched: list[tuple[Node, int]] = []

    def build(self) -> Graph:
        """Write everything."""
        x = self._embedding()
        if self._shape.kv.kind is AttentionKind.COMPRESSED:
            return self._streams(x)
        attention = self._attention()
        for place in self._places:
            self._layers.place = place
            before = len(self._graph.nodes)
            x = self._layer(x, attention, is_last=place.is_last)
            self._watch(before, place)
        self._finish(x)
        return self._graph

    def _watch(self, before: int, place: LayerPlace) -> None:
        self.watched.extend(
            (node, place.backend)
            for node in self._graph.nodes[before:]
            if node.op in _FUSED or node.op == _FLASH
        )

    def _placed(self, name: str) -> Node:
        if name not in self._outside:
            raise UnknownGraphError(name)
        return self._layers.placed(self._outside[name])

    def _embedding(self) -> Node:
        """The rows of the tokens; embeddings that were given instead are reserved as well."""
        graph, width = self._graph, self._shape.n_embd
        rows = graph.op("GET_ROWS", shaped(width, TOKENS), self._placed("token_embd"), self._tokens)
        graph.expand(rows)
        graph.expand(graph.input("embeddings", width, TOKENS))
        return rows

    def _attention(self) -> GroupedAttention | LatentAttention:
        kind, layers = self._shape.kv.kind, self._layers
        if kind is AttentionKind.DSA:
            return IndexedAttention(layers, self._cpu)
        if kind is AttentionKind.MLA:
            return LatentAttention(layers, self._cpu)
        if kind is AttentionKind.MLA_EXPANDED:
            return ExpandedAttention(layers, self._cpu)
        return GroupedAttention(layers, self._cpu)

    def _layer(
        self, x: Node, attention: GroupedAttention | LatentAttention, *, is_last: bool
    ) -> Node:
        layers, graph = self._layers, self._graph
        residual = x
        normed = layers.norm(x, layers.weight("attn_norm"))
        result = attention.write(normed)
        if is_last:
            rows = shaped(self._shape.n_embd, OUTPUTS)
            result = graph.op("GET_ROWS", rows, result, layers.out_ids)
            residual = graph.op("GET_ROWS", rows, residual, layers.out_ids)
        middle = graph.like("ADD", result, residual)
        normed = layers.norm(middle, layers.weight("ffn_norm"))
        return graph.like("ADD", layers.shared_and_routed(normed), middle)

    def _finish(self, x: Node) -> None:
        """Output norm and logits, both of which stay until they are read."""
        graph = self._graph
        normed = self._layers.norm(x, self._placed("output_norm"), in_layer=False)
        normed.is_output = True
        logits = self._layers.matmul(self._placed("output"), normed)
        if "output.bias" in self._outside:
            logits = graph.like("ADD", logits, self._placed("output.bias"))
        logits.is_output = True
        graph.expand(logits)

    def _streams(self, x: Node) -> Graph:
        """V4 (deepseek4.cpp:1219)."""
        graph, layers, shape = self._graph, self._layers, self._shape
        attention = CompressedAttention(layers, self._cpu)
        streams = ResidualStreams(layers, self._fused)
        graph.expand(attention.mask)
        width, count = shape.n_embd, shape.n_hyper_connection
        flat = graph.reshape(x, width, 1, TOKENS)
        x = graph.op("REPEAT", shaped(width, count, TOKENS), flat)
        for place in self._places:
            layers.place = place
            before = len(graph.nodes)
            x = self._stream_layer(x, attention, streams)
            if layers.settings.pins:
                x.wanted = place.backend
            self._watch(before, place)
        flat = graph.reshape(x, width * count, TOKENS)
        rows = graph.op("GET_ROWS", shaped(width * count, OUTPUTS), flat, layers.out_ids)
        x = graph.reshape(rows, width, count, OUTPUTS)
        names = ("output_hc_fn", "output_hc_scale", "output_hc_base")
        function, scale, base = (self._placed(name) for name in names)
        x = streams.head(x, (function, scale, base))
        self._finish(x)
        return graph

    def _stream_layer(
        self, x: Node, attention: CompressedAttention, streams: ResidualStreams
    ) -> Node:
        layers, graph = self._layers, self._graph
        start, back, mixing = streams.before(x, "attn")
        start = layers.norm(start, layers.weight("attn_norm"))
        result = attention.write(start)
        x = streams.after(result, x, back, mixing)
        start, back, mixing = streams.before(x, "ffn")
        for node in (x, back, mixing):
            graph.expand(node)
        start = layers.norm(start, layers.weight("ffn_norm"))
        chosen = None
        if layers.has("ffn_gate_tid2eid"):
            ids = layers.weight("ffn_gate_tid2eid")
            dims = shaped(self._shape.n_expert_used, TOKENS)
            chosen = graph.op("GET_ROWS", dims, ids, self._tokens)
        result = layers.shared_and_routed(start, chosen)
        return streams.after(result, x, back, mixing)
