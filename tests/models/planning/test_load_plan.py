"""From a plan to what the engine is told: every setting, and the machines that are named."""

from __future__ import annotations

import dataclasses

import pytest

from models.planner.machine import Cpu, Disk, Gpu, GpuKind, Machine, Ram
from models.planner.plan import Override, PlanSettings
from models.planning.load_plan import load_settings_of, rpc_hosts_of
from models.runtime.protocol import LoadSettings, TensorOverride

G = 2**30


def remote(number: int, endpoint: str) -> Gpu:
    return Gpu(f"RPC{number}", endpoint, GpuKind.RPC, 8 * G, 8 * G, endpoint=endpoint)


# The first host has two devices.
MACHINE = Machine(
    gpus=(
        remote(0, "a:1"),
        remote(1, "a:1"),
        remote(2, "b:1"),
        remote(3, "c:1"),
        Gpu("CUDA0", "A card", GpuKind.CUDA, 8 * G, 8 * G),
    ),
    ram=Ram(32 * G, 30 * G),
    disk=Disk(),
    cpu=Cpu(8),
)


def test_every_setting_of_a_plan_reaches_the_engine() -> None:
    planned = PlanSettings(
        n_ctx=1024,
        n_batch=4096,
        n_ubatch=1024,
        n_gpu_layers=3,
        devices=("CUDA0",),
        tensor_split=(1.0, 2.0),
        overrides=(Override("exps", "CPU"),),
        type_k="q8_0",
        type_v="q4_0",
        flash_attn="off",
        op_offload=False,
        offload_kqv=False,
        use_extra_bufts=False,
        no_host=True,
        load_mode="none",
        n_outputs_max=7,
        n_threads=5,
    )
    default = PlanSettings(n_ctx=512)
    told = load_settings_of(planned)
    for field in dataclasses.fields(PlanSettings):
        value = getattr(planned, field.name)
        assert value != getattr(default, field.name), "the test tells nothing of it"
        if field.name == "overrides":
            value = (TensorOverride("exps", "CPU"),)
        assert getattr(told, field.name) == value
    assert told.n_threads_batch == 5
    assert told.check_room
    assert not load_settings_of(planned, check_room=False).check_room


def test_nothing_is_left_for_the_engine_to_choose() -> None:
    told = load_settings_of(PlanSettings(n_ctx=512))
    free = LoadSettings()
    open_fields = ("n_ctx", "devices", "n_gpu_layers", "flash_attn", "load_mode", "n_outputs_max")
    for name in open_fields:
        assert getattr(told, name) != getattr(free, name), name


@pytest.mark.parametrize(
    ("devices", "overrides", "hosts"),
    [
        ((), (), ()),
        (("CUDA0",), (), ()),
        (("RPC0",), (), ("a:1",)),
        (("RPC1",), (), ("a:1",)),
        (("RPC2", "CUDA0"), (), ("a:1", "b:1")),
        (("RPC0", "RPC3"), (), ("a:1", "b:1", "c:1")),
        (("CUDA0",), (Override("exps", "RPC2"),), ("a:1", "b:1")),
    ],
)
def test_hosts_are_named_up_to_the_last_one_in_use(
    devices: tuple[str, ...], overrides: tuple[Override, ...], hosts: tuple[str, ...]
) -> None:
    """Their order is what numbers their devices; one behind the last has no say in it."""
    settings = PlanSettings(n_ctx=512, devices=devices, overrides=overrides)
    assert rpc_hosts_of(MACHINE, settings) == hosts
