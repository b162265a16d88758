"""What the plan panel shows, from plans as they are in life: words, bars, controls, wishes."""

from __future__ import annotations

import dataclasses

import pytest

from app.views.plan_bars import DISK, bar_scale
from app.views.plan_control_views import experts_on_gpus
from app.views.plan_names import device_name, short_name
from app.views.plan_view import ControlKind, ControlView, LoadPhase, PlanPhase, PlanView
from app.views.plan_wishes import (
    fixed_keys,
    fixed_value,
    released,
    wishes_for,
    with_value,
    without,
)
from app.views.plan_words import make_plan_view, resource_words
from app.widgets.device_bars import DeviceRowView
from helpers.plan_samples import (
    GB,
    GIB,
    distill_plan,
    distill_shape,
    long_names,
    machine,
    v3_plan,
    v3_shape,
)
from models.errors import FathomError
from models.planner.machine import Machine
from models.planner.plan import (
    CPU,
    Alternative,
    DevicePlan,
    HostPlan,
    Override,
    Plan,
    PlanSettings,
    Profile,
    Tier,
)
from models.planner.wishes import Wishes
from models.planning.measured import DeviceDifference, PartBytes
from models.runtime.protocol import LoadProgress
from models.units import format_bytes

V3 = v3_shape()


def view_of(plan: Plan, on: Machine, wishes: Wishes = Wishes(), **more: object) -> PlanView:  # noqa: B008
    return make_plan_view(
        phase=PlanPhase.READY,
        wishes=wishes,
        name="V3",
        shape=V3,
        machine=on,
        plan=plan,
        **more,  # type: ignore[arg-type]
    )


def row(view: PlanView, key: str) -> DeviceRowView:
    return next(row for row in view.rows if row.key == key)


def control(view: PlanView, key: str) -> ControlView:
    return next(control for control in view.controls if control.key == key)


def with_host(plan: Plan, **changes: int) -> Plan:
    host = dataclasses.replace(plan.memory.host, **changes)
    return dataclasses.replace(plan, memory=dataclasses.replace(plan.memory, host=host))


def with_device(plan: Plan, name: str, **changes: int) -> Plan:
    devices = tuple(
        dataclasses.replace(device, **changes) if device.name == name else device  # type: ignore[arg-type]
        for device in plan.memory.devices
    )
    return dataclasses.replace(plan, memory=dataclasses.replace(plan.memory, devices=devices))


# --- bars ---------------------------------------------------------------------------------------


def test_every_bar_has_the_same_scale_and_the_largest_memory_fills_it() -> None:
    on = machine(2, vram_gb=24, ram_gb=512)
    view = view_of(v3_plan(on, expert_layers=1), on)
    assert view.scale == 512 * GIB
    assert [one.key for one in view.rows] == ["CUDA0", "CUDA1", CPU]
    assert row(view, "CUDA0").fill.total == 24 * GIB


def test_the_parts_of_a_bar_add_up_to_what_the_device_holds() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = v3_plan(on, expert_layers=1)
    device = plan.memory.devices[0]
    gpu = row(view_of(plan, on), "CUDA0")
    assert gpu.fill.used == device.used_bytes
    assert gpu.fill.others is not None
    assert gpu.fill.others.size == on.gpus[0].total_bytes - on.gpus[0].free_bytes
    assert gpu.fill.limit == device.budget_bytes
    assert gpu.used.startswith("~")
    assert f"{device.used_bytes:,} B" in gpu.tooltip
    assert f"{device.kv_bytes:,} B" in gpu.tooltip
    assert gpu.tone == ""


def test_ram_tells_what_must_be_held_from_what_may_be_dropped() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = v3_plan(on, expert_layers=1)
    host = plan.memory.host
    ram = row(view_of(plan, on), CPU)
    assert ram.fill.held == host.anonymous_bytes
    firm = sum(part.size for part in ram.fill.parts if part.look == "solid")
    soft = sum(part.size for part in ram.fill.parts if part.look == "soft")
    assert firm == pytest.approx(host.anonymous_bytes, rel=1e-6)
    assert soft == pytest.approx(host.page_cache_bytes, rel=1e-6)
    assert "must be held" in ram.note
    assert "page cache" in ram.note


