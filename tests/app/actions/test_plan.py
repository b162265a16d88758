"""Planning a checkpoint: real headers, the real planner, llama.cpp's own account, a real engine."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.actions.load_model import LoadPhase
from app.actions.plan_status import PlanState
from helpers.gated_planning import GIB, described_machine
from helpers.logcheck import LogCheck
from helpers.plan_window import PlanWindow, make_plan_window
from helpers.tiny_gguf import TinyModel, write_text, write_tiny
from models.errors import EngineBusyError, OracleError
from models.planner.machine import Gpu, GpuKind
from models.planner.plan import CPU, Tier
from models.planner.wishes import Wishes
from models.planning.load_plan import load_settings_of
from models.planning.loads import MEASURED_FILE
from models.planning.measured import MeasuredStore
from models.runtime.supervisor import EngineState

PROBLEM_ENGINE = Path(__file__).parents[2] / "helpers" / "problem_engine.py"
Make = Callable[..., PlanWindow]


@pytest.fixture
def make(qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> Iterator[Make]:
    """Build the parts; all of them are closed at the end."""
    windows: list[PlanWindow] = []

    def build(**options: Any) -> PlanWindow:
        windows.append(make_plan_window(qtbot, tmp_path, **options))
        return windows[-1]

    yield build
    for window in windows:
        window.close()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def problem_engine(**script: str) -> list[str]:
    import json

    return [sys.executable, "-S", str(PROBLEM_ENGINE), json.dumps(script)]


def gpu(free_bytes: int = 8 * GIB) -> Gpu:
    return Gpu("CUDA0", "A card", GpuKind.CUDA, 12 * GIB, free_bytes, 400e9, 30e12)


# --- choosing, dragging, verifying --------------------------------------------------------------


def test_a_checkpoint_is_planned_and_then_verified_while_somebody_looks(make: Make) -> None:
    window = make()
    status = window.choose(window.tiny(), watched=True)
    assert status.plan is not None
    assert status.plan.tier is Tier.EXACT
    states = [seen.state for seen in window.seen]
    order = [PlanState.OPENING, PlanState.PLANNING, PlanState.READY, PlanState.VERIFYING]
    assert [state for state in order if state in states] == order
    assert window.gates.count("open") == 1


def test_nothing_is_verified_for_nobody(make: Make) -> None:
    window = make()
    window.choose(window.tiny())
    window.plan.set_wishes(Wishes(n_ctx=1024))
    window.until(lambda: window.runner.is_idle and not window.status.is_busy)
    assert window.gates.count("verify") == 0
    assert window.status.plan.tier is Tier.FAST


def test_a_drag_is_planned_once_for_all_steps_that_came_meanwhile(make: Make) -> None:
    window = make()
    window.choose(window.tiny())
    window.gates.hold("plan")
    before = window.gates.count("plan")
    for n_ctx in range(512, 2048, 64):
        window.plan.set_wishes(Wishes(n_ctx=n_ctx))
    assert window.status.is_stale
    window.gates.let("plan")
    window.until_state(PlanState.READY)
    planned = [wishes.n_ctx for wishes in window.gates.wishes()[before:]]
    # The first step was under way, the last one is what counts: quickly, then thoroughly, or
    # thoroughly at once where that took longer than wishes need to rest.
    assert planned in ([512, 1984, 1984], [512, 1984])
    assert window.status.plan.settings.n_ctx == 1984
    assert not window.status.is_stale


def test_bars_follow_a_drag_before_it_rests(make: Make) -> None:
    window = make()
    window.choose(window.tiny())
    window.seen.clear()
    for n_ctx in (512, 1024, 1536):
        window.plan.set_wishes(Wishes(n_ctx=n_ctx))
        window.until(lambda n_ctx=n_ctx: window.status.plan.settings.n_ctx == n_ctx)
    quick = [seen for seen in window.seen if seen.state is PlanState.PLANNING and seen.plan]
    assert {seen.plan.settings.n_ctx for seen in quick} >= {512, 1024}
    assert window.until_state(PlanState.READY).plan.settings.n_ctx == 1536


def test_what_is_for_an_earlier_choice_is_never_shown(make: Make) -> None:
    window = make()
    first, second = window.tiny("first"), window.tiny("second", TinyModel(architecture="qwen2"))
    window.gates.hold("plan")
    window.plan.choose_entry(first)
    window.until(lambda: window.gates.count("plan") == 1)
    window.plan.choose_entry(second)
    window.seen.clear()
    window.gates.let("plan")
    window.until_state(PlanState.READY)
    assert {seen.title for seen in window.seen} == {"second"}
    assert window.status.checkpoint.shape.architecture == "qwen2"


def test_a_newer_wish_stops_the_verification_and_its_answer_is_dropped(make: Make) -> None:
    window = make()
    window.gates.hold("verify")
    window.plan.watch()
    window.plan.choose_entry(window.tiny())
    window.until_state(PlanState.VERIFYING)
    window.plan.set_wishes(Wishes(n_ctx=768))
    assert window.status.state is PlanState.PLANNING
    window.until(lambda: window.gates.is_stopped)
    window.gates.let("verify")
    status = window.until_state(PlanState.EXACT)
    assert status.plan.settings.n_ctx == 768
    exact = [seen for seen in window.seen if seen.plan and seen.plan.tier is Tier.EXACT]
    assert {seen.plan.settings.n_ctx for seen in exact} == {768}


def test_looking_away_stops_the_verification(make: Make) -> None:
    window = make()
    window.gates.hold("verify")
    window.plan.watch()
    window.plan.choose_entry(window.tiny())
    window.until_state(PlanState.VERIFYING)
    window.plan.unwatch()
    assert window.status.state is PlanState.READY
    window.until(lambda: window.gates.is_stopped)


def test_free_memory_is_read_again_when_somebody_looks(make: Make) -> None:
    window = make(machine=described_machine(gpu(8 * GIB)))
    window.choose(window.tiny())
    window.gates.machine_now = described_machine(gpu(5 * GIB))
    window.plan.watch()
    window.until(lambda: window.status.machine.gpus[0].free_bytes == 5 * GIB)
    device = window.until_state(PlanState.EXACT).plan.memory.devices[0]
    assert (device.name, device.free_bytes) == ("CUDA0", 5 * GIB)


def test_the_end_in_the_middle_of_a_verification_leaves_nothing_behind(make: Make) -> None:
    window = make()
    window.plan.watch()
    window.plan.choose_entry(window.tiny())
    window.until_state(PlanState.VERIFYING)
    window.close()
    assert window.status.state is not PlanState.EXACT
    # Threads and children are looked for by the fixtures.


def test_what_was_checked_stays_while_the_machine_is_what_it_was(make: Make) -> None:
    window = make(machine=described_machine(gpu(8 * GIB)))
    exact = window.choose(window.tiny(), watched=True).plan
    window.plan.unwatch()
    window.gates.machine_now = described_machine(gpu(8 * GIB - (64 << 20)))
    window.plan.watch()
    assert window.until_state(PlanState.EXACT).plan is exact
    assert window.gates.count("verify") == 1
    assert not window.status.is_stale
    window.plan.unwatch()
    window.gates.machine_now = described_machine(gpu(7 * GIB))
    window.plan.watch()
    window.until(lambda: window.gates.count("verify") == 2)
    assert window.until_state(PlanState.EXACT).plan is not exact


def test_a_file_that_is_another_now_is_read_again(make: Make) -> None:
    window = make()
    entry = window.tiny()
    window.choose(entry)
    assert window.status.checkpoint.shape.architecture == "deepseek2"
    write_tiny(entry.path, TinyModel(architecture="qwen2"))
    window.plan.choose_entry(entry)
    window.until(lambda: window.status.checkpoint.shape.architecture == "qwen2")
    assert window.until_state(PlanState.READY).error is None
    entry.path.unlink()
    window.plan.refresh()
    error = window.until_state(PlanState.FAILED).error
    assert error is not None
    assert not window.status.is_refused


def test_llama_cpp_is_not_asked_beside_an_answer(make: Make) -> None:
    window = make()
    window.gates.hold("verify")
    window.plan.watch()
    window.plan.choose_entry(window.tiny())
    window.until_state(PlanState.VERIFYING)
    window.bridge.state_changed.emit(EngineState.GENERATING)
    assert window.status.state is PlanState.READY
    window.until(lambda: window.gates.is_stopped)
    window.gates.let("verify")
    # Wishes are planned beside the answer; only the check waits.
    window.plan.set_wishes(Wishes(n_ctx=768))
    assert window.until_state(PlanState.READY).plan.settings.n_ctx == 768
    window.until(lambda: window.runner.is_idle)
    assert window.gates.count("verify") == 1
    window.bridge.state_changed.emit(EngineState.READY)
    assert window.until_state(PlanState.EXACT).plan.settings.n_ctx == 768


def test_a_plan_that_was_checked_is_kept_by_a_plain_load(make: Make) -> None:
    window = make(gated=False)
    entry = window.tiny()
    exact = window.choose(entry, watched=True).plan
    window.seen.clear()
    window.parts.loader.load(entry)
    window.until(lambda: window.status.measured)
    assert window.status.plan is exact
    assert {seen.state for seen in window.seen} == {PlanState.EXACT}


def test_after_an_unload_the_plan_is_checked(make: Make) -> None:
    window = make(gated=False)
    entry = window.tiny()
    window.parts.loader.load(entry)
    window.until(lambda: window.parts.loader.status.is_ready and window.status.measured)
    window.plan.watch()
    assert window.status.plan.tier is Tier.FAST
    window.parts.loader.unload()
    assert window.until_state(PlanState.EXACT).plan.tier is Tier.EXACT
    assert not window.status.measured


def test_a_row_is_told_what_was_planned_since(make: Make) -> None:
    window = make()
    entry = window.tiny()
    forecasts = window.parts.forecasts
    forecasts.ask(entry)
    window.until(lambda: forecasts.plan(entry))
    window.choose(entry)
    window.plan.set_wishes(Wishes(n_ctx=512))
    window.until(lambda: window.status.state is PlanState.READY)
    assert forecasts.plan(entry) is window.status.plan
    assert forecasts.plan(entry).settings.n_ctx == 512


def test_a_machine_that_cannot_be_read_keeps_the_plan_and_says_why(make: Make) -> None:
    window = make()
    window.choose(window.tiny())
    plan = window.status.plan
    window.gates.failures["machine"] = EngineBusyError("The engine is busy.")
    window.plan.load()
    window.until(lambda: window.status.error is not None)
    assert window.status.plan is plan
    assert not window.status.is_refused
    assert window.status.state is PlanState.READY
    window.gates.failures.clear()
    window.plan.load()
    window.until(lambda: window.parts.loader.status.is_ready)


def test_a_load_that_fails_says_why_beside_the_plan(make: Make) -> None:
    window = make(gated=False)
    entry = window.tiny()
    window.choose(entry)
    entry.path.unlink()
    window.plan.load()
    window.until(lambda: window.parts.loader.status.phase is LoadPhase.FAILED)
    assert window.status.load_error is window.parts.loader.status.error
    assert window.status.load_error is not None
    window.plan.set_wishes(Wishes(n_ctx=512))
    window.until_state(PlanState.READY)
    window.parts.loader.dismiss_error()
    assert window.status.load_error is None


def test_the_load_of_a_plan_can_be_stopped_where_the_plan_is(make: Make) -> None:
    window = make(engine=problem_engine(load="slow"))
    entry = window.tiny()
    window.choose(entry)
    window.plan.load()
    window.until(lambda: window.status.is_loading and window.supervisor.state.value == "loading")
    window.plan.stop_loading()
    assert window.status.is_stopping
    window.until(lambda: not window.status.is_loading)
    assert window.status.load_error is None


# --- fixing and releasing -----------------------------------------------------------------------


def test_what_was_fixed_comes_back_with_the_checkpoint_and_can_be_released(make: Make) -> None:
    first = make()
    entry = first.tiny()
    first.choose(entry)
    first.plan.set_wishes(Wishes(n_ctx=1024, type_k="q8_0", type_v="q8_0"))
    first.until_state(PlanState.READY)
    first.close()
    second = make()
    status = second.choose(entry)
    assert (status.wishes.n_ctx, status.plan.settings.type_k) == (1024, "q8_0")
    second.plan.release("kv")
    assert second.status.wishes == Wishes(n_ctx=1024)
    second.plan.release("all")
    assert second.until_state(PlanState.READY).wishes == Wishes()
    second.close()
    third = make()
    assert third.choose(entry).wishes == Wishes()


def test_the_settings_of_the_program_are_wishes_until_a_checkpoint_has_its_own(make: Make) -> None:
    window = make()
    window.settings.set("engine.n_ctx", 640)
    status = window.choose(window.tiny())
    assert status.wishes == Wishes(n_ctx=640)
    assert status.plan.settings.n_ctx == 640


def test_a_wish_that_cannot_be_had_says_so_and_can_be_released(make: Make) -> None:
    window = make()
    window.choose(window.tiny())
    before = window.status.plan
    window.plan.set_wishes(Wishes(type_k="f16", type_v="q8_0"))
    status = window.until_state(PlanState.FAILED)
    assert status.error is not None
    assert status.plan is before
    assert status.is_refused
    # What is shown is not what is wished: nothing is loaded by it.
    window.plan.load()
    window.until(lambda: window.runner.is_idle)
    assert window.parts.loader.status.phase is LoadPhase.NONE
    window.plan.release("kv")
    assert window.until_state(PlanState.READY).error is None


def test_kept_wishes_that_cannot_be_had_go_with_try_again(make: Make) -> None:
    window = make()
    entry = window.tiny()
    window.parts.loads.keep_wishes(str(entry.path), Wishes(type_k="f16", type_v="q8_0"))
    window.plan.choose_entry(entry)
    window.until_state(PlanState.FAILED)
    window.plan.try_again()
    assert window.until_state(PlanState.READY).wishes == Wishes()


# --- failures -----------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_says_why_and_can_be_tried_again(make: Make) -> None:
    window = make()
    entry = window.tiny()
    write_text(entry.path)
    window.plan.choose_entry(entry)
    status = window.until_state(PlanState.FAILED)
    assert "not a GGUF" in status.error.message
    assert status.plan is None
    write_tiny(entry.path, TinyModel(architecture="deepseek2"))
    window.plan.try_again()
    window.until_state(PlanState.READY)


def test_opening_can_be_given_up(make: Make) -> None:
    window = make()
    window.gates.hold("open")
    window.plan.choose_entry(window.tiny())
    window.until(lambda: window.gates.count("open") == 1)
    window.plan.cancel()
    assert window.status.state is PlanState.NONE
    window.until(lambda: window.runner.is_idle)
    assert window.status.state is PlanState.NONE


def test_figures_by_formulas_stay_when_llama_cpp_cannot_be_asked(make: Make) -> None:
    window = make()
    window.gates.failures["verify"] = OracleError("llama.cpp said no.")
    window.plan.watch()
    window.plan.choose_entry(window.tiny())
    window.until(lambda: window.status.error is not None)
    assert window.status.state is PlanState.READY
    assert window.status.plan.tier is Tier.FAST


# --- loading ------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.parametrize("architecture", ["deepseek2", "qwen2", "deepseek4"])
def test_what_was_planned_is_what_the_engine_holds(make: Make, architecture: str) -> None:
    window = make(gated=False)
    entry = window.tiny(model=TinyModel(architecture=architecture))
    plan = window.choose(entry, watched=True).plan
    window.plan.load()
    window.until(lambda: window.parts.loader.status.is_ready)
    applied = window.parts.loader.status.loaded.settings
    asked = load_settings_of(plan.settings)
    free = {"n_threads", "n_threads_batch"}
    for field in dataclasses.fields(asked):
        if field.name not in free:
            assert getattr(applied, field.name) == getattr(asked, field.name), field.name
    (measured,) = window.status.measured
    assert measured.name == CPU
    assert measured.planned == measured.measured
    window.until(lambda: window.runner.is_idle)
    (record,) = MeasuredStore(window.folder / "data" / MEASURED_FILE).records()
    assert record.devices == (measured,)
    assert record.tier == "exact"


@pytest.mark.model
def test_a_plain_load_follows_a_plan_too(make: Make) -> None:
    window = make(gated=False)
    window.settings.set("engine.n_ctx", 1024)
    window.parts.loader.load(window.tiny())
    window.until(lambda: window.parts.loader.status.is_ready)
    status = window.parts.loader.status
    assert status.planned is not None
    assert status.loaded.settings.n_ctx == 1024
    assert window.status.plan is status.planned.plan
    (measured,) = window.status.measured
    assert measured.planned.weights_bytes == measured.measured.weights_bytes
    assert measured.planned.kv_bytes == measured.measured.kv_bytes


@pytest.mark.model
def test_other_wishes_after_a_load_are_another_plan(make: Make) -> None:
    window = make(gated=False)
    window.choose(window.tiny())
    window.plan.load()
    window.until(lambda: window.status.measured)
    loaded_plan = window.status.plan
    window.plan.set_wishes(Wishes(n_ctx=512))
    status = window.until_state(PlanState.READY)
    assert status.measured == ()
    assert status.is_loaded
    window.plan.set_wishes(Wishes(n_ctx=loaded_plan.settings.n_ctx))
    window.until(lambda: window.status.measured)


def test_load_pressed_while_planning_loads_what_comes_of_it(make: Make) -> None:
    window = make(engine=problem_engine())
    window.choose(window.tiny())
    window.gates.hold("plan")
    window.plan.set_wishes(Wishes(n_ctx=896))
    window.plan.load()
    assert window.parts.loader.status.phase is LoadPhase.NONE
    window.gates.let("plan")
    window.until(lambda: window.parts.loader.status.is_ready)
    assert window.parts.loader.status.planned.plan.settings.n_ctx == 896


def test_a_plan_for_which_the_room_is_gone_is_made_anew_and_not_loaded(make: Make) -> None:
    window = make(machine=described_machine(gpu(8 * GIB)), engine=problem_engine())
    window.choose(window.tiny())
    window.gates.machine_now = described_machine(gpu(GIB // 100))
    window.plan.load()
    window.until(lambda: window.notices)
    assert "Less memory is free" in window.notices[0].text
    window.until_state(PlanState.READY)
    assert window.status.machine.gpus[0].free_bytes == GIB // 100
    assert window.parts.loader.status.phase is LoadPhase.NONE


def test_without_room_the_next_smaller_plan_is_shown_and_not_loaded(make: Make) -> None:
    window = make(
        machine=described_machine(gpu(8 * GIB)), engine=problem_engine(load="out_of_memory")
    )
    entry = window.tiny()
    failed = window.choose(entry).plan
    calls: list[bool] = []
    window.plan.attention_wanted.connect(lambda: calls.append(True))
    window.plan.load()
    window.until(lambda: window.parts.loader.status.phase is LoadPhase.FAILED)
    window.until(lambda: window.status.is_smaller)
    assert calls == [True]
    assert window.parts.loader.status.phase is LoadPhase.FAILED
    plan = window.status.plan
    used = [sum(device.used_bytes for device in one.memory.devices) for one in (failed, plan)]
    assert plan.memory.devices[0].name == "CUDA0"
    assert plan.memory.devices[0].used_bytes < failed.memory.devices[0].used_bytes
    assert used[0] > 0


def test_what_cannot_fit_is_not_even_begun(make: Make) -> None:
    window = make(machine=described_machine(ram_bytes=1 << 20), engine=problem_engine())
    window.parts.loader.load(window.tiny())
    window.until(lambda: window.parts.loader.status.phase is LoadPhase.FAILED)
    status = window.parts.loader.status
    assert "does not fit" in status.error.message
    assert window.supervisor.pid is None
    assert window.status.plan is not None
    assert not window.status.plan.fits


def test_without_a_planner_the_engine_chooses_by_itself(make: Make, allow_logs: LogCheck) -> None:
    allow_logs("Loading without a plan")
    window = make(engine=problem_engine())
    window.gates.failures["plan"] = ZeroDivisionError("a bug of the planner")
    window.parts.loader.load(window.tiny())
    window.until(lambda: window.parts.loader.status.is_ready)
    assert window.parts.loader.status.planned is None


def test_a_load_can_be_stopped_while_it_is_planned(make: Make) -> None:
    window = make(engine=problem_engine())
    window.gates.hold("plan")
    window.parts.loader.load(window.tiny())
    window.until(lambda: window.gates.count("plan") == 1)
    window.parts.loader.cancel()
    assert window.parts.loader.status.phase is LoadPhase.NONE
    window.gates.let("plan")
    window.until(lambda: window.runner.is_idle)
    assert window.parts.loader.status.phase is LoadPhase.NONE
    assert window.supervisor.pid is None
