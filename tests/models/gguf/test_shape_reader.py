"""From headers to shapes: true-scale and tiny ones of every architecture, sets, hostile numbers."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from helpers import raw_gguf as raw
from helpers.tiny_gguf import TinyModel, write_tiny, write_tiny_shards
from helpers.tiny_shapes import ARCHITECTURES
from models.errors import CorruptGgufError, NotAChatModelError
from models.gguf.header import GgufHeader, parse_header, read_header
from models.gguf.shape import AttentionKind, ModelShape, Role
from models.gguf.shape_reader import read_shape
from models.gguf.source import BytesSource, FileSource

TRUE_SCALE = {
    "v3-q4km": ("deepseek2", AttentionKind.MLA, 61, 0, 3, 256, 8, 1),
    "v3-legacy-q4km": ("deepseek2", AttentionKind.MLA_EXPANDED, 61, 0, 3, 256, 8, 1),
    "v32-q4km": ("deepseek32", AttentionKind.DSA, 62, 1, 3, 256, 8, 1),
    "v4f-mxfp4": ("deepseek4", AttentionKind.COMPRESSED, 43, 0, 0, 256, 6, 1),
    "v2lite-q4km": ("deepseek2", AttentionKind.MLA, 27, 0, 1, 64, 6, 2),
    "qwen7-q4km": ("qwen2", AttentionKind.GQA, 28, 0, 28, 0, 0, 0),
    "qwen38-q4km": ("qwen3", AttentionKind.GQA, 36, 0, 36, 0, 0, 0),
    "llama8-q4km": ("llama", AttentionKind.GQA, 32, 0, 32, 0, 0, 0),
}


def true_scale_shape(name: str) -> ModelShape:
    return read_shape([parse_header(raw.true_scale_source(name))])


def tiny_header(folder: Path, model: TinyModel, **overrides: int) -> GgufHeader:
    return read_header(write_tiny(folder / "tiny.gguf", model, **overrides))


@pytest.mark.parametrize(("name", "expected"), TRUE_SCALE.items(), ids=TRUE_SCALE)
def test_true_scale(name: str, expected: tuple[object, ...]) -> None:
    shape = true_scale_shape(name)
    assert (
        shape.architecture,
        shape.kv.kind,
        shape.n_layer_all,
        shape.n_layer_mtp,
        shape.n_layer_dense,
        shape.n_expert,
        shape.n_expert_used,
        shape.n_expert_shared,
    ) == expected
    assert not shape.is_approximate
    assert len(shape.kv.n_head_kv) == shape.n_layer_all
    assert sum(tensor.size_bytes for tensor in shape.tensors) < shape.file_bytes


def test_the_numbers_of_v3() -> None:
    shape = true_scale_shape("v3-q4km")
    assert (shape.n_embd, shape.n_head, shape.n_ff, shape.n_ff_expert) == (7168, 128, 18432, 2048)
    assert (shape.q_lora_rank, shape.kv_lora_rank, shape.rope_length) == (1536, 512, 64)
    assert (shape.kv.key_length, shape.value_head_length) == (576, 128)
    assert (shape.n_vocab, shape.n_ctx_train) == (129280, 163840)
    assert (shape.name, shape.quantization) == ("DeepSeek-V3", "Q4_K_M")
    assert shape.file_bytes == 405_065_227_744
    assert not shape.has_tied_embeddings


def test_a_pre_mla_file_keeps_every_head() -> None:
    kv = true_scale_shape("v3-legacy-q4km").kv
    assert (kv.key_length, kv.value_length, set(kv.n_head_kv)) == (192, 128, {128})


def test_v2_lite_has_no_compressed_queries() -> None:
    # llama.cpp knows V2-Lite by its 27 layers and ignores the key.
    assert true_scale_shape("v2lite-q4km").q_lora_rank == 0


def test_the_caches_of_v4() -> None:
    shape = true_scale_shape("v4f-mxfp4")
    kv = shape.kv
    assert (kv.key_length, kv.indexer_key_length, kv.sliding_window) == (512, 128, 128)
    assert kv.compress_ratios == (0, 0, *(4, 128) * 20, 4)
    assert (shape.n_hyper_connection, kv.indexer_top_k, kv.indexer_head_count) == (4, 512, 64)


def test_offsets_lead_to_the_data_of_each_tensor(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.gguf", TinyModel("qwen2", quantization="F32"))
    shape = read_shape([read_header(path)])
    data = path.read_bytes()
    start, end = shape.data_spans[0]
    assert (start, end) == (shape.tensor_offsets[0][1], len(data))
    for tensor, (shard, offset) in zip(shape.tensors, shape.tensor_offsets, strict=True):
        assert shard == 0
        if tensor.role is Role.NORM:
            ones = struct.pack("<f", 1.0) * tensor.elements
            assert data[offset : offset + tensor.size_bytes] == ones


# --- every architecture, tiny -------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tensor_of_an_architecture_has_a_role(architecture: str, tmp_path: Path) -> None:
    shape = read_shape([tiny_header(tmp_path, TinyModel(architecture))])
    others = {t.name.split(".", 2)[-1] for t in shape.with_role(Role.OTHER)}
    assert all(name.startswith("hc_") for name in others)
    assert (shape.n_layer_all, shape.n_vocab, shape.is_approximate) == (3, 512, False)
    assert shape.is_moe == architecture.startswith("deepseek")


@pytest.mark.parametrize("architecture", ["deepseek2", "deepseek32"])
def test_everything_in_an_mtp_block_is_mtp(architecture: str, tmp_path: Path) -> None:
    shape = read_shape([tiny_header(tmp_path, TinyModel(architecture, mtp=True))])
    assert (shape.n_layer, shape.n_layer_mtp) == (3, 1)
    assert {t.layer for t in shape.with_role(Role.MTP)} == {3}
    assert all((t.role is Role.MTP) == (t.layer == 3) for t in shape.tensors)


def test_v4_without_its_mtp_blocks_has_none(tmp_path: Path) -> None:
    # llama.cpp takes the number back when the blocks' tensors are not there.
    header = tiny_header(tmp_path, TinyModel("deepseek4"), nextn_predict_layers=1)
    assert read_shape([header]).n_layer_mtp == 0


def test_deepseek2_without_its_mtp_blocks_keeps_the_number(tmp_path: Path) -> None:
    # deepseek2.cpp, trunk_only: the block still counts when layers are spread over devices.
    header = tiny_header(tmp_path, TinyModel("deepseek2"), nextn_predict_layers=1, block_count=4)
    shape = read_shape([header])
    assert (shape.n_layer_all, shape.n_layer) == (4, 3)


@pytest.mark.parametrize(("mla", "kind"), [(True, "mla"), (False, "mla_expanded")])
@pytest.mark.parametrize("q_lora", [True, False])
def test_mla_and_pre_mla(mla: bool, kind: str, q_lora: bool, tmp_path: Path) -> None:
    n_layer = 3 if q_lora else 27
    model = TinyModel("deepseek2", n_layer=n_layer, mla=mla, q_lora=q_lora)
    shape = read_shape([tiny_header(tmp_path, model)])
    assert (shape.kv.kind, shape.q_lora_rank > 0) == (kind, q_lora)
    assert shape.value_head_length == 32


def test_a_list_of_heads_for_each_layer() -> None:
    header = parse_header(BytesSource(plain_file(heads=(4, 2, 0))))
    assert read_shape([header]).kv.n_head_kv == (4, 2, 0)


def test_lists_are_read_from_the_source_when_the_header_lacks_them() -> None:
    data = plain_file(heads=(4, 2, 0))
    source = BytesSource(data)
    header = parse_header(source)
    bare = {
        key: info if not hasattr(info, "values") else type(info)(info.type_name, 3, info.offset)
        for key, info in header.metadata.items()
    }
    without = GgufHeader(**{**vars(header), "metadata": bare})
    assert read_shape([without], [source]).kv.n_head_kv == (4, 2, 0)


# --- other architectures ------------------------------------------------------------------------


def plain_file(architecture: str = "qwen3", *, heads: tuple[int, ...] = (), **values: int) -> bytes:
    """Return a file with three blocks of the least that a shape needs."""
    numbers = {
        "block_count": 3,
        "context_length": 64,
        "embedding_length": 32,
        "attention.head_count": 4,
        "feed_forward_length": 64,
        **values,
    }
    entries = [raw.string_entry("general.architecture", architecture)]
    entries += [raw.u32_entry(f"{architecture}.{key}", number) for key, number in numbers.items()]
    if heads:
        elements = struct.pack(f"<{len(heads)}I", *heads)
        key = f"{architecture}.attention.head_count_kv"
        entries.append(raw.array_entry(key, raw.U32, len(heads), elements))
    names: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (32, 8))]
    names += [(f"blk.{layer}.attn_norm.weight", (32,)) for layer in range(3)]
    tensors, offset = [], 0
    for name, shape in names:
        tensors.append(raw.tensor(name, shape, offset=offset))
        offset += 4 * 32 * (shape[1] if len(shape) > 1 else 1)
    return raw.gguf_bytes(*entries, tensors=tuple(tensors), data_bytes=offset)


@pytest.mark.parametrize("architecture", ["gemma3", "never-heard-of"])
def test_other_architectures_are_read_approximately(architecture: str) -> None:
    shape = read_shape([parse_header(BytesSource(plain_file(architecture)))])
    assert shape.is_approximate
    assert (shape.architecture, shape.n_layer_all, shape.n_vocab) == (architecture, 3, 8)
    assert (shape.kv.key_length, shape.kv.n_head_kv) == (8, (4, 4, 4))


def test_an_unknown_architecture_without_numbers_has_the_blocks_of_its_tensors() -> None:
    entries = (raw.string_entry("general.architecture", "never-heard-of"),)
    tensors = (raw.tensor("blk.6.attn_q.weight", (32,)),)
    data = raw.gguf_bytes(*entries, tensors=tensors, data_bytes=128)
    shape = read_shape([parse_header(BytesSource(data))])
    assert (shape.n_layer_all, shape.is_approximate) == (7, True)


# --- sets ---------------------------------------------------------------------------------------


def test_a_set_is_read_like_one_file(tmp_path: Path) -> None:
    model = TinyModel("deepseek2")
    one = read_shape([read_header(write_tiny(tmp_path / "one.gguf", model))])
    paths = write_tiny_shards(tmp_path, model)
    shape = read_shape([read_header(path) for path in paths])
    assert len(paths) > 2
    assert shape.tensors == one.tensors
    assert shape.shard_bytes == tuple(path.stat().st_size for path in paths)
    assert shape.file_bytes == sum(shape.shard_bytes)
    assert {shard for shard, _ in shape.tensor_offsets} == set(range(len(paths)))
    spans = [(shape.data_spans[shard], offset) for shard, offset in shape.tensor_offsets]
    assert all(start <= offset < end for (start, end), offset in spans)


def test_each_offset_of_a_set_is_in_its_own_file(tmp_path: Path) -> None:
    model = TinyModel("qwen2", quantization="F32")
    path = write_tiny(tmp_path / "one.gguf", model)
    one, data = read_shape([read_header(path)]), path.read_bytes()
    paths = write_tiny_shards(tmp_path, model)
    shape = read_shape([read_header(part) for part in paths])
    for number, (shard, offset) in enumerate(shape.tensor_offsets):
        size, whole = one.tensors[number].size_bytes, one.tensor_offsets[number][1]
        with FileSource(paths[shard]) as source:
            assert source.read_at(offset, size) == data[whole : whole + size]


def test_parts_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path, TinyModel("llama"))
    headers = [read_header(path) for path in reversed(paths)]
    with pytest.raises(CorruptGgufError, match="is part") as caught:
        read_shape(headers)
    assert caught.value.offset > 0


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    paths = write_tiny_shards(tmp_path, TinyModel("llama"))
    with pytest.raises(CorruptGgufError):
        read_shape([read_header(path) for path in paths[:-1]])


# --- what is refused ----------------------------------------------------------------------------

HOSTILE = {
    "no blocks": ({"block_count": 0}, "block_count"),
    "too many blocks": ({"block_count": 4_000_000_000}, "block_count"),
    "only MTP blocks": ({"nextn_predict_layers": 3}, "nextn_predict_layers"),
    "no heads": ({"attention.head_count": 0}, "attention.head_count"),
    "too many heads": ({"attention.head_count": 2**31}, "attention.head_count"),
    "more experts than there are": ({"expert_used_count": 9}, "expert_used_count"),
}


@pytest.mark.parametrize(("values", "key"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_numbers_are_refused_where_they_stand(values: dict[str, int], key: str) -> None:
    data = plain_file(**values)
    with pytest.raises(CorruptGgufError, match=key) as caught:
        read_shape([parse_header(BytesSource(data, name="a.gguf"))])
    assert data[caught.value.offset + 8 :].startswith(f"qwen3.{key}".encode())


def test_a_list_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(CorruptGgufError, match="a list of 2, expected 3 numbers"):
        read_shape([parse_header(BytesSource(plain_file(heads=(4, 4))))])


def test_a_tensor_of_a_block_that_is_not_there_is_refused() -> None:
    data = plain_file(block_count=2)
    with pytest.raises(CorruptGgufError, match=r"blk\.2\.attn_norm") as caught:
        read_shape([parse_header(BytesSource(data))])
    assert data[caught.value.offset + 8 :].startswith(b"blk.2.attn_norm.weight")


def test_a_missing_block_is_refused() -> None:
    with pytest.raises(CorruptGgufError, match=r"lacks the tensor blk\.3\.attn_norm"):
        read_shape([parse_header(BytesSource(plain_file(block_count=4)))])


def test_an_embedding_of_another_size_is_refused() -> None:
    with pytest.raises(CorruptGgufError, match="token_embd"):
        read_shape([parse_header(BytesSource(plain_file(vocab_size=9)))])


def test_ratios_that_llama_cpp_does_not_know_are_refused(tmp_path: Path) -> None:
    path = write_tiny(
        tmp_path / "a.gguf", TinyModel("deepseek4"), attention__compress_ratios=[0, 5, 128]
    )
    with pytest.raises(CorruptGgufError, match="compress_ratios is a list with 5"):
        read_shape([read_header(path)])


def test_deepseek32_needs_mla(tmp_path: Path) -> None:
    header = tiny_header(tmp_path, TinyModel("deepseek32", mla=False))
    with pytest.raises(CorruptGgufError, match="key_length_mla"):
        read_shape([header])


def test_no_architecture() -> None:
    data = raw.gguf_bytes(tensors=(raw.tensor("a", (1,)),), data_bytes=4)
    with pytest.raises(CorruptGgufError, match="does not say"):
        read_shape([parse_header(BytesSource(data))])


@pytest.mark.parametrize("kind", ["adapter", "mmproj", "imatrix", "vocab"])
def test_what_belongs_to_a_model_is_no_model(kind: str) -> None:
    data = raw.gguf_bytes(raw.string_entry("general.type", kind))
    with pytest.raises(NotAChatModelError):
        read_shape([parse_header(BytesSource(data))])


def test_a_file_without_tensors_is_no_model() -> None:
    data = raw.gguf_bytes(raw.string_entry("general.architecture", "llama"))
    with pytest.raises(NotAChatModelError):
        read_shape([parse_header(BytesSource(data))])
