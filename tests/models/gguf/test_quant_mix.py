"""Types of tensors in the standard quantizations, against llama.cpp's own quantizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from helpers.quantize_file import quantize
from helpers.tiny_gguf import TinyModel, write_tiny
from models.gguf.header import GgufHeader, read_header
from models.gguf.hyperparameters import read_hyperparameters
from models.gguf.quant_mix import MixFacts, QuantMix, bits_per_weight, is_standard
from models.gguf.roles import split_block
from models.gguf.types import FILE_TYPES

_NUMBERS = {name: number for number, name in FILE_TYPES.items()}
# As many layers as it takes for every rule that counts them, and the names whose mix is the same
# without an importance matrix, which llama.cpp would need a file for.
_CASES = {
    "grouped": (
        TinyModel(architecture="llama", n_layer=17, quantization="F16"),
        ("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"),
    ),
    "biased": (
        TinyModel(architecture="qwen2", n_layer=9, quantization="F16"),
        ("Q3_K_M", "Q4_K_M", "Q5_K_S", "IQ3_S", "IQ3_M", "IQ4_XS", "MXFP4"),
    ),
    "latent": (
        TinyModel(architecture="deepseek2", n_layer=9, quantization="F16"),
        ("Q2_K", "Q4_K_M", "IQ4_XS", "MXFP4"),
    ),
    "expanded": (
        TinyModel(architecture="deepseek2", n_layer=9, quantization="F16", mla=False),
        ("Q3_K_M", "Q4_K_M"),
    ),
}


@pytest.mark.parametrize(("model", "names"), _CASES.values(), ids=_CASES)
def test_types_are_those_that_llama_cpp_chooses(
    model: TinyModel, names: Sequence[str], tmp_path: Path
) -> None:
    source = write_tiny(tmp_path / "source.gguf", model)
    before = read_header(source)
    files = quantize(source, tmp_path, [_NUMBERS[name] for name in names])
    for name in names:
        after = {info.name: info.type_name for info in read_header(files[_NUMBERS[name]]).tensors}
        mix = QuantMix(name, _facts(before))
        for tensor in before.tensors:
            chosen = mix.type_of(tensor.name, tensor.shape, split_block(tensor.name)[0])
            if name.startswith("IQ") and "ffn_down" in tensor.name:
                continue  # depends on an importance matrix
            assert chosen == after[tensor.name], f"{name}: {tensor.name}"


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("UD-Q4_K_XL", "Q4_K_M"),
        ("Q4_K_L", "Q4_K_M"),
        ("Q2_K_L", "Q2_K"),
        ("UD-Q2_K_XL", "Q2_K"),
        ("Q3_K_XL", "Q3_K_M"),
        ("Q6_K_L", "Q6_K"),
        ("Q8_K_XL", "Q8_0"),
        ("MXFP4_MOE", "MXFP4"),
    ],
)
def test_publishers_own_names_are_near_a_mix_of_llama_cpp(name: str, same: str) -> None:
    facts = MixFacts("llama", 16, 4, 0, has_output=True)
    own, standard = QuantMix(name, facts), QuantMix(same, facts)
    shape = (4096, 4096)
    for layer in range(16):
        tensor = f"blk.{layer}.ffn_down_exps.weight"
        assert own.type_of(tensor, shape, layer) == standard.type_of(tensor, shape, layer)


def test_dynamic_mixes_keep_what_every_token_goes_through_better() -> None:
    facts = MixFacts("deepseek2", 61, 128, 256, has_output=True)
    mix = QuantMix("UD-IQ1_M", facts)
    attention = mix.type_of("blk.9.attn_q_b.weight", (1536, 24576), 9)
    experts = mix.type_of("blk.9.ffn_up_exps.weight", (7168, 2048, 256), 9)
    assert (attention, experts) == ("Q5_K", "IQ1_M")
    assert bits_per_weight(attention) > 3 * bits_per_weight(experts)


@pytest.mark.parametrize("name", ["", "Q4", "Q9_K", "NVFP4", "Q4_0_4_4", "IQ2_KS", "latest"])
def test_other_names_are_no_standard(name: str) -> None:
    assert not is_standard(name)


def _facts(header: GgufHeader) -> MixFacts:
    numbers = read_hyperparameters(header)
    return MixFacts(
        architecture=numbers.architecture,
        n_layer_all=numbers.n_layer_all,
        n_gqa=numbers.n_head // max(*numbers.kv.n_head_kv, 1),
        n_expert=numbers.n_expert,
        has_output=any(tensor.name == "output.weight" for tensor in header.tensors),
    )
