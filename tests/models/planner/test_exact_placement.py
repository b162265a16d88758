"""Planned weights and caches against llama.cpp's own account: not a byte off.

benchmarks/placement_exact.py does the same over thousands of buffers.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.placement_cases import AVX2_CPU, AVX512_CPU, compare, machine_of, random_settings
from helpers.tiny_gguf import TinyModel, write_tiny
from helpers.true_scale import TrueScale, retyped, true_scale
from models.errors import OracleError
from models.planner.inventory import Inventory
from models.planner.kv_cache import check_kv
from models.planner.machine import GpuKind, Machine
from models.planner.plan import CPU, Override, PlanSettings
from models.planning.local_files import open_local
from models.runtime.oracle import Oracle
from models.stopping import never

pytestmark = pytest.mark.model

CUDA = GpuKind.CUDA
EXPERTS = Override(r"\.ffn_(up|down|gate)_exps", CPU)
MACHINES = {
    "cpu": machine_of((), features=AVX512_CPU, rng=random.Random(1)),
    "cuda": machine_of((CUDA, CUDA), features=AVX2_CPU, rng=random.Random(2)),
    "mixed": machine_of((GpuKind.VULKAN, GpuKind.RPC, GpuKind.METAL), rng=random.Random(3)),
}
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


def check_plans(
    checkpoint: TrueScale, machine: Machine, plans: list[PlanSettings], folder: Path
) -> int:
    """Compare plans; returns how many buffers were compared."""
    inventory = Inventory(checkpoint.shape)
    rows = []
    with Oracle(
        checkpoint.files, machine.gpus, cpu_features=machine.cpu.features, work_dir=folder
    ) as oracle:
        for settings in plans:
            rows += compare(inventory, machine, settings, oracle.account(settings))
    assert [row for row in rows if row.differs] == []
    return len(rows)


def random_plans(checkpoint: TrueScale, machine: Machine, count: int) -> list[PlanSettings]:
    rng = random.Random(f"{checkpoint.name} {len(machine.gpus)}")
    return [random_settings(rng, checkpoint.shape, machine) for _ in range(count)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["v3-iq1m", "v32-q4km", "v4f-mxfp4", "llama8-q4km"])
def test_random_plans_at_true_scale(name: str, machine: str, tmp_path: Path) -> None:
    checkpoint = true_scale(name)
    plans = random_plans(checkpoint, MACHINES[machine], 3)
    assert check_plans(checkpoint, MACHINES[machine], plans, tmp_path) >= 3


def test_v3_in_shards_over_two_gpus(tmp_path: Path) -> None:
    checkpoint = true_scale("v3-q4km", 4)
    assert len(checkpoint.files) == 4
    base = PlanSettings(
        n_ctx=16384, n_gpu_layers=62, devices=("CUDA0", "CUDA1"), overrides=(EXPERTS,)
    )
    plans = [
        base,
        replace(base, load_mode="none"),
        replace(base, load_mode="none", no_host=True),
        replace(base, tensor_split=(0.3, 0.7), type_k="q8_0", type_v="q8_0"),
        replace(base, overrides=(Override(r"blk\.(9|1\d)\.ffn_up_exps", "CUDA1"), EXPERTS)),
        replace(base, n_gpu_layers=17, offload_kqv=False),
    ]
    assert check_plans(checkpoint, MACHINES["cuda"], plans, tmp_path) >= 18


@pytest.mark.parametrize("machine", MACHINES)
def test_weights_of_every_type(machine: str, tmp_path: Path) -> None:
    checkpoint = retyped("v2lite-q4km", random.Random(8))
    plans = random_plans(checkpoint, MACHINES[machine], 3)
    assert check_plans(checkpoint, MACHINES[machine], plans, tmp_path) >= 3


@pytest.mark.parametrize("name", TINY)
def test_every_architecture(name: str, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / f"{name}.gguf", TINY[name])
    opened = open_local(path, text=str(path), stop=never)
    checkpoint = TrueScale(name, opened.files, opened.shape)
    plans = [
        replace(settings, n_ctx=min(settings.n_ctx, 4096))
        for settings in random_plans(checkpoint, MACHINES["cuda"], 4)
    ]
    assert check_plans(checkpoint, MACHINES["cuda"], plans, tmp_path) >= 4


@pytest.mark.parametrize(
    ("name", "type_k", "type_v", "flash_attn"),
    [
        ("v2lite-q4km", "q8_0", "f16", "on"),
        ("v4f-mxfp4", "f16", "q4_0", "on"),
        ("llama8-q4km", "f16", "q8_0", "off"),
        ("v2lite-q4km", "q8_0", "q8_0", "off"),
    ],
)
def test_llama_cpp_refuses_the_same_caches(
    name: str, type_k: str, type_v: str, flash_attn: str, tmp_path: Path
) -> None:
    checkpoint = true_scale(name)
    settings = PlanSettings(512, type_k=type_k, type_v=type_v, flash_attn=flash_attn)
    assert check_kv(checkpoint.shape, type_k, type_v, flash_attn) is not None
    with (
        Oracle(checkpoint.files, (), work_dir=tmp_path) as oracle,
        pytest.raises(OracleError),
    ):
        oracle.account(settings)
