"""A plan's memory as bars: what each device holds, what is free, what is over. No planning here."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication

from app.views.plan_names import device_name
from app.widgets.device_bar import BarFill, BarPart
from app.widgets.device_bars import DeviceRowView
from models.gguf.shape import ModelShape
from models.planner.machine import Gpu, Machine
from models.planner.plan import CPU, DevicePlan, HostPlan, Plan
from models.units import format_bytes, split_bytes

DISK = "disk"
_OTHER_TOKEN = "text_quiet"
# How much longer than the largest memory the scale may become to show what is over.
_MOST_OVER = 1.25
_NOTHING_BYTES = 1_000_000
_TIGHT_SHARE = 0.02
_TIGHT_BYTES = 256 * 1024**2


def bar_rows(plan: Plan, machine: Machine, shape: ModelShape) -> tuple[DeviceRowView, ...]:
    """Return a row for every GPU, for RAM, and for the disk where the checkpoint is large."""
    devices = {device.name: device for device in plan.memory.devices}
    rows = [
        gpu_row(gpu, device_name(machine, gpu.device), devices[gpu.device])
        for gpu in machine.gpus
        if gpu.device in devices
    ]
    if CPU in devices:
        rows.append(ram_row(machine, devices[CPU], plan.memory.host))
    host = plan.memory.host
    # The row stays where it might be needed, so that nothing jumps while a slider moves.
    if host.disk_bytes or shape.file_bytes > machine.ram.available_bytes:
        rows.append(disk_row(host, shape))
    return tuple(rows)


def bar_scale(plan: Plan, machine: Machine) -> float:
    """Return the bytes that the full width of every bar stands for."""
    totals = [gpu.total_bytes for gpu in machine.gpus] + [machine.ram.total_bytes]
    largest = max(totals)
    needed = [
        device.used_bytes + max(device.total_bytes - device.free_bytes, 0)
        for device in plan.memory.devices
        if device.name != CPU
    ]
    host = plan.memory.host
    others = max(machine.ram.total_bytes - machine.ram.available_bytes, 0)
    needed.append(host.anonymous_bytes + host.pinned_bytes + others)
    return float(max(largest, min(max(needed), largest * _MOST_OVER)))


def bar_legend(rows: Sequence[DeviceRowView]) -> tuple[BarPart, ...]:
    """Return what the bars show, each part once, then free room."""
    seen: dict[str, BarPart] = {}
    soft: BarPart | None = None
    for row in rows:
        for part in (*row.fill.parts, *([row.fill.others] if row.fill.others else [])):
            if part.look == "soft" and (soft is None or part.size > soft.size):
                soft = part
            look = "hatched" if part.look == "hatched" else "solid"
            seen.setdefault(part.name, BarPart(part.name, part.token, 0, "", look))
    order = [*_part_names(), _tr("Other programs")]
    parts = sorted(seen.values(), key=lambda part: order.index(part.name))
    if soft is not None:
        parts.append(BarPart(_tr("Page cache"), soft.token, 0, "", "soft"))
    parts.append(BarPart(_tr("Free"), "", 0, ""))
    return tuple(parts)


def gpu_row(gpu: Gpu, name: str, device: DevicePlan) -> DeviceRowView:
    """Return the row of a GPU."""
    others = max(gpu.total_bytes - gpu.free_bytes, 0)
    parts = [part for part in _plan_parts(device) if part.size]
    left = room_left(device.used_bytes, device.budget_bytes, gpu.free_bytes)
    used, unit = split_bytes(device.used_bytes)
    note = _tr("Shares the computer's RAM") if gpu.is_unified else ""
    return DeviceRowView(
        key=gpu.device,
        name=name,
        used=f"~{used}" if device.used_bytes else used,
        used_unit=unit,
        rest=_rest(left),
        fill=BarFill(tuple(parts), _others(others), gpu.total_bytes, device.budget_bytes),
        tone=_tone(device.used_bytes, device.budget_bytes, gpu.free_bytes),
        note=note,
        tooltip=_exact(gpu, device, others),
        spoken=_spoken(parts, f"{used} {unit}", _rest(left)),
    )


def ram_row(machine: Machine, device: DevicePlan, host: HostPlan) -> DeviceRowView:
    """Return the row of RAM: what must be held first, then the page cache, which may shrink."""
    ram = machine.ram
    held = host.anonymous_bytes + host.pinned_bytes
    cached = max(host.page_cache_bytes - host.disk_bytes, 0)
    others = max(ram.total_bytes - ram.available_bytes, 0)
    parts = _ram_parts(device, held, cached)
    left = room_left(held, device.budget_bytes, ram.available_bytes)
    left -= cached if left > 0 else 0
    used, unit = split_bytes(held + cached)
    return DeviceRowView(
        key=CPU,
        name=_tr("RAM"),
        used=f"~{used}",
        used_unit=unit,
        rest=_rest(left),
        fill=BarFill(tuple(parts), _others(others), ram.total_bytes, 0, held if cached else 0),
        tone=_tone(held, device.budget_bytes or ram.available_bytes, ram.available_bytes),
        note=_ram_note(host, held, cached),
        tooltip=_exact_ram(device, host, others, ram.total_bytes),
        spoken=_spoken(parts, f"{used} {unit}", _rest(left)),
    )


def disk_row(host: HostPlan, shape: ModelShape) -> DeviceRowView:
    """Return the row of what is read from the disk while answering."""
    used, unit = split_bytes(host.disk_bytes)
    name = _tr("Disk")
    if not host.disk_bytes:
        words = _tr("nothing read while answering")
        return DeviceRowView(DISK, name, "", "", words, BarFill(), spoken=words)
    number = 3 if shape.is_moe else 1
    part = BarPart(
        _part_names()[number], _TOKENS[number], host.disk_bytes, f"~{used} {unit}", "soft"
    )
    why = _tr("Weights that RAM cannot hold are read again and again while answering.")
    return DeviceRowView(
        key=DISK,
        name=name,
        used=f"~{used}",
        used_unit=unit,
        rest=_tr("read while answering"),
        fill=BarFill((part,)),
        tone="tight",
        tooltip=f"{why}\n{host.disk_bytes:,} B",
        spoken=f"{used} {unit}. {why}",
    )


# --- parts --------------------------------------------------------------------------------------


def _part_names() -> tuple[str, ...]:
    return (
        _tr("Attention"),
        _tr("Dense"),
        _tr("Shared experts"),
        _tr("Routed experts"),
        _tr("KV cache"),
        _tr("Compute"),
    )


def part_sizes(device: DevicePlan) -> tuple[int, ...]:
    """Return a device's parts in the order of the bars: weights, then KV, then compute."""
    return (
        device.attention_bytes,
        device.dense_bytes,
        device.shared_bytes,
        device.routed_bytes,
        device.kv_bytes,
        device.compute_bytes + device.output_bytes,
    )


