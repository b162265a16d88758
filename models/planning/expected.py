"""The speed to expect of settings that are in use, corrected by earlier runs. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass

from models.gguf.shape import ModelShape
from models.hardware.calibration_store import (
    CalibrationStore,
    Correction,
    checkpoint_signature,
    placement_class,
)
from models.hardware.machine import corrected
from models.planner.account import account
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.placement import place
from models.planner.plan import Override, PlanSettings, Speed
from models.planner.speed import forecast
from models.runtime.protocol import LoadSettings


@dataclass(frozen=True)
class Expected:
    """A forecast, and what is needed to learn from how it turns out.

    Attributes:
        placement: the class of placements that it is compared with later.
        used: the correction that is in it.
        calibrated_on: date of the calibration, empty without one.
    """

    speed: Speed
    placement: str
    used: Correction
    calibrated_on: str


def expect(
    inventory: Inventory,
    machine: Machine,
    settings: LoadSettings,
    store: CalibrationStore,
    *,
    n_past: int = 0,
    n_prompt: int = 0,
) -> Expected:
    """Return the speed to expect of a load, from its settings as applied."""
    how = plan_settings_of(settings, inventory.shape, machine)
    placement = place(inventory, machine, how)
    memory = account(inventory, machine, how, placement=placement)
    reads_disk = memory.host.disk_bytes > 0
    shape = inventory.shape
    kind = placement_class(shape, how, reads_disk=reads_disk)
    used = store.corrections_for(checkpoint_signature(shape), kind)
    machine = corrected(machine, store, shape, how, reads_disk=reads_disk)
    speed = forecast(inventory, machine, how, placement, memory, n_past=n_past, n_prompt=n_prompt)
    calibrated_on = machine.calibration.measured_on if machine.calibration else ""
    return Expected(speed, kind, used, calibrated_on)


def plan_settings_of(settings: LoadSettings, shape: ModelShape, machine: Machine) -> PlanSettings:
    """Return settings as the planner names them; what the engine chose stands for itself."""
    devices = settings.devices
    if devices is None:
        devices = tuple(gpu.device for gpu in machine.gpus)
    most = shape.n_layer_all + 1
    n_gpu_layers = most if settings.n_gpu_layers < 0 else min(settings.n_gpu_layers, most)
    return PlanSettings(
        n_ctx=settings.n_ctx,
        n_batch=settings.n_batch,
        n_ubatch=settings.n_ubatch,
        n_gpu_layers=n_gpu_layers if devices else 0,
        devices=devices,
        tensor_split=settings.tensor_split,
        overrides=tuple(Override(one.pattern, one.device) for one in settings.overrides),
        type_k=settings.type_k,
        type_v=settings.type_v,
        flash_attn="on" if settings.flash_attn == "auto" else settings.flash_attn,
        op_offload=settings.op_offload,
        offload_kqv=settings.offload_kqv,
        use_extra_bufts=settings.use_extra_bufts,
        no_host=settings.no_host,
        load_mode="mmap" if settings.load_mode == "auto" else settings.load_mode,
        n_outputs_max=settings.n_outputs_max or 1,
        n_threads=settings.n_threads,
    )
