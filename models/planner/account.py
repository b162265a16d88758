"""Adds up what a set of settings takes on every device. Pure, no Qt here.

Weights, KV cache and output are exact; compute buffers are estimated unless llama.cpp's own figures
are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.planner.buffer_rules import device_of_buffer
from models.planner.compute_rough import close_compute_bytes
from models.planner.host_memory import host_plan, output_bytes
from models.planner.inventory import Inventory
from models.planner.kv_cache import kv_cache_bytes
from models.planner.machine import Machine
from models.planner.placement import (
    ATTENTION,
    DENSE,
    PART_NAMES,
    ROUTED,
    SHARED,
    Placement,
    place,
)
from models.planner.plan import CPU, BufferBytes, DevicePlan, Memory, PlanSettings


def account(
    inventory: Inventory,
    machine: Machine,
    settings: PlanSettings,
    *,
    budgets: Mapping[str, int] | None = None,
    measured: Sequence[BufferBytes] | None = None,
    placement: Placement | None = None,
) -> Memory:
    """Return what settings take: per buffer, per device (every GPU and ``CPU``), and of RAM.

    Args:
        budgets: bytes that may be used by device; without one, what is free.
        measured: llama.cpp's own account, which then takes the place of every estimate.
        placement: of these settings, when it is known already.

    Raises:
        BadInputError: the settings name an unknown device or hold a bad pattern.
    """
    placement = placement or place(inventory, machine, settings)
    buffers = (
        tuple(measured)
        if measured is not None
        else planned_buffers(inventory, machine, settings, placement)
    )
    allowed = {CPU: machine.ram.available_bytes}
    allowed |= {gpu.device: gpu.free_bytes for gpu in machine.gpus}
    allowed |= budgets or {}
    output = output_bytes(inventory.shape, settings)
    return Memory(
        buffers=buffers,
        devices=_device_plans(machine, placement, buffers, allowed, output),
        host=host_plan(inventory, machine, settings, placement, buffers, budget_bytes=allowed[CPU]),
    )


def planned_buffers(
    inventory: Inventory,
    machine: Machine,
    settings: PlanSettings,
    placement: Placement,
    *,
    compute: Mapping[str, int] | None = None,
) -> tuple[BufferBytes, ...]:
    """Return what each buffer will hold; devices in the machine's order, then RAM.

    Compute buffers that are given are taken as they are: working them out takes longer than
    everything else together.
    """
    kv = kv_cache_bytes(inventory, machine, settings, placement.layer_devices)
    if compute is None:
        compute = close_compute_bytes(inventory, machine, settings, placement)
    names = dict.fromkeys([gpu.device for gpu in machine.gpus])
    names |= dict.fromkeys([*placement.weights, *kv, *compute])
    return tuple(
        BufferBytes(
            name,
            device_of_buffer(machine, name),
            weights_bytes=placement.weights.get(name, 0),
            kv_bytes=kv.get(name, 0),
            compute_bytes=compute.get(name, 0),
        )
        for name in names
        if name in placement.weights or name in kv or compute.get(name)
    )


def _device_plans(
    machine: Machine,
    placement: Placement,
    buffers: Sequence[BufferBytes],
    allowed: Mapping[str, int],
    output: int,
) -> tuple[DevicePlan, ...]:
    facts = [
        (gpu.device, gpu.kind.value, gpu.name, gpu.total_bytes, gpu.free_bytes)
        for gpu in machine.gpus
    ]
    ram = machine.ram
    facts.append((CPU, "cpu", machine.cpu.name, ram.total_bytes, ram.available_bytes))
    plans = []
    for name, kind, description, total_bytes, free_bytes in facts:
        own = [buffer for buffer in buffers if buffer.device == name]
        parts = _parts(placement, name, sum(buffer.weights_bytes for buffer in own))
        plans.append(
            DevicePlan(
                name=name,
                kind=kind,
                description=description,
                attention_bytes=parts[ATTENTION],
                dense_bytes=parts[DENSE],
                shared_bytes=parts[SHARED],
                routed_bytes=parts[ROUTED],
                kv_bytes=sum(buffer.kv_bytes for buffer in own),
                compute_bytes=sum(buffer.compute_bytes for buffer in own),
                output_bytes=output if name == CPU else 0,
                total_bytes=total_bytes,
                free_bytes=free_bytes,
                budget_bytes=allowed[name],
            )
        )
    return tuple(plans)


def _parts(placement: Placement, device: str, weights_bytes: int) -> dict[str, int]:
    """Return the parts of a device's weights, which sum up to ``weights_bytes``.

    Measured weights equal the planned ones; should a new llama.cpp differ, the dense part says so.
    """
    parts = dict(placement.parts.get(device, dict.fromkeys(PART_NAMES, 0)))
    parts[DENSE] += weights_bytes - sum(parts.values())
    return parts