_TOKENS = ("attention", "dense", "shared_experts", "routed_experts", "kv", "compute")


def _plan_parts(device: DevicePlan) -> list[BarPart]:
    return [
        BarPart(name, token, size, f"~{format_bytes(size)}")
        for name, token, size in zip(_part_names(), _TOKENS, part_sizes(device), strict=True)
    ]


def _ram_parts(device: DevicePlan, held: int, cached: int) -> list[BarPart]:
    *weights, kv, compute = _plan_parts(device)
    parts = [kv, compute]
    room = max(held - int(kv.size + compute.size), 0)
    # Experts first: they are what is repacked or pinned. The split is exact in sum only.
    firm: list[BarPart] = []
    soft: list[BarPart] = []
    total = sum(part.size for part in weights)
    for part in reversed(weights):
        fixed = min(part.size, room)
        room -= int(fixed)
        firm.append(_sized(part, fixed))
        loose = part.size - fixed
        # What the disk keeps is missing from every part alike.
        loose *= min(cached / max(total - (held - kv.size - compute.size), 1), 1.0)
        soft.append(_sized(part, loose, "soft"))
    firm[0] = _sized(firm[0], firm[0].size + room)
    parts += [part for part in reversed(firm) if part.size > 0]
    parts += [part for part in reversed(soft) if part.size > 0]
    return [part for part in parts if part.size > 0]


