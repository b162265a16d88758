"""A small grid that leaves out no pair: every two values of two axes meet in some case."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Case = dict[str, Any]
_TRIES = 60


def pairwise(
    axes: Mapping[str, Sequence[Any]],
    *,
    allowed: Callable[[Case], bool] = lambda _case: True,
    seed: int = 0,
) -> tuple[Case, ...]:
    """Return cases such that every pair of values that may meet does so; the same every time.

    Greedy: each case is the best of some random ones. Not the smallest grid there is.

    Args:
        axes: the values of every axis, hashable.
        allowed: whether a case may be; asked with complete ones.
        seed: of the random choice.
    """
    rng = random.Random(seed)
    names = list(axes)
    missing = {
        ((one, x), (other, y))
        for one, other in itertools.combinations(names, 2)
        for x in axes[one]
        for y in axes[other]
    }
    cases: list[Case] = []
    while missing:
        wanted = min(missing, key=str)  # any, but the same every time
        best: Case | None = None
        gain = 0
        for _ in range(_TRIES):
            case = {name: rng.choice(axes[name]) for name in names} | dict(wanted)
            found = len(_pairs(case) & missing) if allowed(case) else 0
            if found > gain:
                best, gain = case, found
        if best is None:
            missing.discard(wanted)  # the two may not meet
            continue
        cases.append(best)
        missing -= _pairs(best)
    return tuple(cases)


def _pairs(case: Case) -> set[tuple[tuple[str, Any], tuple[str, Any]]]:
    return set(itertools.combinations(case.items(), 2))
