"""Estimated compute buffers against llama.cpp's own figures, recorded and live.

tests/data/compute/cases.json says with which command it was made; benchmarks/compute_error.py does
the same over thousands of cases.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.compute_cases import CaseError, compare_compute, random_machine, random_plan
from helpers.placement_cases import AVX2_CPU, machine_of
from helpers.tiny_gguf import TinyModel, write_tiny
from helpers.true_scale import NAMES, true_scale
from models.errors import OracleError
from models.planner.compute import ERROR_BOUND, compute_bytes
from models.planner.compute_layers import UnknownGraphError
from models.planner.inventory import Inventory
from models.planner.machine import Cpu, Disk, Gpu, GpuKind, Machine, Ram
from models.planner.placement import place
from models.planner.plan import CPU, BufferBytes, Override, PlanSettings
from models.planning.local_files import open_local
from models.runtime.oracle import Oracle
from models.stopping import never

MIB = 2**20
RECORDED = json.loads(
    (Path(__file__).resolve().parents[2] / "data" / "compute" / "cases.json").read_text()
)["cases"]
EXPERTS_ON_CPU = (Override(r"\.ffn_(up|down|gate)_exps", CPU),)
TINY = {
    "deepseek": TinyModel("deepseek"),
    "deepseek2": TinyModel("deepseek2"),
    "deepseek2-before-mla": TinyModel("deepseek2", mla=False),
    "deepseek2-without-q-lora": TinyModel("deepseek2", n_layer=27, q_lora=False),
    "deepseek2-mtp": TinyModel("deepseek2", mtp=True),
    "deepseek2-ocr": TinyModel("deepseek2-ocr"),
    "deepseek32-mtp": TinyModel("deepseek32", mtp=True),
    "deepseek4": TinyModel("deepseek4", quantization="Q4_0"),
    "llama": TinyModel("llama", quantization="Q4_0"),
    "qwen2": TinyModel("qwen2"),
    "qwen3": TinyModel("qwen3"),
}


@functools.cache
def inventory_of(name: str) -> Inventory:
    return Inventory(true_scale(name).shape)


def machine_from(case: Mapping[str, Any]) -> Machine:
    gpus = (Gpu(**{**gpu, "kind": GpuKind(gpu["kind"])}) for gpu in case["gpus"])
    cpu = Cpu(16, tuple(case["cpu_features"]))
    return Machine(tuple(gpus), Ram(512 * 2**30, 500 * 2**30), Disk(), cpu)


def settings_from(given: Mapping[str, Any]) -> PlanSettings:
    overrides = tuple(Override(**override) for override in given["overrides"])
    lists = {name: tuple(given[name]) for name in ("devices", "tensor_split")}
    return PlanSettings(**{**given, **lists, "overrides": overrides})


def errors_of(case: Mapping[str, Any]) -> list[CaseError]:
    actual = [BufferBytes(**buffer) for buffer in case["buffers"]]
    inventory = inventory_of(case["checkpoint"])
    return compare_compute(inventory, machine_from(case), settings_from(case["settings"]), actual)


def too_low(errors: Sequence[CaseError]) -> list[CaseError]:
    """Return the estimates that would let a plan overflow a device."""
    return [
        error
        for error in errors
        if -error.off_bytes > ERROR_BOUND.allowed_bytes(error.total_bytes, is_gpu=error.is_gpu)
    ]


def estimate(name: str, kinds: Sequence[GpuKind], **changes: Any) -> dict[str, int]:
    """Return the compute buffers of V3 and others with all layers on the GPUs."""
    machine = machine_of(kinds, features=AVX2_CPU, rng=random.Random(4))
    machine = dataclasses.replace(
        machine,
        gpus=tuple(dataclasses.replace(gpu, is_unified=False) for gpu in machine.gpus),
    )
    inventory = inventory_of(name)
    settings = dataclasses.replace(
        PlanSettings(
            n_ctx=4096,
            n_gpu_layers=inventory.shape.n_layer_all + 1,
            devices=tuple(gpu.device for gpu in machine.gpus),
            load_mode="none",
        ),
        **changes,
    )
    placement = place(inventory, machine, settings)
    return dict(compute_bytes(inventory, machine, settings, placement))


@pytest.mark.parametrize("name", NAMES)
def test_recorded_figures_of_llama_cpp(name: str) -> None:
    errors = [error for case in RECORDED if case["checkpoint"] == name for error in errors_of(case)]
    assert len(errors) >= 3
    assert too_low(errors) == []
    shares = sorted(abs(error.share) for error in errors)
    assert shares[len(shares) // 2] < 0.005


def test_most_recorded_figures_are_met_to_the_mebibyte() -> None:
    errors = [error for case in RECORDED for error in errors_of(case)]
    exact = sum(abs(error.off_bytes) < MIB for error in errors)
    assert exact > 0.85 * len(errors)


def test_experts_in_ram_are_staged_on_the_first_gpu() -> None:
    # planner.md 1.4: V3 Q4_K_M, 4k: 3,148 MiB on one GPU, 430 without op_offload, 26 with 31 rows.
    one = [GpuKind.CUDA]
    staged = estimate("v3-q4km", one, overrides=EXPERTS_ON_CPU)["CUDA0"]
    plain = estimate("v3-q4km", one, overrides=EXPERTS_ON_CPU, op_offload=False)["CUDA0"]
    few = estimate("v3-q4km", one, overrides=EXPERTS_ON_CPU, n_ubatch=31)["CUDA0"]
    assert staged // MIB == pytest.approx(3148, abs=40)
    assert plain // MIB == pytest.approx(430, abs=40)
    assert few // MIB == pytest.approx(26, abs=3)


def test_two_gpus_stage_two_tensors_on_the_first() -> None:
    sizes = estimate("v3-q4km", [GpuKind.CUDA] * 2, overrides=EXPERTS_ON_CPU)
    assert sizes["CUDA0"] // MIB == pytest.approx(4970, abs=60)
    assert sizes["CUDA1"] < 600 * MIB


def test_an_rpc_host_takes_no_experts_from_ram() -> None:
    sizes = estimate("v3-q4km", [GpuKind.RPC], overrides=EXPERTS_ON_CPU)
    assert sizes["RPC0"] < 600 * MIB


def test_repacked_experts_are_not_staged() -> None:
    # Gate and up are Q4_K, which AVX2 repacks; without a host buffer nothing keeps it from that.
    overrides = (Override(r"\.ffn_(up|gate)_exps", CPU),)
    sizes = estimate("v3-q4km", [GpuKind.CUDA], overrides=overrides, no_host=True)
    staged = estimate("v3-q4km", [GpuKind.CUDA], overrides=overrides)
    assert sizes["CUDA0"] < staged["CUDA0"] - 1024 * MIB


def test_fewer_outputs_need_fewer_logits() -> None:
    many = estimate("llama8-q4km", [], n_outputs_max=512)[CPU]
    one = estimate("llama8-q4km", [], n_outputs_max=1)[CPU]
    assert many - one > 100 * MIB


def test_attention_without_flash_holds_all_scores() -> None:
    changes = {"n_ctx": 32768, "flash_attn": "off"}
    sizes = estimate("v3-q4km", [GpuKind.CUDA], **changes)
    # 512 tokens * 32768 cells * 128 heads as f32.
    assert sizes["CUDA0"] > 8192 * MIB


def test_cuda_keeps_a_half_precision_copy_of_a_quantized_cache() -> None:
    gpu = [GpuKind.CUDA]
    plain = estimate("qwen7-q4km", gpu, n_ctx=524288)["CUDA0"]
    quantized = estimate("qwen7-q4km", gpu, n_ctx=524288, type_k="q8_0", type_v="q8_0")["CUDA0"]
    # K and V of one layer: 4 heads of 128 each; a part of it finds room that was free anyway.
    assert quantized - plain > 524288 * 2 * 4 * 128 * 2 * 0.85


def test_a_file_from_before_mla_has_no_flash_kernel_on_cuda() -> None:
    asked = estimate("v3-legacy-q4km", [GpuKind.CUDA], flash_attn="auto")
    without = estimate("v3-legacy-q4km", [GpuKind.CUDA], flash_attn="off")
    assert asked["CUDA0"] >= without["CUDA0"] > 1024 * MIB


def test_estimates_repeat() -> None:
    first = estimate("v4f-mxfp4", [GpuKind.CUDA, GpuKind.RPC])
    assert first == estimate("v4f-mxfp4", [GpuKind.CUDA, GpuKind.RPC])
    assert set(first) == {"RPC0", "CUDA0", CPU}


def test_a_checkpoint_of_unknown_build_is_refused() -> None:
    shape = true_scale("qwen7-q4km").shape
    tensors = tuple(
        dataclasses.replace(tensor, name=tensor.name.replace("attn_norm", "strange"))
        for tensor in shape.tensors
    )
    strange = Inventory(dataclasses.replace(shape, tensors=tensors))
    machine = machine_of([], rng=random.Random(4))
    settings = PlanSettings(n_ctx=8192)
    for _ in range(2):
        with pytest.raises(UnknownGraphError):
            compute_bytes(strange, machine, settings, place(strange, machine, settings))


@pytest.mark.model
@pytest.mark.parametrize("name", ["v3-iq1m", "v32-q4km", "v4f-mxfp4", "qwen15-q4km"])
def test_random_plans_against_llama_cpp(name: str, tmp_path: Path) -> None:
    checkpoint = true_scale(name)
    rng = random.Random(f"live {name}")
    machine = random_machine(rng, [GpuKind.CUDA, GpuKind.RPC])
    errors = []
    with Oracle(
        checkpoint.files, machine.gpus, cpu_features=machine.cpu.features, work_dir=tmp_path
    ) as oracle:
        for _ in range(4):
            settings = random_plan(rng, checkpoint.shape, machine)
            try:
                actual = oracle.account(settings)
            except OracleError:
                continue
            errors += compare_compute(inventory_of(name), machine, settings, actual)
    assert errors
    assert too_low(errors) == []


@pytest.mark.model
@pytest.mark.parametrize("name", TINY)
def test_every_architecture_against_llama_cpp(name: str, tmp_path: Path) -> None:
    """Buffers of tiny checkpoints are small, so that single tensors show."""
    path = tmp_path / "tiny.gguf"
    write_tiny(path, TINY[name])
    checkpoint = open_local(path, text=str(path), stop=never)
    machine = machine_of([GpuKind.CUDA], features=AVX2_CPU, rng=random.Random(1))
    gpu = dataclasses.replace(machine.gpus[0], is_unified=False)
    machine = dataclasses.replace(machine, gpus=(gpu,))
    inventory = Inventory(checkpoint.shape)
    layers = checkpoint.shape.n_layer_all + 1
    plans = [
        PlanSettings(n_ctx=4096, load_mode="none", n_outputs_max=64),
        PlanSettings(n_ctx=4096, devices=("CUDA0",), n_gpu_layers=layers, load_mode="none"),
        PlanSettings(n_ctx=2048, devices=("CUDA0",), n_gpu_layers=2, load_mode="none"),
    ]
    errors = []
    with Oracle(
        checkpoint.files, machine.gpus, cpu_features=AVX2_CPU, work_dir=tmp_path / "work"
    ) as oracle:
        for settings in plans:
            actual = oracle.account(settings)
            errors += compare_compute(inventory, machine, settings, actual)
    assert len(errors) >= 5
    assert [error for error in errors if error.off_bytes < -8 * MIB] == []
