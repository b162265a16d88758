"""Hit ratios: against a simulated cache, and against what was measured."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.planner.page_cache import (
    che_hit_ratio,
    read_amplification,
    uniform_hit_ratio,
    useful_share,
)


def _simulated(popularity: list[float], capacity: int, seed: int) -> float:
    """Return the hit ratio of a real cache of the least recently used kind."""
    rng = random.Random(seed)
    cache: OrderedDict[int, None] = OrderedDict()
    requests = rng.choices(range(len(popularity)), popularity, k=60_000)
    hits = 0
    for number, item in enumerate(requests):
        if item in cache:
            cache.move_to_end(item)
            hits += number >= 20_000
        else:
            cache[item] = None
            if len(cache) > capacity:
                cache.popitem(last=False)
    return hits / 40_000


@pytest.mark.parametrize("capacity", [20, 100, 250])
def test_against_a_simulated_cache(capacity: int) -> None:
    popularity = [1.0 / (rank + 5) for rank in range(300)]
    assert che_hit_ratio(popularity, capacity) == pytest.approx(
        _simulated(popularity, capacity, seed=7), abs=0.02
    )


def test_equally_popular_items_hit_by_the_share_that_fits() -> None:
    assert che_hit_ratio([0.1] * 200, 50) == pytest.approx(0.25)
    assert uniform_hit_ratio(50, 200) == 0.25


def test_the_ends() -> None:
    assert che_hit_ratio([1.0, 2.0], 0) == 0.0
    assert che_hit_ratio([1.0, 2.0, 0.0], 2) == 1.0
    assert che_hit_ratio([], 5) == che_hit_ratio([0.0], 5) == 0.0
    assert uniform_hit_ratio(5, 0) == 1.0
    assert uniform_hit_ratio(-5, 10) == 0.0
    assert uniform_hit_ratio(20, 10) == 1.0


@given(
    st.lists(st.floats(0.001, 1000.0), min_size=2, max_size=30),
    st.floats(0.1, 29.0),
    st.floats(0.1, 29.0),
)
def test_a_larger_cache_hits_no_less(popularity: list[float], one: float, other: float) -> None:
    small, large = sorted((one, other))
    low, high = che_hit_ratio(popularity, small), che_hit_ratio(popularity, large)
    assert 0.0 <= low <= high + 1e-9 <= 1.0 + 2e-9


def test_read_ahead_against_measurements() -> None:
    """Measured on slices of 835 kB: 1.02-1.09 and, with 8 MB, 5.7-6.9."""
    usual = read_amplification(835_584, 128 * 1024)
    large = read_amplification(835_584, 8 * 1024 * 1024)
    assert 1.02 <= usual <= 1.09
    assert 5.7 <= large <= 6.9
    assert useful_share(usual) > 0.99
    assert useful_share(large) < 0.4
    # 30 MiB of need became 1,033 MiB of reads: 172 MiB touched, 82 % of it held.
    touched, held = 172.0, 0.824
    read = touched * (1 - held * useful_share(large)) * large
    assert read == pytest.approx(1033, rel=0.35)
