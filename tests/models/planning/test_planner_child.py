"""The planner in a child: says what the planner says, ends on a word, and is replaced."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import problem_planner
from helpers.described_machines import machine
from helpers.true_scale import true_scale
from models.catalog.loader import load_catalog
from models.errors import InvalidSettingError, PlannerChildError, StoppedError
from models.gguf.described_shape import bare_shape
from models.gguf.shape import ModelShape
from models.gguf.sizing import SizingFacts
from models.hub.quants import QuantFiles
from models.planner.inventory import Inventory
from models.planner.machine import Calibration
from models.planner.plan import CPU, Override
from models.planner.solver import solve
from models.planner.wishes import Wishes
from models.planning.judging import Judge, judge_quants
from models.planning.planner_child import PlannerChild, planner_command
from models.planning.planner_children import PlannerChildren
from models.planning.planner_protocol import SHAPES_KEPT
from models.planning.planner_worker import PlannerWorker, _Formulas
from models.runtime.protocol import decode_line, encode_line, to_json
from models.stopping import never

_CATALOG = load_catalog()
_CARD = _CATALOG.card("r1-distill-qwen-7b")
_DESK = machine([12], 64)
_FREE = Wishes()
# Everything that a machine and wishes can hold, so that nothing is lost on the way.
_MEASURED = replace(
    machine([12, 24], 128),
    calibration=Calibration("2025-01-01", 8, {"Q4_K": 3e10}, {"Q4_K": 2e11}, 1e-4, 2e-5),
    decode_correction=0.9,
)
_FIXED = Wishes(
    n_ctx=8192,
    type_k="q8_0",
    type_v="q8_0",
    overrides=(Override("ffn_down", CPU),),
    gpu_share={"CUDA0": 0.5},
    margin_bytes=1 << 30,
)


@pytest.fixture
def planner() -> Iterator[PlannerChild]:
    child = PlannerChild()
    yield child
    child.close()


@pytest.fixture
def shape() -> ModelShape:
    return true_scale("qwen7-q4km").shape


class _Script:
    """A child that does what a list says."""

    def __init__(self, path: Path, steps: list[str]) -> None:
        self._path = path
        path.write_text(json.dumps(steps))
        helper = str(Path(problem_planner.__file__))
        self.command = [sys.executable, helper, str(path)]

    def seen(self) -> list[str]:
        return self._path.with_name(self._path.name + ".seen").read_text().splitlines()


def test_the_child_says_what_the_planner_says(planner: PlannerChild, shape: ModelShape) -> None:
    inventory = Inventory(shape)
    judged = Judge(_Formulas()).judge(_CARD, _DESK, _FREE)
    assert judged.plan is not None
    assert planner.judge(_CARD, _DESK, _FREE, stop=never) == judged
    first = solve(inventory, _DESK, _FREE)
    assert planner.plan(shape, _DESK, _FREE) == first
    near = first.settings
    assert planner.plan(shape, _DESK, Wishes(n_ctx=4096), near=near) == solve(
        inventory, _DESK, Wishes(n_ctx=4096), near=near
    )
    assert planner.plan(shape, _MEASURED, _FIXED) == solve(inventory, _MEASURED, _FIXED)


@pytest.mark.parametrize("kind", ["shape", "sizing"])
def test_files_are_judged_by_what_sizes_them(planner: PlannerChild, kind: str) -> None:
    bare = bare_shape(_CARD.architecture, _CARD.hyperparameters, _CARD.title)
    facts: ModelShape | SizingFacts = bare
    if kind == "sizing":
        facts = SizingFacts(bare, 339, 1, 4_680_000_000, 65536, is_whole=False)
    quants = (
        QuantFiles("small", "Q4_K_M", 4_680_000_000, "owner/name:Q4_K_M"),
        QuantFiles("broken", "Q8_0", 4_000_000_000, "owner/name:Q8_0", shards=2, missing=1),
    )
    expected = judge_quants(quants, facts, _DESK, _FREE, planning=_Formulas())
    assert expected[0].is_recommended
    assert planner.judge_files(quants, facts, _DESK, _FREE, stop=never) == expected


def test_an_error_of_the_planner_is_the_same_error(
    planner: PlannerChild, shape: ModelShape
) -> None:
    wishes = Wishes(type_k="nonsense")
    with pytest.raises(InvalidSettingError) as here:
        solve(Inventory(shape), _DESK, wishes)
    with pytest.raises(InvalidSettingError) as there:
        planner.plan(shape, _DESK, wishes)
    assert there.value.to_json() == here.value.to_json()


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("abort", "The planner"),
        ("exit", "The planner"),
        ("garbage", "not its protocol"),
        ("wrong_shape", "not its protocol"),
    ],
)
def test_a_child_that_fails_is_replaced(tmp_path: Path, step: str, words: str) -> None:
    script = _Script(tmp_path / "script.json", [step])
    planner = PlannerChild(command=script.command)
    try:
        with pytest.raises(PlannerChildError, match=words):
            planner.judge(_CARD, _DESK, _FREE, stop=never)
        assert planner.judge(_CARD, _DESK, _FREE, stop=never).reason == "Said by the child."
    finally:
        planner.close()


def test_a_child_that_was_ended_while_nobody_asked_costs_no_answer(
    planner: PlannerChild, shape: ModelShape
) -> None:
    first = planner.plan(shape, _DESK, _FREE)
    assert planner._child is not None
    process = planner._child._process
    process.kill()
    process.wait(10)
    assert planner.plan(shape, _DESK, _FREE) == first


def test_it_ends_with_its_input_whatever_it_is_doing() -> None:
    request = encode_line({"op": "judge", "id": 1, **_wire(_CARD, _DESK, _FREE)})
    done = subprocess.run(
        planner_command(in_background=True), input=100 * request, capture_output=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert done.stderr == b""
    assert done.stdout.count(b"\n") < 100


def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    script = _Script(tmp_path / "script.json", ["hang"])
    planner = PlannerChild(command=script.command, timeout_s=0.2)
    try:
        with pytest.raises(PlannerChildError, match="no answer in time"):
            planner.judge(_CARD, _DESK, _FREE, stop=never)
        assert planner._child is None
    finally:
        planner.close()


def test_one_that_cannot_be_started_says_so() -> None:
    planner = PlannerChild(command=["/nowhere/fathom"])
    with pytest.raises(PlannerChildError, match="cannot be started"):
        planner.judge(_CARD, _DESK, _FREE, stop=never)


def test_a_stop_is_passed_on_and_the_child_goes_on(tmp_path: Path) -> None:
    script = _Script(tmp_path / "script.json", ["hang"])
    planner = PlannerChild(command=script.command)
    seen = tmp_path / "script.json.seen"
    try:
        with pytest.raises(StoppedError):
            planner.judge(_CARD, _DESK, _FREE, stop=seen.exists)
        planner.judge(_CARD, _DESK, _FREE, stop=never)
        assert script.seen() == ["judge 1", "cancel 1", "judge 2"]
    finally:
        planner.close()


def test_a_stop_while_a_shape_is_told_leaves_both_sides_with_the_same_shapes(
    tmp_path: Path, shape: ModelShape
) -> None:
    script = _Script(tmp_path / "script.json", ["hang"])
    planner = PlannerChild(command=script.command)
    seen = tmp_path / "script.json.seen"
    try:
        with pytest.raises(StoppedError):
            planner.plan(shape, _DESK, _FREE, stop=seen.exists)
        # Nobody knows what the child had understood by then.
        assert planner._child is None
        assert not planner._shapes
    finally:
        planner.close()


def test_a_cancelled_request_ends_between_two_plans() -> None:
    worker = PlannerWorker()
    request = {"op": "judge", "id": 5, **_wire(_CARD, _DESK, _FREE)}
    event = worker.answer(request, lambda: True)
    assert (event["id"], event["event"], event["code"]) == (5, "error", StoppedError.code)


@pytest.mark.parametrize(
    "request_fields",
    [
        {"op": "dance"},
        {"op": "plan", "number": 3, "machine": {}, "wishes": {}, "near": None},
        {"op": "judge", "card": {}},
        {},
    ],
)
def test_nonsense_is_answered_with_an_error(request_fields: dict[str, Any]) -> None:
    event = PlannerWorker().answer({"id": 1, **request_fields}, never)
    assert (event["id"], event["event"], event["code"]) == (1, "error", "engine_protocol")


def test_a_shape_is_sent_once_and_again_after_many_others(
    planner: PlannerChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = true_scale("qwen7-q4km").shape
    shapes = [replace(bare, name=str(number)) for number in range(SHAPES_KEPT + 1)]
    for one in (shapes[0], shapes[0], *shapes):
        planner.plan(one, _DESK, Wishes(n_ctx=512), near=_near(bare))
    # The first was dropped by both sides, the second is known to both.
    assert [id(one) for one in planner._shapes.values()] == [id(one) for one in shapes[1:]]
    assert planner.plan(shapes[0], _DESK, Wishes(n_ctx=512), near=_near(bare)).settings.n_ctx == 512


def test_rest_ends_the_child_and_the_next_question_starts_one(planner: PlannerChild) -> None:
    planner.judge(_CARD, _DESK, _FREE, stop=never)
    planner.rest()
    assert planner._child is None
    assert planner.judge(_CARD, _DESK, _FREE, stop=never).is_judged


def test_closing_ends_a_question_in_another_thread(tmp_path: Path) -> None:
    script = _Script(tmp_path / "script.json", ["hang"])
    children = PlannerChildren(script.command)
    failures: list[Exception] = []
    is_asking = threading.Event()

    def stop() -> bool:
        is_asking.set()
        return False

    def ask() -> None:
        try:
            children.background.judge(_CARD, _DESK, _FREE, stop=stop)
        except StoppedError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert is_asking.wait(10)
    # Asked for while the other one is busy: they do not wait for each other.
    assert children.now is not children.background
    children.close()
    thread.join(10)
    assert len(failures) == 1
    with pytest.raises(StoppedError):
        children.now.judge(_CARD, _DESK, _FREE, stop=never)


def test_no_number_is_lost_on_the_way() -> None:
    plan = solve(Inventory(true_scale("qwen7-q4km").shape), _DESK, _FREE)
    speed = replace(plan.speed, decode=replace(plan.speed.decode, high=math.inf))
    line = encode_line({"speed": to_json(speed)})
    assert decode_line(line)["speed"]["decode"]["high"] == math.inf


def _near(shape: ModelShape) -> Any:
    return solve(Inventory(shape), _DESK, _FREE).settings


def _wire(*parts: Any) -> dict[str, Any]:
    names = ("card", "machine", "wishes")
    return {name: to_json(part) for name, part in zip(names, parts, strict=True)}
