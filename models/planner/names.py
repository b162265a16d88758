"""What a person calls the devices of a machine. Pure, no Qt here."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


def number_among_alike(machine: Machine, device: str) -> int | None:
    """Return a GPU's number among those of the same name, None where its name is its own."""
    gpu = machine.gpu(device)
    alike = [one.device for one in machine.gpus if gpu is not None and one.name == gpu.name]
    return alike.index(device) if len(alike) > 1 else None


def device_words(machine: Machine, device: str) -> str:
    """Return the name of a device; several of the same name get their number in front."""
    gpu = machine.gpu(device)
    if gpu is None:
        return "RAM" if device == CPU else device
    name = short_name(gpu.name) or device
    number = number_among_alike(machine, device)
    return name if number is None else f"GPU {number}: {name}"


def all_words(machine: Machine, devices: Sequence[str]) -> str:
    """Return the names of several devices: ``the RTX 3090``, ``GPU 0: ... and GPU 1: ...``.

    Several of one name, and no others, are counted: ``4 x RTX 3090``.
    """
    names = [device_words(machine, device) for device in devices]
    if len(names) > 1:
        gpus = [machine.gpu(device) for device in devices]
        products = {short_name(gpu.name) for gpu in gpus if gpu is not None and gpu.name}
        if len(products) == 1 and all(gpus):
            return f"{len(names)} x {products.pop()}"
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}"
