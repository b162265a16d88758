"""GPUs that are older than what a CUDA module was compiled for: never used by it. No Qt here.

A driver still speaks a CUDA version for GPUs that this version no longer compiles for. ggml lists
them all the same, and the first computation there ends the process (ggml-cuda/common.cuh: "not
compiled with any CUDA arch"). Hidden here, they are left to Vulkan.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.llama.same_gpu import bus_id

# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_... of cuda.h.
_MAJOR, _MINOR = 75, 76


def hide_too_old(library: LlamaLibrary, devices: Iterable[int], driver: str) -> str:
    """Hide devices of a CUDA module that it has no code for (``Ggml.hidden``).

    What neither the module nor the driver tells is left as it is.

    Args:
        library: which has the module.
        devices: all of one module, in ggml's handles.
        driver: name of the NVIDIA driver's library.

    Returns:
        Why none of them is left, in a sentence; empty where one is.
    """
    ggml, problem, is_any_left = library.ggml, "", False
    for device in devices:
        oldest = _oldest(ggml.registry_feature_values(ggml.dev_registry(device)).get("ARCHS", ""))
        has = _capability(driver, bus_id(library, device)) if oldest else None
        if oldest is None or has is None or has >= oldest:
            is_any_left = True
            continue
        ggml.hidden.add(device)
        name = ggml.dev_description(device).decode("utf-8", "replace")
        problem = (
            f"{name} is too old for it: compute capability {oldest[0]}.{oldest[1]} is needed, and "
            f"this GPU has {has[0]}.{has[1]}."
        )
    return "" if is_any_left else problem


def _oldest(listed: str) -> tuple[int, int] | None:
    """Return the lowest of ``750,800,890``, as ``(7, 5)``; None where there is none."""
    numbers = [int(word) for word in listed.split(",") if word.strip().isdecimal()]
    return (min(numbers) // 100, min(numbers) % 100 // 10) if numbers else None


def _capability(driver: str, address: str) -> tuple[int, int] | None:
    """Ask the driver what a GPU can do; None where it does not say."""
    try:
        cuda = ctypes.CDLL(driver)
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        failed = (
            cuda.cuInit(0)
            or cuda.cuDeviceGetByPCIBusId(ctypes.byref(device), address.encode())
            or cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
            or cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
        )
    except (OSError, AttributeError):
        return None
    return None if failed else (major.value, minor.value)
