"""How much of each device a plan may use. Pure, no Qt here."""

from __future__ import annotations

from models.planner.machine import Gpu, GpuKind, Machine
from models.planner.plan import CPU
from models.planner.wishes import Wishes

_MIB = 2**20
_GIB = 2**30
# Driver context, cuBLAS and the pools of flash attention are in no account of llama.cpp: 0.3 to
# 4 GiB in its own documentation. What was measured takes the place of the first part.
_DRIVER_BYTES = 600 * _MIB
_SPARE_GPU_BYTES = 424 * _MIB
# A worker on another machine accounts for its own driver.
_SPARE_RPC_BYTES = 512 * _MIB
# llama.cpp's work buffer, Python, the window, what other programs want next.
_LEAST_RAM_MARGIN_BYTES = 256 * _MIB
_MOST_RAM_MARGIN_BYTES = 2 * _GIB
_RAM_MARGIN_SHARE = 0.06
# ggml-backend.cpp:764, GGML_SCHED_MAX_BACKENDS: 16 with the CPU. With more llama.cpp gives up.
MOST_DEVICES = 15


def margin_of(gpu: Gpu, wishes: Wishes) -> int:
    """Return the bytes of a GPU that a plan leaves free."""
    if wishes.margin_bytes is not None:
        return wishes.margin_bytes
    if gpu.kind is GpuKind.RPC:
        return _SPARE_RPC_BYTES
    driver = _DRIVER_BYTES if gpu.driver_bytes is None else gpu.driver_bytes
    return driver + _SPARE_GPU_BYTES


def ram_margin_of(machine: Machine, wishes: Wishes) -> int:
    """Return the bytes of RAM that a plan leaves free."""
    if wishes.ram_margin_bytes is not None:
        return wishes.ram_margin_bytes
    return _usual_ram_margin(machine.ram.available_bytes)


def _usual_ram_margin(available_bytes: int) -> int:
    share = int(available_bytes * _RAM_MARGIN_SHARE)
    return min(max(share, _LEAST_RAM_MARGIN_BYTES), _MOST_RAM_MARGIN_BYTES)


def memory_for(budget_bytes: int, wishes: Wishes) -> int:
    """Return the RAM that must be available for a plan to use ``budget_bytes`` of it."""
    if wishes.ram_margin_bytes is not None:
        return budget_bytes + wishes.ram_margin_bytes
    # The margin is a share of the whole, not of the budget.
    return budget_bytes + _usual_ram_margin(int(budget_bytes / (1.0 - _RAM_MARGIN_SHARE)) + 1)


def budgets_of(machine: Machine, wishes: Wishes) -> dict[str, int]:
    """Return the bytes that may be used, by ggml device name, ``CPU`` for RAM.

    A share that the user fixed takes that part of the free memory, the margin still left free.
    """
    budgets = {CPU: max(machine.ram.available_bytes - ram_margin_of(machine, wishes), 0)}
    for gpu in machine.gpus:
        free = min(gpu.free_bytes, gpu.total_bytes)
        budget = free - margin_of(gpu, wishes)
        if gpu.device in wishes.gpu_share:
            budget = min(budget, int(free * wishes.gpu_share[gpu.device]))
        if gpu.is_unified:
            budget = min(budget, budgets[CPU])
        budgets[gpu.device] = max(budget, 0)
    return budgets


def usable_devices(machine: Machine, wishes: Wishes) -> tuple[str, ...]:
    """Return the devices that the plan may use, in llama.cpp's order.

    Integrated GPUs count only where there is no other GPU, as in llama.cpp (src/llama.cpp,
    ``llama_prepare_model_devices``). Of more devices than it can use, those with most room count.
    """
    if wishes.devices is not None:
        return wishes.devices
    own = [gpu for gpu in machine.gpus if gpu.kind is not GpuKind.RPC]
    separate = any(not gpu.is_unified for gpu in own)
    usable = [
        gpu.device
        for gpu in machine.gpus
        if not (gpu.is_unified and separate) and wishes.gpu_share.get(gpu.device, 1.0) > 0.0
    ]
    if len(usable) > MOST_DEVICES:
        budgets = budgets_of(machine, wishes)
        largest = sorted(usable, key=lambda device: -budgets[device])[:MOST_DEVICES]
        usable = [device for device in usable if device in largest]
    return tuple(usable)
