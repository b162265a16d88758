"""Random but sane tensor data of every ggml type, for files whose weights do not matter.

Blocks are random bytes with their scales overwritten, so that all numbers are finite and small.
Strided slices and ``translate`` do it at memory speed without numpy. No Qt here.
"""

from __future__ import annotations

import random
import struct

from models.gguf.types import GGML_TYPES

_BLOCK_BYTES = {kind.name: kind.block_bytes for kind in GGML_TYPES.values()}
_PATTERN_BYTES = 4 << 20

# Where a block keeps its half-precision scales, and what to put there (the structs of
# ggml/src/ggml-common.h). A second value is the block's minimum or its scale of minimums.
_HALF_SCALES: dict[str, tuple[tuple[int, float], ...]] = {
    "Q4_0": ((0, 0.004),),
    "Q4_1": ((0, 0.004), (2, -0.02)),
    "Q5_0": ((0, 0.004),),
    "Q5_1": ((0, 0.004), (2, -0.02)),
    "Q8_0": ((0, 0.0003),),
    "Q2_K": ((80, 0.001), (82, 0.001)),
    "Q3_K": ((108, 0.0004),),
    "Q4_K": ((0, 0.0006), (2, 0.0006)),
    "Q5_K": ((0, 0.0003), (2, 0.0003)),
    "Q6_K": ((208, 0.0002),),
    "IQ1_S": ((0, 0.002),),
    "IQ2_XXS": ((0, 0.002),),
    "IQ2_XS": ((0, 0.002),),
    "IQ2_S": ((0, 0.002),),
    "IQ3_XXS": ((0, 0.002),),
    "IQ3_S": ((0, 0.002),),
    "IQ4_NL": ((0, 0.0005),),
    "IQ4_XS": ((0, 0.0001),),
    "TQ1_0": ((52, 0.02),),
    "TQ2_0": ((64, 0.02),),
    "Q1_0": ((0, 0.02),),
    "Q2_0": ((0, 0.02),),
}
_IQ1_M_SCALE = 0.002
_MXFP4_EXPONENT = 118  # E8M0: 2 ** (118 - 127)
_NVFP4_SCALE = 0x10  # UE4M3: 2 ** -5
# Signs and low bits stay random, exponents are set: numbers of about 0.01 to 0.03.
_KEEP_SIGN_F32 = bytes((byte & 0x80) | 0x3C for byte in range(256))
_KEEP_SIGN_F16 = bytes((byte & 0x83) | 0x24 for byte in range(256))


def random_blocks(type_name: str, seed: int) -> bytes:
    """Return about 4 MiB of valid blocks of a type; the same seed gives the same bytes.

    Raises:
        ValueError: a type whose blocks cannot be made up.
    """
    size = _BLOCK_BYTES[type_name]
    n_blocks = max(1, _PATTERN_BYTES // size)
    data = bytearray(random.Random(seed).randbytes(n_blocks * size))
    if type_name in _HALF_SCALES:
        for offset, value in _HALF_SCALES[type_name]:
            for index, byte in enumerate(struct.pack("<e", value)):
                data[offset + index :: size] = bytes([byte]) * n_blocks
    elif type_name in ("F32", "BF16"):
        data[size - 1 :: size] = data[size - 1 :: size].translate(_KEEP_SIGN_F32)
    elif type_name == "F16":
        data[1::2] = data[1::2].translate(_KEEP_SIGN_F16)
    elif type_name == "MXFP4":
        data[0::size] = bytes([_MXFP4_EXPONENT]) * n_blocks
    elif type_name == "NVFP4":
        for index in range(4):
            data[index::size] = bytes([_NVFP4_SCALE]) * n_blocks
    elif type_name == "IQ1_M":
        _set_iq1_m_scale(data, size)
    else:
        raise ValueError(f"no random blocks of type {type_name}")
    return bytes(data)


def _set_iq1_m_scale(data: bytearray, size: int) -> None:
    """Set the scale that IQ1_M spreads over the top four bits of its four scale words."""
    (bits,) = struct.unpack("<H", struct.pack("<e", _IQ1_M_SCALE))
    for index in range(4):
        nibble = (bits >> (4 * index)) & 0xF
        table = bytes((byte & 0x0F) | nibble << 4 for byte in range(256))
        at = 48 + 2 * index + 1
        data[at::size] = data[at::size].translate(table)


def random_indexes(seed: int, below: int) -> bytes:
    """Return about 4 MiB of 32-bit whole numbers from 0 to ``below`` - 1, at most 256."""
    table = bytes(byte % max(1, min(below, 256)) for byte in range(256))
    n_numbers = _PATTERN_BYTES // 4
    data = bytearray(4 * n_numbers)
    data[0::4] = random.Random(seed).randbytes(n_numbers).translate(table)
    return bytes(data)
