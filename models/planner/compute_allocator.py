"""ggml's graph allocator on recorded steps: how large a compute buffer gets. Pure, no Qt here.

Source: ggml/src/ggml-alloc.c, ``ggml_dyn_tallocr_alloc`` (:208) and ``_free_bytes`` (:322): best
fit over the free blocks by address, the open end last.
"""

from __future__ import annotations

from collections.abc import Sequence

# A step is (kind, slot, size index): take a slot, give it back, or give back all but the start.
TAKE, GIVE, SHRINK = 0, 1, 2
Step = tuple[int, int, int]

_OPEN_END = 1 << 62


def peak_bytes(steps: Sequence[Step], n_slots: int, sizes: Sequence[int]) -> int:
    """Return the size of the buffer after all steps.

    Args:
        steps: in the order of the graph.
        n_slots: how many slots the steps name.
        sizes: bytes by size index, padded to the buffer's alignment.
    """
    starts, lengths = [0], [_OPEN_END]
    address, held = [0] * n_slots, [0] * n_slots
    peak = 0
    for kind, slot, size_index in steps:
        size = sizes[size_index]
        if kind == TAKE:
            best, best_length = len(starts) - 1, _OPEN_END
            for index in range(best):
                length = lengths[index]
                if size <= length <= best_length:
                    best, best_length = index, length
            start = starts[best]
            address[slot], held[slot] = start, size
            if lengths[best] == size:
                del starts[best], lengths[best]
            else:
                starts[best] = start + size
                lengths[best] -= size
            peak = max(peak, start + size)
            continue
        if kind == GIVE:
            start, size = address[slot], held[slot]
        else:
            start, size = address[slot] + size, held[slot] - size
            if size <= 0:
                continue
            held[slot] -= size
        _give_back(starts, lengths, start, size)
    return peak


def _give_back(starts: list[int], lengths: list[int], start: int, size: int) -> None:
    end = start + size
    for index, block in enumerate(starts):
        if block + lengths[index] == start:
            lengths[index] += size
            if index + 1 < len(starts) and starts[index + 1] == end:
                lengths[index] += lengths[index + 1]
                del starts[index + 1], lengths[index + 1]
            return
        if block == end:
            starts[index] = start
            lengths[index] += size
            return
        if block > start:
            starts.insert(index, start)
            lengths.insert(index, size)
            return
    starts.append(start)
    lengths.append(size)
