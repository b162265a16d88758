"""What was planned is what is allocated: every architecture, loaded and answering on the CPU.

The plan is by formulas and by llama.cpp's dry run, the load goes through ``load_settings_of`` in a
real engine child, and the figures compared are those of llama.cpp's account of the living context.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine_process import EngineProcess
from helpers.pairwise import Case, pairwise
from helpers.planned_load import (
    PlannedLoad,
    RealPlanner,
    measured_bytes,
    planned_bytes,
    wishes_of,
    without_compute,
)
from helpers.tiny_gguf import TinyModel, write_tiny, write_tiny_shards
from models.planner.wishes import Wishes

CHECKPOINTS = {
    "deepseek": TinyModel("deepseek"),
    "deepseek-repacked": TinyModel("deepseek", quantization="Q4_0"),
    "deepseek2": TinyModel("deepseek2"),
    "deepseek2-repacked": TinyModel("deepseek2", quantization="Q4_0"),
    "deepseek2-without-q-lora": TinyModel("deepseek2", q_lora=False, n_layer=27),
    "deepseek2-before-mla": TinyModel("deepseek2", mla=False),
    "deepseek2-mtp": TinyModel("deepseek2", mtp=True),
    "deepseek2-ocr": TinyModel("deepseek2-ocr"),
    "deepseek2-shards": TinyModel("deepseek2", quantization="Q5_0"),
    "deepseek32": TinyModel("deepseek32"),
    "deepseek32-mtp": TinyModel("deepseek32", mtp=True, quantization="F16"),
    "deepseek4": TinyModel("deepseek4"),
    "llama": TinyModel("llama", quantization="F32"),
    "qwen2": TinyModel("qwen2", quantization="Q4_0"),
    "qwen3": TinyModel("qwen3"),
}
# Of the formulas' compute buffers, for checkpoints this small; docs/planner.md has true sizes.
COMPUTE_ERROR = 0.01
AXES = {
    "checkpoint": tuple(CHECKPOINTS),
    "n_ctx": (512, 1024, 2048),
    "n_ubatch": (32, 256, 512),
    "kv": (("f16", "f16"), ("q8_0", "q8_0"), ("bf16", "bf16")),
    "flash_attn": ("on", "off"),
    "load_mode": ("mmap", "none"),
    "use_extra_bufts": (True, False),
    "n_outputs_max": (1, 24),
}


def may_be(case: Case) -> bool:
    return not (case["kv"][1] == "q8_0" and case["flash_attn"] == "off")


CASES = pairwise(AXES, allowed=may_be)


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        yield process
    finally:
        assert process.close() == 0


def checkpoint_file(name: str, folder: Path) -> Path:
    """Write a checkpoint; of a set any file will do, so the last one is returned."""
    if name.endswith("-shards"):
        return write_tiny_shards(folder, CHECKPOINTS[name])[-1]
    return write_tiny(folder / f"{name}.gguf", CHECKPOINTS[name])


def assert_as_planned(done: PlannedLoad, case: Case) -> None:
    """Compare to the byte; only compute buffers of the formulas may be off."""
    measured = done.measured
    assert planned_bytes(done.exact) == measured, case
    assert done.exact.settings == done.fast.settings
    fast = planned_bytes(done.fast)
    assert without_compute(fast) == without_compute(measured), case
    for device, figures in fast.items():
        error = abs(figures.compute - measured[device].compute)
        assert error <= COMPUTE_ERROR * measured[device].compute, (case, device)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_load_takes_what_was_planned(engine: EngineProcess, tmp_path: Path, name: str) -> None:
    planner = RealPlanner(engine, tmp_path / "planning")
    checkpoint = planner.planning.open(str(checkpoint_file(name, tmp_path)))
    machine = planner.planning.machine(checkpoint.path)
    with planner.oracle(checkpoint.files, machine) as oracle:
        for case in CASES:
            if case["checkpoint"] == name:
                done = planner.run(checkpoint, machine, wishes_of(case), oracle)
                assert_as_planned(done, case)


# --- processors with AMX ------------------------------------------------------------------------

AMX = ("AMX_INT8", "AMX_BF16", "AMX_TILE")
LATENT = (
    "deepseek2-repacked",
    "deepseek2-before-mla",
    "deepseek2-ocr",
    "deepseek32",
    "deepseek4",
)


@pytest.mark.parametrize("name", LATENT)
def test_what_is_planned_for_amx_loads(engine: EngineProcess, tmp_path: Path, name: str) -> None:
    """Rearranged weights and latent attention would end the process there.

    The plan is for this machine's processor with AMX; it is loaded here, in a build whose AMX
    module was left out where its compiler spoils it, and with the plain settings of this machine.
    """
    planner = RealPlanner(engine, tmp_path / "planning")
    checkpoint = planner.planning.open(str(checkpoint_file(name, tmp_path)))
    machine = planner.planning.machine(checkpoint.path)
    cpu = dataclasses.replace(machine.cpu, features=(*machine.cpu.features, *AMX))
    with_amx = dataclasses.replace(machine, cpu=cpu)
    wishes = Wishes(n_ctx=512)
    for described in (with_amx, machine):
        plan = planner.planning.plan(checkpoint, described, wishes)
        exact = planner.planning.verify(checkpoint, described, wishes, plan)
        may_repack = not any(feature.startswith("AMX") for feature in described.cpu.features)
        assert exact.settings.use_extra_bufts == may_repack
        loaded, text = planner.load(checkpoint, machine, exact)
        assert text
        assert planned_bytes(exact) == measured_bytes(loaded.devices)
        assert loaded.warnings == ()
