"""Whether an add-on that is not there would help on this machine. No Qt here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from models.addons.installed import Addon
from models.hardware.readouts import GpuReadout

CUDA = "cuda"
# What a CUDA add-on is made for.
_PLATFORMS = ("linux-x86_64", "windows-x86_64")


def wants_cuda(
    gpus: Iterable[GpuReadout], addons: Iterable[Addon], platform: str, *, has_own: bool
) -> bool:
    """Tell whether there is an NVIDIA GPU that no CUDA module is there for.

    Args:
        gpus: what the drivers report.
        addons: those that are there, whether they can be used or not.
        platform: as ``AddonManifest.platform``.
        has_own: whether the program itself was built with CUDA (``has_own_cuda``).
    """
    if has_own or platform not in _PLATFORMS or any(addon.name == CUDA for addon in addons):
        return False
    return any(gpu.vendor == "NVIDIA" for gpu in gpus)


def has_own_cuda() -> bool:
    """Tell whether this program's llama.cpp was built with CUDA; nothing of it is loaded."""
    spec = importlib.util.find_spec("llama_cpp")
    places = spec.submodule_search_locations if spec is not None else None
    return any(any(Path(place, "lib").glob("*ggml-cuda*")) for place in places or ())
