"""How ggml's buffer types lay tensors out, and which host buffer a device brings. Pure, no Qt here.

ggml/src/ggml-alloc.c (``ggml_backend_alloc_ctx_tensors_from_buft_impl``): a buffer is the sum over
its tensors of the allocation size, each padded to the buffer type's alignment. A type with a
largest size only cuts that sum into several buffers.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.planner.inventory import BufferRule
from models.planner.machine import Gpu, GpuKind, Machine
from models.planner.plan import CPU

CPU_REPACK = "CPU_REPACK"
AMX = "AMX"

# ggml/src/ggml-impl.h, TENSOR_ALIGNMENT.
CPU_RULE = BufferRule(32)

# ggml-cuda.cu and ggml-sycl.cpp (``get_alloc_size``): 128 bytes, quantized rows end on a multiple
# of MATRIX_ROW_PADDING = 512. ggml-metal.cpp: 32 bytes. ggml-vulkan.cpp: the driver's
# minStorageBufferOffsetAlignment (4 to 64; nothing more is known without the device). An RPC host
# answers for its own device, a CUDA card unless it is known to compute on the CPU.
_RULES = {
    GpuKind.CUDA: BufferRule(128, 512),
    GpuKind.ROCM: BufferRule(128, 512),
    GpuKind.SYCL: BufferRule(128, 512),
    GpuKind.VULKAN: BufferRule(64),
    GpuKind.METAL: BufferRule(32),
    GpuKind.RPC: BufferRule(128, 512),
}

# ``get_host_buffer_type`` of each backend; Metal and RPC have none. Their layout is the CPU's, but
# Vulkan pads to minMemoryMapAlignment, at least 64 by the standard.
_HOST_BUFFERS = {
    GpuKind.CUDA: "CUDA_Host",
    GpuKind.ROCM: "ROCm_Host",
    GpuKind.SYCL: "SYCL_Host",
    GpuKind.VULKAN: "Vulkan_Host",
}
_VULKAN_HOST_RULE = BufferRule(64)

# What ``supports_op`` of CUDA (ggml-cuda.cu:5216), ROCm (the same source) and SYCL does not
# multiply with; such weights stay on the CPU. Every other type that a file may hold is taken.
_TERNARY = frozenset(("TQ1_0", "TQ2_0"))
_WITHOUT_TERNARY = (GpuKind.CUDA, GpuKind.ROCM, GpuKind.SYCL)


def gpu_rule(gpu: Gpu) -> BufferRule:
    """Return the layout of a device's own buffers."""
    if gpu.kind is GpuKind.RPC and gpu.remote == "cpu":
        return CPU_RULE
    return _RULES[gpu.kind]


def refused_types(gpu: Gpu | None) -> frozenset[str]:
    """Return the types of weights that a device does not multiply with."""
    return _TERNARY if gpu is not None and gpu.kind in _WITHOUT_TERNARY else frozenset()


def host_buffer_of(gpu: Gpu | None) -> str | None:
    """Return the page-locked host buffer type that comes with a device, None when it has none."""
    return None if gpu is None else _HOST_BUFFERS.get(gpu.kind)


def host_gpu(machine: Machine, devices: Sequence[str]) -> Gpu | None:
    """Return the first device that has a host buffer type, None when there is none.

    src/llama-model.cpp, ``make_cpu_buft_list``: weights that stay on the CPU go there first.
    """
    gpus = (machine.gpu(device) for device in devices)
    return next((gpu for gpu in gpus if host_buffer_of(gpu) is not None), None)


def is_pinned(buffer: str) -> bool:
    """Whether a buffer is page-locked host memory."""
    return buffer in _HOST_BUFFERS.values()


def buffer_rule(machine: Machine, buffer: str) -> BufferRule:
    """Return the layout of a buffer type by its name."""
    gpu = machine.gpu(buffer)
    if gpu is not None:
        return gpu_rule(gpu)
    return _VULKAN_HOST_RULE if buffer == _HOST_BUFFERS[GpuKind.VULKAN] else CPU_RULE


def device_of_buffer(machine: Machine, buffer: str) -> str:
    """Return the device that a buffer is counted to; host buffers count to the CPU."""
    return buffer if machine.gpu(buffer) is not None else CPU


def maps_file(machine: Machine, devices: Sequence[str], load_mode: str) -> bool:
    """Whether weights on the CPU are used in place in the file's pages.

    src/llama-model.cpp:1512: ``auto`` maps unless a device says that it gains nothing by it, which
    integrated CUDA and Vulkan devices do (``caps.mmap_support``).
    """
    if load_mode != "auto":
        return load_mode in ("mmap", "mmap_mlock")
    shy = (GpuKind.CUDA, GpuKind.ROCM, GpuKind.VULKAN)
    gpus = (machine.gpu(device) for device in devices)
    return not any(gpu is not None and gpu.is_unified and gpu.kind in shy for gpu in gpus)
