"""A checkpoint's weights, added up once so that planning takes milliseconds. Pure, no Qt here.

llama.cpp's buffer sizes are sums over tensors of the allocation size, padded to the buffer's
alignment (ggml/src/ggml-alloc.c, ``ggml_backend_alloc_ctx_tensors_from_buft``). Sums per layer and
part are therefore exact, and any placement that moves whole parts is a sum of them.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from models.errors import BadInputError
from models.gguf.shape import ModelShape, Role, Tensor
from models.gguf.types import GGML_TYPES

_T = TypeVar("_T")
# What Python's patterns have and C++'s (ECMAScript) do not, and the other way round.
_FOREIGN = re.compile(r"(?<!\\)\((\?(?![:=!]))|\[[:.=]")
# Patterns that are remembered: enough for a search, few enough to forget.
_MOST_PATTERNS = 4096

_BLOCKS = {kind.name: (kind.block_elements, kind.block_bytes) for kind in GGML_TYPES.values()}


class Part(enum.StrEnum):
    """What is placed as one: the parts of a layer, and what lies outside of layers."""

    ATTENTION = "attention"
    DENSE = "dense"
    SHARED = "shared"
    GATE = "gate"
    UP = "up"
    DOWN = "down"
    INPUT = "input"
    OUTPUT = "output"
    ROPE = "rope"


EXPERT_PARTS = (Part.GATE, Part.UP, Part.DOWN)


@dataclass(frozen=True)
class BufferRule:
    """How a buffer type lays tensors out.

    Attributes:
        align_bytes: every tensor's size is padded to it.
        row_elements: quantized rows are padded to a multiple of it once per tensor, 0: not.
    """

    align_bytes: int
    row_elements: int = 0


def row_bytes(type_name: str, elements: int) -> int:
    """Return the size of a row (``ggml_row_size``); ``elements`` is a multiple of the block."""
    block_elements, block_bytes = _BLOCKS[type_name]
    return elements // block_elements * block_bytes


def is_quantized(type_name: str) -> bool:
    """Whether numbers are stored in blocks."""
    return _BLOCKS[type_name][0] > 1


def allocated_bytes(type_name: str, ne0: int, size_bytes: int, rule: BufferRule) -> int:
    """Return what a tensor takes in a buffer (ggml-cuda.cu, ``get_alloc_size``; ggml-alloc.c)."""
    if rule.row_elements and is_quantized(type_name) and ne0 % rule.row_elements:
        size_bytes += row_bytes(type_name, rule.row_elements - ne0 % rule.row_elements)
    return size_bytes + -size_bytes % rule.align_bytes


def part_of(tensor: Tensor) -> Part:
    """Return what a tensor is placed with."""
    if tensor.name == "rope_freqs.weight":
        return Part.ROPE
    if tensor.layer is None:
        return Part.INPUT if tensor.role is Role.EMBEDDING else Part.OUTPUT
    if tensor.role is Role.ROUTED_EXPERT:
        if "_gate_" in tensor.name:
            # gate and up may be one tensor (ffn_gate_up_exps).
            return Part.GATE
        return Part.DOWN if "_down_" in tensor.name else Part.UP
    if tensor.role is Role.SHARED_EXPERT:
        return Part.SHARED
    return Part.ATTENTION if tensor.role is Role.ATTENTION else Part.DENSE


class Inventory:
    """The weights of one checkpoint by layer, part, type and buffer rule.

    Attributes:
        shape: what was added up.
        layers: per block, its tensors by part.
        outside: the tensors of INPUT, OUTPUT and ROPE.
    """

    def __init__(self, shape: ModelShape) -> None:
        self.shape = shape
        layers: list[dict[Part, list[Tensor]]] = [{} for _ in range(shape.n_layer_all)]
        outside: dict[Part, list[Tensor]] = {}
        for tensor in shape.tensors:
            inside = tensor.layer is not None and tensor.layer < shape.n_layer_all
            home = layers[tensor.layer] if inside and tensor.layer is not None else outside
            home.setdefault(part_of(tensor), []).append(tensor)
        self.layers: tuple[Mapping[Part, tuple[Tensor, ...]], ...] = tuple(
            {part: tuple(tensors) for part, tensors in layer.items()} for layer in layers
        )
        self.outside: Mapping[Part, tuple[Tensor, ...]] = {
            part: tuple(tensors) for part, tensors in outside.items()
        }
        self._sums: dict[BufferRule, tuple[Mapping[Part, int], ...]] = {}
        self._known: dict[Hashable, object] = {}
        self._matches: dict[str, tuple[int, ...]] = {}

    def layer_bytes(self, rule: BufferRule) -> tuple[Mapping[Part, int], ...]:
        """Return, per block, the allocated bytes of each part under a buffer rule."""
        if rule not in self._sums:
            self._sums[rule] = tuple(
                {part: allocated_sum(tensors, rule) for part, tensors in layer.items()}
                for layer in self.layers
            )
        return self._sums[rule]

    def outside_bytes(self, part: Part, rule: BufferRule) -> int:
        """Return the allocated bytes of INPUT, OUTPUT or ROPE under a buffer rule."""
        return allocated_sum(self.outside.get(part, ()), rule)

    def remember(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return what ``make`` works out of these weights, worked out once for every key."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]  # type: ignore[return-value]  # a key has one maker

    def allocated(self, rule: BufferRule) -> tuple[int, ...]:
        """Return, per tensor of the shape, what it takes under a buffer rule."""
        return self.remember(
            ("allocated", rule),
            lambda: tuple(
                allocated_bytes(t.type_name, t.shape[0], t.size_bytes, rule)
                for t in self.shape.tensors
            ),
        )

    def matching(self, pattern: str) -> tuple[int, ...]:
        """Return the indexes of the tensors in whose name a regular expression is found.

        llama.cpp searches with ``std::regex``; what that and Python read differently is refused.

        Raises:
            BadInputError: the pattern is no regular expression, or not one of both languages.
        """
        if pattern not in self._matches:
            search = _compiled(pattern).search
            if len(self._matches) >= _MOST_PATTERNS:
                self._matches.clear()
            self._matches[pattern] = tuple(
                index for index, tensor in enumerate(self.shape.tensors) if search(tensor.name)
            )
        return self._matches[pattern]

    @functools.cached_property
    def parts(self) -> tuple[Part, ...]:
        """What each tensor of the shape is placed with."""
        return tuple(part_of(tensor) for tensor in self.shape.tensors)

    @functools.cached_property
    def embedding_index(self) -> int | None:
        """Index of the token embedding, None in a file without one."""
        names = (tensor.name for tensor in self.shape.tensors)
        return next((i for i, name in enumerate(names) if name == "token_embd.weight"), None)

    @functools.cached_property
    def rope_indexes(self) -> tuple[int, ...]:
        """Indexes of the tensors that every device with layers gets a copy of."""
        return tuple(index for index, part in enumerate(self.parts) if part is Part.ROPE)

    @functools.cached_property
    def expert_layers(self) -> tuple[int, ...]:
        """Blocks with routed experts, MTP blocks not included."""
        return tuple(
            index
            for index, layer in enumerate(self.layers[: self.shape.n_layer])
            if any(part in layer for part in EXPERT_PARTS)
        )


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        if _FOREIGN.search(pattern):
            raise re.error("this construct is not understood by llama.cpp")
        return re.compile(pattern)
    except re.error as error:
        raise BadInputError(
            f"{pattern!r} is not a pattern for tensor names: {error}.",
            hint=r"Patterns are regular expressions, such as blk\.5\.ffn_up_exps.",
        ) from error


def allocated_sum(tensors: tuple[Tensor, ...], rule: BufferRule) -> int:
    """Return what some tensors take together in a buffer."""
    return sum(
        allocated_bytes(tensor.type_name, tensor.shape[0], tensor.size_bytes, rule)
        for tensor in tensors
    )
