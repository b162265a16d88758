"""One GPU that two backends see is one device: the better way to it is used. No Qt here.

A driver answers to CUDA and to Vulkan, and ggml lists both. llama.cpp takes the one that was
registered first, by the address on the bus (src/llama.cpp:231-262); modules of add-ons are
registered last, and are the better ones. So the other is hidden here, before anybody sees two GPUs
where there is one, and is never used.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from models.runtime.llama.bindings import LlamaLibrary, declare
from models.runtime.llama.ggml_abi import Properties

# For everybody's GPUs, and so slower than what a maker wrote for its own.
_UNIVERSAL = (b"Vulkan", b"OpenCL", b"WebGPU")


@dataclass(frozen=True)
class _Way:
    """A device as one backend sees it; ``bus_id`` is empty where the driver does not say."""

    device: int
    registry: int
    is_universal: bool
    bus_id: str
    description: bytes


def hide_second_ways(library: LlamaLibrary) -> None:
    """Hide the devices that another backend is the better way to (``Ggml.hidden``)."""
    ggml = library.ggml
    gpus = [device for device in ggml.devices() if ggml.device_kind(device) in ("gpu", "igpu")]
    if len({ggml.dev_registry(device) for device in gpus}) < 2:
        # The usual case: not worth asking the drivers.
        return
    # Sorted stably: of two equals, the one that was registered first.
    ways = sorted((_way(library, device) for device in gpus), key=lambda way: way.is_universal)
    for index, way in enumerate(ways):
        if any(_is_same(way, better) for better in ways[:index]):
            ggml.hidden.add(way.device)


def bus_id(library: LlamaLibrary, device: int) -> str:
    """Return a device's address, such as ``0000:0a:00.0``; empty where it is not said."""
    ask = declare(
        library.ggml.base,
        "ggml_backend_dev_get_props",
        None,
        ctypes.c_void_p,
        ctypes.POINTER(Properties),
    )
    properties = Properties()
    ask(device, ctypes.byref(properties))
    said: bytes = properties.device_id or b""
    return said.decode("ascii", "replace").lower()


def _way(library: LlamaLibrary, device: int) -> _Way:
    ggml = library.ggml
    registry = ggml.dev_registry(device)
    return _Way(
        device,
        registry,
        ggml.registry_name(registry) in _UNIVERSAL,
        bus_id(library, device),
        ggml.dev_description(device),
    )


def _is_same(one: _Way, other: _Way) -> bool:
    # Two of one backend are two GPUs, or what the user asked for by an environment variable.
    if one.registry == other.registry:
        return False
    if one.bus_id and other.bus_id:
        return one.bus_id == other.bus_id
    return one.description == other.description
