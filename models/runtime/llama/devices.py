"""The devices ggml sees, with the source's own numbers. No Qt here."""

from __future__ import annotations

from models.runtime.llama.bindings import LlamaLibrary
from models.runtime.protocol import AddonState, Device, DeviceList


def list_devices(
    library: LlamaLibrary,
    rpc_problems: tuple[str, ...] = (),
    addons: tuple[AddonState, ...] = (),
) -> DeviceList:
    """Return every ggml device, the CPU features of the module in use and llama.cpp's own line."""
    ggml = library.ggml
    devices = []
    for handle in ggml.devices():
        free_bytes, total_bytes = ggml.device_memory(handle)
        devices.append(
            Device(
                name=ggml.dev_name(handle).decode(),
                description=ggml.dev_description(handle).decode("utf-8", "replace"),
                kind=ggml.device_kind(handle),
                backend=ggml.registry_name(ggml.dev_registry(handle)).decode(),
                total_bytes=total_bytes,
                free_bytes=free_bytes,
                remote=_remote(library, handle),
            )
        )
    backends = [ggml.registry_get(index) for index in range(ggml.registry_count())]
    names = tuple(ggml.registry_name(backend).decode() for backend in backends)
    info: bytes = library.api.llama_print_system_info()
    said = info.decode().strip()
    return DeviceList(tuple(devices), cpu_features(library), names, said, rpc_problems, addons)


def _remote(library: LlamaLibrary, device: int) -> str:
    """Tell an RPC host's CPU from its GPU by the alignment of its buffers: 32 or 128 bytes."""
    ggml = library.ggml
    if ggml.device_kind(device) != "rpc":
        return ""
    return "cpu" if ggml.buft_alignment(ggml.dev_buffer_type(device)) <= 32 else "cuda"


def cpu_features(library: LlamaLibrary) -> tuple[str, ...]:
    """Return what the chosen CPU module was built for, such as ``AVX2`` or ``AMX_INT8``."""
    ggml = library.ggml
    for index in range(ggml.registry_count()):
        registry = ggml.registry_get(index)
        if ggml.registry_name(registry) == b"CPU":
            return ggml.registry_features(registry)
    return ()
