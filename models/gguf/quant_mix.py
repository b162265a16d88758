"""Which type each tensor gets in llama.cpp's standard quantizations. No Qt here.

Follows ``llama_tensor_get_type_impl``, ``tensor_type_fallback`` and ``tensor_allows_quantization``
(src/llama-quant.cpp of the llama.cpp in llama-cpp-python 0.3.36), with an importance matrix, as the
publishers of GGUF files quantize. Names with ``UD-`` are a publisher's own mixes: the same types
for routed experts, better ones for everything that every token goes through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.gguf.types import FILE_TYPES, GGML_TYPES

_BITS = {kind.name: 8 * kind.block_bytes / kind.block_elements for kind in GGML_TYPES.values()}
_BLOCKS = {kind.name: kind.block_elements for kind in GGML_TYPES.values()}
# llama_ftype_get_default_type, where it is not the name itself or its part before ``_S/_M/_L``.
_DEFAULT_TYPES = {"IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S", "IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S"}
_FALLBACKS = {
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"
    ),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
_STANDARD = frozenset(FILE_TYPES.values()) - {"NVFP4"}
_SMALL = ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ1_S", "IQ1_M")
_DYNAMIC = "UD-"
# Publishers' own mixes: Q4_K_XL, Q2_K_L, Q5_K_L. Q3_K_L is llama.cpp's.
_OWN_SIZES = re.compile(r"(Q[245-8]_(?:K|0))_X{0,2}L|(?P<same>Q3_K)_X{1,2}L")
# The least that a publisher's own mix gives to what is no routed expert.
_DYNAMIC_LEAST = "Q5_K"
# LLM_TYPE_70B: llama with 80 layers.
_LAYERS_70B = 80
_MANY_HEADS = 4
_MANY_EXPERTS = 4


@dataclass(frozen=True)
class MixFacts:
    """What the rules ask about a model; names as in ``ModelShape``."""

    architecture: str
    n_layer_all: int
    n_gqa: int
    n_expert: int
    has_output: bool


def is_standard(quant: str) -> bool:
    """Whether a name is one of llama.cpp's, or a publisher's mix of one that is known here."""
    return _base_name(quant) in _STANDARD


def bits_per_weight(type_name: str) -> float:
    """Return how many bits a number takes in a tensor type."""
    return _BITS[type_name]


class QuantMix:
    """Chooses types for the tensors of one model, asked in file order."""

    def __init__(self, quant: str, facts: MixFacts) -> None:
        """Prepare.

        Args:
            quant: a name for which ``is_standard`` holds.
            facts: of the model.
        """
        self._name = _base_name(quant)
        self._is_dynamic = quant.upper().startswith(_DYNAMIC)
        self._facts = facts
        self._default = _default_type(self._name)
        self._n_values = 0
        self._n_downs = 0

    def type_of(self, name: str, shape: tuple[int, ...], layer: int | None) -> str:
        """Return the type of a tensor; ``layer`` is its block, None outside of blocks."""
        if not _is_quantized(name, shape):
            return "I32" if "tid2eid" in name else "F32"
        if _BLOCKS[self._default] == 1:
            return self._default
        chosen = self._chosen(name, shape, layer or 0)
        if self._is_dynamic and "_exps." not in name and name != "token_embd.weight":
            chosen = max(chosen, _DYNAMIC_LEAST, key=bits_per_weight)
        return _fitting(chosen, shape[0])

    def _chosen(self, name: str, shape: tuple[int, ...], layer: int) -> str:
        if name == "output.weight" or (name == "token_embd.weight" and not self._facts.has_output):
            return self._output(shape)
        if self._name == "MXFP4":
            return "MXFP4" if len(shape) > 2 else "Q8_0"
        if name == "token_embd.weight":
            return self._embedding()
        if "attn_v.weight" in name or "attn_kv_b.weight" in name:
            self._n_values += 1
            return self._value(self._n_values - 1)
        if "ffn_down" in name:
            self._n_downs += 1
            return self._down(layer, self._n_downs - 1)
        for part, rule in self._rules().items():
            if part in name:
                return rule(layer)
        return self._default

    def _rules(self) -> Mapping[str, Callable[[int], str]]:
        return {
            "attn_output.weight": self._attention_output,
            "attn_k.weight": self._key_or_query,
            "attn_q.weight": self._key_or_query,
            "ffn_up": self._up_or_gate,
            "ffn_gate": self._up_or_gate,
        }

    def _output(self, shape: tuple[int, ...]) -> str:
        if self._name == "MXFP4" or shape[0] % _BLOCKS[self._default]:
            return "Q8_0"
        if self._name in (*_SMALL, "IQ3_XXS"):
            return "Q5_K"
        return self._default if self._default == "Q8_0" else "Q6_K"

    def _embedding(self) -> str:
        if self._name in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"):
            return "Q2_K"
        if self._name in ("IQ2_S", "IQ2_M", "IQ3_XXS"):
            return "IQ3_S"
        return "Q4_K" if self._name in ("TQ1_0", "TQ2_0", "Q2_0") else self._default

    def _value(self, number: int) -> str:
        """Return the type of a value projection, the ``number``-th of them."""
        facts = self._facts
        is_shared = facts.n_gqa >= _MANY_HEADS
        if self._name in _SMALL:
            if is_shared or facts.n_expert >= _MANY_EXPERTS:
                return "Q4_K"
            return "IQ3_S" if self._name in ("IQ2_S", "IQ2_M") else "Q2_K"
        chosen = self._value_of_name(number, is_shared=is_shared)
        is_70b = facts.architecture == "llama" and facts.n_layer_all == _LAYERS_70B
        return "Q5_K" if is_70b and chosen in ("Q3_K", "Q4_K") else chosen

    def _value_of_name(self, number: int, *, is_shared: bool) -> str:
        chosen = {
            "Q2_K": "Q4_K" if is_shared else "Q3_K",
            "Q2_K_S": "Q4_K" if is_shared else self._default,
            "IQ3_XXS": "Q4_K" if is_shared else "IQ3_XXS",
            "IQ3_XS": "Q4_K" if is_shared else self._default,
            "IQ3_S": "Q4_K" if is_shared else self._default,
            "IQ3_M": "Q4_K",
            "Q3_K_M": "Q5_K" if number < 2 else "Q4_K",
            "Q3_K_L": "Q5_K",
            "IQ4_NL": "Q5_K" if is_shared else self._default,
            "IQ4_XS": "Q5_K" if is_shared else self._default,
            "Q4_K_S": "Q5_K" if number < 4 else self._default,
        }.get(self._name, self._default)
        if self._name in ("Q4_K_M", "Q5_K_M") and self._has_more_bits(number):
            return "Q6_K"
        return chosen

    def _down(self, layer: int, number: int) -> str:
        layers = self._facts.n_layer_all
        is_early = layer < layers // 8
        if self._name in _SMALL:
            # llama.cpp counts these tensors here, not the layers they are in.
            early = "IQ3_S" if self._name in ("IQ2_S", "IQ2_M") else "Q2_K"
            return early if number < layers // 8 else self._default
        if self._name in ("Q4_K_M", "Q5_K_M"):
            return "Q6_K" if self._has_more_bits(layer) else self._default
        if self._name == "Q3_K_M":
            return "Q5_K" if layer < layers // 16 else "Q4_K"
        early_types = {"Q2_K_S": "Q4_K", "IQ3_M": "Q4_K", "Q4_K_S": "Q5_K"}
        early_types |= {"Q4_0": "Q4_1", "Q5_0": "Q5_1"}
        if is_early and self._name in early_types:
            return early_types[self._name]
        return {"Q2_K": "Q3_K", "Q3_K_L": "Q5_K"}.get(self._name, self._default)

    def _attention_output(self, layer: int) -> str:
        del layer
        return {
            "IQ1_S": "IQ2_XXS",
            "IQ1_M": "IQ2_XXS",
            "IQ2_S": "IQ3_S",
            "IQ2_M": "IQ3_S",
            "Q2_K": "Q3_K",
            "IQ3_XXS": "IQ3_S",
            "Q3_K_M": "Q4_K",
            "Q3_K_L": "Q5_K",
            "IQ3_M": "Q4_K",
        }.get(self._name, self._default)

    def _key_or_query(self, layer: int) -> str:
        del layer
        return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self._name, self._default)

    def _up_or_gate(self, layer: int) -> str:
        layers = self._facts.n_layer_all
        is_inner = layers // 8 <= layer < 7 * layers // 8
        return "IQ3_XXS" if self._name == "IQ3_XS" and is_inner else self._default

    def _has_more_bits(self, layer: int) -> bool:
        """Whether a layer is one of those that ``_M`` mixes spend more on (``use_more_bits``)."""
        eighth = self._facts.n_layer_all // 8
        last = 7 * self._facts.n_layer_all // 8
        return layer < eighth or layer >= last or (layer - eighth) % 3 == 2


def _base_name(quant: str) -> str:
    """Return llama.cpp's name for the mix that comes closest to a publisher's own name."""
    name = quant.upper().removeprefix(_DYNAMIC).removesuffix("_MOE")
    own = _OWN_SIZES.fullmatch(name)
    if own is None:
        return name
    # Q4_K_XL is a publisher's step above Q4_K_M; Q2_K has no letter of its own.
    plain = own[1] or own["same"]
    if plain == "Q8_K":
        return "Q8_0"
    return plain if plain in _STANDARD else f"{plain}_M"


def _default_type(name: str) -> str:
    known = _DEFAULT_TYPES.get(name)
    if known:
        return known
    return name if name in _BLOCKS else name.rpartition("_")[0]


def _is_quantized(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is anything else than 32-bit numbers in a quantized file."""
    if len(shape) < 2 or not name.endswith("weight") or "_norm.weight" in name:
        return False
    # Small ones of DeepSeek V4, which its converter keeps: hyper-connections, positions.
    kept = ("ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "hc_", "_ape.weight")
    return not any(part in name for part in kept)


def _fitting(type_name: str, columns: int) -> str:
    """Return the type, or what stands in where its blocks do not fit into a row."""
    if columns % _BLOCKS[type_name] == 0:
        return type_name
    other = _FALLBACKS.get(type_name, type_name)
    return other if columns % _BLOCKS[other] == 0 else "F16"
