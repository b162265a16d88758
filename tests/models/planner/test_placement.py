"""Where every tensor goes: against hand-worked cases, and properties over random settings."""

from __future__ import annotations

import ctypes
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.placement_cases import AVX2_CPU, AVX512_CPU, machine_of, random_settings
from helpers.true_scale import NAMES, true_scale
from models.errors import BadInputError
from models.planner.buffer_rules import buffer_rule
from models.planner.inventory import Inventory
from models.planner.machine import GpuKind, Machine
from models.planner.placement import (
    Placement,
    cpu_rule,
    layers_to_devices,
    place,
    split_edges,
)
from models.planner.plan import CPU, Override, PlanSettings

CUDA = GpuKind.CUDA
# Inventories remember what was worked out of them, so one of each serves all tests.
INVENTORIES = {name: Inventory(true_scale(name).shape) for name in NAMES}
V3 = INVENTORIES["v3-q4km"]


def machine(*kinds: GpuKind, features: tuple[str, ...] = AVX2_CPU) -> Machine:
    return machine_of(kinds, features=features, rng=random.Random(3))


def plan(**changes: object) -> PlanSettings:
    return replace(PlanSettings(n_ctx=4096, load_mode="mmap"), **changes)  # type: ignore[arg-type]


def index_of(inventory: Inventory, name: str) -> int:
    return [tensor.name for tensor in inventory.shape.tensors].index(name)


def buffer_of(inventory: Inventory, placement: Placement, name: str) -> str:
    return placement.buffer_of[index_of(inventory, name)]


# --- layers to devices ------------------------------------------------------------------------


def test_without_devices_everything_stays_on_the_cpu() -> None:
    layers, output = layers_to_devices(V3.shape, machine(), plan(n_gpu_layers=62))
    assert set(layers) == {CPU}
    assert output == CPU


def test_the_last_layers_and_the_output_go_to_the_gpu_first() -> None:
    layers, output = layers_to_devices(
        V3.shape, machine(CUDA), plan(n_gpu_layers=3, devices=("CUDA0",))
    )
    assert output == "CUDA0"
    assert layers == (CPU,) * 59 + ("CUDA0",) * 2


def test_mtp_blocks_count_as_layers_though_they_are_not_loaded() -> None:
    shape = INVENTORIES["v32-q4km"].shape
    layers, _ = layers_to_devices(
        shape, machine(CUDA), plan(n_gpu_layers=shape.n_layer + 1, devices=("CUDA0",))
    )
    assert layers[0] == CPU  # what llama.cpp's own fit stumbles over


def test_free_memory_splits_where_no_split_is_given() -> None:
    two = machine(CUDA, CUDA)
    two = replace(
        two,
        gpus=tuple(replace(g, free_bytes=n << 30) for g, n in zip(two.gpus, (10, 30), strict=True)),
    )
    assert split_edges(two, plan(devices=("CUDA0", "CUDA1"))) == (0.25, 1.0)
    zeros = plan(devices=("CUDA0", "CUDA1"), tensor_split=(0.0, 0.0))
    assert split_edges(two, zeros) == (0.25, 1.0)


def test_missing_shares_of_a_split_are_zero() -> None:
    edges = split_edges(machine(CUDA, CUDA), plan(devices=("CUDA0", "CUDA1"), tensor_split=(3,)))
    assert edges == (1.0, 1.0)


@given(st.lists(st.just(0.0) | st.floats(1e-6, 1e12), min_size=2, max_size=4).filter(any))
def test_edges_are_rounded_as_floats_in_c(shares: list[float]) -> None:
    devices = tuple(f"CUDA{index}" for index in range(len(shares)))
    total = ctypes.c_float(0)
    ends = []
    for share in shares:
        total = ctypes.c_float(total.value + ctypes.c_float(share).value)
        ends.append(total.value)
    expected = tuple(ctypes.c_float(end / total.value).value for end in ends)
    assert split_edges(machine(), plan(devices=devices, tensor_split=tuple(shares))) == expected


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(BadInputError, match="CUDA7"):
        place(V3, machine(CUDA), plan(devices=("CUDA7",), n_gpu_layers=62))
    with pytest.raises(BadInputError, match="CUDA7"):
        place(V3, machine(CUDA), plan(overrides=(Override("exps", "CUDA7"),)))


