"""Ways to damage the header of a GGUF file: blindly, and where it hurts."""

from __future__ import annotations

import random
import struct

from models.gguf.header import GgufHeader

EXTREMES = (0, 1, 2, 8, 9, 13, 31, 513, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
WIDE_EXTREMES = (*EXTREMES, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
# Magic, version and the two counts.
_LEAST_BYTES = 30


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, cut and splice some bytes."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        # Half of the damage goes where the counts and the short entries are.
        limit = len(out) if rng.random() < 0.5 else min(len(out), 2000)
        at = rng.randrange(limit)
        kind = rng.randrange(7)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind == 2:
            out[at : at + 4] = struct.pack("<I", rng.choice(EXTREMES))
        elif kind == 3:
            out[at : at + 8] = struct.pack("<Q", rng.choice(WIDE_EXTREMES))
        elif kind == 4:
            del out[at : at + rng.randrange(1, 40)]
        elif kind == 5:
            start = rng.randrange(len(out))
            out[at:at] = out[start : start + rng.randrange(1, 200)]
        else:
            del out[max(at, _LEAST_BYTES) :]
        if len(out) < _LEAST_BYTES:
            break
    return bytes(out)


def mutate_numbers(data: bytes, header: GgufHeader, rng: random.Random) -> bytes:
    """Overwrite values, types and counts of entries and tensors, so that the rest stays sound."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.7 or not header.tensors:
            _mutate_entry(out, header, rng)
        else:
            _mutate_tensor(out, header, rng)
    return bytes(out)


def _mutate_entry(out: bytearray, header: GgufHeader, rng: random.Random) -> None:
    key = rng.choice(list(header.key_offsets))
    kind = header.key_offsets[key] + 8 + len(key.encode())
    place = rng.randrange(8)
    if place == 0:
        out[kind : kind + 4] = struct.pack("<I", rng.randrange(14))
    elif place == 1:
        # The length of a string, or an array's type.
        out[kind + 4 : kind + 12] = struct.pack("<Q", rng.choice(WIDE_EXTREMES))
    elif place == 2:
        out[kind + 8 : kind + 16] = struct.pack("<Q", rng.choice(WIDE_EXTREMES))
    elif place == 3:
        at = header.key_offsets[key] + 8 + rng.randrange(len(key))
        out[at] ^= 1 << rng.randrange(7)
    else:
        number = rng.choice(EXTREMES) if rng.random() < 0.3 else rng.randrange(300)
        out[kind + 4 : kind + 8] = struct.pack("<I", number)


def _mutate_tensor(out: bytearray, header: GgufHeader, rng: random.Random) -> None:
    tensor = rng.choice(header.tensors)
    dimensions = tensor.info_offset + 8 + len(tensor.name.encode())
    end = dimensions + 4 + 8 * len(tensor.shape)
    place = rng.randrange(5)
    if place == 0:
        at = tensor.info_offset + 8 + rng.randrange(max(len(tensor.name), 1))
        out[at] = rng.choice(b"0123456789.klbxeps_\xff")
    elif place == 1:
        out[dimensions : dimensions + 4] = struct.pack("<I", rng.randrange(7))
    elif place == 2:
        at = dimensions + 4 + 8 * rng.randrange(max(len(tensor.shape), 1))
        out[at : at + 8] = struct.pack("<Q", rng.choice(WIDE_EXTREMES))
    elif place == 3:
        out[end : end + 4] = struct.pack("<I", rng.randrange(45))
    else:
        out[end + 4 : end + 12] = struct.pack("<Q", rng.choice(WIDE_EXTREMES))


def without_vocabulary(data: bytes, header: GgufHeader) -> bytes:
    """Return a header without its largest part, so that thousands of them can be read."""
    offsets = sorted(header.key_offsets.items(), key=lambda item: item[1])
    ends = [offset for _, offset in offsets[1:]] + [_tensors_start(header)]
    kept = [
        data[offset:end]
        for (key, offset), end in zip(offsets, ends, strict=True)
        if not key.startswith("tokenizer.")
    ]
    infos = data[ends[-1] : _tensors_end(header)]
    counts = struct.pack("<IQQ", header.version, len(header.tensors), len(kept))
    out = data[:4] + counts + b"".join(kept) + infos
    return out + bytes(-len(out) % header.alignment)


def _tensors_start(header: GgufHeader) -> int:
    return header.tensors[0].info_offset


def _tensors_end(header: GgufHeader) -> int:
    last = header.tensors[-1]
    return last.info_offset + 8 + len(last.name.encode()) + 4 + 8 * len(last.shape) + 12
