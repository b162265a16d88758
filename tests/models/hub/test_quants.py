from __future__ import annotations

import pytest

from models.hub.quants import RemoteFile, group_quants, is_checkpoint_file, quant_name

NAMES = {
    "DeepSeek-R1-Q4_K_M.gguf": "Q4_K_M",
    "DeepSeek-R1-UD-IQ1_S/DeepSeek-R1-UD-IQ1_S-00001-of-00003.gguf": "UD-IQ1_S",
    "DeepSeek-V3-0324-UD-Q2_K_XL-00001-of-00006.gguf": "UD-Q2_K_XL",
    "deepseek-llm-7b-chat.Q5_0.gguf": "Q5_0",
    "DeepSeek-R1-Distill-Qwen-1.5B-Q8_0.gguf": "Q8_0",
    "DeepSeek-R1-0528-Qwen3-8B-IQ2_XXS.gguf": "IQ2_XXS",
    "DeepSeek-R1-0528-IQ4_KS_R4-00001-of-00009.gguf": "IQ4_KS_R4",
    "DeepSeek-V4-Flash-MXFP4_MOE.gguf": "MXFP4_MOE",
    "DeepSeek-R1.BF16-00001-of-00030.gguf": "BF16",
    "model-f16.gguf": "F16",
    "Q6_K/model-00001-of-00002.gguf": "Q6_K",
    "DeepSeek-R1-TQ1_0.gguf": "TQ1_0",
    "DeepSeek-V2-Lite-IQ4_NL.gguf": "IQ4_NL",
    "deepseek_q4_k_m.gguf": "Q4_K_M",
    "DeepSeek-R1-0528-Qwen3-8B.gguf": "",
}


@pytest.mark.parametrize(("path", "quant"), NAMES.items())
def test_the_quantization_by_name(path, quant):
    assert quant_name(path) == quant


def test_what_is_no_checkpoint():
    paths = ["a.gguf", "A.GGUF", "mmproj-a.gguf", "x/a-mmproj-f16.gguf", "imatrix.gguf", "a.txt",
             "a.gguf.part1of2"]  # fmt: skip
    assert [path for path in paths if is_checkpoint_file(path)] == ["a.gguf", "A.GGUF"]


def files(*given: tuple[str, int]) -> list[RemoteFile]:
    return [RemoteFile(path, size) for path, size in given]


def test_a_set_of_shards_is_one_checkpoint():
    quants = group_quants(
        files(
            ("Q8_0/m-Q8_0-00002-of-00002.gguf", 40),
            ("Q8_0/m-Q8_0-00001-of-00002.gguf", 50),
            ("m-Q2_K.gguf", 30),
            ("mmproj-m-f16.gguf", 5),
            ("README.md", 1),
        ),
        text_of="o/r/{path}@v1",
    )
    assert [(q.quant, q.size_bytes, q.shards, q.missing) for q in quants] == [
        ("Q2_K", 30, 1, 0),
        ("Q8_0", 90, 2, 0),
    ]
    assert [q.text for q in quants] == [
        "o/r/m-Q2_K.gguf@v1",
        "o/r/Q8_0/m-Q8_0-00001-of-00002.gguf@v1",
    ]
    assert [q.name for q in quants] == ["m-Q2_K", "m-Q8_0"]


def test_sets_of_other_folders_and_counts_are_others():
    quants = group_quants(
        files(
            ("a/m-00001-of-00002.gguf", 1),
            ("b/m-00001-of-00002.gguf", 2),
            ("b/m-00001-of-00003.gguf", 3),
        ),
        text_of="{path}",
    )
    assert [(q.text, q.missing) for q in quants] == [
        ("a/m-00001-of-00002.gguf", 1),
        ("b/m-00001-of-00002.gguf", 1),
        ("b/m-00001-of-00003.gguf", 2),
    ]
