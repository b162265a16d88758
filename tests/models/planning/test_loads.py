"""Wishes before a load, and what came of it afterwards: bytes, and speeds that correct the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.gated_planning import GatedPlanning, described_machine
from helpers.tiny_gguf import TinyModel, write_tiny
from models.planner.machine import Machine
from models.planner.plan import Plan
from models.planner.wishes import Wishes
from models.planning.desk import PlannedLoad, PlanningDesk
from models.planning.loads import MEASURED_FILE, Loads
from models.planning.measured import MeasuredStore
from models.planning.open_checkpoint import OpenCheckpoint
from models.runtime.protocol import DeviceMemory, Loaded, LoadSettings, ModelInfo, Usage


@pytest.fixture
def gates(tmp_path: Path) -> GatedPlanning:
    return GatedPlanning(tmp_path / "work", described_machine())


@pytest.fixture
def loads(gates: GatedPlanning, tmp_path: Path) -> Loads:
    def correct(machine: Machine, checkpoint: OpenCheckpoint, plan: Plan) -> Machine:
        return loads.corrected(machine, checkpoint, plan)

    desk = PlanningDesk(lambda: gates, correct=correct)
    loads = Loads(desk, tmp_path, lambda: LoadSettings(n_ctx=1024))
    return loads


@pytest.fixture
def checkpoint_file(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf", TinyModel(architecture="deepseek2"))


def usage_of(planned: PlannedLoad, share: float, *, tokens: int = 100, prompt: int = 0) -> Usage:
    """Return an answer that was so much faster than predicted."""
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=tokens,
        decode_tok_s=share * planned.plan.speed.decode.mid,
        prefill_tok_s=share * planned.plan.speed.prefill.mid,
    )


def test_wishes_are_the_checkpoints_own_else_the_programs(
    loads: Loads, checkpoint_file: Path
) -> None:
    text = str(checkpoint_file)
    assert loads.wishes(text) == Wishes(n_ctx=1024)
    assert loads.plan(checkpoint_file, None).plan.settings.n_ctx == 1024
    loads.keep_wishes(text, Wishes(n_threads=2))
    assert loads.wishes(text) == Wishes(n_threads=2)
    assert loads.wishes(text, n_ctx=512) == Wishes(n_threads=2, n_ctx=512)


def test_real_runs_correct_the_next_prediction(loads: Loads, checkpoint_file: Path) -> None:
    first = loads.plan(checkpoint_file, None)
    loads.keep_run(first, usage_of(first, 0.5, prompt=200))
    second = loads.plan(checkpoint_file, None)
    assert second.plan.settings == first.plan.settings
    assert second.machine.decode_correction == pytest.approx(0.5)
    assert second.machine.prefill_correction == pytest.approx(0.5)
    assert second.plan.speed.decode.mid == pytest.approx(first.plan.speed.decode.mid / 2, rel=0.01)
    # What was predicted with the correction in it, and came true, changes nothing.
    loads.keep_run(second, usage_of(second, 1.0, prompt=200))
    third = loads.plan(checkpoint_file, None)
    assert third.machine.decode_correction == pytest.approx(0.5)


def test_a_few_tokens_say_nothing_of_a_speed(loads: Loads, checkpoint_file: Path) -> None:
    planned = loads.plan(checkpoint_file, None)
    loads.keep_run(planned, usage_of(planned, 0.5, tokens=3, prompt=5))
    assert loads.plan(checkpoint_file, None).machine == planned.machine


def test_measured_bytes_are_written_down(
    loads: Loads, checkpoint_file: Path, tmp_path: Path
) -> None:
    planned = loads.plan(checkpoint_file, None)
    info = ModelInfo(str(checkpoint_file), "Tiny", "deepseek2", 1, 2, 3, 4, 5, "checkpoint", "Q8_0")
    memory = DeviceMemory("CPU", "cpu", 1, 2, 3, 4)
    loads.keep_measured(planned.plan, Loaded(info, (memory,), LoadSettings(), (), 0.5))
    (record,) = MeasuredStore(tmp_path / MEASURED_FILE).records()
    assert record.devices[0].measured.total_bytes == 10
    assert record.settings["n_ctx"] == 1024


def test_a_folder_that_is_gone_keeps_nobody_from_answering(
    gates: GatedPlanning, tmp_path: Path, checkpoint_file: Path
) -> None:
    gone = tmp_path / "file"
    gone.write_text("not a folder", encoding="utf-8")
    loads = Loads(PlanningDesk(lambda: gates), gone / "data", LoadSettings)
    planned = loads.plan(checkpoint_file, None)
    loads.keep_run(planned, usage_of(planned, 0.5))
    loads.keep_wishes(str(checkpoint_file), Wishes())
