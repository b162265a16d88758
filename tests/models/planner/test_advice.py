"""What a plan says would help does help, and what it says is so."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.described_machines import GIB, gpu, machine
from helpers.true_scale import true_scale
from models.planner.inventory import Inventory
from models.planner.machine import Gpu, GpuKind, Machine
from models.planner.machine_file import machine_from_json
from models.planner.plan import CPU, Alternative, Override, Plan
from models.planner.solver import solve
from models.planner.wishes import Wishes

_FOLDER = Path(__file__).parents[3] / "benchmarks" / "machines"


@functools.cache
def inventory(name: str) -> Inventory:
    return Inventory(true_scale(name).shape)


def described(name: str) -> Machine:
    return machine_from_json((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def planned(name: str, on: Machine, wishes: Wishes | None = None) -> Plan:
    return solve(inventory(name), on, wishes or Wishes())


def alternative(plan: Plan, kind: str) -> Alternative:
    return next(other for other in plan.alternatives if other.kind == kind)


def with_ram(on: Machine, more_bytes: int) -> Machine:
    ram = replace(
        on.ram,
        total_bytes=on.ram.total_bytes + more_bytes,
        available_bytes=on.ram.available_bytes + more_bytes,
    )
    return replace(on, ram=ram)


def with_vram(on: Machine, device: str, more_bytes: int) -> Machine:
    def grown(one: Gpu) -> Gpu:
        if one.device != device:
            return one
        total, free = one.total_bytes + more_bytes, one.free_bytes + more_bytes
        return replace(one, total_bytes=total, free_bytes=free)

    return replace(on, gpus=tuple(map(grown, on.gpus)))


# --- more memory --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "on", "wishes"),
    [
        ("llama8-q4km", machine([], 8), Wishes(n_ctx=131072)),
        ("v2lite-q4km", machine([], 16), Wishes(load_mode="none", n_ctx=131072)),
        ("v3-q4km", machine([8], 16), Wishes(load_mode="none")),
        ("v2lite-q4km", machine([], 64), Wishes(n_ctx=4_000_000)),
        ("v2lite-q4km", machine([], 4), Wishes(use_extra_bufts=True, ram_margin_bytes=10**9)),
    ],
)
def test_the_ram_that_is_said_to_do_does(name: str, on: Machine, wishes: Wishes) -> None:
    plan = planned(name, on, wishes)
    assert not plan.fits
    more = alternative(plan, "more_ram")
    assert more.needed_bytes
    assert "more RAM would do" in more.text
    assert planned(name, with_ram(on, more.needed_bytes), wishes).fits
    assert not planned(name, with_ram(on, more.needed_bytes - GIB // 2), wishes).fits


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(n_gpu_layers=33, n_ctx=65536, devices=("CUDA0",)),
        Wishes(n_gpu_layers=33, n_ctx=65536, devices=("CUDA0",), gpu_share={"CUDA0": 0.5}),
        Wishes(n_gpu_layers=33, n_ctx=65536, devices=("CUDA0",), margin_bytes=3 * GIB),
    ],
)
def test_the_vram_that_is_said_to_do_does(wishes: Wishes) -> None:
    on = machine([8], 64)
    plan = planned("llama8-q4km", on, wishes)
    assert not plan.fits
    more = alternative(plan, "more_vram")
    assert more.needed_bytes
    assert planned("llama8-q4km", with_vram(on, "CUDA0", more.needed_bytes), wishes).fits


def test_what_is_missing_in_two_places_is_one_sentence() -> None:
    wishes = Wishes(n_gpu_layers=40, load_mode="none", n_ctx=16384, margin_bytes=6 * GIB)
    plan = planned("v3-q4km", machine([8], 16), wishes)
    assert not plan.fits
    more = [other for other in plan.alternatives if "would do" in other.text]
    assert len(more) == 1
    assert more[0].kind == "more_vram"
    assert "more memory on Card 0" in more[0].text
    assert "more RAM" in more[0].text


def test_memory_of_a_unified_gpu_is_not_counted_twice() -> None:
    plan = planned("v3-q4km", described("macbook-m3-max-64gb"))
    said = alternative(plan, "more_ram")
    # The smallest quantization takes 132 GB; the machine has 54 of which not all may be used.
    assert said.needed_bytes is not None
    assert 78e9 < said.needed_bytes < 90e9


# --- less context -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "on", "n_ctx"),
    [
        ("llama8-q4km", machine([], 8), 131072),
        ("v2lite-q4km", machine([], 16), 4_000_000),
        ("v3-legacy-q4km", machine([], 64), 32768),
        ("v4f-mxfp4", machine([], 6), 1_048_576),
    ],
)
def test_a_context_that_is_said_to_fit_does(name: str, on: Machine, n_ctx: int) -> None:
    plan = planned(name, on, Wishes(n_ctx=n_ctx))
    assert not plan.fits
    smaller = alternative(plan, "less_context").settings
    assert smaller is not None
    assert 512 <= smaller.n_ctx <= min(n_ctx, inventory(name).shape.n_ctx_train)
    again = planned(name, on, Wishes(n_ctx=smaller.n_ctx))
    assert again.fits
    # Where only the context is too long no other model is called for.
    if n_ctx == 4_000_000:
        assert not {"distill", "smaller_quant"} & {other.kind for other in plan.alternatives}


def test_weights_stay_in_memory_rather_than_a_long_context() -> None:
    on = described("laptop-8gb")
    plan = planned("llama8-q4km", on)
    assert plan.memory.host.disk_bytes == 0
    assert plan.settings.n_ctx >= 2048
    fixed = planned("llama8-q4km", on, Wishes(n_ctx=16384))
    assert fixed.memory.host.disk_bytes > 0
    assert plan.speed.decode.mid > 3 * fixed.speed.decode.mid
    assert any(other.releases == "n_ctx" for other in fixed.alternatives)


# --- prices -------------------------------------------------------------------------------------


def test_a_price_names_only_what_is_lost() -> None:
    on = machine([24], 512)
    for wishes in (
        Wishes(op_offload=False),
        Wishes(op_offload=True, n_ubatch=64),
        Wishes(n_gpu_layers=10),
        Wishes(type_k="f32", type_v="f32", n_ctx=65536),
        Wishes(gpu_share={"CUDA0": 0.5}),
    ):
        plan = planned("v3-q4km", on, wishes)
        for other in plan.alternatives:
            if not other.releases:
                continue
            assert "-" not in other.text.replace("--", "")
            assert other.decode_tok_s is not None
            assert other.prefill_tok_s is not None
            assert ("in answers" in other.text) == (other.decode_tok_s > plan.speed.decode.mid)
            assert ("in prompts" in other.text) == (other.prefill_tok_s > plan.speed.prefill.mid)
            released = replace(wishes, **{other.releases: getattr(Wishes(), other.releases)})
            if other.releases == "type_k":
                released = replace(released, type_v=None)
            assert planned("v3-q4km", on, released).settings == other.settings


def test_a_wish_that_only_holds_with_another_is_not_priced() -> None:
    # Without the type of V, that of K would stand for it, which needs flash attention.
    wishes = Wishes(type_k="q8_0", type_v="f16", flash_attn="off")
    plan = planned("qwen7-q4km", machine([8], 32), wishes)
    assert plan.settings.type_k == "q8_0"
    assert "type_v" not in {other.releases for other in plan.alternatives}


# --- sentences ----------------------------------------------------------------------------------


def test_devices_that_stay_unused_are_named() -> None:
    plan = planned("v2lite-q4km", machine([24, 8], 64))
    assert plan.settings.devices == ("CUDA0",)
    assert "Card 1 stays unused: it would be no faster with it." in plan.explanation
    none = planned("v2lite-q4km", machine([24], 64), Wishes(margin_bytes=100 * GIB))
    assert none.settings.devices == ()
    assert "Card 0 stays unused: it would be no faster with it." in none.explanation
    own = planned("v2lite-q4km", machine([24], 64), Wishes(devices=()))
    assert not any("unused" in text for text in own.explanation)


def test_a_pattern_that_matches_nothing_is_said() -> None:
    wishes = Wishes(overrides=(Override("no such tensor", CPU), Override("blk", CPU)))
    plan = planned("v2lite-q4km", machine([24], 64), wishes)
    said = [text for text in plan.warnings if "matches" in text]
    assert said == ["No tensor of this checkpoint matches no such tensor."]


def test_why_weights_are_not_repacked_is_true() -> None:
    tiles = planned("v2lite-q4km", machine([], 512, features=("AVX512", "AMX_INT8")))
    assert any("AMX" in text for text in tiles.explanation)
    assert not any("for good" in text for text in tiles.explanation)
    small = planned("v3-q4km", machine([], 192))
    assert any("for good" in text for text in small.explanation)


def test_no_gpu_is_spoken_of_where_there_is_none() -> None:
    plan = planned("v3-q4km", machine([], 64))
    assert plan.memory.host.disk_bytes > 0
    assert not any("VRAM" in text or "GPU" in text for text in (*plan.warnings, *plan.explanation))


# --- devices ------------------------------------------------------------------------------------


def test_llama_cpp_takes_no_more_than_fifteen_devices() -> None:
    # GGML_SCHED_MAX_BACKENDS is 16, and the processor is one of them.
    plan = planned("v3-q4km", described("16x3090"))
    assert len(plan.settings.devices) == 15
    for device in plan.memory.devices:
        if device.name in plan.settings.devices:
            # No card stays empty while experts wait in RAM.
            assert device.used_bytes > 0.85 * device.budget_bytes


def test_the_fast_card_takes_what_it_can() -> None:
    fast = gpu(0, 12, bandwidth_bytes_s=9e11)
    slow = gpu(1, 12, bandwidth_bytes_s=2e11)
    on = replace(machine([], 64), gpus=(fast, slow))
    plan = planned("v2lite-q8", on)
    used = {device.name: device.used_bytes for device in plan.memory.devices}
    assert used["CUDA0"] > 0.9 * next(
        device.budget_bytes for device in plan.memory.devices if device.name == "CUDA0"
    )
    alike = planned("v2lite-q8", replace(on, gpus=(fast, replace(slow, bandwidth_bytes_s=9e11))))
    assert plan.speed.decode.mid < alike.speed.decode.mid


def test_a_remote_card_that_holds_everything_is_taken_alone() -> None:
    on = described("two-machines-rpc")
    plan = planned("v2lite-q8", on)
    assert plan.settings.devices == ("RPC0",)
    both = planned("v2lite-q8", on, Wishes(devices=("RPC0", "CUDA0"), tensor_split=(22, 6)))
    assert plan.speed.decode.mid > both.speed.decode.mid


def test_a_host_slower_than_ram_is_left_out() -> None:
    slow = replace(
        gpu(0, 24, kind=GpuKind.RPC, bandwidth_bytes_s=5e9),
        compute_flop_s=1e11,
        link_bytes_s=1e7,
        link_latency_s=0.02,
    )
    on = replace(machine([], 64), gpus=(slow,))
    plan = planned("v2lite-q4km", on)
    assert plan.settings.devices == ()
    assert planned("v2lite-q4km", on, Wishes(devices=("RPC0",))).speed.decode.mid < (
        plan.speed.decode.mid
    )


def test_a_quantized_cache_is_taken_where_the_context_is_fixed_and_would_not_fit() -> None:
    plan = planned("llama8-q4km", machine([], 12), Wishes(n_ctx=131072))
    assert plan.fits
    assert plan.settings.type_k == plan.settings.type_v == "q8_0"
