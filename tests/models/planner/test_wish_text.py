"""KEY=VALUE into wishes, and what is refused."""

from __future__ import annotations

from dataclasses import fields

import pytest

from models.errors import InvalidSettingError
from models.planner.plan import Override, Profile
from models.planner.wish_text import with_fixed
from models.planner.wishes import Wishes, fixed_names

_GOOD = {
    "profile=prefill": ("profile", Profile.PREFILL),
    "n_ctx=32,768": ("n_ctx", 32768),
    "type_k=q8_0": ("type_k", "q8_0"),
    "type_v=F16": ("type_v", "f16"),
    "flash_attn=off": ("flash_attn", "off"),
    "n_ubatch=1024": ("n_ubatch", 1024),
    "n_gpu_layers=0": ("n_gpu_layers", 0),
    "tensor_split=3,1": ("tensor_split", (3.0, 1.0)),
    r"overrides=blk\.1\.=CPU;exps=CUDA1": (
        "overrides",
        (Override(r"blk\.1\.", "CPU"), Override("exps", "CUDA1")),
    ),
    "op_offload=no": ("op_offload", False),
    "use_extra_bufts=on": ("use_extra_bufts", True),
    "load_mode=none": ("load_mode", "none"),
    "n_outputs_max=16": ("n_outputs_max", 16),
    "n_threads=4": ("n_threads", 4),
    "expert_layers=12": ("expert_layers", 12),
    "devices=CUDA0,RPC0": ("devices", ("CUDA0", "RPC0")),
    "gpu_share=CUDA0:80%,CUDA1:0.5": ("gpu_share", {"CUDA0": 0.8, "CUDA1": 0.5}),
    "margin_bytes=512MiB": ("margin_bytes", 512 * 2**20),
    "ram_margin_bytes=2GB": ("ram_margin_bytes", 2_000_000_000),
}


@pytest.mark.parametrize("pair", _GOOD)
def test_a_pair_fixes_its_field(pair: str) -> None:
    field, value = _GOOD[pair]
    wishes = with_fixed(Wishes(), [pair])
    assert getattr(wishes, field) == value
    assert fixed_names(wishes) == (() if field == "profile" else (field,))


def test_every_field_can_be_fixed() -> None:
    assert {pair.partition("=")[0] for pair in _GOOD} == {field.name for field in fields(Wishes)}


def test_no_device_means_the_processor() -> None:
    assert with_fixed(Wishes(), ["devices=none"]).devices == ()


@pytest.mark.parametrize(
    ("pair", "word"),
    [
        ("n_ctx", "KEY=VALUE"),
        ("context=4096", "n_ctx"),
        ("n_ctx=0", "whole number"),
        ("n_ctx=many", "n_ctx"),
        ("n_ctx=99999999999", "whole number"),
        ("type_k=q3_0", "f16"),
        ("flash_attn=maybe", "auto"),
        ("op_offload=2", "on or off"),
        ("tensor_split=0,0", "numbers"),
        ("tensor_split=a", "tensor_split"),
        ("overrides=blk", "PATTERN"),
        ("overrides=(=CPU", "regular expression"),
        ("gpu_share=CUDA0:120%", "DEVICE:SHARE"),
        ("gpu_share=0.5", "gpu_share"),
        ("margin_bytes=lots", "size"),
        ("profile=best", "decode"),
    ],
)
def test_what_means_nothing_is_refused_with_what_would(pair: str, word: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        with_fixed(Wishes(), [pair])
    assert word in caught.value.one_line()