def _sized(part: BarPart, size: float, look: str = "solid") -> BarPart:
    words = part.words
    if look == "soft":
        words = _tr("{0}, in the page cache").format(words)
    return BarPart(part.name, part.token, size, words, look)


def _others(size_bytes: int) -> BarPart | None:
    if not size_bytes:
        return None
    words = format_bytes(size_bytes)
    return BarPart(_tr("Other programs"), _OTHER_TOKEN, size_bytes, words, "hatched")


# --- words --------------------------------------------------------------------------------------


def _tone(used: int, budget: int, free: int) -> str:
    if used > free:
        return "fail"
    spare = free - used
    if used > budget or spare < min(_TIGHT_BYTES, free * _TIGHT_SHARE):
        return "tight"
    return ""


def room_left(used: int, budget: int, free: int) -> int:
    """Return what stays free; where it is too small, by how much for what the plan may use.

    Both count bytes: what is missing includes what should stay free, as in the plan's sentences.
    """
    left = free - used
    return left if left >= 0 else min(budget or free, free) - used


def _rest(left: int) -> str:
    if abs(left) < _NOTHING_BYTES:
        return _tr("full")
    if left < 0:
        return _tr("{0} too much").format(format_bytes(-left))
    return _tr("{0} free").format(format_bytes(left))


def _ram_note(host: HostPlan, held: int, cached: int) -> str:
    words = []
    if host.pinned_bytes > _NOTHING_BYTES:
        words.append(_tr("{0} of it pinned").format(format_bytes(host.pinned_bytes)))
    if cached:
        words.append(_tr("{0} page cache").format(format_bytes(cached)))
    if not words:
        return ""
    words.insert(0, _tr("{0} must be held").format(format_bytes(held)))
    return "  \N{MIDDLE DOT}  ".join(words)


def _exact(gpu: Gpu, device: DevicePlan, others: int) -> str:
    total = gpu.total_bytes
    lines = [f"{gpu.name} ({gpu.device})" if gpu.name else gpu.device]
    lines += _exact_parts(device)
    if others:
        lines.append(f"{_tr('Other programs')}: {others:,} B")
    lines.append(_tr("Total: {0} B of {1} B").format(f"{device.used_bytes:,}", f"{total:,}"))
    lines.append(_tr("The plan may use {0} B").format(f"{device.budget_bytes:,}"))
    return "\n".join(lines)


def _exact_ram(device: DevicePlan, host: HostPlan, others: int, total: int) -> str:
    lines = [_tr("RAM"), *_exact_parts(device)]
    for name, size in (
        (_tr("Must be held"), host.anonymous_bytes),
        (_tr("Pinned for the GPU"), host.pinned_bytes),
        (_tr("Page cache"), host.page_cache_bytes),
        (_tr("Read from the disk while answering"), host.disk_bytes),
        (_tr("Read while loading"), host.load_read_bytes),
        (_tr("Other programs"), others),
    ):
        if size:
            lines.append(f"{name}: {size:,} B")
    lines.append(_tr("RAM in all: {0} B").format(f"{total:,}"))
    return "\n".join(lines)


def _exact_parts(device: DevicePlan) -> list[str]:
    named = zip(_part_names(), part_sizes(device), strict=True)
    return [f"{name}: {size:,} B" for name, size in named if size]


def _spoken(parts: Sequence[BarPart], used: str, rest: str) -> str:
    named = ", ".join(f"{part.name} {part.words}" for part in parts)
    return f"{used}, {rest}. {named}"


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlanBars", text)
