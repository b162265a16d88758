"""Plans against an exhaustive search on small cases, and against plans for better machines."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st

from helpers.described_machines import GIB, gpu, machine
from helpers.true_scale import true_scale
from models.planner.account import account, planned_buffers
from models.planner.budgets import budgets_of
from models.planner.filling import excess_of
from models.planner.inventory import EXPERT_PARTS, Inventory
from models.planner.layout import overrides_for
from models.planner.machine import Gpu, GpuKind, Machine
from models.planner.placement import place
from models.planner.plan import Memory, PlanSettings, Profile, Speed
from models.planner.search import exchange_s
from models.planner.solver import solve
from models.planner.speed import forecast
from models.planner.wishes import Wishes

_NAME = "v2lite-q4km"
_CTX = 8192


@functools.cache
def inventory(name: str) -> Inventory:
    return Inventory(true_scale(name).shape)


# --- an exhaustive search -----------------------------------------------------------------------


def every_setting(on: Machine) -> Iterator[PlanSettings]:
    """Yield whole layers and whole layers' experts in every number, with every useful draft."""
    own = inventory(_NAME)
    parts = {
        layer: tuple(part for part in EXPERT_PARTS if part in own.layers[layer])
        for layer in own.expert_layers
    }
    all_layers = own.shape.n_layer_all + 1
    drafts = itertools.product((128, 512, 2048), (True, False), ("mmap", "none"))
    for n_ubatch, op_offload, load_mode in drafts:
        base = PlanSettings(
            n_ctx=_CTX,
            n_batch=2048,
            n_ubatch=n_ubatch,
            op_offload=op_offload,
            load_mode=load_mode,
        )
        yield base
        for devices, split, n_layers in _cuts(on, all_layers):
            layers = [layer for layer in parts if layer >= all_layers - n_layers]
            for chosen in _expert_choices(layers, split):
                on_gpu = frozenset((layer, part) for layer in chosen for part in parts[layer])
                yield replace(
                    base,
                    devices=devices,
                    n_gpu_layers=n_layers,
                    tensor_split=split,
                    overrides=overrides_for(on_gpu, parts),
                    flash_attn="auto",
                )


def _cuts(on: Machine, all_layers: int) -> Iterator[tuple[tuple[str, ...], tuple[float, ...], int]]:
    names = tuple(one.device for one in on.gpus)
    for name in names:
        for n_layers in (all_layers, all_layers - 1, 24, 20, 14, 7):
            yield (name,), (), n_layers
    if len(names) == 2:
        for first in range(12, 24, 2):
            yield names, (float(first), float(all_layers - first)), all_layers


def _expert_choices(layers: list[int], split: tuple[float, ...]) -> Iterator[list[int]]:
    if not split:
        for count in range(len(layers) + 1):
            yield layers[:count]
        return
    first = [layer for layer in layers if layer < split[0]]
    second = [layer for layer in layers if layer >= split[0]]
    for a, b in itertools.product(range(len(first) + 1), range(len(second) + 1)):
        yield first[:a] + second[:b]


def best_of_all(on: Machine, wishes: Wishes) -> float:
    """Return the seconds of an exchange with the best of every setting that fits."""
    budgets, best = budgets_of(on, wishes), float("inf")
    own = inventory(_NAME)
    for tried in every_setting(on):
        placement = place(own, on, tried)

        def measured(compute: Mapping[str, int] | None) -> tuple[Memory, Speed]:
            buffers = planned_buffers(own, on, tried, placement, compute=compute)  # noqa: B023
            memory = account(
                own,
                on,
                tried,  # noqa: B023
                budgets=budgets,
                measured=buffers,
                placement=placement,  # noqa: B023
            )
            return memory, forecast(own, on, tried, placement, memory)  # noqa: B023

        # Compute buffers take longest: only for what would fit and be better without them.
        memory, speed = measured({})
        if excess_of(memory, on, tried, budgets) or exchange_s(speed, wishes.profile) >= best:
            continue
        memory, speed = measured(None)
        if not excess_of(memory, on, tried, budgets):
            best = min(best, exchange_s(speed, wishes.profile))
    return best


_SMALL = [
    (machine([4], 64), Profile.DECODE),
    (machine([6], 32), Profile.BALANCED),
    (machine([8], 64), Profile.PREFILL),
    (machine([8], 64), Profile.DECODE),
    (machine([10], 16), Profile.BALANCED),
    (machine([], 64), Profile.DECODE),
    (machine([6, 4], 32), Profile.BALANCED),
]


@pytest.mark.parametrize(("on", "profile"), _SMALL)
def test_a_plan_is_as_good_as_the_best_of_all(on: Machine, profile: Profile) -> None:
    wishes = Wishes(profile=profile, n_ctx=_CTX)
    plan = solve(inventory(_NAME), on, wishes)
    assert plan.fits
    assert exchange_s(plan.speed, profile) <= 1.02 * best_of_all(on, wishes)


