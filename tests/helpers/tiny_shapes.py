"""Hyper-parameters and tensors of tiny models, one function for each architecture.

Names and shapes follow src/models/*.cpp of the llama.cpp in llama-cpp-python 0.3.36. Shapes are in
ggml's order: the length of a row comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

N_VOCAB = 512
ARCHITECTURES = (
    "llama",
    "qwen2",
    "qwen3",
    "deepseek",
    "deepseek2",
    "deepseek2-ocr",
    "deepseek32",
    "deepseek4",
)

_EMBD = 128
_HEADS = 4
_HEAD_SIZE = 32
_FF = 256
_EXPERTS = 4
_EXPERTS_USED = 2
_FF_EXPERT = 64
# MLA: ranks of the compressed queries and keys, sizes of a head's parts.
_Q_RANK = 64
_KV_RANK = 64
_NOPE = 32
_ROPE = 32
_VALUE = 32
_INDEXER_HEADS = 4
# llama.cpp rotates the indexer keys in blocks of 64.
_INDEXER_SIZE = 64

Meta = bool | int | float | str | list[int] | list[float]


@dataclass(frozen=True)
class Tensor:
    """A tensor to be filled: weight (quantized), f32 (random), norm (ones) or experts (ids)."""

    name: str
    shape: tuple[int, ...]
    kind: str = "weight"


@dataclass
class Shape:
    """What a tiny model consists of; keys without a dot before them get the architecture's name."""

    metadata: dict[str, Meta] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)

    def add(self, name: str, *shape: int, kind: str = "weight") -> None:
        """Add a tensor called ``name`` or ``name.weight``."""
        full = name if name.endswith(".bias") else f"{name}.weight"
        self.tensors.append(Tensor(full, shape, "norm" if "norm" in name else kind))


@dataclass(frozen=True)
class ShapeOptions:
    """What can be chosen: see ``tiny_gguf.TinyModel``."""

    architecture: str
    n_layer: int
    n_ctx_train: int
    mla: bool
    q_lora: bool
    mtp: bool


def tiny_shape(options: ShapeOptions) -> Shape:
    """Return the parts of a tiny model."""
    shape = Shape()
    shape.metadata |= {
        "block_count": options.n_layer + options.mtp,
        "context_length": options.n_ctx_train,
        "embedding_length": _EMBD,
        "feed_forward_length": _FF,
        "attention.head_count": _HEADS,
        "attention.head_count_kv": _HEADS // 2,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 10000.0,
        "rope.dimension_count": _HEAD_SIZE,
        "vocab_size": N_VOCAB,
    }
    shape.add("token_embd", _EMBD, N_VOCAB)
    shape.add("output_norm", _EMBD)
    shape.add("output", _EMBD, N_VOCAB)
    _BUILDERS[options.architecture](shape, options)
    return shape


def _llama(shape: Shape, options: ShapeOptions) -> None:
    for layer in range(options.n_layer):
        prefix = f"blk.{layer}."
        _add_gqa(shape, prefix, options.architecture)
        _add_dense(shape, prefix)


def _deepseek(shape: Shape, options: ShapeOptions) -> None:
    shape.metadata["attention.head_count_kv"] = _HEADS
    _add_expert_metadata(shape, gating=None)
    for layer in range(options.n_layer):
        prefix = f"blk.{layer}."
        _add_gqa(shape, prefix, options.architecture, kv_heads=_HEADS)
        _add_feed_forward(shape, prefix, dense=layer == 0, bias=False)


def _deepseek2(shape: Shape, options: ShapeOptions) -> None:
    _add_expert_metadata(shape, gating=2)
    _add_mla_metadata(shape, options)
    for layer in range(options.n_layer + options.mtp):
        prefix = f"blk.{layer}."
        _add_mla(shape, prefix, options)
        _add_feed_forward(shape, prefix, dense=layer == 0, bias=True)
        if layer >= options.n_layer:
            _add_mtp(shape, prefix)