def test_pinned_memory_counts_as_held_and_is_named() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = with_host(v3_plan(on), pinned_bytes=100 * GB, page_cache_bytes=288 * GB)
    ram = row(view_of(plan, on), CPU)
    assert ram.fill.held == plan.memory.host.anonymous_bytes + 100 * GB
    assert "100 GB of it pinned" in ram.note
    alone = row(view_of(with_host(plan, page_cache_bytes=0), on), CPU)
    assert alone.note == "101 GB must be held  \N{MIDDLE DOT}  100 GB of it pinned"


def test_without_page_cache_nothing_is_told_apart() -> None:
    on = machine(0, ram_gb=32)
    plan = distill_plan(on)
    held = plan.memory.devices[0].used_bytes
    ram = row(view_of(with_host(plan, anonymous_bytes=held, page_cache_bytes=0), on), CPU)
    assert ram.fill.held == 0
    assert ram.note == ""
    assert {part.look for part in ram.fill.parts} == {"solid"}


def test_what_ram_cannot_hold_is_a_bar_of_the_disk() -> None:
    on = machine(1)
    view = view_of(v3_plan(on), on)
    disk = row(view, DISK)
    assert disk.fill.used == v3_plan(on).memory.host.disk_bytes
    assert disk.tone == "tight"
    assert row(view, CPU).rest == "full"
    # The disk does not make the memories shrink.
    assert view.scale == bar_scale(v3_plan(on), on) < disk.fill.used


def test_the_disk_keeps_its_row_where_it_may_be_needed_so_that_nothing_jumps() -> None:
    on = machine(1, ram_gb=64)
    view = view_of(with_host(v3_plan(on), disk_bytes=0), on)
    assert row(view, DISK).fill.used == 0
    assert "nothing" in row(view, DISK).rest
    roomy = machine(1, vram_gb=24, ram_gb=512)
    assert DISK not in [one.key for one in view_of(v3_plan(roomy), roomy).rows]


def test_a_device_is_amber_within_the_margin_and_red_beyond_what_is_free() -> None:
    on = machine(1)
    free = on.gpus[0].free_bytes
    plan = with_device(v3_plan(on), "CUDA0", attention_bytes=0, dense_bytes=0)
    other = plan.memory.devices[0].used_bytes
    tight = with_device(plan, "CUDA0", dense_bytes=free - GIB // 2 - other)
    assert row(view_of(tight, on), "CUDA0").tone == "tight"
    over = with_device(plan, "CUDA0", dense_bytes=free + GIB - other)
    assert row(view_of(over, on), "CUDA0").tone == "fail"
    # What should stay free is missing too: the plan's own sentences count so.
    missing = free + GIB - over.memory.devices[0].budget_bytes
    assert row(view_of(over, on), "CUDA0").rest == f"{format_bytes(missing)} too much"


def test_what_is_over_widens_the_scale_but_not_without_end() -> None:
    on = machine(1, vram_gb=64, ram_gb=16)
    plan = v3_plan(on, expert_layers=58)
    assert bar_scale(plan, on) == pytest.approx(64 * GIB * 1.25)


def test_the_legend_names_every_part_once_and_free_room_last() -> None:
    on = machine(2, vram_gb=24, ram_gb=512)
    names = [part.name for part in view_of(v3_plan(on, expert_layers=2), on).legend]
    assert names == [
        "Attention", "Dense", "Shared experts", "Routed experts", "KV cache", "Compute",
        "Other programs", "Page cache", "Free",
    ]  # fmt: skip


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("AMD Radeon RX 7900 XTX", "RX 7900 XTX"),
        ("Intel(R) Arc(TM) A770 Graphics", "Arc A770"),
        ("Apple M2 Max", "M2 Max"),
        ("AMD Radeon Graphics", "AMD Radeon Graphics"),
        ("", ""),
    ],
)
def test_names_lose_their_vendor(name: str, short: str) -> None:
    assert short_name(name) == short


def test_cards_of_the_same_name_are_numbered() -> None:
    assert device_name(machine(1), "CUDA0") == "RTX 4070"
    assert device_name(machine(2), "CUDA1") == "GPU 1: RTX 4070"
    assert device_name(machine(1), CPU) == "RAM"


# --- controls -----------------------------------------------------------------------------------


