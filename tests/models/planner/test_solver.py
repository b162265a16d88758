"""Plans for true-scale checkpoints on described machines."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.described_machines import GIB, gpu, machine
from helpers.true_scale import true_scale
from models.errors import InvalidSettingError
from models.planner.compare import Row, Where, recommended, verdict, where_of, where_words
from models.planner.inventory import Inventory
from models.planner.machine import GpuKind, Machine
from models.planner.plan import CPU, Override, Plan, Profile, Tier
from models.planner.plan_json import plan_to_json
from models.planner.solver import solve
from models.planner.wishes import Wishes, fixed_names


@functools.cache
def inventory(name: str) -> Inventory:
    return Inventory(true_scale(name).shape)


def planned(name: str, on: Machine, wishes: Wishes | None = None) -> Plan:
    return solve(inventory(name), on, wishes or Wishes())


def used(plan: Plan, device: str) -> int:
    return next(d.used_bytes for d in plan.memory.devices if d.name == device)


def assert_sound(plan: Plan, name: str, on: Machine) -> None:
    """What holds for every plan, whatever was asked."""
    shape = inventory(name).shape
    settings_ = plan.settings
    assert plan.tier is Tier.FAST
    assert 0 <= settings_.n_gpu_layers <= shape.n_layer_all + 1
    assert settings_.n_batch >= settings_.n_ubatch
    assert set(settings_.devices) <= {g.device for g in on.gpus}
    assert plan.speed.decode.low <= plan.speed.decode.mid <= plan.speed.decode.high
    assert plan.speed.prefill.low <= plan.speed.prefill.mid <= plan.speed.prefill.high
    assert plan.explanation
    host = plan.memory.host
    if plan.fits:
        for device in plan.memory.devices:
            if device.name != CPU:
                assert device.used_bytes <= device.budget_bytes
        assert host.anonymous_bytes + host.pinned_bytes <= on.ram.available_bytes


# --- where things go ----------------------------------------------------------------------------


def test_v3_on_12_gb_has_all_attention_and_shared_experts_on_the_card() -> None:
    # llama.cpp's own fit puts two layers there (facts: it never tries op_offload off).
    on = replace(machine([], 64), gpus=(gpu(0, 12, free_gib=12),))
    plan = planned("v3-q4km", on, Wishes(profile=Profile.DECODE, n_ctx=4096))
    assert plan.fits
    assert plan.settings.n_gpu_layers == 62
    assert not plan.settings.op_offload
    cpu = next(d for d in plan.memory.devices if d.name == CPU)
    assert cpu.attention_bytes == cpu.shared_bytes == 0
    assert cpu.routed_bytes > 360 * GIB
    assert_sound(plan, "v3-q4km", on)


def test_more_room_takes_experts_over() -> None:
    plan = planned("v3-q4km", machine([24], 512))
    card = next(d for d in plan.memory.devices if d.name == "CUDA0")
    assert card.routed_bytes > 0
    assert card.used_bytes > 0.8 * card.budget_bytes
    assert any("experts of layers" in text for text in plan.explanation)


def test_a_small_model_lies_on_one_of_two_cards() -> None:
    plan = planned("llama8-q4km", machine([24, 24], 64))
    assert where_of(plan) is Where.GPU
    assert len(plan.settings.devices) == 1
    assert plan.settings.n_ctx >= 32768


def test_without_a_gpu_everything_is_in_ram() -> None:
    plan = planned("qwen7-q4km", machine([], 32))
    assert plan.fits
    assert plan.settings.devices == ()
    assert where_words(plan) == "RAM"


def test_repacking_is_switched_off_where_it_would_hold_more_than_there_is() -> None:
    on = machine([], 192)
    plan = planned("v3-q4km", on)
    assert plan.fits
    assert not plan.settings.use_extra_bufts
    assert plan.memory.host.disk_bytes > 0
    assert plan.memory.host.anonymous_bytes < 20 * GIB
    assert any("disk" in text for text in plan.warnings)


@pytest.mark.parametrize("name", ["v2lite-q4km", "v32-q4km", "v4f-mxfp4"])
def test_latent_attention_is_never_repacked_on_amx(name: str) -> None:
    on = machine([], 2048, features=("AVX512", "AMX_INT8"))
    assert not planned(name, on).settings.use_extra_bufts
    assert planned("llama8-q4km", on).settings.use_extra_bufts


def test_a_pre_mla_file_is_warned_of_with_its_price() -> None:
    plan = planned("v3-legacy-q4km", machine([24], 512))
    assert any("latent attention" in text and "GB" in text for text in plan.warnings)


def test_a_pre_mla_file_at_32k_takes_152_gib() -> None:
    plan = planned("v3-legacy-q4km", machine([], 1024), Wishes(n_ctx=32768))
    kv = sum(d.kv_bytes for d in plan.memory.devices)
    assert kv == 4_997_120 * 32768
    assert 152 < kv / GIB < 153


def test_cards_on_another_machine_are_used_when_they_help() -> None:
    remote = gpu(0, 24, kind=GpuKind.RPC)
    own = gpu(0, 24)
    on = replace(machine([], 64), gpus=(remote, own))
    plan = planned("v2lite-q8", on)
    assert plan.fits
    assert_sound(plan, "v2lite-q8", on)
    # 16 GB fit into the card in this machine: no network is crossed for them.
    assert plan.settings.devices == ("CUDA0",)


def test_an_integrated_gpu_counts_as_ram_too() -> None:
    igpu = replace(gpu(0, 30, kind=GpuKind.VULKAN), is_unified=True)
    on = replace(machine([], 32, available_gib=20), gpus=(igpu,))
    plan = planned("v2lite-q8", on)
    assert plan.fits
    # What the device holds is part of what is anonymous.
    assert used(plan, "Vulkan0") <= plan.memory.host.anonymous_bytes <= 20 * GIB


# --- around what is fixed -----------------------------------------------------------------------

_WISHES = [
    Wishes(n_ctx=131072),
    Wishes(n_ctx=512, n_ubatch=64),
    Wishes(type_k="q8_0", type_v="q8_0"),
    Wishes(flash_attn="off"),
    Wishes(n_gpu_layers=7),
    Wishes(n_gpu_layers=0),
    Wishes(tensor_split=(3.0, 1.0)),
    Wishes(op_offload=True),
    Wishes(op_offload=False),
    Wishes(use_extra_bufts=False),
    Wishes(load_mode="none"),
    Wishes(n_outputs_max=512),
    Wishes(n_threads=3),
    Wishes(devices=("CUDA1",)),
    Wishes(devices=()),
    Wishes(overrides=(Override(r"blk\.1\d\.", CPU),)),
    Wishes(n_ctx=8192, n_gpu_layers=20, op_offload=False, n_ubatch=256),
]
_SETTING_OF = {"gpu_share": None, "expert_layers": None, "margin_bytes": None}


@pytest.mark.parametrize("wishes", _WISHES, ids=lambda w: "-".join(fixed_names(w)) or "none")
@pytest.mark.parametrize("name", ["v2lite-q4km", "qwen7-q4km"])
def test_a_fixed_wish_is_never_changed(name: str, wishes: Wishes) -> None:
    on = machine([8, 6], 32)
    plan = planned(name, on, wishes)
    for field in fixed_names(wishes):
        assert getattr(plan.settings, field) == getattr(wishes, field)
        assert field in plan.fixed
    assert_sound(plan, name, on)


def test_a_wished_number_of_expert_layers_is_kept() -> None:
    on = machine([24], 64)
    for wanted in (0, 5, 26):
        plan = planned("v2lite-q4km", on, Wishes(expert_layers=wanted))
        card = next(d for d in plan.memory.devices if d.name == "CUDA0")
        assert (card.routed_bytes == 0) == (wanted == 0)
        shape = inventory("v2lite-q4km").shape
        per_layer = sum(t.size_bytes for t in shape.tensors if "exps" in t.name) / 26
        assert card.routed_bytes / per_layer == pytest.approx(wanted, rel=0.2)


def test_a_share_of_a_card_is_not_exceeded() -> None:
    plan = planned("v3-q4km", machine([24], 512), Wishes(gpu_share={"CUDA0": 0.6}))
    assert plan.fits
    assert used(plan, "CUDA0") <= 0.6 * 24 * GIB


def test_what_cannot_fit_is_said_with_what_would() -> None:
    on = machine([8], 16)
    plan = planned("llama8-q4km", on, Wishes(n_ctx=131072, devices=("CUDA0",), n_gpu_layers=33))
    assert not plan.fits
    assert plan.settings.n_ctx == 131072
    kinds = {other.kind for other in plan.alternatives}
    assert {"less_context", "more_vram"} <= kinds
    smaller = next(other for other in plan.alternatives if other.kind == "less_context")
    assert smaller.settings is not None
    again = planned(
        "llama8-q4km",
        on,
        Wishes(n_ctx=smaller.settings.n_ctx, devices=("CUDA0",), n_gpu_layers=33),
    )
    assert again.fits
    assert "does not fit" in verdict(plan)


def test_where_nothing_is_sensible_a_smaller_model_is_named() -> None:
    plan = planned("v3-q4km", machine([], 16))
    kinds = [other.kind for other in plan.alternatives]
    assert "distill" in kinds
    assert "more_ram" in kinds or "smaller_quant" in kinds


def test_kv_types_that_an_architecture_cannot_have_are_refused() -> None:
    with pytest.raises(InvalidSettingError):
        planned("v3-q4km", machine([24], 64), Wishes(type_k="q8_0", type_v="f16"))
    with pytest.raises(InvalidSettingError):
        planned("qwen7-q4km", machine([24], 64), Wishes(type_v="q8_0", flash_attn="off"))


def test_a_wish_that_costs_speed_has_its_price_told() -> None:
    plan = planned("v2lite-q4km", machine([24], 64), Wishes(expert_layers=0))
    assert any(text.text.startswith("Your number of expert layers") for text in plan.alternatives)


# --- near: a slider that moves ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v3-q4km", "v2lite-q4km", "llama8-q4km"])
def test_near_keeps_the_settings_and_moves_the_placement(name: str) -> None:
    on = machine([24, 12], 128)
    first = planned(name, on)
    again = solve(inventory(name), on, Wishes(), near=first.settings)
    assert again.settings.n_ubatch == first.settings.n_ubatch
    assert again.settings.op_offload == first.settings.op_offload
    assert again.settings.n_ctx == first.settings.n_ctx
    larger = solve(inventory(name), on, Wishes(n_ctx=65536), near=first.settings)
    assert larger.settings.n_ctx == 65536


# --- properties ---------------------------------------------------------------------------------

_NAMES = ["v2lite-q4km", "v2lite-q8", "qwen7-q4km", "llama8-q4km", "v4f-mxfp4", "v3-iq1m"]


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(_NAMES),
    cards=st.lists(st.sampled_from([4, 6, 8, 12, 16, 24, 48]), min_size=0, max_size=4),
    ram=st.sampled_from([16, 32, 64, 128, 256, 512]),
    profile=st.sampled_from(list(Profile)),
)
def test_every_plan_is_sound(name: str, cards: list[int], ram: int, profile: Profile) -> None:
    on = machine(cards, ram)
    plan = planned(name, on, Wishes(profile=profile))
    assert_sound(plan, name, on)
    weights = sum(d.weights_bytes for d in plan.memory.devices)
    parts = sum(
        d.attention_bytes + d.dense_bytes + d.shared_bytes + d.routed_bytes
        for d in plan.memory.devices
    )
    assert weights == parts
    per_buffer = sum(b.total_bytes for b in plan.memory.buffers)
    per_device = sum(d.used_bytes - d.output_bytes for d in plan.memory.devices)
    assert per_buffer == per_device


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(_NAMES),
    small=st.sampled_from([0, 4, 6, 8, 12, 16, 24]),
    more=st.sampled_from([1, 2, 4, 8, 24]),
    ram=st.sampled_from([32, 64, 256, 512]),
    profile=st.sampled_from(list(Profile)),
)
def test_more_vram_is_never_predicted_slower(
    name: str, small: int, more: int, ram: int, profile: Profile
) -> None:
    wishes = Wishes(profile=profile, n_ctx=4096)
    less = planned(name, machine([small] if small else [], ram), wishes)
    larger = planned(name, machine([small + more], ram), wishes)
    if not less.fits:
        return
    assert larger.fits
    from models.planner.search import exchange_s

    assert exchange_s(larger.speed, profile) <= exchange_s(less.speed, profile) * 1.001


# --- several beside each other ------------------------------------------------------------------


def test_the_best_quality_that_is_comfortable_is_recommended() -> None:
    on = machine([24], 64)
    rows = [
        Row(name, inventory(name).shape.file_bytes, planned(name, on))
        for name in ("v2lite-q4km", "v2lite-q8", "v3-q4km")
    ]
    assert recommended(rows) == 1
    assert verdict(rows[1].plan) == "runs well"
    assert recommended([rows[2]]) in (None, 0)


def test_what_is_whole_on_a_card_is_worth_more_than_the_last_bits() -> None:
    on = machine([12], 64)
    rows = [
        Row(name, inventory(name).shape.file_bytes, planned(name, on))
        for name in ("v2lite-q4km", "v2lite-q8")
    ]
    assert [where_of(row.plan) for row in rows] == [Where.GPU, Where.GPU_AND_RAM]
    assert all(row.plan.speed.decode.mid > 8 for row in rows)
    assert recommended(rows) == 0


def test_sixteen_bits_are_no_better_than_eight() -> None:
    plan = planned("qwen7-q4km", machine([24], 64))
    sizes = {"Qwen-7B-Q8_0": 8, "Qwen-7B-F16": 15, "Qwen-7B-BF16": 15}
    rows = [Row(name, size, plan) for name, size in sizes.items()]
    assert recommended(rows) == 0
    assert recommended(rows[1:]) is not None


def test_json_has_the_documented_keys() -> None:
    data = plan_to_json(planned("v3-q4km", machine([24], 512)))
    assert {
        "fits",
        "tier",
        "settings",
        "devices",
        "host",
        "disk_bytes",
        "decode_tok_s",
        "prefill_tok_s",
        "bound_by",
        "explanation",
        "warnings",
        "llama_cpp_flags",
        "alternatives",
    } <= set(data)
    assert data["settings"]["overrides"][0].keys() == {"pattern", "device"}
    assert data["host"].keys() == {
        "anonymous_bytes",
        "pinned_bytes",
        "page_cache_bytes",
        "load_read_bytes",
    }
    for device in data["devices"]:
        assert (
            device["weights_bytes"]
            + device["kv_bytes"]
            + device["compute_bytes"]
            + device["output_bytes"]
            == device["used_bytes"]
        )
