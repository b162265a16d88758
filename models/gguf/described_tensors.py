"""The tensors a checkpoint of an architecture has, by its numbers alone. No Qt here.

Names and shapes as ``load_arch_tensors`` of src/models/*.cpp creates them (llama.cpp in
llama-cpp-python 0.3.36), in the order in which converted files have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.gguf.shape import AttentionKind, ModelShape

Described = tuple[str, tuple[int, ...]]

# Llama 3's vocabulary; its files have factors that stretch the rotation.
_LLAMA3_VOCABULARY = 128_256
_CSA_RATIO = 4


@dataclass(frozen=True)
class Extras:
    """What some architectures need beside ``ModelShape``; the defaults are DeepSeek's own.

    Attributes:
        nope_length: elements of a head that are not turned (MLA), 0: as many as a value has.
        output_groups, output_rank: of V4's output projection.
        hash_layers: leading layers of V4 whose experts are chosen by the token's number.
        has_output: whether the output layer has a tensor of its own.
        has_expert_bias: whether experts are chosen with a bias (V3 and later).
    """

    nope_length: int = 0
    output_groups: int = 8
    output_rank: int = 1024
    hash_layers: int = 3
    has_output: bool = True
    has_expert_bias: bool = True


def can_describe(architecture: str) -> bool:
    """Whether the tensors of an architecture are known here."""
    return architecture in _BLOCKS


def describe_tensors(bare: ModelShape, extras: Extras) -> Iterator[Described]:
    """Yield name and shape of every tensor; ``can_describe`` holds for the architecture."""
    width, n_vocab = bare.n_embd, bare.n_vocab
    yield "token_embd.weight", (width, n_vocab)
    yield "output_norm.weight", (width,)
    if extras.has_output:
        yield "output.weight", (width, n_vocab)
    if bare.architecture == "llama" and n_vocab == _LLAMA3_VOCABULARY:
        yield "rope_freqs.weight", (bare.kv.key_length // 2,)
    if bare.architecture == "deepseek4":
        streams = bare.n_hyper_connection
        yield "output_hc_fn.weight", (streams * width, streams)
        yield "output_hc_base.weight", (streams,)
        yield "output_hc_scale.weight", (1,)
    block = _BLOCKS[bare.architecture]
    for layer in range(bare.n_layer_all):
        for name, shape in block(bare, extras, layer):
            yield f"blk.{layer}.{name}", shape


def _plain(bare: ModelShape, extras: Extras, layer: int) -> Iterator[Described]:
    """llama, qwen2, qwen3: attention with grouped heads, one feed-forward block."""
    del extras
    yield from _plain_attention(bare, layer)
    yield from _dense(bare)


def _plain_experts(bare: ModelShape, extras: Extras, layer: int) -> Iterator[Described]:
    """deepseek and deepseek2-ocr: plain attention, experts after the first layers."""
    del extras
    yield from _plain_attention(bare, layer)
    yield from _dense(bare) if layer < bare.n_layer_dense else _experts(bare, has_bias=False)


def _latent(bare: ModelShape, extras: Extras, layer: int) -> Iterator[Described]:
    """deepseek2 and deepseek32: compressed keys and values, experts after the first layers."""
    width = bare.n_embd
    yield "attn_norm.weight", (width,)
    yield from _latent_attention(bare, extras)
    yield "ffn_norm.weight", (width,)
    if bare.kv.kind is AttentionKind.DSA:
        yield from _indexer(bare)
    is_dense = layer < bare.n_layer_dense
    yield from _dense(bare) if is_dense else _experts(bare, has_bias=extras.has_expert_bias)
    if layer >= bare.n_layer:
        yield "nextn.eh_proj.weight", (2 * width, width)
        for name in ("enorm", "hnorm", "shared_head_norm"):
            yield f"nextn.{name}.weight", (width,)


def _compressed(bare: ModelShape, extras: Extras, layer: int) -> Iterator[Described]:
    """deepseek4: one shared head of keys, rows compressed over tokens, parallel streams."""
    width = bare.n_embd
    yield "attn_norm.weight", (width,)
    yield from _compressed_attention(bare, extras)
    streams = bare.n_hyper_connection
    for part in ("attn", "ffn"):
        yield f"hc_{part}_fn.weight", (streams * width, (2 + streams) * streams)
        yield f"hc_{part}_base.weight", ((2 + streams) * streams,)
        yield f"hc_{part}_scale.weight", (3,)
    yield from _compressor(bare, bare.kv.compress_ratios[layer])
    yield "ffn_gate_inp.weight", (width, bare.n_expert)
    if layer < extras.hash_layers:
        yield "ffn_gate_tid2eid.weight", (bare.n_expert_used, bare.n_vocab)
    else:
        yield "exp_probs_b.bias", (bare.n_expert,)
    yield "ffn_norm.weight", (width,)
    yield from _expert_weights(bare)


_BLOCKS: dict[str, Callable[[ModelShape, Extras, int], Iterator[Described]]] = {
    "llama": _plain,
    "qwen2": _plain,
    "qwen3": _plain,
    "deepseek": _plain_experts,
    "deepseek2-ocr": _plain_experts,
    "deepseek2": _latent,
    "deepseek32": _latent,
    "deepseek4": _compressed,
}


def _plain_attention(bare: ModelShape, layer: int) -> Iterator[Described]:
    width, kv = bare.n_embd, bare.kv
    yield "attn_norm.weight", (width,)
    yield "ffn_norm.weight", (width,)
    rows = {
        "attn_q": bare.n_head * kv.key_length,
        "attn_k": kv.n_head_kv[layer] * kv.key_length,
        "attn_v": kv.n_head_kv[layer] * kv.value_length,
    }
    for name, size in rows.items():
        yield f"{name}.weight", (width, size)
        if bare.architecture == "qwen2":
            yield f"{name}.bias", (size,)
    if bare.architecture == "qwen3":
        yield "attn_q_norm.weight", (kv.key_length,)
        yield "attn_k_norm.weight", (kv.key_length,)
    yield "attn_output.weight", (bare.n_head * kv.value_length, width)


def _latent_attention(bare: ModelShape, extras: Extras) -> Iterator[Described]:
    width, heads, rank = bare.n_embd, bare.n_head, bare.kv_lora_rank
    value = bare.value_head_length
    nope = extras.nope_length or value
    query = heads * (nope + bare.rope_length)
    if bare.q_lora_rank:
        yield "attn_q_a.weight", (width, bare.q_lora_rank)
        yield "attn_q_a_norm.weight", (bare.q_lora_rank,)
        yield "attn_q_b.weight", (bare.q_lora_rank, query)
    else:
        yield "attn_q.weight", (width, query)
    yield "attn_kv_a_mqa.weight", (width, rank + bare.rope_length)
    yield "attn_kv_a_norm.weight", (rank,)
    if bare.kv.kind is AttentionKind.MLA_EXPANDED:
        yield "attn_kv_b.weight", (rank, heads * (nope + value))
    else:
        yield "attn_k_b.weight", (nope, rank, heads)
        yield "attn_v_b.weight", (rank, value, heads)
    yield "attn_output.weight", (heads * value, width)


def _indexer(bare: ModelShape) -> Iterator[Described]:
    size, heads = bare.kv.indexer_key_length, bare.kv.indexer_head_count
    yield "indexer.k_norm.weight", (size,)
    yield "indexer.k_norm.bias", (size,)
    yield "indexer.proj.weight", (bare.n_embd, heads)
    yield "indexer.attn_k.weight", (bare.n_embd, size)
    yield "indexer.attn_q_b.weight", (bare.q_lora_rank, heads * size)


def _compressed_attention(bare: ModelShape, extras: Extras) -> Iterator[Described]:
    width, heads, size = bare.n_embd, bare.n_head, bare.kv.key_length
    groups, rank = extras.output_groups, extras.output_rank
    yield "attn_sinks.weight", (heads,)
    yield "attn_q_a.weight", (width, bare.q_lora_rank)
    yield "attn_q_a_norm.weight", (bare.q_lora_rank,)
    yield "attn_q_b.weight", (bare.q_lora_rank, heads * size)
    yield "attn_kv.weight", (width, size)
    yield "attn_kv_a_norm.weight", (size,)
    yield "attn_output_a.weight", (heads * size // groups, rank * groups)
    yield "attn_output_b.weight", (groups * rank, width)


def _compressor(bare: ModelShape, ratio: int) -> Iterator[Described]:
    if not ratio:
        return
    width, size = bare.n_embd, bare.kv.key_length
    rows = 2 * size if ratio == _CSA_RATIO else size
    yield "attn_compressor_kv.weight", (width, rows)
    yield "attn_compressor_gate.weight", (width, rows)
    yield "attn_compressor_ape.weight", (rows, ratio)
    yield "attn_compressor_norm.weight", (size,)
    if ratio != _CSA_RATIO:
        return
    key, heads = bare.kv.indexer_key_length, bare.kv.indexer_head_count
    yield "indexer.proj.weight", (width, heads)
    yield "indexer.attn_q_b.weight", (bare.q_lora_rank, heads * key)
    yield "indexer_compressor_kv.weight", (width, 2 * key)
    yield "indexer_compressor_gate.weight", (width, 2 * key)
    yield "indexer_compressor_ape.weight", (2 * key, ratio)
    yield "indexer_compressor_norm.weight", (key,)


def _dense(bare: ModelShape) -> Iterator[Described]:
    yield "ffn_gate.weight", (bare.n_embd, bare.n_ff)
    yield "ffn_up.weight", (bare.n_embd, bare.n_ff)
    yield "ffn_down.weight", (bare.n_ff, bare.n_embd)


def _experts(bare: ModelShape, *, has_bias: bool) -> Iterator[Described]:
    yield "ffn_gate_inp.weight", (bare.n_embd, bare.n_expert)
    if has_bias:
        yield "exp_probs_b.bias", (bare.n_expert,)
    yield from _expert_weights(bare)


def _expert_weights(bare: ModelShape) -> Iterator[Described]:
    width, inner, count = bare.n_embd, bare.n_ff_expert, bare.n_expert
    yield "ffn_gate_exps.weight", (width, inner, count)
    yield "ffn_down_exps.weight", (inner, width, count)
    yield "ffn_up_exps.weight", (width, inner, count)
    shared = inner * bare.n_expert_shared
    if shared:
        yield "ffn_gate_shexp.weight", (width, shared)
        yield "ffn_down_shexp.weight", (shared, width)
        yield "ffn_up_shexp.weight", (width, shared)
