"""Several quantizations of a model beside each other: a verdict each, one recommended. Pure."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.planner.plan import CPU, SENSIBLE_TOK_S, Plan
from models.units import format_bytes

# Faster than people read.
COMFORTABLE_TOK_S = 8.0
# Weights as they were trained: no better than Q8_0, and twice its size.
_UNQUANTIZED = re.compile(r"(?:^|[-._/ ])(?:BF16|FP?16|FP?32)$", re.IGNORECASE)
# Of the largest comfortable file: from Q8_0 down to Q4_K_M.
_NEAR_SHARE = 0.55
_MUCH_FASTER = 2.0
# What of a checkpoint may lie in RAM for it still to be called "on the GPU".
_MOSTLY = 0.97


class Where(enum.StrEnum):
    """Where most of a checkpoint lives."""

    GPU = "gpu"
    GPU_AND_RAM = "gpu_and_ram"
    RAM = "ram"
    DISK = "disk"
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class Row:
    """One quantization: its name, size in bytes, and the plan made for it."""

    name: str
    size_bytes: int
    plan: Plan


def where_of(plan: Plan) -> Where:
    """Return where the weights live."""
    if not plan.fits:
        return Where.NOWHERE
    if plan.memory.host.disk_bytes > 0:
        return Where.DISK
    weights = {device.name: device.weights_bytes for device in plan.memory.devices}
    total = sum(weights.values())
    on_gpus = total - weights.get(CPU, 0)
    is_whole = plan.settings.devices and not plan.settings.overrides
    if on_gpus >= _MOSTLY * total or (is_whole and _all_layers(plan)):
        return Where.GPU
    return Where.GPU_AND_RAM if on_gpus else Where.RAM


def where_words(plan: Plan) -> str:
    """Return where the weights live, in words."""
    gpus = [d.name for d in plan.memory.devices if d.name != CPU and d.weights_bytes]
    names = " + ".join(gpus)
    return {
        Where.GPU: names,
        Where.GPU_AND_RAM: f"{names} + RAM",
        Where.RAM: "RAM",
        Where.DISK: f"{names} + RAM + disk" if names else "RAM + disk",
        Where.NOWHERE: "nowhere",
    }[where_of(plan)]


def verdict(plan: Plan) -> str:
    """Return what running it would be like, in words."""
    rate = plan.speed.decode.mid
    where = where_of(plan)
    if where is Where.NOWHERE:
        missing = sum(
            max(device.used_bytes - device.budget_bytes, 0)
            for device in plan.memory.devices
            if device.name != CPU
        )
        missing = missing or max(
            plan.memory.host.anonymous_bytes + plan.memory.host.pinned_bytes - _ram_budget(plan), 0
        )
        return f"does not fit, {format_bytes(missing)} too much"
    if rate < SENSIBLE_TOK_S:
        return "too slow to be useful"
    if where is Where.DISK:
        return "runs from the disk, slowly"
    if rate < COMFORTABLE_TOK_S:
        return "runs, slower than one reads"
    return {Where.GPU: "runs well", Where.RAM: "runs well from RAM"}.get(
        where, "runs well, in part from RAM"
    )


def recommended(rows: Sequence[Row]) -> int | None:
    """Return the index of the row to choose: the best quality that is comfortably fast.

    Of files of one model the largest is the best quality, but for two cases: 16 bits a weight are
    no better than 8, and what fits a GPU as a whole is several times as fast as what does not,
    which is worth more than the last bits. Where none is comfortable, the fastest sensible one.
    """
    comfortable = [
        index
        for index, row in enumerate(rows)
        if row.plan.fits and row.plan.speed.decode.mid >= COMFORTABLE_TOK_S
    ]
    quantized = [index for index in comfortable if not _UNQUANTIZED.search(rows[index].name)]
    if comfortable:
        return _largest_or_whole_on_gpu(rows, quantized or comfortable)
    sensible = [
        index
        for index, row in enumerate(rows)
        if row.plan.fits and row.plan.speed.decode.mid >= SENSIBLE_TOK_S
    ]
    if not sensible:
        return None
    return max(sensible, key=lambda index: rows[index].plan.speed.decode.mid)


def _largest_or_whole_on_gpu(rows: Sequence[Row], indexes: Sequence[int]) -> int:
    largest = max(indexes, key=lambda index: rows[index].size_bytes)
    on_gpu = [index for index in indexes if where_of(rows[index].plan) is Where.GPU]
    if not on_gpu:
        return largest
    best = max(on_gpu, key=lambda index: rows[index].size_bytes)
    is_near = rows[best].size_bytes >= _NEAR_SHARE * rows[largest].size_bytes
    rates = [rows[index].plan.speed.decode.mid for index in (best, largest)]
    return best if is_near and rates[0] >= _MUCH_FASTER * rates[1] else largest


def _all_layers(plan: Plan) -> bool:
    cpu = next(device for device in plan.memory.devices if device.name == CPU)
    return cpu.attention_bytes + cpu.routed_bytes + cpu.shared_bytes == 0


def _ram_budget(plan: Plan) -> int:
    return next(device.budget_bytes for device in plan.memory.devices if device.name == CPU)
