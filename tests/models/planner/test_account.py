"""The account of a plan: sums, kinds of host memory, and llama.cpp's own figures in its place."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.placement_cases import AVX2_CPU, AVX512_CPU, machine_of, random_settings
from helpers.true_scale import NAMES, true_scale
from models.planner.account import account
from models.planner.host_memory import output_bytes
from models.planner.inventory import Inventory
from models.planner.machine import GpuKind, Machine, Ram
from models.planner.plan import CPU, BufferBytes, DevicePlan, Memory, Override, PlanSettings

GIB = 2**30
INVENTORIES = {name: Inventory(true_scale(name).shape) for name in NAMES}
V3 = INVENTORIES["v3-q4km"]
EXPERTS = (Override("exps", CPU),)


def machine(*kinds: GpuKind, ram_gib: int = 512, features: tuple[str, ...] = AVX2_CPU) -> Machine:
    found = machine_of(kinds, features=features, rng=random.Random(5))
    gpus = tuple(replace(gpu, is_unified=False) for gpu in found.gpus)
    return replace(found, gpus=gpus, ram=Ram(ram_gib * GIB, ram_gib * GIB))


def plan(**changes: object) -> PlanSettings:
    return replace(PlanSettings(n_ctx=4096), **changes)  # type: ignore[arg-type]


def device(memory: Memory, name: str) -> DevicePlan:
    return next(device for device in memory.devices if device.name == name)


def test_every_device_of_the_machine_is_listed_and_the_cpu_last() -> None:
    memory = account(V3, machine(GpuKind.CUDA, GpuKind.CUDA), plan())
    assert [device.name for device in memory.devices] == ["CUDA0", "CUDA1", CPU]
    assert device(memory, "CUDA1").used_bytes == 0


def test_parts_of_v3_with_experts_in_ram() -> None:
    chosen = plan(n_gpu_layers=62, devices=("CUDA0",), overrides=EXPERTS)
    memory = account(V3, machine(GpuKind.CUDA), chosen)
    gpu, cpu = device(memory, "CUDA0"), device(memory, CPU)
    assert gpu.routed_bytes == 0
    assert gpu.attention_bytes > gpu.shared_bytes > 0
    assert gpu.kv_bytes == 4096 * 70_272
    assert cpu.attention_bytes == cpu.shared_bytes == cpu.kv_bytes == 0
    assert cpu.routed_bytes > 380e9
    assert cpu.dense_bytes > 0  # the token embedding


def test_budgets_are_what_is_free_unless_given() -> None:
    own = machine(GpuKind.CUDA)
    assert device(account(V3, own, plan()), "CUDA0").budget_bytes == own.gpus[0].free_bytes
    memory = account(V3, own, plan(), budgets={"CUDA0": 5})
    assert device(memory, "CUDA0").budget_bytes == 5
    assert device(memory, CPU).budget_bytes == own.ram.available_bytes


def test_output_is_a_row_of_logits_on_the_host() -> None:
    shape = V3.shape
    assert output_bytes(shape, plan(n_outputs_max=1)) == 4 * 129_280
    assert output_bytes(shape, plan(n_outputs_max=0)) == 4 * 129_280 * 2048
    assert output_bytes(shape, plan(n_outputs_max=0, n_ctx=512)) == 4 * 129_280 * 512
    on_cpu = account(V3, machine(GpuKind.CUDA), plan(devices=("CUDA0",)))
    assert device(on_cpu, CPU).output_bytes == 4 * 129_280
    assert device(on_cpu, "CUDA0").output_bytes == 0


# --- kinds of host memory ---------------------------------------------------------------------


def kv_and_logits() -> int:
    return 4096 * 70_272 + 4 * 129_280


def test_weights_in_the_file_are_page_cache() -> None:
    memory = account(V3, machine(), plan(use_extra_bufts=False))
    compute = device(memory, CPU).compute_bytes
    assert memory.host.anonymous_bytes == kv_and_logits() + compute
    assert memory.host.pinned_bytes == 0
    assert memory.host.page_cache_bytes == sum(t.size_bytes for t in V3.shape.tensors)
    assert memory.host.load_read_bytes == V3.shape.file_bytes
    assert memory.host.disk_bytes == 0


def test_repacked_weights_are_anonymous() -> None:
    memory = account(V3, machine(features=AVX512_CPU), plan())
    compute = device(memory, CPU).compute_bytes
    repacked = next(b for b in memory.buffers if b.buffer == "CPU_REPACK")
    assert memory.host.anonymous_bytes == repacked.weights_bytes + kv_and_logits() + compute
    assert memory.host.anonymous_bytes > 300e9


def test_without_mapping_everything_is_anonymous_and_read_once() -> None:
    memory = account(V3, machine(), plan(load_mode="none", use_extra_bufts=False))
    assert memory.host.page_cache_bytes == memory.host.disk_bytes == 0
    assert memory.host.anonymous_bytes > V3.shape.file_bytes
    assert memory.host.load_read_bytes == sum(t.size_bytes for t in V3.shape.tensors)


def test_host_buffers_of_a_gpu_are_pinned() -> None:
    chosen = plan(n_gpu_layers=62, devices=("CUDA0",), overrides=EXPERTS, load_mode="none")
    host = account(V3, machine(GpuKind.CUDA), chosen).host
    assert host.pinned_bytes > 390e9
    assert host.anonymous_bytes < 2e9


def test_what_ram_cannot_hold_is_read_from_the_disk_while_answering() -> None:
    chosen = plan(use_extra_bufts=False)
    memory = account(V3, machine(ram_gib=64), chosen)
    held = memory.host.anonymous_bytes
    assert memory.host.disk_bytes == memory.host.page_cache_bytes - (64 * GIB - held)
    tight = account(V3, machine(ram_gib=64), chosen, budgets={CPU: 32 * GIB})
    assert tight.host.disk_bytes - memory.host.disk_bytes == 32 * GIB


def test_copied_weights_are_read_twice_when_the_file_exceeds_ram() -> None:
    chosen = plan(n_gpu_layers=62, devices=("CUDA0",), overrides=EXPERTS)
    large, small = (account(V3, machine(GpuKind.CUDA, ram_gib=gib), chosen) for gib in (512, 64))
    copied = sum(t.size_bytes for t in V3.shape.tensors) - large.host.page_cache_bytes
    assert copied > 9e9
    assert small.host.load_read_bytes - large.host.load_read_bytes == copied


def test_gpus_that_share_ram_take_anonymous_memory() -> None:
    own = machine(GpuKind.CUDA)
    shared = replace(own, gpus=(replace(own.gpus[0], is_unified=True),))
    chosen = plan(n_gpu_layers=62, devices=("CUDA0",), load_mode="mmap")
    memory = account(V3, shared, chosen)
    plain = [buffer for buffer in memory.buffers if buffer.buffer == CPU]
    on_cpu = sum(buffer.kv_bytes + buffer.compute_bytes for buffer in plain)
    used = device(memory, "CUDA0").used_bytes
    assert memory.host.anonymous_bytes == used + on_cpu
    assert account(V3, own, chosen).host.anonymous_bytes < used / 100


def test_metal_uses_weights_in_the_files_pages() -> None:
    own = machine(GpuKind.METAL)
    mac = replace(own, gpus=(replace(own.gpus[0], is_unified=True),))
    host = account(V3, mac, plan(n_gpu_layers=62, devices=("MTL0",))).host
    assert host.page_cache_bytes == sum(t.size_bytes for t in V3.shape.tensors)
    assert host.anonymous_bytes < 5e9


# --- llama.cpp's own figures ------------------------------------------------------------------


def test_measured_buffers_take_the_place_of_estimates() -> None:
    own = machine(GpuKind.CUDA)
    chosen = plan(n_gpu_layers=62, devices=("CUDA0",), overrides=EXPERTS)
    planned = account(V3, own, chosen)
    measured = [replace(buffer, compute_bytes=7 * GIB) for buffer in planned.buffers]
    exact = account(V3, own, chosen, measured=measured)
    assert exact.buffers == tuple(measured)
    assert device(exact, "CUDA0").compute_bytes == 7 * GIB
    assert device(exact, "CUDA0").attention_bytes == device(planned, "CUDA0").attention_bytes


def test_weights_that_differ_from_the_plan_still_sum_up() -> None:
    memory = account(V3, machine(), plan(), measured=[BufferBytes(CPU, CPU, weights_bytes=10)])
    assert device(memory, CPU).weights_bytes == 10


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32))
def test_parts_sum_to_totals(name: str, seed: int) -> None:
    rng = random.Random(seed)
    inventory = INVENTORIES[name]
    own = machine_of([rng.choice(list(GpuKind)) for _ in range(rng.randrange(5))], rng=rng)
    chosen = random_settings(rng, inventory.shape, own)
    memory = account(inventory, own, chosen)
    for plan_of in memory.devices:
        buffers = [buffer for buffer in memory.buffers if buffer.device == plan_of.name]
        assert plan_of.weights_bytes == sum(buffer.weights_bytes for buffer in buffers)
        assert plan_of.kv_bytes == sum(buffer.kv_bytes for buffer in buffers)
        assert plan_of.compute_bytes == sum(buffer.compute_bytes for buffer in buffers)
        assert plan_of.used_bytes - plan_of.output_bytes == sum(b.total_bytes for b in buffers)
    assert len({buffer.buffer for buffer in memory.buffers}) == len(memory.buffers)
    host = memory.host
    assert 0 <= host.disk_bytes <= host.page_cache_bytes
    if not any(gpu.is_unified for gpu in own.gpus):
        # The CPU's bytes are anonymous, pinned or mapped; padding is all that may differ.
        total = host.anonymous_bytes + host.pinned_bytes + host.page_cache_bytes
        cpu = device(memory, CPU).used_bytes
        assert cpu - 32 * len(inventory.shape.tensors) <= total <= cpu


def test_the_same_settings_always_give_the_same_account() -> None:
    own = machine(GpuKind.CUDA, GpuKind.CUDA)
    chosen = plan(n_gpu_layers=40, devices=("CUDA0", "CUDA1"), overrides=EXPERTS)
    assert account(Inventory(V3.shape), own, chosen) == account(V3, own, chosen)


@pytest.mark.parametrize("name", NAMES)
def test_shards_change_nothing(name: str) -> None:
    whole, cut = Inventory(true_scale(name).shape), Inventory(true_scale(name, 3).shape)
    own = machine(GpuKind.CUDA)
    chosen = plan(n_gpu_layers=9, devices=("CUDA0",), overrides=EXPERTS)
    assert account(whole, own, chosen).buffers == account(cut, own, chosen).buffers
