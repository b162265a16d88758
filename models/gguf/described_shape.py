"""A checkpoint that is only described: its shape from a few numbers and a quantization. No Qt here.

The planner takes it like one read from a file: names and shapes of the tensors are exact, their
types are llama.cpp's standard mix, or fitted to a file's size where that is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.errors import InvalidSettingError
from models.gguf.described_tensors import Extras, can_describe, describe_tensors
from models.gguf.header import ArrayInfo, GgufHeader, Value
from models.gguf.hyperparameters import ARCHITECTURE_KEY, read_hyperparameters
from models.gguf.quant_mix import MixFacts, QuantMix, bits_per_weight, is_standard
from models.gguf.roles import role_of, split_block
from models.gguf.shape import ModelShape, Role, Tensor
from models.gguf.sizing import SizingFacts
from models.gguf.types import GGML_TYPES

Number = int | float | str | tuple[int, ...]

_ALIGNMENT = 32
# Token, merge and type of one entry of the vocabulary, measured over DeepSeek's tokenizers.
_HEADER_BYTES_PER_TOKEN = 42
# What a tensor's entry takes in the header, about.
_HEADER_BYTES_PER_TENSOR = 72
# A file whose size differs by less is taken for the standard mix.
_SAME_SIZE = 0.004
# Types that the bulk of a file is in, by size, for files that are no standard mix.
_LADDER = (
    *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "Q3_K", "IQ4_XS"),
    *("Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16"),
)
_STAND_IN = "Q4_K_M"
_EXPERTS_OF_V3 = 256
_BLOCKS = {kind.name: (kind.block_elements, kind.block_bytes) for kind in GGML_TYPES.values()}


def bare_shape(architecture: str, numbers: Mapping[str, Number], name: str = "") -> ModelShape:
    """Return the shape without tensors that a header with these keys would have.

    Args:
        architecture: llama.cpp's name.
        numbers: GGUF keys without the architecture; a tuple for a number for each layer.
        name: of the model.

    Raises:
        CorruptGgufError: a number is missing or cannot be true.
    """
    metadata: dict[str, Value] = {ARCHITECTURE_KEY: architecture}
    for key, value in numbers.items():
        metadata[f"{architecture}.{key}"] = (
            ArrayInfo("u32", len(value), 0, value) if isinstance(value, tuple) else value
        )
    header = GgufHeader(
        version=3,
        metadata=metadata,
        tensors=(),
        data_offset=0,
        alignment=_ALIGNMENT,
        file_bytes=0,
        name=name or architecture,
    )
    return read_hyperparameters(header).bare_shape(header.name, "")


def extras_of(numbers: Mapping[str, Number]) -> Extras:
    """Return what ``ModelShape`` has no field for, from GGUF keys without the architecture."""
    usual = Extras()
    key_length = _whole(numbers, "attention.key_length_mla", 0)
    rope = _whole(numbers, "rope.dimension_count", 0)
    return Extras(
        nope_length=max(key_length - rope, 0),
        output_groups=_whole(numbers, "attention.output_group_count", usual.output_groups),
        output_rank=_whole(numbers, "attention.output_lora_rank", usual.output_rank),
        hash_layers=_whole(numbers, "hash_layer_count", usual.hash_layers),
        # Sigmoid gating came with the bias (DeepSeek V3).
        has_expert_bias=_whole(numbers, "expert_gating_func", 2) != 1,
    )


def described_shape(
    facts: ModelShape | SizingFacts,
    quant: str,
    *,
    extras: Extras | None = None,
    file_bytes: int = 0,
) -> ModelShape:
    """Return the shape of a checkpoint that was not read, as ``Description.shape``.

    Raises:
        InvalidSettingError: the architecture or the quantization is not known here.
    """
    return Description(facts, extras=extras).shape(quant, file_bytes=file_bytes)


class Description:
    """A model without a file, for as many quantizations of it as are asked for."""

    def __init__(self, facts: ModelShape | SizingFacts, *, extras: Extras | None = None) -> None:
        """Work out which tensors the model has.

        Args:
            facts: the model's numbers; tensors that it may have are not looked at.
            extras: what ``facts`` cannot say; None: guessed from it.

        Raises:
            InvalidSettingError: the architecture is not known here.
        """
        bare = facts.shape if isinstance(facts, SizingFacts) else facts
        if bare is None or not can_describe(bare.architecture) or not bare.n_vocab:
            what = bare.architecture if bare else "that needs more than the start of its file"
            raise InvalidSettingError(f"The tensors of a checkpoint ({what}) cannot be foretold.")
        extras = extras or _guessed_extras(bare)
        self._bare = bare
        self._mix_facts = _mix_facts(bare, extras)
        self._outlines = tuple(
            _outline(name, shape, bare.n_layer) for name, shape in describe_tensors(bare, extras)
        )

    @property
    def parameters(self) -> int:
        """How many numbers all tensors have."""
        return sum(outline.elements for outline in self._outlines)

    def shape(self, quant: str, *, file_bytes: int = 0) -> ModelShape:
        """Return the shape in a quantization.

        Args:
            quant: its name. One that is no standard mix needs ``file_bytes``.
            file_bytes: of all files, 0 when not known. Where the standard mix has another size,
                the types of most weights are chosen so that the sum is right.

        Raises:
            InvalidSettingError: the quantization is not known here.
        """
        if not is_standard(quant) and not file_bytes:
            raise InvalidSettingError(f'"{quant}" is no quantization whose size can be foretold.')
        mix = QuantMix(quant if is_standard(quant) else _STAND_IN, self._mix_facts)
        tensors = tuple(outline.typed(mix) for outline in self._outlines)
        header_bytes = _header_bytes(self._bare, len(tensors))
        if file_bytes:
            tensors = _fitted(tensors, file_bytes - header_bytes)
        return _with_tensors(self._bare, quant, tensors, header_bytes, file_bytes)


@dataclass(frozen=True, slots=True)
class _Outline:
    """A tensor without a type."""

    name: str
    shape: tuple[int, ...]
    layer: int | None
    role: Role
    elements: int

    def typed(self, mix: QuantMix) -> Tensor:
        type_name = mix.type_of(self.name, self.shape, self.layer)
        size_bytes = _size_bytes(type_name, self.elements)
        return Tensor(self.name, self.role, self.layer, type_name, self.shape, size_bytes)


def _outline(name: str, shape: tuple[int, ...], trunk: int) -> _Outline:
    layer, _ = split_block(name)
    role = Role.MTP if layer is not None and layer >= trunk else role_of(name)
    return _Outline(name, shape, layer, role, math.prod(shape))


def _whole(numbers: Mapping[str, Number], key: str, default: int) -> int:
    value = numbers.get(key, default)
    return value if isinstance(value, int) else default


def _guessed_extras(bare: ModelShape) -> Extras:
    # V2, whose experts have no bias, has fewer of them than V3.
    return Extras(has_expert_bias=bare.n_expert >= _EXPERTS_OF_V3)


def _mix_facts(bare: ModelShape, extras: Extras) -> MixFacts:
    kv_heads = max(bare.kv.n_head_kv, default=1) or 1
    return MixFacts(
        architecture=bare.architecture,
        n_layer_all=bare.n_layer_all,
        n_gqa=bare.n_head // kv_heads,
        n_expert=bare.n_expert,
        has_output=extras.has_output,
    )


def _size_bytes(type_name: str, elements: int) -> int:
    block_elements, block_bytes = _BLOCKS[type_name]
    return elements // block_elements * block_bytes


def _fitted(tensors: tuple[Tensor, ...], wanted_bytes: int) -> tuple[Tensor, ...]:
    """Return the tensors with the bulk's types chosen so that all take ``wanted_bytes``."""
    total = sum(tensor.size_bytes for tensor in tensors)
    if abs(total - wanted_bytes) <= _SAME_SIZE * wanted_bytes:
        return tensors
    bulk = _bulk(tensors)
    rest = total - sum(tensor.size_bytes for tensor in bulk)
    bits = 8 * (wanted_bytes - rest) / max(sum(tensor.elements for tensor in bulk), 1)
    lower = [name for name in _LADDER if bits_per_weight(name) <= bits]
    upper = [name for name in _LADDER if bits_per_weight(name) > bits]
    low, high = (lower or upper)[-1 if lower else 0], (upper or lower)[0 if upper else -1]
    missing = wanted_bytes - rest - sum(_retyped(tensor, low).size_bytes for tensor in bulk)
    chosen: dict[str, Tensor] = {}
    for tensor in bulk:
        small, large = _retyped(tensor, low), _retyped(tensor, high)
        step = large.size_bytes - small.size_bytes
        takes_more = missing >= step / 2 > 0
        missing -= step if takes_more else 0
        chosen[tensor.name] = large if takes_more else small
    return tuple(chosen.get(tensor.name, tensor) for tensor in tensors)


