"""Which sets of devices are worth comparing for a checkpoint. Pure, no Qt here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from models.planner.budgets import usable_devices
from models.planner.inventory import Inventory
from models.planner.layer_loads import LayerLoads
from models.planner.layout import speed_groups
from models.planner.machine import GpuKind, Machine
from models.planner.plan import CPU
from models.planner.wishes import Wishes

# A device with less room than this share of the largest one's may only cost copies.
_SMALL_SHARE = 0.3


def device_sets(
    inventory: Inventory, machine: Machine, wishes: Wishes, budgets: Mapping[str, int]
) -> tuple[tuple[str, ...], ...]:
    """Return sets of devices to compare: all, fewer and faster ones, none.

    Args:
        inventory: the checkpoint.
        machine: the machine.
        wishes: what is fixed.
        budgets: bytes that may be used by device.
    """
    devices = usable_devices(machine, wishes)
    sets = [devices]
    if wishes.devices is None and wishes.tensor_split is None and len(devices) > 1:
        remote = {gpu.device for gpu in machine.gpus if gpu.kind is GpuKind.RPC}
        near = tuple(device for device in devices if device not in remote)
        loads = LayerLoads(inventory, machine, wishes)
        for among in (devices, near) if near else (devices,):
            speeds = dict(zip(among, loads.speeds(among), strict=True))
            sets += _smaller_sets(speeds, budgets, inventory.shape.file_bytes)
    if wishes.devices is None and not _fixes_gpu_work(wishes):
        # A card too small to be of use only costs copies.
        sets.append(())
    needed = needed_devices(wishes)
    return tuple(dict.fromkeys(found for found in sets if needed <= set(found)))


def needed_devices(wishes: Wishes) -> set[str]:
    """Return the devices that fixed overrides name."""
    return {override.device for override in wishes.overrides or ()} - {CPU}


def _fixes_gpu_work(wishes: Wishes) -> bool:
    """Whether what is fixed makes sense with a GPU only."""
    fixed = (wishes.n_gpu_layers, wishes.tensor_split, wishes.overrides, wishes.op_offload)
    return bool(wishes.expert_layers) or any(value is not None for value in fixed)


def _smaller_sets(
    speeds: Mapping[str, float], budgets: Mapping[str, int], whole_bytes: int
) -> Iterator[tuple[str, ...]]:
    """Yield all, those of some size, single ones, and as few of the fastest as may hold all."""
    among = tuple(speeds)
    yield among
    largest = max(budgets[device] for device in among)
    yield tuple(device for device in among if budgets[device] >= _SMALL_SHARE * largest)
    yield from _single_devices(speeds, budgets, whole_bytes)
    by_speed = [
        device
        for group in speed_groups(list(speeds.values()))
        for device in sorted((among[k] for k in group), key=lambda device: -budgets[device])
    ]
    rooms = itertools.accumulate(budgets[device] for device in by_speed)
    enough = next((count for count, room in enumerate(rooms, 1) if room > whole_bytes), 0)
    if enough:
        yield tuple(device for device in among if device in by_speed[:enough])


def _single_devices(
    speeds: Mapping[str, float], budgets: Mapping[str, int], whole_bytes: int
) -> Iterator[tuple[str, ...]]:
    """Yield the fastest device, the largest, and the fastest that may hold everything."""
    yield (max(speeds, key=lambda device: (speeds[device], budgets[device])),)
    yield (max(speeds, key=lambda device: (budgets[device], speeds[device])),)
    large = [device for device in speeds if budgets[device] > whole_bytes]
    if large:
        yield (max(large, key=lambda device: (speeds[device], budgets[device])),)
