"""Tables of a plan's bytes per device: planned, and planned beside measured. No planning here."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication

from app.views.plan_names import device_name
from app.views.plan_view import FigureCell, FigureRow, FigureTable
from models.planner.machine import Machine
from models.planner.plan import Plan
from models.planning.measured import DeviceDifference
from models.units import split_bytes

# What is off by less than this share is as planned.
_AS_PLANNED = 0.02


def planned_table(plan: Plan, machine: Machine) -> FigureTable:
    """Return weights, KV, compute and total of every device."""
    rows = tuple(
        FigureRow(
            device_name(machine, device.name),
            tuple(
                _planned(size)
                for size in (
                    device.weights_bytes,
                    device.kv_bytes,
                    device.compute_bytes + device.output_bytes,
                    device.used_bytes,
                )
            ),
        )
        for device in plan.memory.devices
    )
    heads = (_tr("Weights"), _tr("KV"), _tr("Compute"), _tr("Total"))
    return FigureTable(_tr("Planned memory"), heads, rows)


def measured_table(machine: Machine, measured: Sequence[DeviceDifference]) -> FigureTable:
    """Return what llama.cpp reports after the load beside what was planned."""
    rows = tuple(
        FigureRow(
            device_name(machine, one.name),
            (
                _planned(one.planned.total_bytes),
                _measured(one.measured.total_bytes),
                _difference(one.difference_bytes, one.planned.total_bytes),
            ),
        )
        for one in measured
    )
    return FigureTable(
        _tr("Planned and measured"),
        (_tr("Planned"), _tr("Measured"), _tr("Difference")),
        rows,
        note=_tr("Measured by llama.cpp after the load. The difference is kept for later plans."),
    )


def _planned(size_bytes: int) -> FigureCell:
    value, unit = split_bytes(size_bytes)
    tilde = "~" if size_bytes else ""
    return FigureCell(f"{tilde}{value}", unit, f"{size_bytes:,} B")


def _measured(size_bytes: int) -> FigureCell:
    value, unit = split_bytes(size_bytes)
    return FigureCell(value, unit, f"{size_bytes:,} B")


def _difference(difference: int, planned_bytes: int) -> FigureCell:
    tooltip = f"{difference:+,} B"
    if not difference:
        return FigureCell(_tr("none"), "", tooltip, "good")
    value, unit = split_bytes(abs(difference))
    sign = "+" if difference > 0 else "\N{MINUS SIGN}"
    share = abs(difference) / max(planned_bytes, 1)
    token = "good" if share <= _AS_PLANNED else "tight" if difference > 0 else "text"
    return FigureCell(f"{sign}{value}", unit, tooltip, token)


def _tr(text: str) -> str:
    return QCoreApplication.translate("PlanFigures", text)