def test_a_control_shows_the_plans_choice_or_what_is_fixed() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = v3_plan(on, expert_layers=1)
    free = view_of(plan, on)
    assert control(free, "n_ctx").value == 32768
    assert control(free, "n_ctx").is_fixed is False
    assert control(free, "kv").value == "q8_0"
    fixed = view_of(plan, on, Wishes(n_ctx=4096, type_k="f16", gpu_share={"CUDA0": 0.5}))
    assert control(fixed, "n_ctx").value == 4096
    assert control(fixed, "n_ctx").is_fixed is True
    assert control(fixed, "kv").value == "f16"
    assert control(fixed, "gpu_share:CUDA0").value == 50
    assert control(fixed, "gpu_share:CUDA0").words == "up to 12.5 GB"
    assert control(fixed, "profile").is_fixed is None


def test_the_context_goes_by_doublings_to_what_the_model_was_trained_for() -> None:
    on = machine(1)
    context = control(view_of(v3_plan(on), on), "n_ctx")
    assert context.kind is ControlKind.CONTEXT
    assert (context.minimum, context.maximum) == (512, 163840)
    assert [words for _, words in context.marks] == [
        "512", "1k", "2k", "4k", "8k", "16k", "32k", "64k", "128k", "160k",
    ]  # fmt: skip
    beyond = control(view_of(v3_plan(on), on, Wishes(n_ctx=200_000)), "n_ctx")
    assert beyond.maximum == 200_000
    assert "163,840" in beyond.note


def test_experts_and_gpus_have_controls_only_where_there_are_some() -> None:
    cpu_only = machine(0)
    keys = {one.key for one in view_of(v3_plan(cpu_only), cpu_only).controls}
    assert not {"expert_layers", "op_offload", "gpu_share:CUDA0"} & keys
    on = machine(2, vram_gb=24, ram_gb=192)
    keys = {one.key for one in view_of(v3_plan(on), on).controls}
    assert {"expert_layers", "op_offload", "gpu_share:CUDA0", "gpu_share:CUDA1"} <= keys
    rig = machine(5, vram_gb=24)
    shares = [one for one in view_of(v3_plan(rig), rig).controls if one.key.startswith("gpu_")]
    assert [one.is_more for one in shares] == [True] * 5
    small = make_plan_view(
        phase=PlanPhase.READY,
        wishes=Wishes(),
        shape=distill_shape(),
        machine=on,
        plan=distill_plan(on),
    )
    assert "expert_layers" not in {one.key for one in small.controls}


def test_layers_whose_experts_lie_on_a_gpu_are_counted_by_llama_cpps_rules() -> None:
    on_gpu = PlanSettings(8192, n_gpu_layers=62, devices=("CUDA0",))
    assert experts_on_gpus(V3, on_gpu) == (58, 58)
    assert experts_on_gpus(V3, PlanSettings(8192)) == (0, 58)
    # The output counts as a layer: 11 of them are 10 blocks, 51 to 60.
    ten = dataclasses.replace(on_gpu, n_gpu_layers=11)
    assert experts_on_gpus(V3, ten) == (10, 58)
    # First match wins; of layer 5 two tensors of three stay.
    some = dataclasses.replace(
        on_gpu,
        overrides=(
            Override(r"blk\.5\.ffn_gate_exps", "CUDA0"),
            Override(r"blk\.[3-9]\.ffn_.*_exps", "CPU"),
        ),
    )
    inside, _ = experts_on_gpus(V3, some)
    assert inside == pytest.approx(51 + 1 / 3)


def test_a_wish_that_the_plan_cannot_keep_is_told_once_the_plan_is_of_it() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = v3_plan(on, expert_layers=1)
    experts = control(view_of(plan, on, Wishes(expert_layers=12)), "expert_layers")
    assert (experts.value, experts.note) == (12, "There is room for 1.")
    stale = view_of(plan, on, Wishes(expert_layers=12), is_stale=True)
    assert control(stale, "expert_layers").note == ""
    assert control(view_of(plan, on), "expert_layers").note == ""


def test_a_type_that_cannot_be_chosen_says_why() -> None:
    on = machine(1)
    assert not any(one.why_not for one in control(view_of(v3_plan(on), on), "kv").choices)
    without_flash = view_of(v3_plan(on), on, Wishes(flash_attn="off"))
    kv = control(without_flash, "kv")
    refused = {choice.value for choice in kv.choices if choice.why_not}
    assert refused == {"q8_0", "q4_0"}
    assert "flash attention" in kv.note