def _bulk(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return what most bytes are in: the routed experts, else all weights of the layers."""
    routed = tuple(tensor for tensor in tensors if tensor.role is Role.ROUTED_EXPERT)
    if routed:
        return routed
    roles = (Role.ATTENTION, Role.DENSE_FFN)
    return tuple(
        tensor
        for tensor in tensors
        if tensor.role in roles and len(tensor.shape) > 1 and tensor.type_name != "F32"
    )


def _retyped(tensor: Tensor, type_name: str) -> Tensor:
    if tensor.shape[0] % _BLOCKS[type_name][0]:
        return tensor
    size_bytes = _size_bytes(type_name, tensor.elements)
    return replace(tensor, type_name=type_name, size_bytes=size_bytes)


def _header_bytes(bare: ModelShape, n_tensors: int) -> int:
    size = bare.n_vocab * _HEADER_BYTES_PER_TOKEN + n_tensors * _HEADER_BYTES_PER_TENSOR
    return size + -size % _ALIGNMENT


def _with_tensors(
    bare: ModelShape,
    quant: str,
    tensors: tuple[Tensor, ...],
    header_bytes: int,
    file_bytes: int,
) -> ModelShape:
    offsets, end = [], header_bytes
    for tensor in tensors:
        offsets.append((0, end))
        end += tensor.size_bytes + -tensor.size_bytes % _ALIGNMENT
    size = file_bytes or end
    return replace(
        bare,
        quantization=quant,
        file_bytes=size,
        shard_bytes=(size,),
        data_spans=((header_bytes, end),),
        tensors=tensors,
        tensor_offsets=tuple(offsets),
    )
