"""The search gives the same answer every time, and looks again when its first find is too large."""

from __future__ import annotations

import dataclasses

from helpers.true_scale import true_scale
from models.planner.inventory import Inventory
from models.planner.machine import Cpu, Disk, Gpu, GpuKind, Machine, Ram
from models.planner.plan import Profile
from models.planner.search import Search
from models.planner.solver import solve
from models.planner.wishes import Wishes

GIB = 2**30


def machine(*free_gib: float) -> Machine:
    """Return a machine with much RAM and cards of some free memory."""
    gpus = tuple(
        Gpu(f"CUDA{n}", "card", GpuKind.CUDA, 24 * GIB, int(free * GIB), 9e11)
        for n, free in enumerate(free_gib)
    )
    ram = Ram(512 * GIB, 500 * GIB, 2e11)
    return Machine(gpus, ram, Disk(5e9), Cpu(32, ("AVX", "AVX2", "F16C", "FMA", "BMI2")), 2.4e10)


def test_the_same_question_has_the_same_answer_whatever_was_asked_before() -> None:
    two = machine(3.9, 3.9)
    used = Inventory(true_scale("llama8-q4km").shape)
    asked = [Wishes(), Wishes(profile=Profile.DECODE, n_ctx=16384), Wishes(n_ctx=16384), Wishes()]
    answers = [solve(used, two, wishes).settings for wishes in asked]
    fresh = [
        solve(Inventory(true_scale("llama8-q4km").shape), two, wishes).settings for wishes in asked
    ]
    assert answers == fresh


def test_a_find_that_turns_out_too_large_is_searched_again() -> None:
    """Two cards where the f16 cache fits by rough figures only: a smaller one keeps all layers."""
    shape = true_scale("llama8-q4km").shape
    seen = []
    for tenth in range(30, 80):
        inventory = Inventory(shape)
        found = Search(inventory, machine(tenth / 10, tenth / 10), Wishes(n_ctx=16384)).run()
        assert found.best.fits
        seen.append(found.best.settings.n_gpu_layers)
    # More memory never leaves more layers behind.
    assert seen == sorted(seen)
    assert seen[-1] == shape.n_layer_all + 1


def test_a_small_batch_makes_room_for_the_last_layers_of_experts() -> None:
    shape = true_scale("v3-q4km").shape
    wishes = Wishes(n_ctx=4096, profile=Profile.DECODE)
    tight = machine(11.4)
    plan = solve(Inventory(shape), tight, wishes)
    usual = solve(Inventory(shape), tight, dataclasses.replace(wishes, n_ubatch=512))
    assert plan.settings.n_ubatch < 512
    assert usual.settings.n_gpu_layers < plan.settings.n_gpu_layers == shape.n_layer_all + 1
    assert plan.speed.decode.mid > usual.speed.decode.mid
