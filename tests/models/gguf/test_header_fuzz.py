"""Mutated headers: nothing but Fathom's own errors comes out, in bounded time and memory."""

from __future__ import annotations

import random
import struct
import tracemalloc
from pathlib import Path

import pytest

from helpers.tiny_gguf import TinyModel, write_tiny
from models.errors import BadInputError
from models.gguf.checkpoint import inspect_checkpoint
from models.gguf.header import parse_header, read_header
from models.gguf.source import BytesSource

N_PARSED = 10_000
N_INSPECTED = 1_000
N_MEASURED = 500
PEAK_LIMIT_BYTES = 100_000_000

_EXTREMES = (0, 1, 2, 8, 9, 13, 31, 513, 2**16, 2**31 - 1, 2**31, 2**32 - 1)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """Return a header with the rarely used parts of the format, and its file's size."""
    path = tmp_path_factory.mktemp("fuzz") / "a.gguf"
    write_tiny(path, TinyModel("deepseek4"))
    header = read_header(path)
    return path.read_bytes()[: header.data_offset], header.file_bytes


def mutate(data: bytes, rng: random.Random) -> bytes:
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
            out[at : at + 4] = struct.pack("<I", rng.choice(_EXTREMES))
        elif kind == 3:
            wide = rng.choice((*_EXTREMES, 2**40, 2**63 - 1, 2**63, 2**64 - 1))
            out[at : at + 8] = struct.pack("<Q", wide)
        elif kind == 4:
            del out[at : at + rng.randrange(1, 40)]
        elif kind == 5:
            start = rng.randrange(len(out))
            out[at:at] = out[start : start + rng.randrange(1, 200)]
        else:
            del out[max(at, 30) :]
        if len(out) < 30:
            break
    return bytes(out)


def test_ten_thousand_mutated_headers(sample: tuple[bytes, int]) -> None:
    data, size_bytes = sample
    rng = random.Random(1)
    refused = 0
    for _ in range(N_PARSED):
        mutated = mutate(data, rng)
        try:
            parse_header(BytesSource(mutated, size_bytes=max(size_bytes, len(mutated))))
        except BadInputError:
            refused += 1
    assert N_PARSED // 4 < refused < N_PARSED


def test_mutated_checkpoints_on_disk(sample: tuple[bytes, int], tmp_path: Path) -> None:
    data, size_bytes = sample
    rng = random.Random(2)
    path = tmp_path / "a.gguf"
    accepted = 0
    for _ in range(N_INSPECTED):
        mutated = mutate(data, rng)
        with path.open("wb") as file:
            file.write(mutated)
            file.truncate(max(size_bytes, len(mutated)))
        try:
            inspect_checkpoint(path)
            accepted += 1
        except BadInputError:
            continue
    assert 0 < accepted < N_INSPECTED


def test_mutated_headers_take_little_memory(sample: tuple[bytes, int]) -> None:
    data, _ = sample
    rng = random.Random(3)
    tracemalloc.start()
    try:
        for _ in range(N_MEASURED):
            # The claimed size is huge, so that the file's end does not limit any count.
            source = BytesSource(mutate(data, rng), size_bytes=10**12)
            try:
                parse_header(source)
            except BadInputError:
                continue
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < PEAK_LIMIT_BYTES
