"""Where a checkpoint would live and how fast it would be, in the room of a row."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from app.widgets.device_bar import BarFill, BarPart
from models.planner.plan import CPU, Plan
from models.units import format_bytes, format_rate, split_rate

# One colour in three looks: the parts of a plan have their own colours, the places have none.
_TOKEN = "attention"


@dataclass(frozen=True)
class ForecastView:
    """A small bar and a rate.

    Attributes:
        fill: VRAM, RAM and disk from the left, of all memory there is.
        rate, unit: predicted, with its tilde; empty when it does not fit.
        words: instead of a rate.
        tone: of the rate or the words: ``tight`` where a disk is read while answering.
        tooltip: every place in words.
    """

    fill: BarFill
    rate: str
    unit: str
    words: str
    tone: str
    tooltip: str


def forecast_view(plan: Plan) -> ForecastView:
    """Return what a row shows of a plan."""
    host = plan.memory.host
    vram = sum(device.used_bytes for device in plan.memory.devices if device.name != CPU)
    cached = host.page_cache_bytes - host.disk_bytes
    ram = host.anonymous_bytes + host.pinned_bytes + max(cached, 0)
    places = ((_tr("VRAM"), vram, "solid"), (_tr("RAM"), ram, "soft"))
    parts = [
        BarPart(name, _TOKEN, float(size), f"~{format_bytes(size)}", look)
        for name, size, look in (*places, (_tr("Disk"), host.disk_bytes, "hatched"))
        if size
    ]
    total = float(sum(device.total_bytes for device in plan.memory.devices))
    if plan.fits:
        # What stays on the disk belongs there: it is slow, but nothing is too large.
        total = max(total, sum(part.size for part in parts))
    lines = [f"{part.name}: {part.words}" for part in parts]
    if not plan.fits:
        words = _tr("Does not fit")
        return ForecastView(
            BarFill(tuple(parts), total=total), "", "", words, "fail", "\n".join([words, *lines])
        )
    rate, unit = split_rate(plan.speed.decode.mid)
    low, high = format_rate(plan.speed.decode.low), format_rate(plan.speed.decode.high)
    if host.disk_bytes:
        lines[-1] = _tr("{0}, read while answering").format(lines[-1])
    lines.append(_tr("{0} to {1}, predicted").format(low, high))
    return ForecastView(
        fill=BarFill(tuple(parts), total=total),
        rate=f"~{rate}",
        unit=unit,
        words="",
        tone="tight" if host.disk_bytes else "",
        tooltip="\n".join(lines),
    )


def _tr(text: str) -> str:
    return QCoreApplication.translate("Forecast", text)