def test_a_value_fixed_elsewhere_can_be_seen_and_released() -> None:
    on = machine(2)
    wishes = Wishes(
        n_gpu_layers=12, tensor_split=(0.25, 0.75), devices=(), overrides=(Override("exps", "CPU"),)
    )
    view = view_of(v3_plan(on), on, wishes)
    assert control(view, "n_gpu_layers").words == "12"
    assert control(view, "tensor_split").words == "0.25, 0.75"
    assert control(view, "devices").words == "CPU only"
    assert control(view, "overrides").words == "exps=CPU"
    assert all(
        control(view, key).kind is ControlKind.FIXED_ONLY for key in ("n_gpu_layers", "devices")
    )


# --- words --------------------------------------------------------------------------------------


def test_a_prediction_wears_a_tilde_and_a_range_and_says_what_binds_it() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    decode, prefill = view_of(v3_plan(on), on).speeds
    assert (decode.value, decode.unit, decode.range) == ("~4.40", "tok/s", "3.87 to 5.10")
    assert decode.bound == "Limited by RAM bandwidth"
    assert decode.tooltip.splitlines()[1] == "RAM bandwidth: 180 ms"
    assert prefill.value == "~62.4"


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ("gpu_bandwidth:CUDA0", "RTX 4070 bandwidth"),
        ("gpu_compute:CUDA0", "RTX 4070 compute"),
        ("pcie", "the PCIe link"),
        ("something_new", "something new"),
    ],
)
def test_every_resource_has_words(resource: str, words: str) -> None:
    assert resource_words(resource, machine(1)) == words


def test_the_tier_of_the_figures_is_told() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    assert view_of(v3_plan(on), on).tier == "Estimated"
    assert view_of(v3_plan(on), on, is_checking=True).tier == "Checking with llama.cpp"
    exact = view_of(v3_plan(on, tier=Tier.EXACT), on)
    assert (exact.tier, exact.tier_tone) == ("Checked with llama.cpp", "good")


@pytest.mark.parametrize(
    ("more_bytes", "words", "tone"),
    [
        (0, "Measured, as planned", "good"),
        (55_000_000, "Measured, 55.0 MB more than planned", "quiet"),
        (-55_000_000, "Measured, 55.0 MB less than planned", "quiet"),
    ],
)
def test_after_a_load_the_tier_says_what_was_measured(
    more_bytes: int, words: str, tone: str
) -> None:
    on = machine(1)
    measured = (
        DeviceDifference("CUDA0", PartBytes(GB), PartBytes(GB + more_bytes)),
        DeviceDifference(CPU, PartBytes(GB), PartBytes(GB)),
    )
    for tier in Tier:
        view = view_of(v3_plan(on, tier=tier), on, measured=measured)
        assert (view.tier, view.tier_tone) == (words, tone)


def test_a_load_says_how_far_it_is_and_can_be_stopped_by_another_button() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = v3_plan(on)
    for progress, words in (
        (None, "Loading"),
        (LoadProgress("checking", 0, 0, 0.1, None), "Loading"),
        (
            LoadProgress("reading", 3_200_000_000, 404_000_000_000, 1.0, None),
            "Loading, 3.20 GB of 404 GB",
        ),
        (
            LoadProgress("reading", 3_200_000_000, 404_000_000_000, 1.0, 125.0),
            "Loading, 3.20 GB of 404 GB, 2 min 5 s left",
        ),
    ):
        load = view_of(plan, on, load=LoadPhase.LOADING, progress=progress).load
        assert (load.enabled, load.verdict, load.stop) == (False, words, "Stop loading")
    load = view_of(plan, on, load=LoadPhase.LOADING, is_stopping=True).load
    assert (load.verdict, load.stop) == ("Stopping", "")


def test_a_reason_is_not_said_again_among_the_alternatives() -> None:
    on = machine(1)
    plan = v3_plan(on)
    said = "With 32 GB of VRAM 2 more layers would move there: 13.6 to 14.5 tok/s."
    plan = dataclasses.replace(
        plan, explanation=(said,), alternatives=(Alternative("more_vram", said),)
    )
    assert view_of(plan, on).alternatives == ()
    assert view_of(dataclasses.replace(plan, explanation=()), on).alternatives[0].text == said


