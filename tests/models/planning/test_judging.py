"""Families and repositories judged before any file is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.described_machines import machine
from models.catalog.card import Card, KnownQuant
from models.catalog.loader import load_catalog
from models.errors import StoppedError
from models.gguf.described_shape import bare_shape, described_shape, extras_of
from models.gguf.shape import ModelShape
from models.hub.quants import QuantFiles
from models.planner.compare import COMFORTABLE_TOK_S, Row, Where, recommended
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.plan import Plan, PlanSettings
from models.planner.solver import solve
from models.planner.wishes import Wishes
from models.planning.judging import USUAL_QUANTS, Judge, judge_card, judge_quants
from models.planning.open_checkpoint import OpenCheckpoint

_CATALOG = load_catalog()
_DESK = machine([12], 64)
_LAPTOP = machine((), 8)
_SERVER = machine([24, 24], 512)
_FREE = Wishes()


class _Planner:
    """The real planner, counting what it is asked."""

    def __init__(self) -> None:
        self.searches = 0

    def plan(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
    ) -> Plan:
        self.searches += near is None
        return solve(Inventory(checkpoint.shape), machine, wishes, near=near)


def test_families_live_where_they_fit() -> None:
    judge = Judge(_Planner())
    wheres = {
        card_id: judge.judge(_CATALOG.card(card_id), _DESK, _FREE).where
        for card_id in ("r1-distill-qwen-7b", "v2-lite", "r1-distill-qwen-32b", "v3.1", "vl2")
    }
    assert wheres == {
        "r1-distill-qwen-7b": Where.GPU,
        # In fewer bits: whole on the card it is several times as fast.
        "v2-lite": Where.GPU,
        "r1-distill-qwen-32b": Where.GPU_AND_RAM,
        "v3.1": Where.DISK,
        "vl2": None,
    }


@pytest.mark.parametrize(
    ("card_id", "where"),
    [
        # Its small files are slower than its larger ones, whose types are lighter to unpack.
        ("r1-0528", _SERVER),
        ("v4-flash", _DESK),
        ("v2", _LAPTOP),
        ("r1-distill-llama-70b", _SERVER),
        ("coder-33b", _DESK),
    ],
)
def test_no_better_quantization_is_overlooked(card_id: str, where: Machine) -> None:
    card = _CATALOG.card(card_id)
    found = judge_card(card, where, _FREE, planning=_Planner())
    names = [KnownQuant(name) for name in USUAL_QUANTS]
    rows = [_row(card, quant, where) for quant in card.quants or names]
    best = recommended(rows)
    assert found.plan is not None
    if best is None:
        assert found.plan.speed.decode.mid == max(row.plan.speed.decode.mid for row in rows)
    else:
        assert (found.quant, found.size_bytes) == (rows[best].name, rows[best].size_bytes)


def test_small_models_keep_four_bits_where_that_is_sensible() -> None:
    slow = machine((), 16)
    slow = replace(slow, ram=replace(slow.ram, bandwidth_bytes_s=2.5e10))
    found = judge_card(_CATALOG.card("r1-distill-qwen-7b"), slow, _FREE, planning=_Planner())
    assert found.plan is not None
    assert found.plan.speed.decode.mid < COMFORTABLE_TOK_S
    assert found.size_bytes * 8 / _CATALOG.card("r1-distill-qwen-7b").parameters > 4


def test_four_bits_from_the_disk_are_no_better_than_fewer_in_memory() -> None:
    found = judge_card(_CATALOG.card("v2-lite"), _LAPTOP, _FREE, planning=_Planner())
    assert found.plan is not None
    assert found.plan.speed.decode.mid > 2
    assert found.size_bytes * 8 / _CATALOG.card("v2-lite").parameters < 4.2


def test_what_cannot_be_run_is_not_judged() -> None:
    for card_id in ("vl2", "ocr"):
        found = judge_card(_CATALOG.card(card_id), _DESK, _FREE, planning=_Planner())
        assert (found.is_judged, found.where, found.quant) == (False, None, "")
        assert found.reason.endswith(".")


@pytest.mark.parametrize(
    "change",
    [
        {"hyperparameters": {}},
        {"architecture": "mamba"},
        {"hyperparameters": {"block_count": 3}},
        {"quants": (KnownQuant("IQ2_KS"),)},
    ],
)
def test_what_is_not_known_is_said_and_not_guessed(change: dict[str, object]) -> None:
    card = replace(_CATALOG.card("llm-7b"), **change)  # type: ignore[arg-type]
    found = judge_card(card, _DESK, _FREE, planning=_Planner())
    assert found.plan is None
    assert found.reason.startswith("Not judged yet")


def test_judging_stops_when_it_is_told_to() -> None:
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(StoppedError):
        judge_card(_CATALOG.card("v3"), _DESK, _FREE, planning=_Planner(), stop=stop)
    with pytest.raises(StoppedError):
        judge_quants(_files(), _llama_8b(), _DESK, _FREE, planning=_Planner(), stop=stop)


def test_the_same_shape_is_planned_once() -> None:
    planner = _Planner()
    judge = Judge(planner)
    first = judge.judge(_CATALOG.card("v2-lite"), _DESK, _FREE)
    searches = planner.searches
    second = judge.judge(_CATALOG.card("coder-v2-lite"), _DESK, _FREE)
    assert planner.searches == searches
    assert (second.card_id, second.quant) == ("coder-v2-lite", first.quant)


def test_another_machine_or_other_wishes_are_judged_anew() -> None:
    planner = _Planner()
    judge = Judge(planner)
    card = _CATALOG.card("r1-distill-qwen-7b")
    assert judge.judge(card, _DESK, _FREE).where is Where.GPU
    judged = planner.searches
    # Memory that comes and goes is no other machine.
    near = replace(_DESK, ram=replace(_DESK.ram, available_bytes=_DESK.ram.available_bytes - 2**26))
    judge.judge(card, near, _FREE)
    assert planner.searches == judged
    assert judge.judge(card, _LAPTOP, _FREE).where is not Where.GPU
    long = judge.judge(card, _LAPTOP, Wishes(n_ctx=512))
    assert long.plan is not None
    assert long.plan.settings.n_ctx == 512


def test_one_quantization_of_a_repository_is_recommended() -> None:
    found = judge_quants(_files(), _llama_8b(), _DESK, _FREE, planning=_Planner())
    names = [one.files.quant for one in found if one.is_recommended]
    assert names == ["Q8_0"]
    assert all(one.plan is not None and not one.reason for one in found)


def test_files_that_lack_parts_are_not_judged() -> None:
    whole, broken = _files()[:2]
    broken = replace(broken, shards=3, missing=1)
    found = judge_quants([whole, broken], _llama_8b(), _DESK, _FREE, planning=_Planner())
    assert found[0].is_recommended
    assert (found[1].plan, found[1].is_recommended) == (None, False)
    assert "missing" in found[1].reason


def test_architectures_without_rules_are_not_judged() -> None:
    other = replace(_llama_8b(), architecture="mamba")
    found = judge_quants(_files(), other, _DESK, _FREE, planning=_Planner())
    assert all(one.plan is None and "mamba" in one.reason for one in found)


def _llama_8b() -> ModelShape:
    card = _CATALOG.card("r1-distill-llama-8b")
    return bare_shape(card.architecture, card.hyperparameters, card.title)


def _files() -> tuple[QuantFiles, ...]:
    """Return a repository's quantizations with sizes as they are on the hub."""
    sizes = {"Q2_K": 3_179_131_616, "UD-Q4_K_XL": 4_993_000_000, "Q8_0": 8_540_770_528}
    return tuple(
        QuantFiles(f"Model-{quant}", quant, size, f"a/b/Model-{quant}.gguf")
        for quant, size in sizes.items()
    )


def _row(card: Card, quant: KnownQuant, where: Machine) -> Row:
    bare = bare_shape(card.architecture, card.hyperparameters)
    shape = described_shape(
        bare, quant.name, extras=extras_of(card.hyperparameters), file_bytes=quant.size_bytes
    )
    return Row(quant.name, shape.file_bytes, solve(Inventory(shape), where, _FREE))
