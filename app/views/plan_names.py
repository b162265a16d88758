"""What a person calls the devices of a machine."""

from __future__ import annotations

import re

from PySide6.QtCore import QCoreApplication

from models.planner.machine import Machine
from models.planner.plan import CPU

# What vendors put round the name that people use.
_NOISE = re.compile(
    r"\((R|TM|C)\)|^(NVIDIA|AMD|ATI|Intel|Apple)\b|\b(GeForce|Radeon|Corporation|Graphics)\b",
    re.IGNORECASE,
)


def short_name(name: str) -> str:
    """Return a product's name without its vendor: ``RTX 4090``; the whole where that leaves none.

    The rest of a name like ``Apple M2 Max`` or ``Radeon RX 7900 XTX`` says enough.
    """
    short = " ".join(_NOISE.sub(" ", name).split())
    return short if re.search(r"\d", short) else " ".join(name.split())


def device_name(machine: Machine, device: str) -> str:
    """Return the name of a device; several of the same name get their number in front."""
    gpu = machine.gpu(device)
    if gpu is None:
        return QCoreApplication.translate("PlanNames", "RAM") if device == CPU else device
    name = short_name(gpu.name) or device
    alike = [one.device for one in machine.gpus if one.name == gpu.name]
    if len(alike) < 2:
        return name
    words = QCoreApplication.translate("PlanNames", "GPU {0}: {1}")
    return words.format(alike.index(device), name)
