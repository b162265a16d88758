"""A plan is mended until llama.cpp's own account of it fits, and not further.

The account here is that of the formulas and a difference: what llama.cpp takes differently cannot
be had on demand. Plans against llama.cpp itself are in tests/engine.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from helpers.described_machines import GIB, machine
from helpers.true_scale import true_scale
from models.planner.account import planned_buffers
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.placement import place
from models.planner.plan import BufferBytes, Plan, PlanSettings, Profile, Tier
from models.planner.search import exchange_s
from models.planner.solver import solve
from models.planner.wishes import Wishes
from models.planning.verification import verify_with
from models.stopping import Stop, never

MIB = 2**20


@functools.cache
def inventory(name: str) -> Inventory:
    return Inventory(true_scale(name).shape)


@dataclass
class Accountant:
    """Says what the formulas say, and ``more`` of some devices' compute buffers."""

    name: str
    on: Machine
    more: Callable[[PlanSettings], Mapping[str, int]]
    cpu_matches: bool | None = True
    approximate_devices: tuple[str, ...] = ()
    asked: list[PlanSettings] = field(default_factory=list)

    def account(self, settings: PlanSettings, *, stop: Stop = never) -> tuple[BufferBytes, ...]:
        """Return the buffers."""
        assert not stop()
        self.asked.append(settings)
        own = inventory(self.name)
        placement = place(own, self.on, settings)
        more = self.more(settings)
        return tuple(
            replace(buffer, compute_bytes=max(buffer.compute_bytes + more.get(buffer.device, 0), 0))
            for buffer in planned_buffers(own, self.on, settings, placement)
        )


def verified(
    name: str,
    on: Machine,
    more: Callable[[PlanSettings], Mapping[str, int]],
    wishes: Wishes | None = None,
) -> tuple[Plan, Plan, Accountant]:
    """Return the plan by formulas, what became of it, and who was asked."""
    wishes = wishes or Wishes()
    accountant = Accountant(name, on, more)
    fast = solve(inventory(name), on, wishes)
    exact = verify_with(accountant, inventory(name), on, wishes, fast)
    assert exact.tier is Tier.EXACT
    assert len(accountant.asked) == len(set(accountant.asked)) <= 8
    return fast, exact, accountant


def used(plan: Plan, device: str) -> int:
    return next(d.used_bytes for d in plan.memory.devices if d.name == device)


def budget(plan: Plan, device: str) -> int:
    return next(d.budget_bytes for d in plan.memory.devices if d.name == device)


def test_what_fits_as_planned_is_asked_once() -> None:
    fast, exact, accountant = verified("v3-q4km", machine([24], 512), lambda _: {})
    assert exact.settings == fast.settings
    assert len(accountant.asked) == 1
    assert exact.alternatives == fast.alternatives


@pytest.mark.parametrize("more_mib", [100, 700, 2500])
@pytest.mark.parametrize("name", ["v3-q4km", "v2lite-q8", "llama8-q4km"])
def test_what_takes_more_steps_down_no_further_than_it_must(name: str, more_mib: int) -> None:
    on = machine([24], 512) if name == "v3-q4km" else machine([6], 32)
    fast, exact, accountant = verified(name, on, lambda _: {"CUDA0": more_mib * MIB})
    assert exact.fits
    # A machine that has as much less is as good: nothing more was given up.
    one = on.gpus[0]
    smaller = replace(on, gpus=(replace(one, free_bytes=one.free_bytes - more_mib * MIB),))
    alike = solve(inventory(name), smaller, Wishes())
    profile = Profile.BALANCED
    assert exchange_s(exact.speed, profile) <= 1.05 * exchange_s(alike.speed, profile)
    assert exact.settings.n_ctx >= alike.settings.n_ctx
    assert accountant.asked[0] == fast.settings


def test_what_one_draft_takes_is_not_kept_free_for_another() -> None:
    on = machine([24], 512)
    wishes = Wishes(profile=Profile.BALANCED)
    _, exact, _ = verified(
        "v3-q4km",
        on,
        lambda settings: {"CUDA0": 12 * GIB if settings.op_offload else 0},
        wishes,
    )
    without = solve(inventory("v3-q4km"), on, replace(wishes, op_offload=False))
    assert exact.fits
    assert not exact.settings.op_offload
    assert exact.settings.overrides == without.settings.overrides


def test_room_that_formulas_kept_for_nothing_is_used() -> None:
    on = machine([24], 512)
    less = {"CUDA0": -3 * GIB}
    fast, exact, _ = verified("v3-q4km", on, lambda _: less, Wishes(n_ubatch=4096, op_offload=True))
    assert exact.fits
    assert exact.speed.decode.mid > fast.speed.decode.mid


@pytest.mark.parametrize("seed", range(12))
def test_an_erratic_allocator_ends_in_a_plan_that_fits(seed: int) -> None:
    """Every placement takes up to 1.5 GiB more or less than thought, for no reason."""
    on = machine([24, 12], 512) if seed % 2 else machine([12], 64)
    name = "v3-q4km" if seed % 2 else "v2lite-q8"

    def erratic(settings: PlanSettings) -> Mapping[str, int]:
        chance = random.Random(f"{seed} {settings}")
        return {device: chance.randrange(-GIB // 2, 3 * GIB // 2) for device in settings.devices}

    _, exact, accountant = verified(name, on, erratic, Wishes(profile=list(Profile)[seed % 3]))
    assert exact.fits
    for device in exact.settings.devices:
        assert used(exact, device) <= budget(exact, device)
    assert exact.settings in accountant.asked


def test_what_is_fixed_and_does_not_fit_says_what_would() -> None:
    wishes = Wishes(n_gpu_layers=33, n_ctx=8192, devices=("CUDA0",), n_ubatch=512)
    on = machine([8], 32)
    fast, exact, accountant = verified("llama8-q4km", on, lambda _: {"CUDA0": 3 * GIB}, wishes)

    def excess_of(settings: PlanSettings) -> int:
        buffers = accountant.account(settings)
        used_bytes = sum(b.total_bytes for b in buffers if b.device == "CUDA0")
        return used_bytes - budget(exact, "CUDA0")

    assert fast.fits
    assert not exact.fits
    assert exact.settings.n_gpu_layers == 33
    # Of all that was tried, what misses by least.
    smallest = min(excess_of(settings) for settings in tuple(accountant.asked))
    assert used(exact, "CUDA0") - budget(exact, "CUDA0") == smallest
    assert any(other.kind == "more_vram" for other in exact.alternatives)
    assert any("too small" in text for text in exact.warnings)


def test_sentences_are_those_of_the_plan_that_is_shown() -> None:
    wishes = Wishes(op_offload=True)
    _, exact, _ = verified("v3-q4km", machine([24], 512), lambda _: {"CUDA0": 4 * GIB}, wishes)
    said = [other.text for other in exact.alternatives if other.kind == "more_vram"]
    assert said
    assert said[0] in exact.explanation
    rate = f"{exact.speed.decode.mid:.3g}"
    assert rate in said[0]


def test_doubts_about_another_machine_are_said() -> None:
    on = machine([8], 32)
    fast = solve(inventory("v2lite-q4km"), on, Wishes())
    accountant = Accountant("v2lite-q4km", on, lambda _: {}, False, ("CUDA0",))
    exact = verify_with(accountant, inventory("v2lite-q4km"), on, Wishes(), fast)
    assert any("approximate" in text and "Card 0" in text for text in exact.warnings)
    assert any("repack" in text for text in exact.warnings) == exact.settings.use_extra_bufts
