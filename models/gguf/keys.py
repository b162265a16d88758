"""What a header says about its architecture, each number checked as it is read. No Qt here."""

from __future__ import annotations

from typing import NoReturn

from models.errors import CorruptGgufError
from models.gguf.header import ArrayInfo, GgufHeader, read_array
from models.gguf.source import ByteSource

# LLAMA_MAX_LAYERS in src/llama-hparams.h; a list for each layer is no longer either.
MAX_LAYERS = 512
MAX_U32 = 2**32 - 1


class ArchitectureKeys:
    """Reads the keys that start with the architecture's name.

    Attributes:
        header: where they stand.
        architecture: the prefix, ``deepseek2`` for ``deepseek2.block_count``.

    Every method raises ``CorruptGgufError`` with the key's offset for a value of another type or
    outside of its bounds. ``source`` is needed only for lists that the header's reader did not
    keep.
    """

    def __init__(
        self, header: GgufHeader, architecture: str, source: ByteSource | None = None
    ) -> None:
        self.header = header
        self.architecture = architecture
        self._source = source

    def key(self, name: str) -> str:
        """Return the whole key of ``name``."""
        return f"{self.architecture}.{name}"

    def has(self, name: str) -> bool:
        """Whether the header has the key."""
        return self.key(name) in self.header.metadata

    def given(self, name: str, default: int) -> int:
        """Return a number that may be missing."""
        key = self.key(name)
        if key not in self.header.metadata:
            return default
        value = self.header.integer(key)
        if value is None:
            raise self.error(f"{key} is not a whole number", key)
        if not 0 <= value <= MAX_U32:
            self.refuse(name, value, f"0 to {MAX_U32}")
        return value

    def needed(self, name: str, low: int, high: int) -> int:
        """Return a number that has to be there."""
        key = self.key(name)
        if key not in self.header.metadata:
            raise self.error(f"it lacks {key}")
        value = self.given(name, 0)
        if not low <= value <= high:
            self.refuse(name, value, f"{low} to {high}")
        return value

    def per_layer(self, name: str, layers: int) -> tuple[int, ...]:
        """Return one number for all layers, a number for each layer, or nothing."""
        value = self.header.metadata.get(self.key(name))
        if not isinstance(value, ArrayInfo):
            return () if value is None else (self.given(name, 0),)
        elements = value.values or ()
        if value.values is None and self._source is not None:
            elements = read_array(self._source, value, limit=MAX_LAYERS) or ()
        numbers = tuple(element for element in elements if isinstance(element, int))
        if not numbers or len(numbers) != value.count or not 0 <= min(numbers) <= MAX_U32:
            self.refuse(name, f"a list of {value.count:,}", f"{layers} numbers")
        return numbers

    def largest(self, name: str, layers: int, default: int) -> int:
        """Return the largest of a number for each layer, or the one number for all."""
        return max(self.per_layer(name, layers), default=default)

    def head_size(self, name: str) -> int:
        """Return a head's size: as given, or the embedding over the heads."""
        embedding = self.given("embedding_length", 0)
        heads = self.per_layer("attention.head_count", MAX_LAYERS)
        return self.given(name, embedding // heads[0] if heads and heads[0] else embedding)

    def refuse(self, name: str, value: object, expected: str) -> NoReturn:
        """Raise for a value that cannot be true."""
        key = self.key(name)
        raise self.error(f"{key} is {value}, expected {expected}", key)

    def error(self, what: str, key: str = "") -> CorruptGgufError:
        """Return the error for ``what``; ``key`` says where."""
        return CorruptGgufError(
            f"{self.header.name} cannot be run: {what}.",
            offset=self.header.offset_of(key),
            hint="Look for another file of the model.",
        )
