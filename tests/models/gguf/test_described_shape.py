"""Checkpoints that are only described, against the headers of real sizes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from helpers.described_machines import machine
from helpers.true_scale import NAMES, true_scale
from models.errors import CorruptGgufError, InvalidSettingError
from models.gguf.described_shape import bare_shape, described_shape, extras_of
from models.gguf.shape import ModelShape, Role
from models.gguf.sizing import SizingFacts, read_sizing
from models.gguf.source import BytesSource
from models.planner.compare import where_of
from models.planner.inventory import Inventory
from models.planner.solver import solve
from models.planner.wishes import Wishes

_QUANTS = {"q4km": "Q4_K_M", "q8": "Q8_0", "iq1m": "UD-IQ1_M", "mxfp4": "MXFP4_MOE"}
# What fits some of the headers' checkpoints on the GPU, some in RAM, some on the disk only.
_MACHINES = {"desk": machine([12], 64), "server": machine([24, 24], 512)}
_LLAMA = {
    "block_count": 32,
    "context_length": 4096,
    "embedding_length": 4096,
    "feed_forward_length": 11008,
    "attention.head_count": 32,
    "vocab_size": 32000,
}


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_those_of_the_real_header(name: str) -> None:
    real = true_scale(name).shape
    described = described_shape(_bare(real), _quant_of(name))
    assert [(t.name, t.shape, t.role, t.layer) for t in described.tensors] == [
        (t.name, t.shape, t.role, t.layer) for t in real.tensors
    ]


@pytest.mark.parametrize("name", NAMES)
def test_size_is_within_three_per_cent(name: str) -> None:
    real = true_scale(name).shape
    described = described_shape(_bare(real), _quant_of(name))
    assert described.file_bytes == pytest.approx(real.file_bytes, rel=0.03)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", _MACHINES)
def test_planner_says_what_it_says_of_the_real_one(name: str, where: str) -> None:
    real = true_scale(name).shape
    described = described_shape(_bare(real), _quant_of(name), file_bytes=real.file_bytes)
    told = solve(Inventory(described), _MACHINES[where], Wishes())
    known = solve(Inventory(real), _MACHINES[where], Wishes())
    assert where_of(told) is where_of(known)
    assert told.speed.decode.mid == pytest.approx(known.speed.decode.mid, rel=0.1)


@pytest.mark.parametrize("name", ["qwen7-q4km", "v2lite-q4km", "v3-q4km", "v4f-mxfp4"])
def test_first_bytes_of_a_file_are_enough(name: str) -> None:
    source = true_scale(name)
    whole = source.files[0]
    start = BytesSource(whole.header, name=whole.name, size_bytes=whole.size_bytes)
    described = described_shape(read_sizing(start), "Q8_0")
    assert {t.name for t in described.tensors} == {t.name for t in source.shape.tensors}


def test_sizes_are_fitted_whatever_they_are() -> None:
    chance = random.Random(4)
    for name in ("v3-q4km", "qwen7-q4km", "v4f-mxfp4"):
        bare = _bare(true_scale(name).shape)
        largest = described_shape(bare, "Q8_0").file_bytes
        for _ in range(6):
            wanted = int(largest * chance.uniform(0.3, 1.0))
            shape = described_shape(bare, "UD-Q2_K_XL", file_bytes=wanted)
            assert shape.file_bytes == wanted
            assert _tensor_bytes(shape) == pytest.approx(wanted, rel=0.01)


def test_a_quantization_that_nobody_knows_needs_a_size() -> None:
    bare = bare_shape("llama", _LLAMA)
    with pytest.raises(InvalidSettingError, match="IQ2_KS"):
        described_shape(bare, "IQ2_KS")
    known = described_shape(bare, "IQ2_KS", file_bytes=3_000_000_000)
    assert known.quantization == "IQ2_KS"
    assert _tensor_bytes(known) == pytest.approx(3_000_000_000, rel=0.01)


def test_nothing_is_foretold_of_architectures_without_rules() -> None:
    bare = replace(bare_shape("llama", _LLAMA), architecture="mamba")
    with pytest.raises(InvalidSettingError, match="mamba"):
        described_shape(bare, "Q4_K_M")


def test_facts_that_say_too_little_are_refused() -> None:
    facts = SizingFacts(None, 0, 1, 0, 0, is_whole=False, missing="it is not there")
    with pytest.raises(InvalidSettingError):
        described_shape(facts, "Q4_K_M")


def test_numbers_that_cannot_be_true_are_refused() -> None:
    with pytest.raises(CorruptGgufError, match="head_count_kv"):
        bare_shape("llama", {**_LLAMA, "attention.head_count_kv": 7})


def test_output_projection_of_v4_comes_from_its_numbers() -> None:
    extras = extras_of({"attention.output_group_count": 16, "hash_layer_count": 5})
    assert (extras.output_groups, extras.output_rank, extras.hash_layers) == (16, 1024, 5)


def test_routed_experts_take_what_is_left_of_a_file() -> None:
    bare = _bare(true_scale("v3-q4km").shape)
    small = described_shape(bare, "UD-Q2_K_XL", file_bytes=200_000_000_000)
    plain = described_shape(bare, "UD-Q2_K_XL")
    assert _attention(small) == _attention(plain)


def _bare(shape: ModelShape) -> ModelShape:
    """Return what a card or the start of a file would say: no tensors, no files."""
    return replace(
        shape, tensors=(), tensor_offsets=(), file_bytes=0, shard_bytes=(), data_spans=()
    )


def _quant_of(name: str) -> str:
    return _QUANTS[name.rsplit("-", 1)[1]]


def _tensor_bytes(shape: ModelShape) -> int:
    return sum(tensor.size_bytes for tensor in shape.tensors)


def _attention(shape: ModelShape) -> list[str]:
    return [tensor.type_name for tensor in shape.with_role(Role.ATTENTION)]