# --- better machines ----------------------------------------------------------------------------

# Those with one KV type only: where a quantized cache is no longer needed, quality goes up and
# fewer layers fit.
_NAMES = ("v2lite-q4km", "v2lite-q8", "v3-iq1m", "v4f-mxfp4", "v3-q4km")
_SIZES_GIB = (2, 4, 6, 8, 12, 16, 24, 48)
_BANDWIDTHS = (2e11, 5e11, 1e12)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    ram = draw(st.sampled_from((8, 16, 32, 64, 128, 512)))
    kind = draw(st.sampled_from(("one", "several", "unified", "host", "none")))
    sizes, speeds = st.sampled_from(_SIZES_GIB), st.sampled_from(_BANDWIDTHS)
    gpus: tuple[Gpu, ...] = ()
    if kind == "unified":
        own = gpu(0, ram * 0.8, kind=GpuKind.VULKAN, bandwidth_bytes_s=2.5e11)
        gpus = (replace(own, is_unified=True),)
    elif kind != "none":
        count = draw(st.integers(2, 4)) if kind == "several" else 1
        gpus = tuple(
            gpu(index, draw(sizes), bandwidth_bytes_s=draw(speeds)) for index in range(count)
        )
        if kind == "host":
            gpus = (gpu(0, draw(sizes), kind=GpuKind.RPC), *gpus)
    return replace(machine([], ram), gpus=gpus)


@st.composite
def better(draw: st.DrawFn, on: Machine) -> Machine:
    """Return a machine that is better in one respect."""
    what = draw(st.sampled_from(("ram", "vram", "bandwidth", "ram bandwidth", "link", "disk")))
    if what in ("vram", "bandwidth") and on.gpus:
        index = draw(st.integers(0, len(on.gpus) - 1))
        one = on.gpus[index]
        if what == "vram":
            more = int(draw(st.sampled_from((0.1, 0.25, 0.5, 1, 2, 4, 8))) * GIB)
            one = replace(one, total_bytes=one.total_bytes + more, free_bytes=one.free_bytes + more)
        else:
            factor = draw(st.sampled_from((1.05, 1.5, 3.0)))
            one = replace(one, bandwidth_bytes_s=(one.bandwidth_bytes_s or 0) * factor)
        return replace(on, gpus=(*on.gpus[:index], one, *on.gpus[index + 1 :]))
    if what == "ram bandwidth":
        return replace(on, ram=replace(on.ram, bandwidth_bytes_s=9e10))
    if what == "link":
        return replace(on, pcie_bytes_s=3.6e10)
    if what == "disk":
        return replace(on, disk=replace(on.disk, read_bytes_s=7e9))
    more = int(draw(st.sampled_from((0.1, 0.5, 1, 4, 16, 64))) * GIB)
    ram = replace(
        on.ram,
        total_bytes=on.ram.total_bytes + more,
        available_bytes=on.ram.available_bytes + more,
    )
    return replace(on, ram=ram)


@seed(20261121)
@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(_NAMES),
    profile=st.sampled_from(list(Profile)),
    n_ctx=st.sampled_from((2048, 4096, 16384)),
)
def test_a_better_machine_is_never_predicted_slower(
    data: st.DataObject, name: str, profile: Profile, n_ctx: int
) -> None:
    on = data.draw(machines())
    wishes = Wishes(profile=profile, n_ctx=n_ctx)
    less = solve(inventory(name), on, wishes)
    assume(less.fits)
    more = solve(inventory(name), data.draw(better(on)), wishes)
    assert more.fits
    # Experts are whole tensors: what is left beside them may differ by a part of one.
    assert exchange_s(more.speed, profile) <= 1.02 * exchange_s(less.speed, profile)


def test_memory_of_a_unified_gpu_is_used_and_not_counted_twice() -> None:
    own = replace(gpu(0, 51, kind=GpuKind.VULKAN, bandwidth_bytes_s=2.5e11), is_unified=True)
    on = replace(machine([], 64), gpus=(own,))
    plan = solve(inventory("v3-iq1m"), on, Wishes(n_ctx=2048))
    assert plan.fits
    card = next(device for device in plan.memory.devices if device.name == "Vulkan0")
    assert card.used_bytes > 0.9 * card.budget_bytes
    host = plan.memory.host
    assert host.anonymous_bytes + host.pinned_bytes <= on.ram.available_bytes


def test_a_host_does_not_copy_experts_and_the_own_card_has_room_for_it() -> None:
    on = replace(machine([], 32), gpus=(gpu(0, 8, kind=GpuKind.RPC), gpu(0, 4), gpu(1, 24)))
    plan = solve(inventory("v3-q4km"), on, Wishes(n_ctx=2048, profile=Profile.PREFILL))
    assert plan.fits
