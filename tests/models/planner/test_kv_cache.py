"""KV caches: published figures, llama.cpp's rules, and what it refuses."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.placement_cases import machine_of
from helpers.true_scale import NAMES, true_scale
from models.gguf.shape import AttentionKind
from models.planner.inventory import BufferRule, Inventory
from models.planner.kv_cache import (
    KV_TYPES,
    CacheTensor,
    allocated,
    check_kv,
    kv_bytes_per_token,
    kv_cache_bytes,
    kv_types_allowed,
    layer_tensors,
)
from models.planner.machine import GpuKind
from models.planner.plan import CPU, PlanSettings

GIB = 2**30
INVENTORIES = {name: Inventory(true_scale(name).shape) for name in NAMES}
NO_GPU = machine_of((), rng=random.Random(1))


def cache_bytes(name: str, n_ctx: int, kind: str = "f16", **changes: object) -> int:
    inventory = INVENTORIES[name]
    chosen = PlanSettings(n_ctx=n_ctx, type_k=kind, type_v=kind, **changes)  # type: ignore[arg-type]
    everywhere = (CPU,) * inventory.shape.n_layer_all
    return kv_cache_bytes(inventory, NO_GPU, chosen, everywhere)[CPU]


@pytest.mark.parametrize(
    ("name", "f16", "q8_0"),
    [
        ("v3-q4km", 70_272, 37_332),
        ("v3-q8", 70_272, 37_332),
        ("v3-legacy-q4km", 4_997_120, 2_654_720),
        ("v32-q4km", 85_888, 45_628),
        ("v4f-mxfp4", 6_880, 3_655),
        ("v2lite-q4km", 31_104, 16_524),
        ("qwen7-q4km", 57_344, 30_464),
        ("qwen15-q4km", 28_672, 15_232),
        ("llama8-q4km", 131_072, 69_632),
        ("qwen38-q4km", 147_456, 78_336),
    ],
)
def test_published_bytes_per_token(name: str, f16: int, q8_0: int) -> None:
    shape = true_scale(name).shape
    assert kv_bytes_per_token(shape, "f16", "f16") == f16
    assert kv_bytes_per_token(shape, "q8_0", "q8_0") == q8_0


@pytest.mark.parametrize(
    ("name", "n_ctx", "gib"),
    [
        ("v3-q4km", 32768, 2.14),
        ("v3-q4km", 131072, 8.58),
        ("v3-legacy-q4km", 32768, 152.5),
        ("v3-legacy-q4km", 131072, 610.0),
        ("v32-q4km", 32768, 2.62),
        ("v32-q4km", 131072, 10.5),
        ("v4f-mxfp4", 32768, 0.25),
        ("v4f-mxfp4", 131072, 0.88),
        ("v2lite-q4km", 32768, 0.95),
        ("qwen7-q4km", 32768, 1.75),
        ("qwen38-q4km", 131072, 18.0),
    ],
)
def test_published_sizes(name: str, n_ctx: int, gib: float) -> None:
    assert cache_bytes(name, n_ctx) / GIB == pytest.approx(gib, rel=0.02)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("v4")])
def test_a_cache_is_its_tokens(name: str) -> None:
    shape = true_scale(name).shape
    assert cache_bytes(name, 4096) == 4096 * kv_bytes_per_token(shape, "f16", "f16")


def test_contexts_are_rounded_up_to_256_tokens() -> None:
    assert cache_bytes("v3-q4km", 1) == cache_bytes("v3-q4km", 256)
    assert cache_bytes("v3-q4km", 257) == cache_bytes("v3-q4km", 512)


def test_v4_keeps_a_window_of_raw_rows_and_its_states() -> None:
    shape = true_scale("v4f-mxfp4").shape
    assert shape.kv.compress_ratios[:4] == (0, 0, 4, 128)
    plain, _, fine, coarse = layer_tensors(shape, PlanSettings(n_ctx=32768, n_ubatch=512))[:4]
    window = CacheTensor("F16", 512, 768)  # 128 + 512 tokens in steps of 256
    assert plain == (window,)
    assert fine[:3] == (window, CacheTensor("F16", 512, 8192), CacheTensor("F16", 128, 8192))
    assert fine[3:] == 2 * (CacheTensor("F32", 1024, 8),) + 2 * (CacheTensor("F32", 256, 8),)
    assert coarse[1] == CacheTensor("F16", 512, 256)
    assert coarse[2:] == 2 * (CacheTensor("F32", 512, 128),)


def test_v4s_window_is_never_longer_than_the_context() -> None:
    shape = true_scale("v4f-mxfp4").shape
    first = layer_tensors(shape, PlanSettings(n_ctx=300, n_ubatch=4096, n_batch=4096))[0]
    assert first == (CacheTensor("F16", 512, 512),)


def test_gpus_pad_quantized_rows_of_the_cache() -> None:
    # Qwen 1.5B: 2 heads of 128, so rows of 256: padded once per tensor to 512.
    row = CacheTensor("Q8_0", 256, 4096)
    assert allocated(row, BufferRule(128, 512)) - allocated(row, BufferRule(128)) == 8 * 34 + 112
    assert allocated(replace(row, type_name="F16"), BufferRule(128, 512)) == 256 * 2 * 4096


def test_a_cache_lies_beside_its_layer_unless_told_otherwise() -> None:
    inventory = INVENTORIES["v3-q4km"]
    machine = machine_of((GpuKind.CUDA, GpuKind.VULKAN), rng=random.Random(1))
    devices = (CPU, "CUDA0", "Vulkan0") + (CPU,) * 58
    split = kv_cache_bytes(inventory, machine, PlanSettings(n_ctx=512), devices)
    assert split == {CPU: 59 * 576 * 2 * 512, "CUDA0": 576 * 2 * 512, "Vulkan0": 576 * 2 * 512}
    kept = kv_cache_bytes(inventory, machine, PlanSettings(512, offload_kqv=False), devices)
    assert kept == {CPU: 61 * 576 * 2 * 512}


def test_mtp_blocks_have_no_cache() -> None:
    shape = true_scale("v32-q4km").shape
    tensors = layer_tensors(shape, PlanSettings(n_ctx=512))
    assert len(tensors) == shape.n_layer_all == shape.n_layer + 1
    assert tensors[-1] == ()


@given(st.sampled_from(NAMES), st.integers(1, 200_000), st.sampled_from(KV_TYPES))
def test_more_context_never_takes_less(name: str, n_ctx: int, kind: str) -> None:
    if kind in kv_types_allowed(true_scale(name).shape):
        assert cache_bytes(name, n_ctx, kind) <= cache_bytes(name, n_ctx + 1, kind)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v3-q4km", "v32-q4km", "v4f-mxfp4"])
def test_latent_attention_needs_one_type_for_both(name: str) -> None:
    shape = true_scale(name).shape
    assert "same type" in (check_kv(shape, "q8_0", "f16", "on") or "")
    assert check_kv(shape, "q8_0", "q8_0", "on") is None


@pytest.mark.parametrize("name", ["v3-legacy-q4km", "llama8-q4km"])
def test_separate_caches_may_differ(name: str) -> None:
    assert check_kv(true_scale(name).shape, "q8_0", "f16", "on") is None


def test_a_quantized_v_needs_flash_attention() -> None:
    shape = true_scale("llama8-q4km").shape
    assert "flash attention" in (check_kv(shape, "f16", "q8_0", "off") or "")
    assert check_kv(shape, "f16", "q8_0", "auto") is None
    assert check_kv(shape, "q8_0", "f16", "off") is None


def test_unknown_types_are_named() -> None:
    assert "q3_k" in (check_kv(true_scale("v3-q4km").shape, "q3_k", "q3_k", "on") or "")


def test_blocks_must_divide_heads() -> None:
    shape = true_scale("llama8-q4km").shape
    odd = replace(shape, kv=replace(shape.kv, key_length=80, value_length=80))
    assert "do not divide rows of 80" in (check_kv(odd, "q8_0", "q8_0", "on") or "")
    assert kv_types_allowed(odd) == ("f16", "bf16", "f32")
    # Without flash attention whole rows count: 8 heads of 80 make 640, which 32 divides.
    assert check_kv(odd, "q8_0", "f16", "off") is None


@pytest.mark.parametrize("name", NAMES)
def test_all_usual_types_are_allowed(name: str) -> None:
    shape = true_scale(name).shape
    assert set(kv_types_allowed(shape)) == set(KV_TYPES)
    assert shape.kv.kind in AttentionKind
