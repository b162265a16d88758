"""What a pre-MLA file costs: the cache of every head instead of one compressed row. Pure, no Qt.

Files made before llama.cpp knew multi-head latent attention (April 2025) hold ``attn_kv_b`` in one
piece and no ``key_length_mla``. llama.cpp runs them by keeping every head's K and V
(src/models/deepseek2.cpp): for V3 71 times the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.gguf.shape import AttentionKind, ModelShape
from models.planner.kv_cache import kv_bytes_per_token
from models.units import format_bytes

_TYPE = "f16"


@dataclass(frozen=True)
class PreMlaPrice:
    """Bytes of an f16 KV cache of ``n_ctx`` tokens: of this file, and of one made anew."""

    n_ctx: int
    kv_bytes: int
    mla_kv_bytes: int


def is_pre_mla(shape: ModelShape) -> bool:
    """Whether the file is one of an MLA model from before MLA."""
    return shape.kv.kind is AttentionKind.MLA_EXPANDED


def pre_mla_price(shape: ModelShape, n_ctx: int) -> PreMlaPrice | None:
    """Return what the cache takes and what it could take; None for any other file."""
    if not is_pre_mla(shape):
        return None
    return PreMlaPrice(
        n_ctx,
        round(kv_bytes_per_token(shape, _TYPE, _TYPE) * n_ctx),
        round(kv_bytes_per_token(_as_mla(shape), _TYPE, _TYPE) * n_ctx),
    )


def pre_mla_warning(shape: ModelShape, n_ctx: int) -> str | None:
    """Return the price in words, with what to do; None when there is none."""
    price = pre_mla_price(shape, n_ctx)
    if price is None:
        return None
    return (
        f"This file is from before MLA: its KV cache takes {_size(price.kv_bytes)} at "
        f"{n_ctx:,} tokens instead of {_size(price.mla_kv_bytes)}. Look for a newer file of the "
        "model."
    )


def _as_mla(shape: ModelShape) -> ModelShape:
    """Return the shape with the cache it would have as an MLA file."""
    kv = replace(
        shape.kv,
        kind=AttentionKind.MLA,
        key_length=shape.kv_lora_rank + shape.rope_length,
        value_length=shape.kv_lora_rank,
        n_head_kv=(1,) * shape.n_layer_all,
    )
    return replace(shape, kv=kv)


def _size(size_bytes: int) -> str:
    """Return a size in both units: llama.cpp and most posts give binary ones."""
    binary = size_bytes / 2**30
    return f"{format_bytes(size_bytes)} ({binary:.{0 if binary >= 10 else 1}f} GiB)"