def _deepseek32(shape: Shape, options: ShapeOptions) -> None:
    _deepseek2(shape, options)
    _add_indexer_metadata(shape)
    for layer in range(options.n_layer + options.mtp):
        prefix = f"blk.{layer}.indexer."
        shape.add(prefix + "k_norm", _INDEXER_SIZE)
        shape.add(prefix + "k_norm.bias", _INDEXER_SIZE)
        shape.add(prefix + "proj", _EMBD, _INDEXER_HEADS)
        shape.add(prefix + "attn_k", _EMBD, _INDEXER_SIZE)
        shape.add(prefix + "attn_q_b", _Q_RANK, _INDEXER_HEADS * _INDEXER_SIZE)


def _add_gqa(shape: Shape, prefix: str, architecture: str, kv_heads: int = _HEADS // 2) -> None:
    shape.add(prefix + "attn_norm", _EMBD)
    for name, heads in (("attn_q", _HEADS), ("attn_k", kv_heads), ("attn_v", kv_heads)):
        shape.add(prefix + name, _EMBD, heads * _HEAD_SIZE)
        if architecture == "qwen2":
            shape.add(f"{prefix}{name}.bias", heads * _HEAD_SIZE, kind="f32")
    if architecture == "qwen3":
        shape.add(prefix + "attn_q_norm", _HEAD_SIZE)
        shape.add(prefix + "attn_k_norm", _HEAD_SIZE)
    shape.add(prefix + "attn_output", _HEADS * _HEAD_SIZE, _EMBD)
    shape.add(prefix + "ffn_norm", _EMBD)


def _add_dense(shape: Shape, prefix: str) -> None:
    shape.add(prefix + "ffn_gate", _EMBD, _FF)
    shape.add(prefix + "ffn_up", _EMBD, _FF)
    shape.add(prefix + "ffn_down", _FF, _EMBD)


def _add_feed_forward(shape: Shape, prefix: str, *, dense: bool, bias: bool) -> None:
    if dense:
        _add_dense(shape, prefix)
        return
    shape.add(prefix + "ffn_gate_inp", _EMBD, _EXPERTS, kind="f32")
    if bias:
        shape.add(prefix + "exp_probs_b.bias", _EXPERTS, kind="f32")
    _add_experts(shape, prefix)


def _add_experts(shape: Shape, prefix: str) -> None:
    shape.add(prefix + "ffn_gate_exps", _EMBD, _FF_EXPERT, _EXPERTS)
    shape.add(prefix + "ffn_down_exps", _FF_EXPERT, _EMBD, _EXPERTS)
    shape.add(prefix + "ffn_up_exps", _EMBD, _FF_EXPERT, _EXPERTS)
    shape.add(prefix + "ffn_gate_shexp", _EMBD, _FF_EXPERT)
    shape.add(prefix + "ffn_down_shexp", _FF_EXPERT, _EMBD)
    shape.add(prefix + "ffn_up_shexp", _EMBD, _FF_EXPERT)


def _add_expert_metadata(shape: Shape, *, gating: int | None) -> None:
    shape.metadata |= {
        "leading_dense_block_count": 1,
        "expert_count": _EXPERTS,
        "expert_used_count": _EXPERTS_USED,
        "expert_shared_count": 1,
        "expert_feed_forward_length": _FF_EXPERT,
        "expert_weights_scale": 1.0,
    }
    if gating is not None:
        shape.metadata |= {"expert_gating_func": gating, "expert_weights_norm": True}


def _add_mla_metadata(shape: Shape, options: ShapeOptions) -> None:
    if options.q_lora:
        shape.metadata["attention.q_lora_rank"] = _Q_RANK
    shape.metadata |= {"attention.kv_lora_rank": _KV_RANK, "rope.dimension_count": _ROPE}
    if options.mtp:
        shape.metadata["nextn_predict_layers"] = 1
    if not options.mla:
        shape.metadata |= {
            "attention.head_count_kv": _HEADS,
            "attention.key_length": _NOPE + _ROPE,
            "attention.value_length": _VALUE,
        }
        return
    shape.metadata |= {
        "attention.head_count_kv": 1,
        "attention.key_length": _KV_RANK + _ROPE,
        "attention.value_length": _KV_RANK,
        "attention.key_length_mla": _NOPE + _ROPE,
        "attention.value_length_mla": _VALUE,
    }


def _add_mla(shape: Shape, prefix: str, options: ShapeOptions) -> None:
    shape.add(prefix + "attn_norm", _EMBD)
    if options.q_lora:
        shape.add(prefix + "attn_q_a", _EMBD, _Q_RANK)
        shape.add(prefix + "attn_q_a_norm", _Q_RANK)
        shape.add(prefix + "attn_q_b", _Q_RANK, _HEADS * (_NOPE + _ROPE))
    else:
        shape.add(prefix + "attn_q", _EMBD, _HEADS * (_NOPE + _ROPE))
    shape.add(prefix + "attn_kv_a_mqa", _EMBD, _KV_RANK + _ROPE)
    shape.add(prefix + "attn_kv_a_norm", _KV_RANK)
    if options.mla:
        shape.add(prefix + "attn_k_b", _NOPE, _KV_RANK, _HEADS)
        shape.add(prefix + "attn_v_b", _KV_RANK, _VALUE, _HEADS)
    else:
        shape.add(prefix + "attn_kv_b", _KV_RANK, _HEADS * (_NOPE + _VALUE))
    shape.add(prefix + "attn_output", _HEADS * _VALUE, _EMBD)
    shape.add(prefix + "ffn_norm", _EMBD)


def _add_mtp(shape: Shape, prefix: str) -> None:
    shape.add(prefix + "nextn.eh_proj", 2 * _EMBD, _EMBD)
    shape.add(prefix + "nextn.enorm", _EMBD)
    shape.add(prefix + "nextn.hnorm", _EMBD)
    shape.add(prefix + "nextn.shared_head_norm", _EMBD)


def _add_indexer_metadata(shape: Shape) -> None:
    shape.metadata |= {
        "attention.indexer.head_count": _INDEXER_HEADS,
        "attention.indexer.key_length": _INDEXER_SIZE,
        "attention.indexer.top_k": 16,
    }


# --- deepseek4: compressed caches and hyper-connections -----------------------------------------

_V4_HEAD_SIZE = 128
_V4_GROUPS = 2
_V4_OUT_RANK = 32
_V4_STREAMS = 4
_V4_HASH_LAYERS = 1


def _deepseek4(shape: Shape, options: ShapeOptions) -> None:
    ratios = [(0, 4, 128)[layer % 3] for layer in range(options.n_layer)]
    _add_expert_metadata(shape, gating=4)
    _add_indexer_metadata(shape)
    _add_v4_metadata(shape, ratios)
    streams = _V4_STREAMS
    shape.add("output_hc_fn", streams * _EMBD, streams, kind="f32")
    shape.add("output_hc_base", streams, kind="f32")
    shape.add("output_hc_scale", 1, kind="f32")
    for layer, ratio in enumerate(ratios):
        prefix = f"blk.{layer}."
        _add_v4_attention(shape, prefix)
        _add_v4_streams(shape, prefix)
        if ratio:
            _add_v4_compressor(shape, prefix, ratio)
        shape.add(prefix + "ffn_norm", _EMBD)
        shape.add(prefix + "ffn_gate_inp", _EMBD, _EXPERTS, kind="f32")
        if layer < _V4_HASH_LAYERS:
            shape.add(prefix + "ffn_gate_tid2eid", _EXPERTS_USED, N_VOCAB, kind="experts")
        else:
            shape.add(prefix + "exp_probs_b.bias", _EXPERTS, kind="f32")
        _add_experts(shape, prefix)


def _add_v4_metadata(shape: Shape, ratios: list[int]) -> None:
    shape.metadata.pop("leading_dense_block_count")
    shape.metadata |= {
        "attention.head_count_kv": 1,
        "attention.key_length": _V4_HEAD_SIZE,
        "attention.value_length": _V4_HEAD_SIZE,
        "attention.q_lora_rank": _Q_RANK,
        "attention.sliding_window": 128,
        "attention.output_group_count": _V4_GROUPS,
        "attention.output_lora_rank": _V4_OUT_RANK,
        "attention.compress_ratios": ratios,
        "attention.compress_rope_freq_base": 160000.0,
        "rope.dimension_count": _ROPE,
        "swiglu_clamp_exp": [10.0] * len(ratios),
        "swiglu_clamp_shexp": [10.0] * len(ratios),
        "hyper_connection.count": _V4_STREAMS,
        "hyper_connection.sinkhorn_iterations": 20,
        "hyper_connection.epsilon": 1e-6,
        "hash_layer_count": _V4_HASH_LAYERS,
        "embedding_length_out": _V4_STREAMS * _EMBD,
    }


def _add_v4_attention(shape: Shape, prefix: str) -> None:
    width = _HEADS * _V4_HEAD_SIZE
    shape.add(prefix + "attn_norm", _EMBD)
    shape.add(prefix + "attn_sinks", _HEADS, kind="f32")
    shape.add(prefix + "attn_q_a", _EMBD, _Q_RANK)
    shape.add(prefix + "attn_q_a_norm", _Q_RANK)
    shape.add(prefix + "attn_q_b", _Q_RANK, width)
    shape.add(prefix + "attn_kv", _EMBD, _V4_HEAD_SIZE)
    shape.add(prefix + "attn_kv_a_norm", _V4_HEAD_SIZE)
    shape.add(prefix + "attn_output_a", width // _V4_GROUPS, _V4_OUT_RANK * _V4_GROUPS)
    shape.add(prefix + "attn_output_b", _V4_GROUPS * _V4_OUT_RANK, _EMBD)


def _add_v4_streams(shape: Shape, prefix: str) -> None:
    mixes = (2 + _V4_STREAMS) * _V4_STREAMS
    for part in ("attn", "ffn"):
        shape.add(f"{prefix}hc_{part}_fn", _V4_STREAMS * _EMBD, mixes, kind="f32")
        shape.add(f"{prefix}hc_{part}_base", mixes, kind="f32")
        shape.add(f"{prefix}hc_{part}_scale", 3, kind="f32")


def _add_v4_compressor(shape: Shape, prefix: str, ratio: int) -> None:
    width = _V4_HEAD_SIZE * (2 if ratio == 4 else 1)
    shape.add(prefix + "attn_compressor_kv", _EMBD, width)
    shape.add(prefix + "attn_compressor_gate", _EMBD, width)
    shape.add(prefix + "attn_compressor_ape", width, ratio, kind="f32")
    shape.add(prefix + "attn_compressor_norm", _V4_HEAD_SIZE)
    if ratio != 4:
        return
    shape.add(prefix + "indexer.proj", _EMBD, _INDEXER_HEADS)
    shape.add(prefix + "indexer.attn_q_b", _Q_RANK, _INDEXER_HEADS * _INDEXER_SIZE)
    shape.add(prefix + "indexer_compressor_kv", _EMBD, 2 * _INDEXER_SIZE)
    shape.add(prefix + "indexer_compressor_gate", _EMBD, 2 * _INDEXER_SIZE)
    shape.add(prefix + "indexer_compressor_ape", 2 * _INDEXER_SIZE, ratio, kind="f32")
    shape.add(prefix + "indexer_compressor_norm", _INDEXER_SIZE)


_BUILDERS: dict[str, Callable[[Shape, ShapeOptions], None]] = {
    "llama": _llama,
    "qwen2": _llama,
    "qwen3": _llama,
    "deepseek": _deepseek,
    "deepseek2": _deepseek2,
    "deepseek2-ocr": _deepseek,
    "deepseek32": _deepseek32,
    "deepseek4": _deepseek4,
}
