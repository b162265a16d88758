"""How much of a checkpoint larger than RAM is found in the page cache. Pure, no Qt here."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BISECTIONS = 200
# llama.cpp advises POSIX_FADV_SEQUENTIAL (llama-mmap.cpp:475), which doubles the system's
# read-ahead; on average a quarter of that window is read beyond the end of a slice.
_WASTED_SHARE = 0.5


def che_hit_ratio(popularity: Sequence[float], capacity: float) -> float:
    """Return the share of requests that a cache of the least recently used kind answers.

    Che's approximation (Che et al.: Hierarchical Web Caching Systems, IEEE JSAC 2002): an
    item stays for one characteristic time T, which is where the expected content fills the cache,
    sum(1 - exp(-p T)) = C; then h = sum(p (1 - exp(-p T))) / sum(p).

    Args:
        popularity: requests per step of every item, at least 0.
        capacity: how many items fit.
    """
    total = math.fsum(popularity)
    wanted = [share for share in popularity if share > 0]
    if capacity <= 0 or total <= 0:
        return 0.0
    if capacity >= len(wanted):
        return 1.0
    low, high = 0.0, 1.0
    while _content(wanted, high) < capacity:
        high *= 2.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if _content(wanted, middle) > capacity:
            high = middle
        else:
            low = middle
    return math.fsum(share * -math.expm1(-share * low) for share in wanted) / total


def _content(popularity: Sequence[float], time: float) -> float:
    return math.fsum(-math.expm1(-share * time) for share in popularity)


def uniform_hit_ratio(cached_bytes: float, total_bytes: float) -> float:
    """Return Che's hit ratio where all items are equally popular: the share that fits."""
    if total_bytes <= 0:
        return 1.0
    return min(1.0, max(0.0, cached_bytes) / total_bytes)


def read_amplification(slice_bytes: float, read_ahead_bytes: int) -> float:
    """Return bytes read from the disk for each byte wanted, when slices are read by page faults.

    Measured on 835 kB slices: 1.02-1.09 with a read-ahead of 128 kB, about 6 with 8 MB (before the
    cache's loss to it, see ``useful_share``); this says 1.08 and 6.0.
    """
    if slice_bytes <= 0:
        return 1.0
    return 1.0 + _WASTED_SHARE * read_ahead_bytes / slice_bytes


def useful_share(amplification: float) -> float:
    """Return the share of the cache that holds what was wanted, not what was read along.

    A little of what is read along is the neighbour's and is used later; a lot of it pushes out
    what would have been found. The square is fitted to the same two measurements: none of the
    cache is lost at 1.08, two thirds at 6.
    """
    lost = 1.0 - 1.0 / max(amplification, 1.0)
    return 1.0 - lost * lost