# --- overrides --------------------------------------------------------------------------------


def test_the_first_pattern_that_is_found_wins() -> None:
    overrides = (Override(r"blk\.5\.ffn_up_exps", "CUDA1"), Override("exps", CPU))
    placement = place(
        V3,
        machine(CUDA, CUDA),
        plan(n_gpu_layers=62, devices=("CUDA0", "CUDA1"), tensor_split=(1, 0), overrides=overrides),
    )
    assert buffer_of(V3, placement, "blk.5.ffn_up_exps.weight") == "CUDA1"
    assert buffer_of(V3, placement, "blk.5.ffn_down_exps.weight") == CPU
    assert buffer_of(V3, placement, "blk.5.ffn_up_shexp.weight") == "CUDA0"


@pytest.mark.parametrize(
    "pattern", ["blk.(", "(?i)EXPS", "(?P<x>exps)", "(?<=up_)exps", "blk.[[:digit:]]", "*"]
)
def test_a_pattern_that_llama_cpp_cannot_read_is_refused(pattern: str) -> None:
    with pytest.raises(BadInputError, match="pattern"):
        place(V3, machine(), plan(overrides=(Override(pattern, CPU),)))


@pytest.mark.parametrize("pattern", ["(?:up|gate)_exps", "exps(?!x)", r"\(?blk", "[0-9]+"])
def test_patterns_of_both_languages_are_taken(pattern: str) -> None:
    assert V3.matching(pattern)


# --- buffers on the CPU -----------------------------------------------------------------------


def test_without_a_gpu_experts_are_repacked_into_anonymous_memory() -> None:
    placement = place(V3, machine(features=AVX512_CPU), plan())
    # [M] of facts/planner.md: 303,373 and 82,924 MiB.
    assert placement.weights["CPU_REPACK"] >> 20 == 303_373
    assert placement.weights[CPU] >> 20 == 82_924
    assert placement.mapped_bytes == placement.loaded_bytes - placement.weights["CPU_REPACK"]


def test_without_repacking_all_weights_stay_in_the_file() -> None:
    placement = place(V3, machine(features=AVX512_CPU), plan(use_extra_bufts=False))
    assert set(placement.weights) == {CPU}
    assert placement.mapped_bytes == placement.loaded_bytes


@pytest.mark.parametrize(
    ("load_mode", "no_host", "buffers"),
    [
        ("mmap", False, {CPU}),
        ("auto", False, {CPU}),
        ("none", False, {"CUDA_Host"}),
        ("none", True, {CPU, "CPU_REPACK"}),
        ("mmap", True, {CPU, "CPU_REPACK"}),
    ],
)
def test_a_gpu_decides_where_experts_on_the_cpu_lie(
    load_mode: str, no_host: bool, buffers: set[str]
) -> None:
    chosen = plan(
        n_gpu_layers=62,
        devices=("CUDA0",),
        overrides=(Override("exps", CPU),),
        load_mode=load_mode,
        no_host=no_host,
    )
    placement = place(V3, machine(CUDA), chosen)
    assert set(placement.weights) - {"CUDA0"} == buffers


def test_integrated_gpus_keep_auto_from_mapping() -> None:
    own = machine(CUDA)
    shared = replace(own, gpus=(replace(own.gpus[0], is_unified=True),))
    chosen = plan(n_gpu_layers=0, devices=("CUDA0",), load_mode="auto")
    assert place(V3, own, chosen).mapped_bytes > 0
    assert place(V3, shared, chosen).mapped_bytes == 0


def test_mapped_weights_are_counted_as_in_the_host_buffers_they_replace() -> None:
    vulkan = machine(GpuKind.VULKAN)
    chosen = plan(devices=("Vulkan0",))
    assert cpu_rule(vulkan, chosen).align_bytes == 64
    for other in (replace(chosen, no_host=True), replace(chosen, load_mode="none"), plan()):
        assert cpu_rule(vulkan, other).align_bytes == 32
    assert cpu_rule(machine(CUDA), replace(chosen, devices=("CUDA0",))).align_bytes == 32


