from __future__ import annotations

import struct

import gguf

from models.gguf.types import FILE_TYPES, GGML_TYPES, SCALARS


def test_block_sizes_agree_with_the_gguf_package() -> None:
    theirs = {int(kind): tuple(sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    ours = {kind: (t.block_elements, t.block_bytes) for kind, t in GGML_TYPES.items()}
    # gguf 0.19.0 counts Q8_1's two factors as f32; ggml's block has had f16 since 2023. The type
    # is for computing and is in no file.
    assert theirs.pop(9) == (32, 40)
    assert ours.pop(9) == (32, 36)
    # ggml 0.25.3 has one type that gguf 0.19.0 does not know yet.
    assert ours.keys() - theirs.keys() == {42}
    assert {kind: ours[kind] for kind in theirs} == theirs


def test_type_names_agree_with_the_gguf_package() -> None:
    for kind in gguf.GGMLQuantizationType:
        assert GGML_TYPES[int(kind)].name == kind.name


def test_file_types_agree_with_the_gguf_package() -> None:
    theirs = {int(kind): kind.name for kind in gguf.LlamaFileType if kind.name != "GUESSED"}
    for number, name in theirs.items():
        ours = FILE_TYPES[number]
        assert name.removeprefix("ALL_").removeprefix("MOSTLY_").removesuffix("_MOE") == ours


def test_scalar_letters_have_the_sizes_they_claim() -> None:
    for scalar in SCALARS.values():
        assert struct.calcsize("<" + scalar.letter) == scalar.size_bytes
