"""What is fixed is kept or refused with its reason, whatever the machine and the checkpoint."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.described_machines import gpu, machine
from helpers.true_scale import true_scale
from models.errors import InvalidSettingError
from models.planner.inventory import Inventory
from models.planner.machine import GpuKind, Machine
from models.planner.machine_file import machine_from_json
from models.planner.plan import CPU, Override, Plan, Profile
from models.planner.plan_json import plan_to_json
from models.planner.solver import solve
from models.planner.wish_check import check_wishes
from models.planner.wishes import Wishes, fixed_names

_FOLDER = Path(__file__).parents[3] / "benchmarks" / "machines"


@functools.cache
def inventory(name: str) -> Inventory:
    return Inventory(true_scale(name).shape)


@functools.cache
def machines() -> Mapping[str, Machine]:
    """Return every machine of the benchmarks, and what nobody would buy."""
    found = {
        file.stem: machine_from_json(file.read_text(encoding="utf-8"))
        for file in sorted(_FOLDER.glob("*.json"))
    }
    card = gpu(0, 8)
    return found | {
        "two unequal cards": machine([8, 6], 32),
        "three unequal cards": machine([24, 8, 2], 64),
        "full card": replace(machine([], 32), gpus=(replace(card, free_bytes=0),)),
        "no bandwidth": replace(machine([], 32), gpus=(replace(card, bandwidth_bytes_s=None),)),
        "no memory": machine([], 0),
        "host alone": replace(machine([], 32), gpus=(gpu(0, 24, kind=GpuKind.RPC),)),
    }


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (Wishes(devices=("CUDA9",)), "no device CUDA9"),
        (Wishes(devices=("CUDA0", "CUDA0")), "twice"),
        (Wishes(gpu_share={"CUDA7": 0.5}), "no device CUDA7"),
        (Wishes(gpu_share={"CUDA0": 1.5}), "150%"),
        (Wishes(tensor_split=(1.0, 1.0, 1.0)), "3 shares for 2 GPUs"),
        (Wishes(tensor_split=(1.0, 1.0), devices=("CUDA1",)), "2 shares for 1 GPU"),
        (Wishes(tensor_split=(0.0, 0.0)), "above 0"),
        (Wishes(tensor_split=(float("nan"), 1.0)), "above 0"),
        (Wishes(n_gpu_layers=1, devices=()), "No GPU can take 1 layer"),
        (Wishes(expert_layers=2, devices=()), "No GPU can take the experts of 2 layers"),
        (Wishes(expert_layers=27), "27 layers"),
        (Wishes(expert_layers=9, n_gpu_layers=9), "8 have experts"),
        (Wishes(expert_layers=9, overrides=()), "Both overrides and expert_layers"),
        (Wishes(overrides=(Override("exps", "CUDA9"),)), "no device CUDA9"),
        (Wishes(overrides=(Override("exps", "CUDA1"),), devices=("CUDA0",)), "may not use it"),
        (Wishes(overrides=(Override("(", CPU),)), "not a pattern"),
        (Wishes(n_ctx=0), "n_ctx"),
        (Wishes(margin_bytes=-1), "margin_bytes"),
        (Wishes(load_mode="sideways"), "load_mode"),
        (Wishes(flash_attn="perhaps"), "flash_attn"),
        (Wishes(type_k="q3"), "q3"),
        (Wishes(type_k="q8_0", type_v="f16"), "same type"),
        (Wishes(type_k="q8_0", flash_attn="off"), "flash attention"),
    ],
    ids=lambda value: "-".join(fixed_names(value)) if isinstance(value, Wishes) else "",
)
def test_what_cannot_be_kept_is_refused_with_its_name(wishes: Wishes, words: str) -> None:
    with pytest.raises(InvalidSettingError, match=words):
        solve(inventory("v2lite-q4km"), machine([8, 6], 32), wishes)


def test_a_dense_checkpoint_has_no_experts_to_place() -> None:
    with pytest.raises(InvalidSettingError, match="1 layer"):
        check_wishes(inventory("qwen7-q4km"), machine([8], 32), Wishes(expert_layers=1))
    check_wishes(inventory("qwen7-q4km"), machine([8], 32), Wishes(expert_layers=0))


# --- what is kept -------------------------------------------------------------------------------

_OPTIONS: dict[str, list[Any]] = {
    "n_ctx": [1, 255, 512, 4096, 131072, 10**8],
    "type_k": ["f16", "q8_0", "q4_0", "f32"],
    "type_v": ["f16", "q8_0", "q4_0"],
    "flash_attn": ["on", "off", "auto"],
    "n_ubatch": [1, 31, 128, 4096, 65536],
    "n_gpu_layers": [0, 1, 7, 28, 62, 1000],
    "tensor_split": [(1.0,), (3.0, 1.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0, 1.0)],
    "overrides": [
        (),
        (Override(r"blk\.1\d\.", CPU),),
        (Override("exps", CPU),),
        (Override("nothing like it", "CUDA0"),),
        (Override("attn", "CUDA1"), Override("exps", CPU)),
        (Override("exps", "CUDA0"),),
    ],
    "op_offload": [True, False],
    "use_extra_bufts": [True, False],
    "load_mode": ["none", "mmap", "mlock", "mmap_mlock", "direct_io"],
    "n_outputs_max": [0, 1, 512],
    "n_threads": [1, 7],
    "expert_layers": [0, 1, 5, 26],
    "devices": [(), ("CUDA0",), ("CUDA1",), ("CUDA1", "CUDA0"), ("RPC0",)],
    "gpu_share": [{"CUDA0": 0.0}, {"CUDA0": 0.5}, {"CUDA0": 0.5, "CUDA1": 1.0}],
    "margin_bytes": [0, 10**9, 10**14],
    "ram_margin_bytes": [0, 10**14],
}
_NAMES = ["v2lite-q4km", "qwen7-q4km", "v3-iq1m", "v4f-mxfp4", "v32-q4km", "v3-legacy-q4km"]


@st.composite
def wishes_of_all_kinds(draw: st.DrawFn) -> Wishes:
    names = draw(st.lists(st.sampled_from(sorted(_OPTIONS)), max_size=5, unique=True))
    fixed = {name: draw(st.sampled_from(_OPTIONS[name])) for name in names}
    return Wishes(profile=draw(st.sampled_from(list(Profile))), **fixed)


def assert_kept(name: str, wishes: Wishes, plan: Plan) -> None:
    shape = inventory(name).shape
    assert plan.fixed == fixed_names(wishes)
    assert plan.profile is wishes.profile
    for field in fixed_names(wishes):
        if field == "n_gpu_layers":
            # As for llama.cpp itself, more layers than there are means all of them.
            most = shape.n_layer_all + 1
            assert plan.settings.n_gpu_layers == min(wishes.n_gpu_layers or 0, most)
        elif hasattr(plan.settings, field):
            assert getattr(plan.settings, field) == getattr(wishes, field)
    budgets = {device.name: device for device in plan.memory.devices}
    for device, share in wishes.gpu_share.items():
        assert budgets[device].budget_bytes <= share * budgets[device].free_bytes
        assert not plan.fits or budgets[device].used_bytes <= budgets[device].budget_bytes
    if wishes.expert_layers is not None:
        assert_expert_layers_on_gpus(name, plan, wishes.expert_layers)


def assert_expert_layers_on_gpus(name: str, plan: Plan, wanted: int) -> None:
    """Check, from the sizes alone, that as many layers' routed experts lie on GPUs."""
    own = inventory(name)
    sizes = sorted(
        sum(t.size_bytes for t in own.shape.tensors if t.layer == layer and "exps" in t.name)
        for layer in own.expert_layers
    )
    on_gpus = sum(device.routed_bytes for device in plan.memory.devices if device.name != CPU)
    # Layers are not all of one size.
    assert sum(sizes[:wanted]) <= on_gpus <= sum(sizes[len(sizes) - wanted :])


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(_NAMES),
    on=st.sampled_from(sorted(machines())),
    wishes=wishes_of_all_kinds(),
)
def test_wishes_are_kept_or_refused_and_nothing_else_happens(
    name: str, on: str, wishes: Wishes
) -> None:
    try:
        plan = solve(inventory(name), machines()[on], wishes)
    except InvalidSettingError:
        return
    assert_kept(name, wishes, plan)
    # Every figure is a number that JSON has.
    json.dumps(plan_to_json(plan), allow_nan=False)
    near = solve(inventory(name), machines()[on], wishes, near=plan.settings)
    assert_kept(name, wishes, near)
