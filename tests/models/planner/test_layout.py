"""Layers cut over devices, experts fitted into what is left."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.planner.inventory import EXPERT_PARTS, Part
from models.planner.layout import (
    LayerLoad,
    Layout,
    as_many_as_fit,
    choose_experts,
    overrides_for,
    speed_groups,
    spread,
    spread_experts,
    spread_with_experts,
)

MOE = LayerLoad(10, {Part.GATE: 30, Part.UP: 30, Part.DOWN: 40})
DENSE = LayerLoad(50, {})


def names(layer: int, part: Part) -> str:
    return f"blk.{layer}.ffn_{part.value}_exps.weight"


@settings(deadline=None)
@given(
    loads=st.lists(st.integers(0, 50), min_size=1, max_size=40),
    rooms=st.lists(st.integers(0, 400), min_size=1, max_size=5),
)
def test_a_spread_holds_every_layer_in_order_within_the_rooms(
    loads: list[int], rooms: list[int]
) -> None:
    counts = spread(loads, rooms)
    if counts is None:
        assert sum(loads) > 0
        return
    assert sum(counts) == len(loads)
    start = 0
    for count, room in zip(counts, rooms, strict=True):
        assert sum(loads[start : start + count]) <= room
        start += count


def test_equal_devices_are_filled_alike() -> None:
    assert spread([10] * 12, [1000, 1000, 1000]) == (4, 4, 4)


def test_a_larger_device_takes_more() -> None:
    counts = spread([10] * 30, [400, 200])
    assert counts == (20, 10)


def test_no_room_for_all_is_no_spread() -> None:
    assert spread([10] * 12, [50, 50]) is None


def test_the_end_of_the_row_is_what_fits() -> None:
    # The last three layers are small, the first is not.
    assert as_many_as_fit([100, 10, 10, 10], [25, 15]) == (2, 1)
    assert as_many_as_fit([100], [50]) == (0,)


def test_stretches_count_from_the_first_layer_on_a_device() -> None:
    layout = Layout(5, (3, 2), frozenset())
    assert layout.layers_of(0, n_layer_all=8) == range(4, 7)
    assert layout.layers_of(1, n_layer_all=8) == range(7, 9)


def test_experts_fill_whole_layers_then_single_tensors() -> None:
    chosen = choose_experts([0, 1, 2, 3], [DENSE, MOE, MOE, MOE], 175)
    assert {(1, part) for part in EXPERT_PARTS} <= chosen
    assert {item for item in chosen if item[0] == 2} == {(2, Part.DOWN), (2, Part.GATE)} or {
        item for item in chosen if item[0] == 2
    } == {(2, Part.DOWN), (2, Part.UP)}
    assert not any(layer == 3 for layer, _ in chosen)


def test_no_room_takes_no_expert() -> None:
    assert choose_experts([1], [DENSE, MOE], 20) == frozenset()


def test_a_wished_number_of_layers_is_kept_even_without_room() -> None:
    loads = [DENSE, MOE, MOE, MOE, MOE]
    chosen = spread_experts(3, loads, [range(0, 3), range(3, 6)], [0, 0])
    assert len({layer for layer, _ in chosen}) == 3


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(3, 14), st.sampled_from(EXPERT_PARTS))))
def test_overrides_match_exactly_what_stays_behind(on_gpu: set[tuple[int, Part]]) -> None:
    parts = dict.fromkeys(range(3, 15), EXPERT_PARTS)
    overrides = overrides_for(frozenset(on_gpu), parts)
    assert all(override.device == "CPU" for override in overrides)
    for layer, own in parts.items():
        for part in own:
            hits = [o for o in overrides if re.search(o.pattern, names(layer, part))]
            assert bool(hits) == ((layer, part) not in on_gpu)
            assert len(hits) < 2
    for other in ("blk.3.ffn_down_shexp.weight", "blk.3.ffn_gate_inp.weight", "output.weight"):
        assert not any(re.search(o.pattern, other) for o in overrides)


@pytest.mark.parametrize("layer", [1, 11, 110])
def test_a_pattern_for_one_layer_leaves_longer_numbers_alone(layer: int) -> None:
    parts = {1: EXPERT_PARTS, 11: EXPERT_PARTS, 110: EXPERT_PARTS}
    on_gpu = frozenset((other, part) for other in parts if other != layer for part in EXPERT_PARTS)
    (override,) = overrides_for(on_gpu, parts)
    matched = [other for other in parts if re.search(override.pattern, names(other, Part.GATE))]
    assert matched == [layer]


def test_fused_gate_and_up_follow_the_gate() -> None:
    parts = {0: (Part.GATE, Part.DOWN)}
    (override,) = overrides_for(frozenset({(0, Part.DOWN)}), parts)
    assert re.search(override.pattern, "blk.0.ffn_gate_up_exps.weight")
    assert not re.search(override.pattern, "blk.0.ffn_down_exps.weight")


def test_slower_devices_take_what_the_faster_cannot() -> None:
    loads = [10] * 20
    assert spread(loads, [1000, 1000]) == (10, 10)
    assert spread(loads, [1000, 1000], [1.0, 9.0]) == (0, 20)
    assert spread(loads, [1000, 155], [1.0, 9.0]) == (5, 15)
    # Nearly alike is alike; three of two kinds: the two fast ones share.
    assert spread(loads, [1000, 1000], [9.0, 9.5]) == (10, 10)
    assert spread(loads, [1000, 1000, 1000], [9.0, 1.0, 9.0]) == (10, 0, 10)
    assert spread(loads, [99, 99], [1.0, 9.0]) is None
    assert as_many_as_fit(loads, [99, 55], [1.0, 9.0]) == (9, 5)


def test_speeds_are_grouped_the_fastest_first() -> None:
    assert speed_groups([1.0, 9.0, 8.0, 1.1]) == [[1, 2], [3, 0]]
    assert speed_groups([]) == []


def test_every_device_gets_layers_whose_experts_may_fill_it() -> None:
    # 20 layers without experts and 10 with: by their trunks alone the first two devices of three
    # would get none of the latter, and stay nearly empty.
    loads = [LayerLoad(10, {})] * 20 + [LayerLoad(10, {Part.UP: 60, Part.DOWN: 60})] * 10
    counts = spread_with_experts(loads, [400, 400, 400])
    assert counts is not None
    assert sum(counts) == 30
    first, second, third = counts
    assert first > 20
    assert 3 <= second <= 5
    assert 3 <= third <= 6
    assert spread_with_experts(loads, [100, 100]) is None
    assert spread_with_experts(loads, [400]) == (30,)
