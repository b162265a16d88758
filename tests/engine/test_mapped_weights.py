"""Weights used in place in a mapped file, counted in the model that was loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.engine_process import EngineProcess
from helpers.tiny_gguf import TinyModel, write_tiny
from models.gguf.header import parse_header
from models.gguf.source import FileSource
from models.runtime.llama.ggml_abi import Tensor
from models.runtime.llama.mapped import EntryVector, tensors_of, used_in_place
from models.runtime.llama.memory import BufferUse

ENTRY_BYTES = 40


def use(buffer: str, weights: int) -> BufferUse:
    return BufferUse(buffer, "CPU", "cpu", weights, 2, 3)


def test_only_mapped_buffers_are_counted_anew() -> None:
    account = [use("CPU_Mapped", 1000), use("CPU_REPACK", 500), use("CPU", 20)]
    counted = used_in_place(account, {"CPU_Mapped": 70})
    assert counted == [use("CPU_Mapped", 70), use("CPU_REPACK", 500), use("CPU", 20)]
    assert used_in_place(account, None) == account


def entries(names: list[bytes], said: list[bytes]) -> tuple[EntryVector, list[Any]]:
    """Return a vector of tensors called ``names`` under the strings ``said``, and its memory."""
    kept: list[Any] = []
    memory = ctypes.create_string_buffer(ENTRY_BYTES * max(len(names), 1))
    words = (ctypes.c_uint64 * (len(memory) // 8)).from_buffer(memory)
    for index, (name, text) in enumerate(zip(names, said, strict=True)):
        tensor, string = Tensor(name=name), ctypes.create_string_buffer(text)
        words[5 * index] = ctypes.addressof(string)
        words[5 * index + 1] = len(text)
        words[5 * index + 4] = tensor.address
        kept += [tensor, string]
    begin = ctypes.addressof(memory)
    return EntryVector(begin, begin + ENTRY_BYTES * len(names)), [*kept, memory, words]


def test_the_list_of_tensors_is_read() -> None:
    names = [b"token_embd.weight", b"output.weight"]
    vector, kept = entries(names, names)
    tensors = tensors_of(vector)
    assert tensors is not None
    assert [tensor.name for tensor in tensors] == names
    assert tensors_of(EntryVector(None, None)) == []
    assert kept


def test_what_does_not_look_like_a_list_of_tensors_is_not_believed() -> None:
    vector, kept = entries([b"a"], [b"b"])
    assert tensors_of(vector) is None  # another name
    empty, more = entries([b""], [b""])
    assert tensors_of(empty) is None
    assert tensors_of(EntryVector(1000, 1000 + ENTRY_BYTES + 1)) is None
    assert tensors_of(EntryVector(1000, 500)) is None
    assert kept
    assert more


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


def test_a_real_load_counts_what_lies_in_the_file_and_no_more(
    engine: EngineProcess, tmp_path: Path
) -> None:
    """Rearranged weights lie elsewhere; llama.cpp's stretch from first to last covers them too."""
    path = write_tiny(tmp_path / "tiny.gguf", TinyModel("deepseek2", quantization="Q4_0"))
    with FileSource(path) as source:
        tensors = parse_header(source).tensors
    every = sum(info.size_bytes + -info.size_bytes % 32 for info in tensors)
    plain = engine.load(path, n_ctx=512, load_mode="mmap", use_extra_bufts=False)
    assert plain["devices"][0]["weights_bytes"] == every
    repacked = engine.load(path, n_ctx=512, load_mode="mmap", use_extra_bufts=True)
    assert repacked["devices"][0]["weights_bytes"] == every
