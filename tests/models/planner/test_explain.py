"""The sentences of a plan: what they must say, and in whose words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.described_machines import GIB, gpu, machine
from helpers.true_scale import true_scale
from models.planner.explain import bound_words, ranges
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.names import all_words, device_words, short_name
from models.planner.plan import CPU, Plan
from models.planner.solver import solve
from models.planner.wishes import Wishes


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([3], "3"),
        ([3, 4, 5], "3-5"),
        ([5, 3, 4, 9], "3-5 and 9"),
        ([0, 1, 4, 6, 7], "0-1, 4 and 6-7"),
    ],
)
def test_layers_are_said_as_ranges(numbers: list[int], words: str) -> None:
    assert ranges(numbers) == words


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("AMD Radeon RX 7900 XTX", "RX 7900 XTX"),
        ("Intel(R) Arc(TM) B580 Graphics", "Arc B580"),
        ("Apple M3 Max", "M3 Max"),
        ("NVIDIA Graphics", "NVIDIA Graphics"),
    ],
)
def test_products_are_called_as_people_do(name: str, short: str) -> None:
    assert short_name(name) == short


def named(*names: str) -> Machine:
    cards = tuple(replace(gpu(index, 24), name=name) for index, name in enumerate(names))
    return replace(machine([], 256), gpus=cards)


def test_alike_cards_are_numbered_and_counted() -> None:
    on = named("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3090")
    assert device_words(on, "CUDA1") == "GPU 1: RTX 3090"
    assert all_words(on, ["CUDA0", "CUDA1"]) == "2 x RTX 3090"
    other = named("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090")
    assert all_words(other, ["CUDA0", "CUDA1"]) == "RTX 3090 and RTX 4090"
    assert device_words(on, CPU) == "RAM"


def test_every_resource_has_words() -> None:
    assert bound_words("ram_bandwidth") == "the bandwidth of RAM"
    assert bound_words("gpu_bandwidth:CUDA0") == "the memory bandwidth of CUDA0"
    assert bound_words("gpu_compute:CUDA0") == "the compute of CUDA0"
    for resource in ("cpu_compute", "pcie", "disk", "network", "fixed"):
        assert "_" not in bound_words(resource)


def planned(name: str, on: Machine, wishes: Wishes | None = None) -> Plan:
    return solve(Inventory(true_scale(name).shape), on, wishes or Wishes())


def test_the_split_of_experts_and_what_a_larger_card_would_bring_are_said() -> None:
    on = named("NVIDIA GeForce RTX 3090")
    plan = planned("v4f-mxfp4", on)
    text = " ".join(plan.explanation)
    assert "lie on RTX 3090 for all 43 layers" in text
    assert "experts of layers" in text
    larger = next(other for other in plan.alternatives if other.kind == "more_vram")
    assert larger.text in plan.explanation
    assert "With 32 GB of VRAM instead of the RTX 3090" in larger.text
    assert larger.decode_tok_s is not None
    assert larger.decode_tok_s > plan.speed.decode.mid
    assert larger.needed_bytes == 8 * GIB


def test_layers_of_which_only_some_tensors_stay_are_said_apart() -> None:
    for size in (20, 22, 24, 26, 28, 30):
        plan = planned("v4f-mxfp4", machine([size], 256))
        patterns = [override.pattern for override in plan.settings.overrides]
        if any("(up|down|gate|gate_up)" not in pattern for pattern in patterns):
            assert "some experts' tensors of layer" in " ".join(plan.explanation)
            return
    pytest.fail("No plan has split a layer's experts.")


def test_a_quantized_cache_that_was_not_asked_for_is_explained() -> None:
    plan = planned("llama8-q4km", machine([8], 32))
    if plan.settings.type_k == "q8_0":
        assert any("In f16" in text for text in plan.explanation)
    asked = planned("llama8-q4km", machine([8], 32), Wishes(type_k="q8_0", type_v="q8_0"))
    assert asked.settings.type_k == "q8_0"
    assert not any("In f16" in text for text in asked.explanation)
