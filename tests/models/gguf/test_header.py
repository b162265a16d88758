from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import gguf
import pytest

from helpers import raw_gguf as raw
from helpers.tiny_gguf import TinyModel, set_counts, truncate, write_text, write_tiny
from models.errors import (
    CheckpointNotFoundError,
    CheckpointUnreadableError,
    CorruptGgufError,
    NotGgufError,
    TruncatedGgufError,
    UnsupportedGgufError,
)
from models.gguf.header import (
    MAX_METADATA,
    MAX_TENSORS,
    ArrayInfo,
    GgufHeader,
    LongText,
    parse_header,
    read_array,
    read_header,
)
from models.gguf.source import BytesSource, FileSource


def parse(data: bytes, **arrays: int) -> GgufHeader:
    return parse_header(BytesSource(data), arrays=arrays)


# --- what is right ------------------------------------------------------------------------------


@pytest.mark.parametrize("quantization", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
def test_header_agrees_with_the_gguf_package(tmp_path: Path, quantization: str) -> None:
    path = write_tiny(tmp_path / "a.gguf", TinyModel("deepseek2", quantization=quantization))
    ours, theirs = read_header(path), gguf.GGUFReader(path)
    assert ours.version == 3
    assert ours.data_offset == theirs.data_offset
    assert ours.file_bytes == path.stat().st_size
    assert [t.name for t in ours.tensors] == [t.name for t in theirs.tensors]
    for mine, other in zip(ours.tensors, theirs.tensors, strict=True):
        assert mine.shape == tuple(int(length) for length in other.shape)
        assert mine.type_name == other.tensor_type.name
        assert mine.size_bytes == other.n_bytes
        assert ours.data_offset + mine.offset == other.data_offset
        assert mine.elements == other.n_elements
    own_fields = {key for key in theirs.fields if not key.startswith("GGUF.")}
    assert set(ours.metadata) == own_fields
    for key in own_fields:
        value = ours.metadata[key]
        if not isinstance(value, ArrayInfo):
            assert value == theirs.fields[key].contents()


@pytest.mark.parametrize("chunk_bytes", [16, 100, 4096])
def test_the_chunk_size_changes_nothing(tmp_path: Path, chunk_bytes: int) -> None:
    path = write_tiny(tmp_path / "a.gguf")
    with FileSource(path) as source:
        assert parse_header(source, chunk_bytes=chunk_bytes) == read_header(path)


def test_arrays_are_measured_and_read_only_when_asked_for(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf")
    tokens = "tokenizer.ggml.tokens"
    unread = read_header(path).metadata[tokens]
    assert isinstance(unread, ArrayInfo)
    assert (unread.type_name, unread.count, unread.values) == ("str", 512, None)
    read = read_header(path, arrays={tokens: 512}).metadata[tokens]
    assert isinstance(read, ArrayInfo)
    assert read.values is not None
    assert read.values[:2] == ("<bos>", "<eos>")
    too_long = read_header(path, arrays={tokens: 511}).metadata[tokens]
    assert too_long == unread
    with FileSource(path) as source:
        assert read_array(source, unread, limit=512) == read.values
        assert read_array(source, unread, limit=511) is None


def test_all_scalar_types_are_read() -> None:
    values = {
        0: ("<B", 255),
        1: ("<b", -1),
        2: ("<H", 65535),
        3: ("<h", -2),
        4: ("<I", 2**32 - 1),
        5: ("<i", -3),
        6: ("<f", 0.5),
        7: ("<?", True),
        10: ("<Q", 2**64 - 1),
        11: ("<q", -4),
        12: ("<d", 0.1),
    }
    entries = [raw.entry(f"k{kind}", kind, struct.pack(*value)) for kind, value in values.items()]
    header = parse(raw.gguf_bytes(*entries, raw.string_entry("s", "\N{SNOWMAN}")))
    assert {key: header.metadata[f"k{key}"] for key in values} == {
        kind: value for kind, (_, value) in values.items()
    }
    assert header.text("s") == "\N{SNOWMAN}"
    assert header.integer("k7") is None
    assert header.integer("k4") == 2**32 - 1
    assert header.text("k4") is None


def test_version_2_is_read() -> None:
    assert parse(raw.gguf_bytes(raw.string_entry("a", "b"), version=2)).version == 2


def test_a_text_that_is_not_utf_8_is_read_with_replacements() -> None:
    data = raw.entry("a", raw.STRING, struct.pack("<Q", 2) + b"\xff\xfe")
    assert parse(raw.gguf_bytes(data)).text("a") == "\ufffd\ufffd"


def test_very_long_texts_are_measured_only() -> None:
    half = raw.string_entry("small", "x" * 1000)
    header = parse(raw.gguf_bytes(raw.string_entry("big", "x" * (2**20 + 1)), half))
    big = header.metadata["big"]
    assert isinstance(big, LongText)
    assert big.size_bytes == 2**20 + 1
    assert header.text("small") == "x" * 1000


def test_alignment_moves_the_data() -> None:
    entry = raw.u32_entry("general.alignment", 4096)
    data = raw.gguf_bytes(entry, tensors=(raw.tensor("a", (4,)),), data_bytes=8192)
    header = parse(data)
    assert (header.alignment, header.data_offset) == (4096, 4096)


def test_the_header_of_a_671b_checkpoint_takes_under_100_ms(tmp_path: Path) -> None:
    path = raw.true_scale("v3-q4km", tmp_path)
    times_s = []
    for _ in range(5):
        start_s = time.perf_counter()
        header = read_header(path)
        times_s.append(time.perf_counter() - start_s)
    assert min(times_s) < 0.1
    assert len(header.tensors) == 1086
    assert sum(tensor.elements for tensor in header.tensors) == 671_026_419_200
    assert header.file_bytes == 405_065_227_744


def test_the_vocabulary_is_never_in_memory(tmp_path: Path) -> None:
    path = raw.true_scale("v3-q4km", tmp_path)
    tracemalloc.start()
    try:
        read_header(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000


# --- what is wrong ------------------------------------------------------------------------------


def test_no_file_a_folder_and_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match="no file"):
        read_header(tmp_path / "absent.gguf")
    with pytest.raises(CheckpointNotFoundError, match="folder"):
        read_header(tmp_path)
    with pytest.raises(CheckpointUnreadableError, match="regular"):
        read_header(Path("/dev/null"))
    with pytest.raises(CheckpointUnreadableError):
        read_header(tmp_path / ("x" * 5000))
    with pytest.raises(CheckpointUnreadableError):
        read_header(Path("a\0b"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello, I am a text\n" * 40, "plain text"),
        ("\N{SNOWMAN} text".encode() * 200, "plain text"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\n  <HTML lang=en>", "HTML"),
        (b'{"error": "gated"}', "JSON"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (struct.pack("<Q", 20) + b'{"__metadata__":{}}', "safetensors"),
        (b"\x80\x02}q\x00", "PyTorch"),
        (b"tjgg\x03\x00\x00\x00", "old GGML"),
        (bytes(4096), "zeros"),
        (b"\x93\x12\x00\xffabc", "unknown"),
        (b"GGU", "plain text"),
    ],
)
def test_a_file_that_is_not_gguf_says_what_it_is(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(NotGgufError, match=words) as caught:
        read_header(path)
    assert "model.gguf" in caught.value.message


def test_a_text_file_helper_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotGgufError, match="plain text"):
        read_header(write_text(tmp_path / "a.gguf"))


@pytest.mark.parametrize(
    ("version", "words"),
    [(1, "version 1"), (4, "version 4"), (0x03000000, "big-endian"), (0x02000000, "big-endian")],
)
def test_other_versions_and_byte_orders_are_refused(version: int, words: str) -> None:
    with pytest.raises(UnsupportedGgufError, match=words):
        parse(raw.gguf_bytes(version=version))


def test_truncated_data_says_how_much_is_missing(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf")
    size_bytes = path.stat().st_size
    missing = truncate(path, keep=0.5)
    with pytest.raises(TruncatedGgufError, match=r"\d+ kB of 6\d\d kB are missing") as caught:
        read_header(path)
    assert caught.value.details == f"{missing:,} of {size_bytes:,} bytes are missing"
    assert caught.value.offset == size_bytes - missing


def test_one_missing_byte_is_noticed_and_padding_is_not_needed() -> None:
    data = raw.gguf_bytes(tensors=(raw.tensor("a", (3,)),), data_bytes=12)
    assert parse(data).tensors[0].size_bytes == 12
    with pytest.raises(TruncatedGgufError, match="1 B of"):
        parse(data[:-1])


def test_every_cut_through_the_header_is_noticed(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf")
    header = read_header(path)
    data = path.read_bytes()[: header.data_offset]
    for cut in [*range(4, 200), *range(200, len(data), 37)]:
        with pytest.raises(TruncatedGgufError):
            parse(data[:cut])


def tensors(*infos: bytes) -> bytes:
    return raw.gguf_bytes(tensors=infos, data_bytes=4096)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (raw.gguf_bytes(version=0), "version is 0"),
        (raw.gguf_bytes(n_entries=2**63), "metadata entries"),
        (raw.gguf_bytes(n_tensors=2**64 - 1), "tensors"),
        (raw.gguf_bytes(n_tensors=MAX_TENSORS + 1), "tensors"),
        (raw.gguf_bytes(n_entries=MAX_METADATA + 1), "metadata entries"),
        (raw.gguf_bytes(raw.string_entry("", "x")), "key is empty"),
        (raw.gguf_bytes(*[raw.string_entry("a", "x")] * 2), "comes twice"),
        (raw.gguf_bytes(raw.entry("a", 13, b"\0" * 8)), "unknown type 13"),
        (raw.gguf_bytes(raw.entry("a", raw.STRING, b"\xff" * 8)), "beyond"),
        (raw.gguf_bytes(struct.pack("<Q", 65_536) + bytes(65_536)), "a key claims"),
        (raw.gguf_bytes(raw.array_entry("a", raw.U8, 2**64 - 1, b"")), "beyond"),
        (raw.gguf_bytes(raw.array_entry("a", raw.STRING, 2**60, b"")), "beyond"),
        (raw.gguf_bytes(raw.array_entry("a", raw.ARRAY, 1, b"\0" * 16)), "array of arrays"),
        (raw.gguf_bytes(raw.array_entry("a", 99, 1, b"\0" * 16)), "unknown type 99"),
        (raw.gguf_bytes(raw.array_entry("a", raw.STRING, 2, b"\xff" * 16)), "beyond"),
        (raw.gguf_bytes(raw.u32_entry("general.alignment", 0)), "alignment is 0"),
        (raw.gguf_bytes(raw.u32_entry("general.alignment", 48)), "power of two"),
        (raw.gguf_bytes(raw.string_entry("general.alignment", "32")), "power of two"),
        (tensors(raw.tensor("a" * 64, (4,))), "name of a tensor"),
        (tensors(raw.tensor("a", (4,)), raw.tensor("a", (4,), offset=32)), "comes twice"),
        (tensors(raw.tensor("a", (1, 1, 1, 1, 1))), "5 dimensions"),
        (tensors(raw.tensor("a", (0, 4))), "shape"),
        (tensors(raw.tensor("a", (2**32, 2**32))), "shape"),
        (tensors(raw.tensor("a", (2**63,))), "shape"),
        (tensors(raw.tensor("a", (4,), kind=4)), "unknown type 4"),
        (tensors(raw.tensor("a", (4,), kind=2**31)), "unknown type"),
        (tensors(raw.tensor("a", (33,), kind=8)), "blocks of Q8_0"),
        (tensors(raw.tensor("a", (4,), offset=32)), "instead of 0"),
        (tensors(raw.tensor("a", (4,)), raw.tensor("b", (4,), offset=0)), "instead of 32"),
    ],
)
def test_numbers_that_cannot_be_true_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(CorruptGgufError, match=words) as caught:
        parse(data)
    assert not isinstance(caught.value, TruncatedGgufError)
    assert 0 <= caught.value.offset <= len(data)


def test_a_tensor_larger_than_the_file_is_truncation() -> None:
    with pytest.raises(TruncatedGgufError, match="PB"):
        parse(tensors(raw.tensor("a", (2**52,))))


def test_wrong_counts_in_a_real_file_are_noticed(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf")
    for counts in ({"tensors": 10**6}, {"metadata": 10**6}, {"tensors": 60}, {"metadata": 5}):
        set_counts(write_tiny(path), **counts)
        with pytest.raises(CorruptGgufError):
            read_header(path)


def test_a_sparse_file_full_of_zeros_is_given_up_soon(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(raw.gguf_bytes(raw.array_entry("a", raw.STRING, 40 * 10**9, b"")))
    with path.open("r+b") as file:
        file.truncate(400 * 10**9)
    with pytest.raises(CorruptGgufError, match="beyond"):
        read_header(path)


def test_a_file_that_shrinks_while_it_is_read_is_truncated() -> None:
    data = raw.gguf_bytes(raw.string_entry("a", "x" * 100))
    with pytest.raises(TruncatedGgufError):
        parse_header(BytesSource(data[:60], size_bytes=len(data)))
