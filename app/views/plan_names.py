"""What a person calls the devices of a machine."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from models.planner.machine import Machine
from models.planner.names import number_among_alike, short_name
from models.planner.plan import CPU


def device_name(machine: Machine, device: str) -> str:
    """Return the name of a device; several of the same name get their number in front."""
    gpu = machine.gpu(device)
    if gpu is None:
        return QCoreApplication.translate("PlanNames", "RAM") if device == CPU else device
    name = short_name(gpu.name) or device
    number = number_among_alike(machine, device)
    if number is None:
        return name
    words = QCoreApplication.translate("PlanNames", "GPU {0}: {1}")
    return words.format(number, name)
