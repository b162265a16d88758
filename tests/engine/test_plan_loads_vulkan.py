"""What was planned is what is allocated on Vulkan's software device (llvmpipe).

Runs where llama.cpp was built with Vulkan and a device is there; skipped with the reason elsewhere.
Not run so far: no build of this project's machines had the Vulkan module.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine_process import EngineProcess
from helpers.planned_load import RealPlanner, planned_bytes
from helpers.tiny_gguf import TinyModel, write_tiny
from models.planner.machine import GpuKind
from models.planner.plan import CPU, Override
from models.planner.wishes import Wishes

CHECKPOINTS = {
    "deepseek": TinyModel("deepseek"),
    "deepseek2": TinyModel("deepseek2"),
    "deepseek32": TinyModel("deepseek32"),
    "deepseek4": TinyModel("deepseek4"),
    "llama": TinyModel("llama", quantization="Q4_0"),
}
WISHES = (
    Wishes(n_ctx=512, overrides=()),
    Wishes(n_ctx=1024, n_ubatch=64, type_k="q8_0", type_v="q8_0", overrides=()),
    Wishes(n_ctx=512, overrides=(Override(r"\.ffn_(up|down|gate)(_exps)?\.", CPU),)),
    Wishes(n_ctx=512, n_gpu_layers=2, flash_attn="off", load_mode="none", overrides=()),
)
# A tensor ends where the device's minStorageBufferOffsetAlignment says, which only it knows.
ALIGNMENT_BYTES = 64
# Vulkan computes in an order of its own (``Oracle.approximate_devices``).
COMPUTE_ERROR = 0.25


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with pytest.MonkeyPatch.context() as patch:
        # ggml passes over Vulkan devices that are no hardware unless they are named.
        patch.setenv("GGML_VK_VISIBLE_DEVICES", "0")
        process = EngineProcess()
    try:
        assert process.next_event()["event"] == "hello"
        listed = process.ask("devices")[-1]
        if "Vulkan" not in listed["backends"]:
            pytest.skip("llama.cpp was built without Vulkan")
        if not any(device["backend"] == "Vulkan" for device in listed["devices"]):
            pytest.skip("there is no Vulkan device, not even a software one")
        yield process
    finally:
        assert process.close() == 0


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_load_takes_what_was_planned(engine: EngineProcess, tmp_path: Path, name: str) -> None:
    planner = RealPlanner(engine, tmp_path / "planning")
    path = write_tiny(tmp_path / "tiny.gguf", CHECKPOINTS[name])
    checkpoint = planner.planning.open(str(path))
    machine = planner.planning.machine(path)
    device = next(gpu.device for gpu in machine.gpus if gpu.kind is GpuKind.VULKAN)
    slack_bytes = ALIGNMENT_BYTES * len(checkpoint.shape.tensors)
    with planner.oracle(checkpoint.files, machine) as oracle:
        for wishes in WISHES:
            done = planner.run(checkpoint, machine, wishes, oracle)
            planned, measured = planned_bytes(done.exact), done.measured
            assert set(planned) == set(measured) == {device, CPU}
            for found, real in ((planned[one], measured[one]) for one in measured):
                assert abs(found.weights - real.weights) <= slack_bytes, wishes
                assert abs(found.kv - real.kv) <= slack_bytes, wishes
                assert found.output == real.output
                assert abs(found.compute - real.compute) <= COMPUTE_ERROR * real.compute, wishes
