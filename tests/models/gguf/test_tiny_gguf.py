"""The tiny models are real: llama.cpp loads them and decodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.native import load_and_decode
from helpers.tiny_gguf import TinyModel, write_tiny, write_tiny_shards
from helpers.tiny_shapes import Meta
from models.errors import CorruptGgufError
from models.gguf.checkpoint import inspect_checkpoint

MODELS = {
    "llama": TinyModel("llama"),
    "llama f16": TinyModel("llama", quantization="F16"),
    "qwen2": TinyModel("qwen2"),
    "qwen3": TinyModel("qwen3"),
    "deepseek": TinyModel("deepseek"),
    "deepseek2": TinyModel("deepseek2"),
    "deepseek2 before MLA": TinyModel("deepseek2", mla=False),
    "deepseek2 as V2-Lite": TinyModel("deepseek2", n_layer=27, q_lora=False),
    "deepseek2 with MTP": TinyModel("deepseek2", mtp=True),
    "deepseek2-ocr": TinyModel("deepseek2-ocr"),
    "deepseek32": TinyModel("deepseek32"),
    "deepseek32 with MTP": TinyModel("deepseek32", mtp=True),
    "deepseek4": TinyModel("deepseek4"),
}


@pytest.mark.model
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_llama_cpp_loads_it_and_decodes_a_token(tmp_path: Path, model: TinyModel) -> None:
    path = write_tiny(tmp_path / "a.gguf", model)
    assert path.stat().st_size < 8_000_000
    result = load_and_decode(path)
    assert result.returncode == 0, result.stderr[-2000:]
    assert 0 <= int(result.stdout) < 512
    facts = inspect_checkpoint(path)
    assert facts.architecture == model.architecture
    assert facts.n_layer == model.n_layer + model.mtp


@pytest.mark.model
def test_llama_cpp_loads_a_set_of_shards(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path)
    assert len(paths) > 1
    assert load_and_decode(paths[0]).returncode == 0


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, again, other = (
        write_tiny(tmp_path / f"{number}.gguf", TinyModel(seed=seed)).read_bytes()
        for number, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert first != other


# Only what kills llama.cpp: what it refuses with words of its own is left to it.
ABORTING = {
    "no layers": (TinyModel(), {"block_count": 0}),
    "513 layers": (TinyModel(), {"block_count": 513}),
    "2^31-1 layers": (TinyModel(), {"block_count": 2**31 - 1}),
    "2^32-1 layers": (TinyModel(), {"block_count": 2**32 - 1}),
    "more MTP layers than layers": (TinyModel(), {"nextn_predict_layers": 9}),
    "unknown rope scaling": (TinyModel(), {"rope__scaling__type": "sideways"}),
    "more experts used than there are": (TinyModel("deepseek2"), {"expert_used_count": 5}),
    "no expert used": (TinyModel("deepseek2"), {"expert_used_count": 0}),
    "too many experts": (TinyModel("deepseek2"), {"expert_count": 1025}),
    "expert groups that do not divide": (TinyModel("deepseek2"), {"expert_group_count": 3}),
    "no expert group used": (TinyModel("deepseek2"), {"expert_group_count": 2}),
    "experts used without experts": (TinyModel(), {"expert_used_count": 2}),
    "nothing but rope in a head": (TinyModel("deepseek2"), {"rope__dimension_count": 64}),
    "an epsilon below zero": (
        TinyModel(),
        {"attention__layer_norm_rms_epsilon": -1.0},
    ),
    "an odd rope": (TinyModel("deepseek4"), {"rope__dimension_count": 3}),
    "no gating": (TinyModel("deepseek32"), {"expert_gating_func": 0}),
    "unknown gating": (TinyModel("deepseek2"), {"expert_gating_func": 5}),
    "cached keys of another size": (TinyModel("deepseek2"), {"attention__key_length": 3}),
    "values of another size": (TinyModel("deepseek4"), {"attention__value_length": 3}),
    "no output groups": (TinyModel("deepseek4"), {"attention__output_group_count": 0}),
    "no iterations": (TinyModel("deepseek4"), {"hyper_connection__sinkhorn_iterations": 0}),
    "too many compress ratios": (
        TinyModel("deepseek4"),
        {"attention__compress_ratios": [0] * 600},
    ),
    "OCR with another rope": (TinyModel("deepseek2-ocr"), {"rope__freq_base": 5000.0}),
    "heads of two sizes in qwen2": (TinyModel("qwen2"), {"rope__dimension_count": 16}),
    "heads of two sizes in qwen3": (TinyModel("qwen3"), {"rope__dimension_count": 16}),
    "heads of two sizes": (TinyModel("deepseek"), {"rope__dimension_count": 16}),
}


@pytest.mark.model
@pytest.mark.parametrize(("model", "metadata"), ABORTING.values(), ids=ABORTING)
def test_what_aborts_llama_cpp_is_refused_before(
    tmp_path: Path, model: TinyModel, metadata: dict[str, Meta]
) -> None:
    path = write_tiny(tmp_path / "a.gguf", model, **metadata)
    assert load_and_decode(path).returncode < 0
    with pytest.raises(CorruptGgufError):
        inspect_checkpoint(path)
