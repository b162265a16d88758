"""Predicted speeds: what they are made of, and that a better machine is never slower."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.true_scale import true_scale
from models.planner.account import account
from models.planner.inventory import Inventory
from models.planner.machine import Calibration, Machine
from models.planner.machine_file import machine_from_json
from models.planner.placement import place
from models.planner.plan import Override, PlanSettings, Speed
from models.planner.speed import forecast

_MACHINES = Path(__file__).resolve().parents[3] / "benchmarks" / "machines"
_EXPERTS = Override(r"ffn_(gate|up|down)_exps", "CPU")
_INVENTORIES: dict[str, Inventory] = {}


def _machine(name: str) -> Machine:
    return machine_from_json((_MACHINES / f"{name}.json").read_text(encoding="utf-8"))


def _inventory(name: str) -> Inventory:
    return _INVENTORIES.setdefault(name, Inventory(true_scale(name).shape))


def _speed(
    name: str, machine: Machine, how: PlanSettings, n_past: int = 0, n_prompt: int = 0
) -> Speed:
    inventory = _inventory(name)
    placement = place(inventory, machine, how)
    memory = account(inventory, machine, how, placement=placement)
    return forecast(inventory, machine, how, placement, memory, n_past=n_past, n_prompt=n_prompt)


def _hybrid(**changes: object) -> PlanSettings:
    base = PlanSettings(n_ctx=8192, n_gpu_layers=99, devices=("CUDA0",), overrides=(_EXPERTS,))
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def _total_s(parts: tuple[tuple[str, float], ...]) -> float:
    return sum(seconds for _, seconds in parts)


def test_the_parts_add_up_to_the_likely_speed() -> None:
    speed = _speed("v3-q4km", _machine("workstation-512gb-24gb"), _hybrid(), n_past=4096)
    assert _total_s(speed.decode_parts_s) == pytest.approx(1 / speed.decode.mid)
    assert _total_s(speed.prefill_parts_s) == pytest.approx(1 / speed.prefill.mid)
    assert speed.decode_parts_s[0][0] == speed.bound_by
    assert speed.prefill_parts_s[0][0] == speed.prefill_bound_by
    assert speed.decode.low < speed.decode.mid < speed.decode.high


def test_what_binds_is_named() -> None:
    workstation = _machine("workstation-512gb-24gb")
    hybrid = _speed("v3-q4km", _machine("epyc-7773x-3090ti"), _hybrid())
    assert hybrid.bound_by == "ram_bandwidth"
    assert hybrid.prefill_bound_by == "pcie"
    whole = PlanSettings(n_ctx=8192, n_gpu_layers=99, devices=("CUDA0",))
    assert _speed("v2lite-q4km", workstation, whole).bound_by == "gpu_bandwidth:CUDA0"
    alone = PlanSettings(n_ctx=4096)
    assert _speed("v3-q4km", _machine("desktop-64gb-12gb"), alone).bound_by == "disk"
    rpc = _machine("two-machines-rpc")
    slow = dataclasses.replace(
        rpc, gpus=(dataclasses.replace(rpc.gpus[0], link_latency_s=0.05), rpc.gpus[1])
    )
    shared = PlanSettings(n_ctx=4096, n_gpu_layers=99, devices=("RPC0", "CUDA0"))
    assert _speed("llama8-q4km", slow, shared).bound_by == "network"


def test_bytes_per_token_over_the_bandwidth() -> None:
    """V3 on one GPU with room: 22.9 GB a token at a measured rate."""
    machine = _machine("server-8xh100-1tb")
    gpu = dataclasses.replace(machine.gpus[0], total_bytes=2**40, free_bytes=2**40)
    measured = Calibration(gpu_decode_bytes_s={"CUDA0": 1e12})
    machine = dataclasses.replace(machine, gpus=(gpu,), calibration=measured)
    whole = PlanSettings(n_ctx=4096, n_gpu_layers=99, devices=("CUDA0",))
    parts = dict(_speed("v3-q4km", machine, whole).decode_parts_s)
    assert parts["gpu_bandwidth:CUDA0"] == pytest.approx(22.9e9 / 1e12, rel=0.02)


def test_a_long_context_is_slower_and_a_quantized_cache_faster() -> None:
    machine, how = _machine("desktop-96gb-rtx4090"), _hybrid(n_ctx=131072)
    start = _speed("v2lite-q4km", machine, how)
    deep = _speed("v2lite-q4km", machine, how, n_past=100_000)
    assert deep.decode.mid < start.decode.mid
    assert deep.prefill.mid < start.prefill.mid
    small = dataclasses.replace(how, type_k="q8_0", type_v="q8_0")
    assert _speed("v2lite-q4km", machine, small, n_past=100_000).decode.mid > deep.decode.mid


@pytest.mark.parametrize("name", ["v32-q4km", "v4f-mxfp4", "v3-legacy-q4km", "llama8-q4km"])
def test_every_kind_of_attention_costs_more_with_depth(name: str) -> None:
    machine, how = _machine("server-8xh100-1tb"), PlanSettings(n_ctx=65536)
    speeds = [_speed(name, machine, how, n_past=depth).decode.mid for depth in (0, 8192, 60000)]
    assert speeds[0] > speeds[1] > speeds[2]


def test_offload_pays_for_large_batches_only() -> None:
    """Copying the experts to the GPU pays above some length of batch."""
    machine = _machine("workstation-512gb-24gb")

    def prefill(n_ubatch: int, *, op_offload: bool) -> float:
        how = _hybrid(n_batch=4096, n_ubatch=n_ubatch, op_offload=op_offload)
        return _speed("v3-q4km", machine, how).prefill.mid

    assert prefill(4096, op_offload=True) > prefill(4096, op_offload=False)
    assert prefill(64, op_offload=True) < prefill(64, op_offload=False)
    assert prefill(16, op_offload=True) == prefill(16, op_offload=False)


def test_repacked_weights_are_never_copied_to_the_gpu() -> None:
    machine = _machine("desktop-96gb-rtx4090")
    plain = _hybrid(load_mode="mmap")
    repacked = _hybrid(load_mode="none", no_host=True)
    staged = dict(_speed("v2lite-q4km", machine, plain).prefill_parts_s)
    parts = dict(_speed("v2lite-q4km", machine, repacked).prefill_parts_s)
    assert "cpu_compute" not in staged
    # What has no repacked form (Q6_K, Q5_0 here) is still copied.
    assert parts["cpu_compute"] > parts["pcie"]
    assert parts["pcie"] < staged["pcie"]


def test_pinned_memory_is_copied_faster() -> None:
    machine = _machine("workstation-512gb-24gb")
    mapped = _speed("v3-q4km", machine, _hybrid(load_mode="mmap"))
    pinned = _speed("v3-q4km", machine, _hybrid(load_mode="none"))
    assert pinned.prefill.mid > 1.5 * mapped.prefill.mid


def test_a_calibration_narrows_the_range() -> None:
    machine = _machine("desktop-64gb-12gb")
    how = PlanSettings(n_ctx=4096, use_extra_bufts=False)
    guessed = _speed("llama8-q4km", machine, how).decode
    measured = Calibration(
        n_threads=machine.cpu.cores,
        cpu_decode_bytes_s={"Q4_K": 2e10, "Q6_K": 2e10},
        cpu_prefill_flop_s={"Q4_K": 3e11, "Q6_K": 3e11},
        cpu_fixed_s=0.001,
        cpu_layer_s=0.0001,
        ram_bytes_s=4e10,
    )
    known = _speed("llama8-q4km", dataclasses.replace(machine, calibration=measured), how).decode
    assert known.high / known.low < 0.75 * guessed.high / guessed.low


def test_real_runs_correct_the_likely_speed_and_narrow_the_range() -> None:
    machine, how = _machine("desktop-64gb-12gb"), PlanSettings(n_ctx=4096)
    before = _speed("llama8-q4km", machine, how).decode
    corrected = dataclasses.replace(machine, decode_correction=0.8)
    after = _speed("llama8-q4km", corrected, how).decode
    assert after.mid == pytest.approx(0.8 * before.mid)
    assert after.high / after.low <= 1.5 + 1e-9
    assert after.low <= after.mid <= after.high


_FACTORS = st.floats(min_value=1.0, max_value=20.0)


@settings(max_examples=60, deadline=None)
@given(ram=_FACTORS, gpu=_FACTORS, compute=_FACTORS, pcie=_FACTORS, disk=_FACTORS)
@pytest.mark.parametrize(
    ("name", "machine_name"),
    [("v3-q4km", "desktop-64gb-12gb"), ("v4f-mxfp4", "desktop-96gb-rtx4090")],
)
def test_a_faster_machine_is_never_slower(  # noqa: PLR0917  what hypothesis draws
    name: str, machine_name: str, ram: float, gpu: float, compute: float, pcie: float, disk: float
) -> None:
    machine = _machine(machine_name)
    (card,) = machine.gpus
    assert machine.ram.bandwidth_bytes_s is not None
    assert card.bandwidth_bytes_s is not None
    better = dataclasses.replace(
        machine,
        gpus=(
            dataclasses.replace(
                card,
                bandwidth_bytes_s=card.bandwidth_bytes_s * gpu,
                compute_flop_s=2e14 * compute,
            ),
        ),
        ram=dataclasses.replace(machine.ram, bandwidth_bytes_s=machine.ram.bandwidth_bytes_s * ram),
        disk=dataclasses.replace(machine.disk, read_bytes_s=7e9 * disk),
        pcie_bytes_s=25e9 * pcie,
    )
    for how in (_hybrid(), _hybrid(op_offload=False), PlanSettings(n_ctx=4096)):
        before, after = _speed(name, machine, how, 1000), _speed(name, better, how, 1000)
        for old, new in ((before.decode, after.decode), (before.prefill, after.prefill)):
            assert new.low >= old.low * (1 - 1e-9)
            assert new.mid >= old.mid * (1 - 1e-9)
            assert new.high >= old.high * (1 - 1e-9)


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, 58), more=st.integers(0, 58))
def test_more_experts_on_the_gpu_are_never_slower(first: int, more: int) -> None:
    few, many = min(first, more), max(first, more)
    machine = _machine("server-8xh100-1tb")
    gpu = dataclasses.replace(machine.gpus[0], total_bytes=2**40, free_bytes=2**40)
    machine = dataclasses.replace(machine, gpus=(gpu,))

    def decode(count: int) -> float:
        numbers = "|".join(str(3 + count + n) for n in range(58 - count)) or "none"
        kept = Override(rf"blk\.({numbers})\.ffn_(gate|up|down)_exps", "CPU")
        return _speed("v3-q4km", machine, _hybrid(overrides=(kept,))).decode.mid

    assert decode(many) >= decode(few) * (1 - 1e-9)
