from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from helpers import raw_gguf as raw
from helpers.tiny_gguf import (
    CHATML,
    TinyModel,
    truncate,
    write_tiny,
    write_tiny_shards,
    write_unknown_architecture,
)
from models.errors import (
    CheckpointNotFoundError,
    CorruptGgufError,
    MissingShardError,
    NotAChatModelError,
    TruncatedGgufError,
    UnknownArchitectureError,
)
from models.gguf.architectures import (
    KNOWN_ARCHITECTURES,
    OTHER_PURPOSES,
    RECURRENT_ARCHITECTURES,
)
from models.gguf.checkpoint import inspect_checkpoint
from models.library.demo import find_demo


def test_facts_of_a_tiny_model(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf", TinyModel("deepseek2", n_ctx_train=4096, name="Small"))
    facts = inspect_checkpoint(path)
    assert facts.path == path
    assert facts.shards == (path,)
    assert (facts.name, facts.architecture) == ("Small", "deepseek2")
    assert facts.size_bytes == path.stat().st_size
    assert (facts.n_ctx_train, facts.n_layer) == (4096, 3)
    assert facts.quantization == "Q8_0"
    assert facts.template == CHATML
    assert facts.parameters == sum(int(t.n_elements) for t in gguf.GGUFReader(path).tensors)


def test_facts_of_the_demo() -> None:
    demo = find_demo()
    assert demo is not None
    facts = inspect_checkpoint(demo)
    assert (facts.architecture, facts.n_layer, facts.n_ctx_train) == ("llama", 30, 8192)
    assert (facts.parameters, facts.quantization) == (134_515_008, "Q4_1")
    assert facts.template is not None


@pytest.mark.parametrize(
    ("name", "architecture", "layers", "parameters"),
    [
        ("v3-q4km", "deepseek2", 61, 671_026_419_200),
        ("v4f-mxfp4", "deepseek4", 43, 284_334_567_511),
    ],
)
def test_facts_at_true_scale(
    tmp_path: Path, name: str, architecture: str, layers: int, parameters: int
) -> None:
    facts = inspect_checkpoint(raw.true_scale(name, tmp_path))
    assert (facts.architecture, facts.n_layer) == (architecture, layers)
    assert facts.parameters == parameters
    assert facts.template is None


def test_without_a_name_and_a_file_type_both_come_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "My-Model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in (("block_count", 1), ("context_length", 8), ("embedding_length", 32)):
        writer.add_uint32(f"llama.{key}", value)
    writer.add_tensor("small", np.zeros(32, np.float32))
    writer.add_tensor("large", np.zeros((32, 32), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    facts = inspect_checkpoint(path)
    assert (facts.name, facts.quantization) == ("My-Model", "F16")


def test_a_template_above_one_megabyte_is_left_out(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf", TinyModel(template="x" * (2**20 + 1)))
    assert inspect_checkpoint(path).template is None


# --- shards -------------------------------------------------------------------------------------


def test_any_shard_leads_to_the_whole_set(tmp_path: Path) -> None:
    whole = inspect_checkpoint(write_tiny(tmp_path / "whole.gguf"))
    paths = write_tiny_shards(tmp_path)
    for path in paths:
        facts = inspect_checkpoint(path)
        assert facts.path == paths[0]
        assert facts.shards == paths
        assert facts.size_bytes == sum(part.stat().st_size for part in paths)
        assert (facts.parameters, facts.n_layer) == (whole.parameters, whole.n_layer)


@pytest.mark.parametrize("missing", [0, 1, -1])
def test_a_missing_shard_is_named(tmp_path: Path, missing: int) -> None:
    paths = write_tiny_shards(tmp_path)
    paths[missing].unlink()
    with pytest.raises(MissingShardError, match=paths[missing].name):
        inspect_checkpoint(next(path for path in paths if path.exists()))


def test_several_missing_shards_are_counted(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path, tensors_each=4)
    for path in paths[1:4]:
        path.unlink()
    with pytest.raises(MissingShardError, match=f"3 of {len(paths)} parts .* and 2 more"):
        inspect_checkpoint(paths[0])


def test_a_renamed_shard_is_explained(tmp_path: Path) -> None:
    first = write_tiny_shards(tmp_path)[0]
    renamed = first.rename(tmp_path / "model.gguf")
    with pytest.raises(MissingShardError, match="name does not lead"):
        inspect_checkpoint(renamed)


def test_swapped_shards_are_noticed(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path)
    shutil.copy(paths[1], paths[2])
    with pytest.raises(CorruptGgufError, match="part 2 of"):
        inspect_checkpoint(paths[0])


def test_a_shard_of_another_model_is_noticed(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path, tensors_each=20)
    (tmp_path / "other").mkdir()
    others = write_tiny_shards(tmp_path / "other", TinyModel(n_layer=2), tensors_each=20)
    assert len(others) == len(paths)
    shutil.copy(others[-1], paths[-1])
    with pytest.raises(CorruptGgufError, match="tensors instead of"):
        inspect_checkpoint(paths[0])


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path)
    truncate(paths[1], keep=0.7)
    with pytest.raises(TruncatedGgufError, match=paths[1].name):
        inspect_checkpoint(paths[0])


def test_a_single_file_may_be_called_like_a_shard(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "merged-00001-of-00002.gguf", TinyModel(name=" "))
    facts = inspect_checkpoint(path)
    assert facts.shards == (path,)
    assert facts.name == "merged"


# --- what cannot chat ---------------------------------------------------------------------------


def test_an_unknown_architecture_is_named_and_the_nearest_is_told(tmp_path: Path) -> None:
    path = write_unknown_architecture(tmp_path / "a.gguf", "deepseek9")
    with pytest.raises(UnknownArchitectureError, match='"deepseek9"') as caught:
        inspect_checkpoint(path)
    assert '"deepseek' in caught.value.hint


def write(path: Path, *entries: bytes, tensor: str = "a") -> Path:
    data = raw.gguf_bytes(*entries, tensors=(raw.tensor(tensor, (4,)),), data_bytes=32)
    path.write_bytes(data)
    return path


def architecture(name: str) -> bytes:
    return raw.string_entry("general.architecture", name)


def kind(name: str) -> bytes:
    return raw.string_entry("general.type", name)


@pytest.mark.parametrize(
    ("entries", "tensor", "words"),
    [
        ((architecture("clip"),), "v.blk.0", "vision part"),
        ((architecture("bert"),), "a", "embedding model"),
        ((architecture("gemma-embedding"),), "a", "embedding model"),
        ((architecture("t5encoder"),), "a", "embedding model"),
        ((architecture("eagle3"),), "a", "draft model"),
        ((architecture("llada"),), "a", "diffusion"),
        (
            (architecture("llama"), raw.string_entry("tokenizer.ggml.model", "none")),
            "a",
            "without a vocabulary",
        ),
        ((architecture("llama"), kind("adapter")), "a", "LoRA"),
        ((architecture("llama"),), "blk.0.attn_q.weight.lora_a", "LoRA"),
        ((kind("imatrix"),), "a", "importance matrix"),
        ((architecture("llama"),), "blk.0.attn_q.weight.in_sum2", "importance matrix"),
        ((architecture("qwen3"), raw.u32_entry("qwen3.pooling_type", 3)), "a", "embedding model"),
        (
            (architecture("llama"), raw.entry("llama.attention.causal", raw.BOOL, b"\0")),
            "a",
            "embedding model",
        ),
    ],
)
def test_what_is_no_chat_model_is_refused_by_its_name(
    tmp_path: Path, entries: tuple[bytes, ...], tensor: str, words: str
) -> None:
    with pytest.raises(NotAChatModelError, match=words):
        inspect_checkpoint(write(tmp_path / "a.gguf", *entries, tensor=tensor))


def test_a_file_without_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptGgufError, match="does not say"):
        inspect_checkpoint(write(tmp_path / "a.gguf"))


def minimal(name: str = "llama", **values: int) -> tuple[bytes, ...]:
    numbers = {"block_count": 1, "context_length": 8, "embedding_length": 32, **values}
    entries = (raw.u32_entry(f"{name}.{key}", value) for key, value in numbers.items())
    return architecture(name), *entries


def test_a_vocabulary_without_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(raw.gguf_bytes(*minimal()))
    with pytest.raises(NotAChatModelError, match="vocabulary"):
        inspect_checkpoint(path)


def test_mtp_layers_alone_are_refused(tmp_path: Path) -> None:
    entries = minimal("qwen3", block_count=2, nextn_predict_layers=1)
    with pytest.raises(NotAChatModelError, match="MTP"):
        inspect_checkpoint(write(tmp_path / "a.gguf", *entries, tensor="blk.1.attn_norm.weight"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError):
        inspect_checkpoint(tmp_path / "a.gguf")


def test_the_lists_of_architectures_fit_together() -> None:
    assert OTHER_PURPOSES.keys() | RECURRENT_ARCHITECTURES <= KNOWN_ARCHITECTURES
    assert {"deepseek", "deepseek2", "deepseek2-ocr", "deepseek32", "deepseek4"} <= (
        KNOWN_ARCHITECTURES - OTHER_PURPOSES.keys()
    )
    assert len(KNOWN_ARCHITECTURES) == 153


# --- numbers that llama.cpp trusts ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "metadata", "words"),
    [
        (TinyModel(), {"block_count": "three"}, "not a whole number"),
        (TinyModel(), {"block_count": True}, "not a whole number"),
        (TinyModel(), {"context_length": 0}, "context_length is 0"),
        (TinyModel(), {"embedding_length": 0}, "embedding_length is 0"),
        (TinyModel(), {"attention__head_count": 0}, "head_count is 0"),
        (TinyModel(), {"attention__head_count": 2**31}, "head_count is 2147483648"),
        (TinyModel(), {"attention__head_count_kv": 3}, "a divisor of 4"),
        (TinyModel(), {"attention__head_count": [4.0, 4.0]}, "a list of 2"),
        (TinyModel(), {"attention__head_count": list(range(600))}, "a list of 600"),
        (TinyModel("deepseek2"), {"attention__value_length_mla": 0}, "key_length_mla"),
        (TinyModel("deepseek2"), {"expert_group_count": 4}, "below 4"),
        (TinyModel("deepseek32"), {"attention__indexer__key_length": 32}, "multiple of 64"),
        (TinyModel("deepseek4"), {"attention__indexer__key_length": 0}, "key_length is 0"),
        (TinyModel("deepseek"), {"attention__value_length": 64}, "value_length is 64"),
    ],
)
def test_hyper_parameters_that_cannot_be_true(
    tmp_path: Path, model: TinyModel, metadata: dict[str, int], words: str
) -> None:
    path = write_tiny(tmp_path / "a.gguf", model, **metadata)
    with pytest.raises(CorruptGgufError, match=words):
        inspect_checkpoint(path)


@pytest.mark.parametrize(
    "entries",
    [
        minimal("llama", block_count=1)[:1],
        minimal("deepseek2"),
        minimal("deepseek4", **{"attention.head_count": 1}),
    ],
    ids=["nothing", "no heads", "no indexer"],
)
def test_missing_hyper_parameters(tmp_path: Path, entries: tuple[bytes, ...]) -> None:
    with pytest.raises(CorruptGgufError, match="lacks"):
        inspect_checkpoint(write(tmp_path / "a.gguf", *entries))


def test_lists_for_each_layer_are_accepted(tmp_path: Path) -> None:
    heads = {"attention__head_count": [4, 4, 4], "attention__head_count_kv": [2, 0, 2]}
    assert inspect_checkpoint(write_tiny(tmp_path / "a.gguf", **heads)).n_layer == 3


def test_recurrent_models_need_no_heads(tmp_path: Path) -> None:
    assert inspect_checkpoint(write(tmp_path / "a.gguf", *minimal("mamba"))).n_layer == 1