# --- copies and what is left out --------------------------------------------------------------


def test_tied_embeddings_are_copied_for_the_output_layer() -> None:
    shape = true_scale("qwen15-q4km").shape
    tied = replace(
        shape, tensors=tuple(tensor for tensor in shape.tensors if tensor.name != "output.weight")
    )
    inventory = Inventory(tied)
    on_gpu = place(inventory, machine(CUDA), plan(n_gpu_layers=99, devices=("CUDA0",)))
    assert on_gpu.duplicates == ((index_of(inventory, "token_embd.weight"), "CUDA0"),)
    plain = place(inventory, machine(), plan(use_extra_bufts=False))
    assert plain.duplicates == ()


def test_every_device_with_layers_has_its_rope_factors() -> None:
    inventory = INVENTORIES["llama8-q4km"]
    chosen = plan(n_gpu_layers=20, devices=("CUDA0", "CUDA1"), tensor_split=(1, 1))
    placement = place(inventory, machine(CUDA, CUDA), chosen)
    rope = index_of(inventory, "rope_freqs.weight")
    assert placement.buffer_of[rope] == CPU
    assert placement.duplicates == ((rope, "CUDA0"), (rope, "CUDA1"))


def test_mtp_is_left_out_but_for_a_forgotten_bias() -> None:
    inventory = INVENTORIES["v32-q4km"]
    placement = place(inventory, machine(CUDA), plan(n_gpu_layers=63, devices=("CUDA0",)))
    mtp = {
        tensor.name: buffer
        for tensor, buffer in zip(inventory.shape.tensors, placement.buffer_of, strict=True)
        if tensor.layer == inventory.shape.n_layer
    }
    kept = {name for name, buffer in mtp.items() if buffer}
    assert kept == {"blk.61.exp_probs_b.bias"}
    assert len(mtp) > 10


# --- properties -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32))
def test_every_tensor_is_placed_exactly_once_and_parts_sum_to_totals(name: str, seed: int) -> None:
    rng = random.Random(seed)
    inventory = INVENTORIES[name]
    own = machine_of([rng.choice(list(GpuKind)) for _ in range(rng.randrange(5))], rng=rng)
    chosen = random_settings(rng, inventory.shape, own)
    placement = place(inventory, own, chosen)

    tensors = inventory.shape.tensors
    assert len(placement.buffer_of) == len(placement.device_of) == len(tensors)
    known = {gpu.device for gpu in own.gpus} | {CPU}
    for tensor, buffer, device in zip(
        tensors, placement.buffer_of, placement.device_of, strict=True
    ):
        is_mtp = tensor.layer is not None and tensor.layer >= inventory.shape.n_layer
        assert device in known or (is_mtp and device == buffer == "")
    assert sum(placement.weights.values()) == sum(
        sum(parts.values()) for parts in placement.parts.values()
    )
    held = [*enumerate(placement.buffer_of), *placement.duplicates]
    expected: dict[str, int] = {}
    for index, buffer in held:
        if buffer:
            rule = cpu_rule(own, chosen) if buffer == CPU else buffer_rule(own, buffer)
            size = inventory.allocated(rule)[index]
            expected[buffer] = expected.get(buffer, 0) + size
    assert placement.weights == expected
    assert len(set(placement.duplicates)) == len(placement.duplicates)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32))
def test_mapped_and_copied_weights_are_all_that_is_loaded(name: str, seed: int) -> None:
    rng = random.Random(seed)
    inventory = INVENTORIES[name]
    own = machine_of([CUDA] * rng.randrange(3), rng=rng)
    placement = place(inventory, own, random_settings(rng, inventory.shape, own))
    assert 0 <= placement.mapped_bytes <= placement.loaded_bytes <= inventory.shape.file_bytes
    assert placement.mapped_bytes == 0 or placement.maps_file
