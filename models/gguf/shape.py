"""What a checkpoint is made of, as the planner needs it: plain data. No Qt, no files here."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field


class Role(enum.StrEnum):
    """What a tensor does; the planner places by role, the window colours by it."""

    EMBEDDING = "embedding"
    OUTPUT = "output"
    NORM = "norm"
    ATTENTION = "attention"
    DENSE_FFN = "dense_ffn"
    ROUTER = "router"
    SHARED_EXPERT = "shared_expert"
    ROUTED_EXPERT = "routed_expert"
    MTP = "mtp"
    OTHER = "other"


class AttentionKind(enum.StrEnum):
    """How a layer's KV cache is laid out.

    GQA: K and V rows of every KV head (llama, qwen, deepseek, deepseek2-ocr). MLA: one compressed
    row, V is a view of K. MLA_EXPANDED: a pre-MLA file of an MLA model; every head's K and V are
    kept. DSA: MLA with an indexer key (V3.2). COMPRESSED: V4's sliding window and compressed rows.
    """

    GQA = "gqa"
    MLA = "mla"
    MLA_EXPANDED = "mla_expanded"
    DSA = "dsa"
    COMPRESSED = "compressed"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor; ``layer`` is its block, None outside of blocks; ``shape`` in GGUF order."""

    name: str
    role: Role
    layer: int | None
    type_name: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        product = 1
        for size in self.shape:
            product *= size
        return product


@dataclass(frozen=True)
class KvShape:
    """What one token leaves in the KV cache, in elements.

    Attributes:
        kind: layout of the cache.
        key_length: elements of a head's K row (MLA: of the whole compressed row).
        value_length: elements of a head's V row; unused for MLA, DSA and COMPRESSED.
        n_head_kv: KV heads per layer, one entry for each of ``ModelShape.n_layer_all``.
        indexer_key_length: elements of an indexer row (DSA, COMPRESSED), else 0.
        indexer_head_count: heads of the indexer, else 0.
        indexer_top_k: tokens that the indexer picks, else 0.
        sliding_window: tokens of the raw window, 0 when there is none.
        compress_ratios: per layer of COMPRESSED: 0 none, 4 or 128 tokens a row; else empty.
    """

    kind: AttentionKind
    key_length: int
    value_length: int
    n_head_kv: tuple[int, ...]
    indexer_key_length: int = 0
    indexer_head_count: int = 0
    indexer_top_k: int = 0
    sliding_window: int = 0
    compress_ratios: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelShape:
    """Everything about a checkpoint that decides where it fits and how fast it runs.

    Attributes:
        n_layer_all: blocks, MTP blocks included (llama.cpp counts them for placement).
        n_layer_mtp: MTP (multi-token prediction) blocks at the end.
        n_layer_dense: leading blocks without routed experts; ``n_layer`` when there are none.
        n_head: query heads.
        n_ff: width of a dense feed-forward block; ``n_ff_expert``: of one routed expert.
        q_lora_rank, kv_lora_rank, rope_length: of latent attention, else 0 (rope: turned part).
        value_head_length: V elements of one head after expansion (MLA), else ``kv.value_length``.
        n_hyper_connection: parallel residual streams (V4), else 0.
        n_expert_groups: groups that experts are chosen by (V3), 0 or 1 when there are none.
        file_bytes: of all shards together.
        shard_bytes: of every shard in order.
        data_spans: per shard, first and last byte + 1 of its tensor data.
        is_approximate: read without knowing the architecture's rules.
        tensors: in file order, all shards.
        tensor_offsets: per tensor, (shard, first byte in the shard's file).
    """

    name: str
    architecture: str
    quantization: str
    n_layer_all: int
    n_layer_mtp: int
    n_layer_dense: int
    n_embd: int
    n_head: int
    n_ff: int
    n_vocab: int
    n_ctx_train: int
    n_expert: int
    n_expert_used: int
    n_expert_shared: int
    n_ff_expert: int
    kv: KvShape
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    rope_length: int = 0
    value_head_length: int = 0
    n_hyper_connection: int = 0
    n_expert_groups: int = 0
    file_bytes: int = 0
    shard_bytes: tuple[int, ...] = ()
    data_spans: tuple[tuple[int, int], ...] = ()
    is_approximate: bool = False
    tensors: tuple[Tensor, ...] = field(default=(), repr=False)
    tensor_offsets: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    @property
    def n_layer(self) -> int:
        """Blocks that every token goes through (without MTP)."""
        return self.n_layer_all - self.n_layer_mtp

    @property
    def is_moe(self) -> bool:
        """Whether it has routed experts."""
        return self.n_expert > 0

    @property
    def has_tied_embeddings(self) -> bool:
        """Whether the output layer uses the input embedding's tensor."""
        return not any(tensor.name == "output.weight" for tensor in self.tensors)

    def with_role(self, *roles: Role) -> Iterable[Tensor]:
        """Yield the tensors of some roles."""
        return (tensor for tensor in self.tensors if tensor.role in roles)
