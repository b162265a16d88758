from __future__ import annotations

import dataclasses

import pytest

from app.actions.discover_ranking import (
    FilterFamilies,
    Group,
    Purpose,
    SortFamilies,
    arranged,
    group_of,
    is_shown,
    picks,
    quality,
    released_year,
    worth,
)
from helpers.plan_samples import distill_plan, machine
from models.catalog.card import Card, GgufRepository, Reasoning, ReasoningFacts, SamplingAdvice
from models.planner.compare import Where
from models.planner.plan import SpeedRange
from models.planning.judgement import Judgement


def family(
    card_id: str,
    *,
    billions: float = 7,
    active: float = 0,
    series: str = "R1",
    released: str = "2025-01-20",
    thinks: Reasoning = Reasoning.NONE,
) -> Card:
    return Card(
        card_id=card_id,
        title=f"DeepSeek-{card_id}",
        series=series,
        purpose="For a test.",
        released=released,
        parameters=int(billions * 1e9),
        active_parameters=int((active or billions) * 1e9),
        architecture="qwen2",
        n_ctx_train=131072,
        licence="MIT",
        licence_url="",
        official=f"deepseek-ai/{card_id}",
        gguf=(GgufRepository(f"someone/{card_id}-GGUF"),),
        reasoning=ReasoningFacts(thinks),
        sampling=SamplingAdvice(),
        prompt_format="",
        hyperparameters={},
    )


def judged(card: Card, where: Where, rate: float, *, bits: float = 4.8) -> Judgement:
    plan = distill_plan(machine())
    speed = dataclasses.replace(plan.speed, decode=SpeedRange(rate * 0.9, rate, rate * 1.1))
    plan = dataclasses.replace(plan, speed=speed, fits=where is not Where.NOWHERE)
    return Judgement(card.card_id, where, "Q4_K_M", int(card.parameters * bits / 8), plan, "")


def by_id(*found: Judgement) -> dict[str, Judgement]:
    return {one.card_id: one for one in found}


def test_experts_in_ram_and_layers_in_ram_are_two_things() -> None:
    dense, sparse = family("dense"), family("sparse", billions=671, active=37)
    assert group_of(dense, judged(dense, Where.GPU_AND_RAM, 9)) is Group.LAYERS_IN_RAM
    assert group_of(sparse, judged(sparse, Where.GPU_AND_RAM, 9)) is Group.EXPERTS_IN_RAM
    assert group_of(dense, None) is Group.UNJUDGED
    unknown = Judgement("dense", None, "", 0, None, "Its numbers are not known.")
    assert group_of(dense, unknown) is Group.UNJUDGED


@pytest.mark.parametrize("where", [Where.GPU, Where.RAM, Where.DISK, Where.NOWHERE])
def test_every_other_place_is_a_group_of_its_own(where: Where) -> None:
    card = family("one")
    assert group_of(card, judged(card, where, 9)).value == where.value


def test_larger_and_newer_is_better_and_few_bits_are_worse() -> None:
    old = family("old", released="2023-11")
    new = family("new", released="2025-05")
    assert quality(new) > quality(old)
    assert quality(family("big", billions=14)) == pytest.approx(quality(family("small")) + 1)
    few = judged(new, Where.GPU, 30, bits=2.5)
    assert quality(new, few) == pytest.approx(quality(new) - 1.5)
    assert released_year(family("x", released="soon")) == 2023.0


def test_who_thinks_first_has_to_be_faster() -> None:
    plain = family("plain")
    thinker = family("thinker", thinks=Reasoning.ALWAYS)
    assert worth(plain, judged(plain, Where.GPU, 10)) == quality(plain)
    assert worth(thinker, judged(thinker, Where.GPU, 10)) < quality(thinker)
    assert worth(thinker, judged(thinker, Where.GPU, 20)) == quality(thinker)


def test_picks_are_the_best_a_quick_one_and_one_for_code() -> None:
    best = family("big", billions=32)
    quick = family("small", billions=7)
    coder = family("coder-v2-lite", billions=16, active=2.4, series="Coder")
    huge = family("v3", billions=671, active=37)
    found = by_id(
        judged(best, Where.GPU_AND_RAM, 9),
        judged(quick, Where.GPU, 60),
        judged(coder, Where.GPU, 90),
        judged(huge, Where.DISK, 0.3),
    )
    chosen = picks([huge, coder, quick, best], found)
    assert [(pick.card.card_id, pick.purpose) for pick in chosen] == [
        ("big", Purpose.ANSWERS),
        ("small", Purpose.QUICK),
        ("coder-v2-lite", Purpose.CODE),
    ]


def test_there_is_no_pick_where_nothing_runs() -> None:
    card = family("one")
    slow = by_id(judged(card, Where.DISK, 0.2))
    assert picks([card], slow) == ()
    assert picks([card], by_id(judged(card, Where.NOWHERE, 50))) == ()
    assert picks([card], {}) == ()


def test_a_family_without_files_is_no_pick() -> None:
    card = dataclasses.replace(family("one"), gguf=())
    assert picks([card], by_id(judged(card, Where.GPU, 50))) == ()


def test_groups_come_in_their_order_and_are_sorted() -> None:
    small, large = family("small", billions=2), family("large", billions=14)
    nowhere = family("nowhere", billions=700)
    found = by_id(
        judged(small, Where.GPU, 90),
        judged(large, Where.GPU, 20),
        judged(nowhere, Where.NOWHERE, 1),
    )
    cards = [nowhere, small, large]
    best = arranged(cards, found)
    assert list(best) == [Group.GPU, Group.NOWHERE]
    assert best[Group.GPU] == [large, small]
    for sort in (SortFamilies.FASTEST, SortFamilies.SMALLEST):
        assert arranged(cards, found, sort)[Group.GPU] == [small, large]


def test_search_and_filters() -> None:
    coder = family("coder-33b", series="Coder")
    thinker = family("r1", thinks=Reasoning.ALWAYS)
    fits = judged(thinker, Where.GPU, 30)
    assert is_shown(coder, None, "CODER deep")
    assert not is_shown(thinker, None, "coder")
    assert is_shown(coder, None, "", FilterFamilies.CODE)
    assert not is_shown(thinker, None, "", FilterFamilies.CODE)
    assert is_shown(thinker, None, "", FilterFamilies.THINKS)
    assert not is_shown(coder, None, "", FilterFamilies.THINKS)
    assert is_shown(thinker, fits, "", FilterFamilies.FITS)
    assert not is_shown(thinker, None, "", FilterFamilies.FITS)
    nowhere = judged(coder, Where.NOWHERE, 1)
    assert not is_shown(coder, nowhere, "", FilterFamilies.FITS)


def test_what_was_made_for_one_thing_comes_after_what_one_can_talk_to() -> None:
    prover = family("prover", billions=70, series="Prover")
    coder = family("coder", billions=14, series="Coder")
    general = family("general", billions=2)
    found = by_id(*(judged(card, Where.RAM, 20) for card in (prover, coder, general)))
    cards = [prover, coder, general]
    assert arranged(cards, found)[Group.RAM] == [coder, general, prover]
    assert arranged(cards, found, SortFamilies.NEWEST)[Group.RAM][0] is coder
