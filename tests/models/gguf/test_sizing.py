"""The first 64 KB of a file: what they say, and that they say when they are not enough."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from helpers import raw_gguf as raw
from helpers.tiny_gguf import TinyModel, truncate, write_text, write_tiny, write_tiny_shards
from models.errors import CorruptGgufError, NotGgufError, TruncatedGgufError
from models.gguf.header import parse_header
from models.gguf.shape_reader import read_shape
from models.gguf.sizing import SIZING_BYTES, read_sizing
from models.gguf.source import BytesSource, FileSource

NAMES = ("v3-q4km", "v3-legacy-q4km", "v32-q4km", "v4f-mxfp4", "v2lite-q4km", "llama8-q4km")
# What only tensors and whole files say.
OF_TENSORS = ("tensors", "tensor_offsets", "shard_bytes", "data_spans")


class CountingSource(BytesSource):
    """Bytes in memory that remember how far they were read."""

    end = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.end = max(self.end, offset + size)
        return super().read_at(offset, size)


@pytest.mark.parametrize("name", NAMES)
def test_64_kb_say_what_the_whole_header_says(name: str) -> None:
    data, size_bytes = raw.true_scale_bytes(name)
    source = CountingSource(data, name=f"{name}.gguf", size_bytes=size_bytes)
    facts = read_sizing(source)
    assert (source.end, facts.read_bytes, facts.is_whole) == (SIZING_BYTES, SIZING_BYTES, False)
    assert facts.missing == ""
    whole = read_shape([parse_header(source)])
    assert facts.n_tensors == len(whole.tensors)
    for key, value in vars(whole).items():
        if key not in OF_TENSORS:
            assert getattr(facts.shape, key) == value, key


def numbers(architecture: str = "qwen3") -> list[bytes]:
    values = {"block_count": 2, "context_length": 64, "embedding_length": 32}
    entries = [raw.string_entry("general.architecture", architecture)]
    entries += [raw.u32_entry(f"{architecture}.{key}", value) for key, value in values.items()]
    return [*entries, raw.u32_entry(f"{architecture}.attention.head_count", 4)]


def vocabulary(count: int = 20_000) -> bytes:
    tokens = b"".join(raw.text(f"token {number}") for number in range(count))
    return raw.array_entry("tokenizer.ggml.tokens", raw.STRING, count, tokens)


def test_a_vocabulary_before_the_numbers_takes_more() -> None:
    data = raw.gguf_bytes(vocabulary(), *numbers())
    facts = read_sizing(BytesSource(data))
    assert (facts.shape, facts.is_whole) == (None, False)
    assert "come" in facts.missing
    # Reading on helps.
    more = read_sizing(BytesSource(data), limit_bytes=len(data))
    assert more.shape is not None
    assert (more.shape.n_layer_all, more.shape.n_vocab, more.is_whole) == (2, 20_000, True)


def test_an_architecture_before_and_numbers_behind_a_vocabulary() -> None:
    architecture, *rest = numbers()
    facts = read_sizing(BytesSource(raw.gguf_bytes(architecture, vocabulary(), *rest)))
    assert facts.shape is None
    assert "qwen3" in facts.missing


def test_numbers_that_go_on_behind_a_vocabulary() -> None:
    *first, last = numbers()
    missing = [entry for entry in first if b"embedding_length" not in entry]
    late = raw.u32_entry("qwen3.embedding_length", 32)
    facts = read_sizing(BytesSource(raw.gguf_bytes(*missing, last, vocabulary(), late)))
    assert facts.shape is None
    assert "embedding_length" in facts.missing


def test_a_start_that_ends_among_the_numbers() -> None:
    padding = [raw.string_entry(f"qwen3.note{number}", "x" * 1000) for number in range(100)]
    facts = read_sizing(BytesSource(raw.gguf_bytes(*numbers(), *padding)))
    assert facts.shape is None
    assert "may go on" in facts.missing


def test_a_vocabulary_behind_the_numbers_gives_its_length_only() -> None:
    facts = read_sizing(BytesSource(raw.gguf_bytes(*numbers(), vocabulary())))
    assert facts.shape is not None
    assert (facts.shape.n_vocab, facts.shape.tensors, facts.is_whole) == (20_000, (), False)


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    with FileSource(write_tiny(tmp_path / "a.gguf", TinyModel("deepseek4"))) as source:
        facts = read_sizing(source)
    assert facts.shape is not None
    assert (facts.shape.n_hyper_connection, facts.is_whole, facts.n_files) == (4, True, 1)


def test_a_set_tells_how_many_files_it_has(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path, TinyModel("llama"))
    with FileSource(paths[0]) as source:
        facts = read_sizing(source)
    assert facts.n_files == len(paths)
    assert facts.shape is not None
    # One file's size is not the checkpoint's.
    assert facts.shape.file_bytes == 0


def test_no_gguf_file(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.gguf")
    with FileSource(path) as source, pytest.raises(NotGgufError):
        read_sizing(source)


def test_a_file_cut_within_its_numbers(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf")
    truncate(path, keep=0.002)
    with FileSource(path) as source, pytest.raises(TruncatedGgufError):
        read_sizing(source)


def test_hostile_numbers_are_refused() -> None:
    entries = [*numbers(), raw.u32_entry("qwen3.expert_count", 2**31)]
    with pytest.raises(CorruptGgufError, match="expert_count"):
        read_sizing(BytesSource(raw.gguf_bytes(*entries)))


def test_a_count_beyond_the_file_is_refused() -> None:
    tokens = raw.array_entry("tokenizer.ggml.tokens", raw.STRING, 2**40, b"")
    with pytest.raises(CorruptGgufError):
        read_sizing(BytesSource(raw.gguf_bytes(*numbers(), tokens), size_bytes=10**12))


def test_a_length_beyond_any_header_is_refused() -> None:
    text = raw.entry("general.description", raw.STRING, struct.pack("<Q", 2**36))
    with pytest.raises(CorruptGgufError):
        read_sizing(BytesSource(raw.gguf_bytes(text), size_bytes=10**12))
