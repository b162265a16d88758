"""Parameters and bytes per token against what is published and against counting by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import raw_gguf as raw
from helpers.tiny_gguf import TinyModel, write_tiny
from models.gguf.header import parse_header, read_header
from models.gguf.parameters import bytes_by_role_and_type, bytes_touched_per_token, parameters_of
from models.gguf.shape import ModelShape, Role
from models.gguf.shape_reader import read_shape

# Model cards, in billions: all and active parameters.
PUBLISHED = {
    "v3-q4km": (671, 37, 0),
    "v3-legacy-q4km": (671, 37, 0),
    "v2lite-q4km": (15.7, 2.4, 1),
    "v4f-mxfp4": (284, 13, 0),
    "llama8-q4km": (8.0, 7.5, 1),
}


def true_scale_shape(name: str) -> ModelShape:
    return read_shape([parse_header(raw.true_scale_source(name))])


def cut(number: int, digits: int) -> float:
    """Return billions as model cards give them, cut or rounded to ``digits``."""
    return round(number / 1e9 - 0.01, digits)


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items(), ids=PUBLISHED)
def test_published_parameters(name: str, published: tuple[float, float, int]) -> None:
    total, active, digits = published
    counted = parameters_of(true_scale_shape(name))
    assert (cut(counted.total, digits), cut(counted.active, digits)) == (total, active)


def test_mtp_blocks_are_counted_apart() -> None:
    counted = parameters_of(true_scale_shape("v32-q4km"))
    assert round(counted.total / 1e9) == 672
    assert round(counted.mtp / 1e9, 1) == 11.6
    assert round(counted.active / 1e9) == 37


@pytest.mark.parametrize(
    ("name", "size_bytes"),
    [("v3-q4km", 22_869_692_352), ("v3-q8", 39_230_367_168), ("v2lite-q4km", 1_652_522_112)],
)
def test_bytes_touched_per_token(name: str, size_bytes: int) -> None:
    # V3 Q4_K_M: 12.31 GB of routed experts and 10.56 GB of the rest.
    assert bytes_touched_per_token(true_scale_shape(name)) == size_bytes


def test_touched_bytes_by_hand(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf", TinyModel("deepseek2", quantization="F32"))
    shape = read_shape([read_header(path)])
    by_hand = 0
    for tensor in shape.tensors:
        if tensor.name == "token_embd.weight":
            by_hand += 4 * shape.n_embd
        elif tensor.role is Role.ROUTED_EXPERT:
            by_hand += tensor.size_bytes // 4 * 2
        else:
            by_hand += tensor.size_bytes
    assert bytes_touched_per_token(shape) == by_hand
    assert parameters_of(shape).active * 4 == by_hand


def test_a_tied_embedding_is_read_whole_as_output() -> None:
    shape = true_scale_shape("qwen15-q4km")
    table = next(tensor for tensor in shape.tensors if tensor.name == "token_embd.weight")
    untied = bytes_touched_per_token(shape)
    tied = ModelShape(
        **{
            **vars(shape),
            "tensors": tuple(t for t in shape.tensors if t.name != "output.weight"),
        }
    )
    output = next(tensor for tensor in shape.tensors if tensor.name == "output.weight")
    row = table.size_bytes // shape.n_vocab
    assert bytes_touched_per_token(tied) == untied - output.size_bytes - row + table.size_bytes


@pytest.mark.parametrize("name", ["v3-q4km", "v32-q4km", "v4f-mxfp4", "qwen7-q4km"])
def test_bytes_by_role_and_type_add_up(name: str) -> None:
    shape = true_scale_shape(name)
    sums = bytes_by_role_and_type(shape)
    together = sum(sum(types.values()) for types in sums.values())
    assert together == sum(tensor.size_bytes for tensor in shape.tensors)
    assert list(sums) == [role for role in Role if role in sums]
    for types in sums.values():
        assert list(types.values()) == sorted(types.values(), reverse=True)
