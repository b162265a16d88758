"""ggml's best fit on a few steps."""

from __future__ import annotations

from models.planner.compute_allocator import GIVE, SHRINK, TAKE, peak_bytes

SIZES = (100, 40, 60, 10)
BIG, FORTY, SIXTY, TEN = range(4)


def test_what_lives_together_adds_up() -> None:
    assert peak_bytes([(TAKE, 0, BIG), (TAKE, 1, SIXTY)], 2, SIZES) == 160


def test_a_hole_is_used_again() -> None:
    steps = [(TAKE, 0, BIG), (TAKE, 1, TEN), (GIVE, 0, BIG), (TAKE, 2, SIXTY), (TAKE, 3, FORTY)]
    assert peak_bytes(steps, 4, SIZES) == 110


def test_the_smallest_hole_that_fits_is_taken() -> None:
    # Holes of 100 and 60 between guards: the 60 goes into the second, so that the 100 still fits.
    steps = [
        (TAKE, 0, BIG),
        (TAKE, 1, TEN),
        (TAKE, 2, SIXTY),
        (TAKE, 3, TEN),
        (GIVE, 0, BIG),
        (GIVE, 2, SIXTY),
        (TAKE, 4, SIXTY),
        (TAKE, 5, BIG),
    ]
    assert peak_bytes(steps, 6, SIZES) == 180


def test_a_fragment_makes_the_buffer_grow() -> None:
    # 10 of a hole of 100 are taken: the next 100 does not fit any more.
    steps = [
        (TAKE, 0, BIG),
        (TAKE, 1, TEN),
        (GIVE, 0, BIG),
        (TAKE, 2, TEN),
        (TAKE, 3, BIG),
    ]
    assert peak_bytes(steps, 4, SIZES) == 210


def test_neighbours_that_are_given_back_become_one_hole() -> None:
    steps = [
        (TAKE, 0, SIXTY),
        (TAKE, 1, FORTY),
        (TAKE, 2, TEN),
        (GIVE, 0, SIXTY),
        (GIVE, 1, FORTY),
        (TAKE, 3, BIG),
    ]
    assert peak_bytes(steps, 4, SIZES) == 110
    assert peak_bytes([*steps[:3], steps[4], steps[3], steps[5]], 4, SIZES) == 110


def test_the_rest_of_a_shrunk_tensor_is_free() -> None:
    steps = [(TAKE, 0, BIG), (TAKE, 1, TEN), (SHRINK, 0, FORTY), (TAKE, 2, SIXTY)]
    assert peak_bytes(steps, 3, SIZES) == 110
