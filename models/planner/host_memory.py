"""What a plan asks of the machine's RAM, by kind. Pure, no Qt here.

Anonymous memory can never be given back, page-locked memory neither; pages of the file can be
dropped and read again. Adding them up as one number is how planners turn "slow" into "killed".
"""

from __future__ import annotations

from collections.abc import Sequence

from models.gguf.shape import ModelShape
from models.planner.buffer_rules import host_buffer_of, is_pinned
from models.planner.inventory import Inventory
from models.planner.machine import GpuKind, Machine
from models.planner.placement import Placement
from models.planner.plan import CPU, BufferBytes, HostPlan, PlanSettings

_LOGIT_BYTES = 4


def output_bytes(shape: ModelShape, settings: PlanSettings) -> int:
    """Return llama.cpp's output buffer: a row of logits for every token that may be asked for.

    llama-context.cpp:2116 (``output_reserve``); 0 in ``n_outputs_max`` means a whole batch, and
    a batch is never larger than the context.
    """
    n_batch = min(settings.n_ctx, settings.n_batch)
    n_outputs = min(settings.n_outputs_max or n_batch, n_batch)
    return _LOGIT_BYTES * shape.n_vocab * max(n_outputs, 1)


def output_is_pinned(machine: Machine, placement: Placement) -> bool:
    """Whether the output buffer lies in page-locked memory: that of the output layer's device."""
    return host_buffer_of(machine.gpu(placement.output_device)) is not None


def host_plan(
    inventory: Inventory,
    machine: Machine,
    settings: PlanSettings,
    placement: Placement,
    buffers: Sequence[BufferBytes],
    *,
    budget_bytes: int,
) -> HostPlan:
    """Return the account of RAM.

    Args:
        buffers: what every buffer holds, planned or measured.
        budget_bytes: RAM that may be used.
    """
    anonymous, pinned = _held(machine, placement, buffers)
    logits = output_bytes(inventory.shape, settings)
    if output_is_pinned(machine, placement):
        pinned += logits
    else:
        anonymous += logits
    room = max(budget_bytes - anonymous - pinned, 0)
    return HostPlan(
        anonymous_bytes=anonymous,
        pinned_bytes=pinned,
        page_cache_bytes=placement.mapped_bytes,
        load_read_bytes=_load_read_bytes(inventory.shape, placement, room),
        disk_bytes=max(placement.mapped_bytes - room, 0),
    )


def _held(
    machine: Machine, placement: Placement, buffers: Sequence[BufferBytes]
) -> tuple[int, int]:
    """Return anonymous and page-locked bytes of all buffers in RAM.

    Devices that share the machine's RAM count: what they hold is anonymous, but for weights that
    Metal uses in the file's pages.
    """
    anonymous = pinned = 0
    for buffer in buffers:
        gpu = machine.gpu(buffer.device)
        if gpu is not None and not gpu.is_unified:
            continue
        if is_pinned(buffer.buffer):
            pinned += buffer.total_bytes
            continue
        in_place = placement.maps_file and (
            buffer.buffer == CPU or (gpu is not None and gpu.kind is GpuKind.METAL)
        )
        anonymous += buffer.total_bytes - (buffer.weights_bytes if in_place else 0)
    return anonymous, pinned


def _load_read_bytes(shape: ModelShape, placement: Placement, room_bytes: int) -> int:
    """Return the bytes that loading reads from the disk.

    A mapped file is read once as a whole (``init_mappings`` prefetches it, llama-mmap.cpp:475).
    Where RAM cannot hold it, the first pages are gone when weights are copied to a device or
    repacked, and those are read a second time.
    """
    if not placement.maps_file:
        return placement.loaded_bytes
    copied = placement.loaded_bytes - placement.mapped_bytes
    return shape.file_bytes + (copied if shape.file_bytes > room_bytes else 0)
