"""A plan and a comparison as text for a terminal. No Qt here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from app.cli.table import format_table
from models.planner.compare import verdict, where_words
from models.planner.explain import bound_words
from models.planner.machine import Machine
from models.planner.plan import CPU, DevicePlan, Plan, SpeedRange, Tier
from models.planning.opening import OpenCheckpoint
from models.units import format_bytes, format_count, format_rate

if TYPE_CHECKING:
    from app.cli.plan import Compared

_WIDTH = 96
_MOST_NAME = 40
_TIERS = {
    Tier.FAST: "estimated; leave out --fast to have llama.cpp check it",
    Tier.EXACT: "checked with llama.cpp",
}


def plan_text(checkpoint: OpenCheckpoint, machine: Machine, plan: Plan) -> str:
    """Return a plan for people."""
    shape = checkpoint.shape
    parts = [
        f"{checkpoint.name}  {shape.quantization}  {format_bytes(shape.file_bytes)}",
        f"{'Fits' if plan.fits else 'Does not fit'} ({_TIERS[plan.tier]})",
        "",
        _devices_table(plan, machine),
        "",
        _speeds(plan),
        "",
        *_bullets("", plan.explanation),
        *_bullets("Note", plan.warnings),
        *_bullets("Also", [other.text for other in plan.alternatives if other.kind != "more_vram"]),
        "",
        "llama.cpp: " + " ".join(plan.llama_cpp_flags),
    ]
    return "\n".join(parts)


def _devices_table(plan: Plan, machine: Machine) -> str:
    head = ("", "attention", "dense", "shared", "experts", "KV", "compute", "all", "may use")
    rows: list[tuple[str, ...]] = [head]
    for device in plan.memory.devices:
        if device.name != CPU and not device.used_bytes:
            continue
        rows.append(
            (
                _device_name(device, machine),
                *(
                    _amount(size)
                    for size in (
                        device.attention_bytes,
                        device.dense_bytes,
                        device.shared_bytes,
                        device.routed_bytes,
                        device.kv_bytes,
                        device.compute_bytes + device.output_bytes,
                        device.used_bytes,
                    )
                ),
                format_bytes(device.budget_bytes),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    table = "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return f"{table}\n{_host(plan)}"


def _device_name(device: DevicePlan, machine: Machine) -> str:
    if device.name == CPU:
        return "RAM"
    gpu = machine.gpu(device.name)
    return f"{device.name} {gpu.name}" if gpu is not None and gpu.name else device.name


def _amount(size_bytes: int) -> str:
    return format_bytes(size_bytes) if size_bytes else "-"


def _host(plan: Plan) -> str:
    host = plan.memory.host
    words = [
        (host.anonymous_bytes, "held"),
        (host.pinned_bytes, "locked for the GPU"),
        (host.page_cache_bytes - host.disk_bytes, "pages of the file"),
        (host.disk_bytes, "left on the disk"),
    ]
    said = ", ".join(f"{format_bytes(size)} {what}" for size, what in words if size > 0)
    return f"RAM: {said or 'next to nothing'}; {format_bytes(host.load_read_bytes)} read to load"


def _speeds(plan: Plan) -> str:
    speed = plan.speed
    return format_table(
        [
            ("Answers", _range(speed.decode), f"limited by {bound_words(speed.bound_by)}"),
            ("Prompts", _range(speed.prefill), f"limited by {bound_words(speed.prefill_bound_by)}"),
        ],
        wrap=2,
    )


def _range(speed: SpeedRange) -> str:
    low, high = (format_rate(value).split()[0] for value in (speed.low, speed.high))
    return f"~{format_rate(speed.mid)} ({low} to {high})"


def _bullets(mark: str, sentences: Sequence[str]) -> Iterator[str]:
    for sentence in sentences:
        lead = f"- {mark}: " if mark else "- "
        yield textwrap.fill(sentence, _WIDTH, initial_indent=lead, subsequent_indent="  ")


def compared_table(rows: Sequence[Compared], chosen: Compared | None) -> str:
    """Return a comparison for people; the recommended row is marked."""
    cells: list[tuple[str, ...]] = [
        ("", "model", "quant", "size", "where", "context", "answers", "verdict")
    ]
    for row in rows:
        mark = ">" if row is chosen else ""
        name = textwrap.shorten(row.name, _MOST_NAME, placeholder=" ...")
        if row.plan is None:
            words = row.error.one_line() if row.error else ""
            cells.append((mark, name, row.quant, "", "", "", "", words))
            continue
        cells.append(
            (
                mark,
                name,
                row.quant,
                format_bytes(row.size_bytes),
                where_words(row.plan),
                format_count(row.most_ctx) if row.most_ctx else "-",
                f"~{format_rate(row.plan.speed.decode.mid)}" if row.plan.fits else "-",
                verdict(row.plan) + (" (recommended)" if row is chosen else ""),
            )
        )
    if len({row.name for row in rows}) == 1:
        # Quantizations of one model: its name says nothing here.
        cells = [(cell[0], *cell[2:]) for cell in cells]
    return format_table(cells, wrap=len(cells[0]) - 1)
