"""llama.cpp's account of memory: C++ maps read by their layout, mapped weights folded."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from models.runtime.llama.memory import BufferUse, GnuMap, LlvmMap, fold_mapped, map_nodes


def tree(cls: Any, values: list[int], count: int | None = None) -> tuple[Any, list[Any]]:
    """Return a balanced tree with these buffer types in order, and what must be kept alive."""
    pointer = dict(cls._fields_)["root"]
    kept: list[Any] = []

    def build(part: list[int]) -> Any:
        if not part:
            return pointer()
        middle = len(part) // 2
        left, right = build(part[:middle]), build(part[middle + 1 :])
        node = pointer._type_(left=left, right=right, buft=part[middle], weights=10 * part[middle])
        kept.append(node)
        return ctypes.pointer(node)

    return cls(root=build(values), count=len(values) if count is None else count), kept


@pytest.mark.parametrize("cls", [GnuMap, LlvmMap])
@pytest.mark.parametrize("size", [0, 1, 2, 7])
def test_maps_are_read_in_order(cls: Any, size: int) -> None:
    values = list(range(1, size + 1))
    made, kept = tree(cls, values)
    nodes = map_nodes(made)
    assert nodes is not None
    assert [node.buft for node in nodes] == values
    assert [node.weights for node in nodes] == [10 * value for value in values]
    assert len(kept) == size


@pytest.mark.parametrize("count", [2, 4, 10**9])
def test_what_does_not_look_like_a_map_is_not_believed(count: int) -> None:
    made, kept = tree(GnuMap, [1, 2, 3], count=count)
    assert map_nodes(made) is None
    assert kept


def use(buffer: str, weights: int, compute: int = 0) -> BufferUse:
    return BufferUse(buffer, "CPU", "cpu", weights, 0, compute)


def test_mapped_weights_are_the_cpus() -> None:
    folded = fold_mapped([use("CUDA_Host", 100, 7), use("CPU", 20), use("CPU_REPACK", 5)])
    assert folded == [use("CUDA_Host", 0, 7), use("CPU", 120), use("CPU_REPACK", 5)]


def test_mapped_weights_make_a_buffer_where_there_is_none() -> None:
    assert fold_mapped([use("CUDA_Host", 100)]) == [use("CUDA_Host", 0), use("CPU", 100)]
    assert fold_mapped([use("CUDA_Host", 0)]) == [use("CUDA_Host", 0)]
