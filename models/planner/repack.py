"""Which weights llama.cpp rearranges for the CPU, and what they take then. Pure, no Qt here.

A rearranged weight lies in anonymous memory even when the file is memory-mapped: it can never be
dropped. The CPU module's extra buffer types are asked in the order AMX, CPU_REPACK
(ggml/src/ggml-cpu/ggml-cpu.cpp, ``ggml_backend_cpu_get_extra_buffer_types``); each takes a weight
when its operation with a batch of 512 passes ``supports_op``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection

from models.gguf.shape import ModelShape, Tensor
from models.planner.buffer_rules import AMX, CPU_REPACK, CPU_RULE
from models.planner.inventory import Inventory, allocated_bytes, row_bytes

_GET_ROWS = re.compile(
    r"(^|\.)(token_embd|token_types|position_embd|per_layer_token_embd|attn_compressor_ape"
    r"|indexer_compressor_ape|ffn_gate_tid2eid|nextn\.embed_tokens)\.weight$"
)
_OTHER = re.compile(r"(_norm\.weight|\.bias|attn_sinks\.weight|\.scale|rope_\w+\.weight)$")

# Output features must divide by this (repack.cpp, ``ggml_repack_get_optimal_repack_type``).
_AVX2_ROWS = {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8}
_AVX512_ROWS = {"Q2_K": 8}
_NEON_I8MM_ROWS = {"Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "Q8_0": 4, "Q1_0": 4}
_NEON_DOTPROD_ROWS = _NEON_I8MM_ROWS | {"IQ4_NL": 4, "MXFP4": 4}
_VXE_ROWS = {"Q4_0": 4}

# amx.cpp, ``supports_op``: input features must divide by this, output features by 32.
_AMX_COLUMNS = {
    "Q4_0": 32,
    "Q4_1": 32,
    "Q8_0": 32,
    "Q4_K": 256,
    "Q5_K": 256,
    "Q6_K": 256,
    "IQ4_XS": 256,
    "F16": 16,
}
_AMX_ROWS = 32
# mmq.cpp, ``get_row_size``: bytes that a packed block takes beside its own.
_AMX_EXTRA_BYTES = {"Q8_0": (32, 4), "Q4_K": (256, 4), "Q5_K": (256, 4), "IQ4_XS": (256, 2)}


class WeightOp(enum.Enum):
    """What a weight is used in (src/llama-arch.cpp, ``LLM_TENSOR_INFOS``), as far as it matters."""

    GET_ROWS = "get_rows"
    MUL_MAT = "mul_mat"
    MUL_MAT_ID = "mul_mat_id"
    OTHER = "other"


def op_of(name: str) -> WeightOp:
    """Return the operation that llama.cpp tests a weight with."""
    if _GET_ROWS.search(name):
        return WeightOp.GET_ROWS
    if _OTHER.search(name):
        return WeightOp.OTHER
    return WeightOp.MUL_MAT_ID if "exps." in name else WeightOp.MUL_MAT


def loaded_shape(shape: ModelShape, tensor: Tensor) -> tuple[int, ...]:
    """Return a tensor's dimensions as llama.cpp loads it, without trailing ones.

    deepseek4.cpp cuts ``attn_output_a`` into its output groups while loading
    (``TENSOR_ALLOW_RESHAPE``): two dimensions in the file, three in memory.
    """
    dims = tensor.shape
    if tensor.name.endswith(".attn_output_a.weight") and len(dims) == 2:
        groups = shape.n_head * shape.kv.key_length // dims[0]
        dims = (dims[0], dims[1] // groups, groups) if groups else dims
    while len(dims) > 1 and dims[-1] == 1:
        dims = dims[:-1]
    return dims


def repacked_rows(type_name: str, features: Collection[str]) -> tuple[int, ...]:
    """Return what the output features of a repacked weight divide by, empty: never repacked.

    Args:
        type_name: of the weight.
        features: of the CPU module, in ggml's words.
    """
    tables: list[dict[str, int]] = []
    if "AVX2" in features:
        tables.append(_AVX2_ROWS)
    if "AVX512" in features:
        tables.append(_AVX512_ROWS)
    if "NEON" in features and "MATMUL_INT8" in features:
        tables.append(_NEON_I8MM_ROWS)
    if "NEON" in features and "DOTPROD" in features:
        tables.append(_NEON_DOTPROD_ROWS)
    if "VXE" in features:
        tables.append(_VXE_ROWS)
    return tuple(table[type_name] for table in tables if type_name in table)


def extra_buffer(
    op: WeightOp, type_name: str, dims: tuple[int, ...], features: Collection[str]
) -> str | None:
    """Return the extra buffer type that takes a weight, None when the plain one does.

    Args:
        op: what the weight is used in.
        dims: as loaded, see ``loaded_shape``.
        features: of the CPU module, in ggml's words.
    """
    if len(dims) < 2:
        return None
    if "AMX_INT8" in features and op is WeightOp.MUL_MAT:
        columns = _AMX_COLUMNS.get(type_name)
        if columns and not dims[0] % columns and not dims[1] % _AMX_ROWS:
            return AMX
    wanted = {WeightOp.MUL_MAT: 2, WeightOp.MUL_MAT_ID: 3}.get(op)
    if len(dims) == wanted and any(not dims[1] % n for n in repacked_rows(type_name, features)):
        return CPU_REPACK
    return None


def amx_bytes(type_name: str, dims: tuple[int, ...], size_bytes: int) -> int:
    """Return what a weight takes in the AMX buffer, padded (mmq.cpp, ``get_alloc_size``).

    Only the first matrix of a weight with three dimensions is counted: llama.cpp's own mistake,
    and why latent attention aborts there.
    """
    if type_name in _AMX_COLUMNS and type_name != "F16":
        columns, extra_bytes = _AMX_EXTRA_BYTES.get(type_name, (dims[0], 0))
        packed_row = row_bytes(type_name, dims[0]) + dims[0] // columns * extra_bytes
        size_bytes = dims[1] * packed_row
    return size_bytes + -size_bytes % CPU_RULE.align_bytes


def extra_buffers(inventory: Inventory, features: tuple[str, ...]) -> tuple[str | None, ...]:
    """Return, per tensor of the shape, the extra buffer type that takes it."""

    def look() -> tuple[str | None, ...]:
        shape, known = inventory.shape, frozenset(features)
        return tuple(
            extra_buffer(op_of(t.name), t.type_name, loaded_shape(shape, t), known)
            for t in shape.tensors
        )

    return inventory.remember(("extra_buffers", features), look)


def amx_sizes(inventory: Inventory) -> tuple[int, ...]:
    """Return, per tensor of the shape, what it takes in the AMX buffer."""

    def look() -> tuple[int, ...]:
        return tuple(
            amx_bytes(t.type_name, dims, t.size_bytes)
            if len(dims := loaded_shape(inventory.shape, t)) > 1
            else allocated_bytes(t.type_name, t.shape[0], t.size_bytes, CPU_RULE)
            for t in inventory.shape.tensors
        )

    return inventory.remember(("amx_sizes",), look)