def test_the_button_never_refuses_what_does_not_fit() -> None:
    on = machine(1)
    plan = v3_plan(on)
    assert not plan.fits
    load = view_of(plan, on).load
    assert load.enabled
    assert load.text == "Load anyway"
    device = plan.memory.devices[0]
    missing = format_bytes(device.used_bytes - device.budget_bytes)
    assert f"RTX 4070 lacks {missing}" in load.verdict
    assert row(view_of(plan, on), "CUDA0").rest == f"{missing} too much"
    assert load.tone == "fail"


def test_too_little_ram_is_named_too() -> None:
    on = machine(0, ram_gb=32)
    plan = with_host(v3_plan(on), anonymous_bytes=on.ram.available_bytes + 2 * GB)
    load = view_of(dataclasses.replace(plan, fits=False), on).load
    budget = next(one.budget_bytes for one in plan.memory.devices if one.name == CPU)
    missing = on.ram.available_bytes + 2 * GB - budget
    assert f"RAM lacks {format_bytes(missing)}" in load.verdict


def test_a_plan_within_the_margin_is_tight() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    load = view_of(dataclasses.replace(v3_plan(on), fits=False), on).load
    assert (load.tone, load.text, load.enabled) == ("tight", "Load anyway", True)
    assert load.verdict.startswith("Tight")


def test_the_button_says_what_it_would_do_now() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = v3_plan(on)
    assert view_of(plan, on).load.text == "Load with this plan"
    free = format_bytes(on.gpus[0].free_bytes - plan.memory.devices[0].used_bytes)
    host = plan.memory.host
    rest = on.ram.available_bytes - host.anonymous_bytes - host.page_cache_bytes
    words = f"Fits. {free} of VRAM and {format_bytes(rest)} of RAM stay free."
    assert view_of(plan, on).load.verdict == words
    assert view_of(plan, on, load=LoadPhase.OTHER).load.text == "Reload with this plan"
    assert view_of(plan, on, load=LoadPhase.LOADED).load.text == "Load again"
    assert not view_of(plan, on, load=LoadPhase.LOADING).load.enabled
    remote = view_of(plan, on, is_here=False).load
    assert not remote.enabled
    assert "Download" in remote.verdict
    described = dataclasses.replace(on, is_described=True)
    assert not view_of(plan, described).load.enabled


def test_measured_stands_beside_planned_with_the_difference() -> None:
    on = machine(1)
    measured = (
        DeviceDifference("CUDA0", PartBytes(12 * GB), PartBytes(12 * GB, 0, 55_000_000)),
        DeviceDifference(CPU, PartBytes(4 * GB), PartBytes(4 * GB)),
        DeviceDifference("CUDA1", PartBytes(), PartBytes(2 * GB)),
    )  # fmt: skip
    table = view_of(v3_plan(on), on, measured=measured).measured
    assert table is not None
    assert [row.name for row in table.rows] == ["RTX 4070", "RAM", "CUDA1"]
    first = [cell for cell in table.rows[0].cells if cell]
    assert [cell.value for cell in first] == ["~12.0", "12.1", "+55.0"]
    assert first[1].tooltip == "12,055,000,000 B"
    assert [cell.value for cell in table.rows[1].cells if cell] == ["~4.00", "4.00", "none"]
    assert table.rows[2].cells[2] is not None
    assert table.rows[2].cells[2].token == "tight"
    assert view_of(v3_plan(on), on).measured is None


def test_without_a_plan_there_are_words_only() -> None:
    error = FathomError("No answer.", hint="Try again.", details="timeout")
    view = make_plan_view(phase=PlanPhase.FAILED, wishes=Wishes(n_ctx=4096), name="V3", error=error)
    assert view.notice is not None
    assert (view.notice.text, view.notice.hint, view.notice.details) == (
        "No answer.", "Try again.", "timeout",
    )  # fmt: skip
    assert view.wishes.n_ctx == 4096
    assert view.rows == ()


# --- alternatives -------------------------------------------------------------------------------


