"""Which weights the CPU's extra buffer types take (the tables of repack.cpp and amx.cpp)."""

from __future__ import annotations

import pytest

from helpers.true_scale import true_scale
from models.gguf.shape import Role, Tensor
from models.planner.buffer_rules import AMX, CPU_REPACK
from models.planner.repack import WeightOp, amx_bytes, extra_buffer, loaded_shape, op_of

AVX2 = ("AVX2",)
AVX512 = ("AVX2", "AVX512")
DOTPROD = ("NEON", "DOTPROD")
I8MM = ("NEON", "DOTPROD", "MATMUL_INT8")
AMX_CPU = (*AVX512, "AMX_INT8")
MATRIX = (4096, 4096)


@pytest.mark.parametrize(
    ("type_name", "features", "taken"),
    [
        ("Q4_0", (), False),
        ("Q4_0", ("AVX",), False),
        ("Q4_0", AVX2, True),
        ("Q4_K", AVX2, True),
        ("IQ4_NL", AVX2, True),
        ("MXFP4", AVX2, True),
        ("Q2_K", AVX2, False),
        ("Q2_K", AVX512, True),
        ("Q5_K", AVX512, False),
        ("Q6_K", AVX512, False),
        ("Q8_0", AVX512, False),
        ("IQ1_M", AVX512, False),
        ("F16", AVX512, False),
        ("Q4_0", ("NEON",), False),
        ("Q8_0", DOTPROD, True),
        ("Q5_K", DOTPROD, True),
        ("Q6_K", I8MM, True),
        ("IQ4_NL", DOTPROD, True),
        ("IQ4_NL", ("NEON", "MATMUL_INT8"), False),
        ("MXFP4", ("NEON", "MATMUL_INT8"), False),
        ("Q2_K", I8MM, False),
        ("Q4_0", ("VXE",), True),
        ("Q4_K", ("VXE",), False),
    ],
)
def test_types_by_processor(type_name: str, features: tuple[str, ...], taken: bool) -> None:
    found = extra_buffer(WeightOp.MUL_MAT, type_name, MATRIX, features)
    assert found == (CPU_REPACK if taken else None)


@pytest.mark.parametrize(
    ("n_rows", "features", "taken"),
    [(4100, AVX2, False), (4104, AVX2, True), (4100, I8MM, True), (4098, I8MM, False)],
)
def test_rows_must_divide(n_rows: int, features: tuple[str, ...], taken: bool) -> None:
    found = extra_buffer(WeightOp.MUL_MAT, "Q4_0", (4096, n_rows), features)
    assert (found == CPU_REPACK) is taken


@pytest.mark.parametrize(
    ("op", "dims", "taken"),
    [
        (WeightOp.MUL_MAT, (512, 512), True),
        (WeightOp.MUL_MAT, (512, 512, 4), False),
        (WeightOp.MUL_MAT_ID, (512, 512, 4), True),
        (WeightOp.MUL_MAT_ID, (512, 512), False),
        (WeightOp.GET_ROWS, (512, 512), False),
        (WeightOp.OTHER, (512, 512), False),
    ],
)
def test_operation_and_dimensions_must_fit(
    op: WeightOp, dims: tuple[int, ...], taken: bool
) -> None:
    assert (extra_buffer(op, "Q4_K", dims, AVX2) == CPU_REPACK) is taken


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("token_embd.weight", WeightOp.GET_ROWS),
        ("output.weight", WeightOp.MUL_MAT),
        ("output_norm.weight", WeightOp.OTHER),
        ("blk.3.ffn_gate_exps.weight", WeightOp.MUL_MAT_ID),
        ("blk.3.ffn_gate_up_exps.weight", WeightOp.MUL_MAT_ID),
        ("blk.3.ffn_gate_shexp.weight", WeightOp.MUL_MAT),
        ("blk.3.attn_q_a_norm.weight", WeightOp.OTHER),
        ("blk.3.exp_probs_b.bias", WeightOp.OTHER),
        ("blk.3.attn_compressor_ape.weight", WeightOp.GET_ROWS),
        ("blk.3.ffn_gate_tid2eid.weight", WeightOp.GET_ROWS),
        ("blk.3.attn_sinks.weight", WeightOp.OTHER),
    ],
)
def test_operations_by_name(name: str, op: WeightOp) -> None:
    assert op_of(name) is op


def test_v4_cuts_its_output_projection_into_groups() -> None:
    shape = true_scale("v4f-mxfp4").shape
    found = next(t for t in shape.tensors if t.name == "blk.0.attn_output_a.weight")
    assert len(found.shape) == 2
    dims = loaded_shape(shape, found)
    assert dims == (4096, 1024, 8)
    assert extra_buffer(op_of(found.name), "Q4_0", dims, AVX512) is None


def test_trailing_ones_are_no_dimensions() -> None:
    shape = true_scale("v3-q4km").shape
    tensor = Tensor("blk.0.attn_q.weight", Role.ATTENTION, 0, "Q4_0", (64, 32, 1), 1152)
    assert loaded_shape(shape, tensor) == (64, 32)


@pytest.mark.parametrize(
    ("op", "type_name", "dims", "found"),
    [
        (WeightOp.MUL_MAT, "Q8_0", (4096, 4096), AMX),
        (WeightOp.MUL_MAT, "Q4_K", (4096, 4096, 8), AMX),
        (WeightOp.MUL_MAT, "Q4_K", (4096, 4104), CPU_REPACK),
        (WeightOp.MUL_MAT, "F16", (4096, 4096), AMX),
        (WeightOp.MUL_MAT, "F16", (4100, 4096), None),
        (WeightOp.MUL_MAT, "Q2_K", (4096, 4096), CPU_REPACK),
        (WeightOp.MUL_MAT_ID, "Q4_K", (4096, 4096, 8), CPU_REPACK),
        (WeightOp.MUL_MAT_ID, "Q6_K", (4096, 4096, 8), None),
    ],
)
def test_amx_is_asked_first(
    op: WeightOp, type_name: str, dims: tuple[int, ...], found: str | None
) -> None:
    assert extra_buffer(op, type_name, dims, AMX_CPU) == found


@pytest.mark.parametrize(
    ("type_name", "block_elements", "packed_block_bytes"),
    [
        ("Q4_0", 32, 18),
        ("Q4_1", 32, 20),
        ("Q8_0", 32, 34 + 4),
        ("Q4_K", 256, 144 + 4),
        ("Q5_K", 256, 176 + 4),
        ("Q6_K", 256, 210),
        ("IQ4_XS", 256, 136 + 2),
    ],
)
def test_amx_packs_blocks_with_their_sums(
    type_name: str, block_elements: int, packed_block_bytes: int
) -> None:
    blocks = 1024 // block_elements
    expected = 64 * blocks * packed_block_bytes
    assert amx_bytes(type_name, (1024, 64), 0) == expected + -expected % 32
    # llama.cpp counts one of several matrices only.
    assert amx_bytes(type_name, (1024, 64, 5), 0) == expected + -expected % 32


def test_amx_keeps_halves_as_they_are() -> None:
    assert amx_bytes("F16", (1024, 64, 5), 1024 * 64 * 5 * 2) == 1024 * 64 * 5 * 2
