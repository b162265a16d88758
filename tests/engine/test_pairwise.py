"""The small grid that real loads are tested on leaves out no pair."""

from __future__ import annotations

import itertools

from helpers.pairwise import Case, pairwise

AXES = {"a": (1, 2, 3), "b": ("x", "y"), "c": (True, False), "d": (("k", "v"), ("k", "w"))}


def pairs(cases: tuple[Case, ...]) -> set[tuple[object, ...]]:
    return {pair for case in cases for pair in itertools.combinations(case.items(), 2)}


def test_every_pair_of_values_meets() -> None:
    cases = pairwise(AXES)
    every = tuple(
        dict(zip(AXES, values, strict=True)) for values in itertools.product(*AXES.values())
    )
    assert pairs(cases) == pairs(every)
    assert len(cases) < len(every) / 2


def test_what_may_not_be_is_left_out_and_the_rest_still_meets() -> None:
    def allowed(case: Case) -> bool:
        return not (case["a"] == 1 and case["b"] == "x")

    cases = pairwise(AXES, allowed=allowed)
    assert all(map(allowed, cases))
    assert {(case["a"], case["c"]) for case in cases} == set(
        itertools.product((1, 2, 3), (True, False))
    )


def test_the_same_every_time() -> None:
    assert pairwise(AXES) == pairwise(AXES)
    assert pairwise(AXES, seed=1) != pairwise(AXES, seed=2)