def test_an_alternative_offers_what_it_can_do() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = v3_plan(on)
    offers = view_of(plan, on, Wishes(n_ubatch=512)).alternatives
    assert [offer.action for offer in offers] == [
        "Use this plan", "Use 16k context", "Show models", "",
    ]  # fmt: skip
    # With what a search would choose anew because of the change.
    assert offers[0].wishes == Wishes(
        n_ctx=plan.settings.n_ctx,
        type_k=plan.settings.type_k,
        type_v=plan.settings.type_v,
        load_mode=plan.settings.load_mode,
        n_ubatch=512,
        op_offload=True,
    )
    assert offers[1].wishes == Wishes(n_ubatch=512, n_ctx=16384)
    assert offers[2].wants_models
    assert offers[0].figures == "~3.90 tok/s"


def test_the_price_of_a_wish_is_paid_back_by_releasing_it() -> None:
    on = machine(1, vram_gb=24, ram_gb=512)
    plan = v3_plan(on)
    price = Alternative("plan", "Your KV type costs 1 tok/s.", plan.settings, releases="type_k")
    plan = dataclasses.replace(plan, alternatives=(price,))
    (offer,) = view_of(plan, on, Wishes(type_k="f16", type_v="f16", n_ctx=4096)).alternatives
    assert offer.action == "Release"
    assert offer.wishes == Wishes(n_ctx=4096)


def test_placement_is_fixed_only_when_nothing_else_differs() -> None:
    now = PlanSettings(8192, n_gpu_layers=10)
    shorter = wishes_for(Wishes(), now, PlanSettings(4096, n_gpu_layers=20))
    assert (shorter.n_ctx, shorter.n_gpu_layers, shorter.overrides) == (4096, None, None)
    cpu = dataclasses.replace(now, devices=("CUDA0",))
    assert wishes_for(Wishes(), cpu, now).devices == ()
    moved = dataclasses.replace(now, n_gpu_layers=20)
    assert wishes_for(Wishes(), now, moved) == Wishes(n_gpu_layers=20)
    fixed = Wishes(expert_layers=3)
    assert wishes_for(fixed, now, moved) == fixed
    kept = Wishes(n_ctx=8192)
    assert wishes_for(kept, now, PlanSettings(4096, n_gpu_layers=10)) == kept


# --- wishes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_ctx", 4096), ("kv", "q8_0"), ("gpu_share:CUDA0", 0.5), ("expert_layers", 3),
        ("load_mode", "none"), ("n_ubatch", 512), ("flash_attn", "off"), ("op_offload", False),
        ("use_extra_bufts", True),
    ],
)  # fmt: skip
def test_a_value_is_fixed_and_released_again(key: str, value: object) -> None:
    before = Wishes(profile=Profile.DECODE, margin_bytes=GIB)
    fixed = with_value(before, key, value)
    assert fixed_value(fixed, key) == value
    assert fixed_keys(fixed) == (key,)
    assert with_value(fixed, key, None) == before
    assert released(fixed) == before


def test_the_kv_types_go_together_and_shares_one_by_one() -> None:
    kv = with_value(Wishes(), "kv", "q8_0")
    assert (kv.type_k, kv.type_v) == ("q8_0", "q8_0")
    assert without(kv, "type_v") == Wishes()
    two = with_value(Wishes(gpu_share={"CUDA0": 0.5}), "gpu_share:CUDA1", 0.25)
    assert with_value(two, "gpu_share:CUDA0", None).gpu_share == {"CUDA1": 0.25}
    assert without(two, "gpu_share") == Wishes()


def test_the_profile_is_a_choice_that_nothing_releases() -> None:
    wishes = with_value(Wishes(n_ctx=4096), "profile", "prefill")
    assert wishes.profile is Profile.PREFILL
    assert released(wishes) == Wishes(profile=Profile.PREFILL)


def test_odd_machines_and_plans_have_a_view_too() -> None:
    on = long_names(machine(4, vram_gb=80, ram_gb=512))
    view = view_of(v3_plan(on, expert_layers=38, n_ctx=131072), on)
    assert len(view.rows) == 5
    nothing = DevicePlan(CPU, "cpu", "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    empty = dataclasses.replace(
        v3_plan(on).memory, devices=(nothing,), host=HostPlan(0, 0, 0, 0, 0)
    )
    bare = dataclasses.replace(v3_plan(on), memory=empty, alternatives=(), llama_cpp_flags=())
    assert not any(one.is_more for one in view.controls if one.key.startswith("gpu_share"))
    assert view_of(bare, on).rows[0].fill.used == 0
