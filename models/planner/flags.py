"""The same settings as flags of llama.cpp's own programs (common/arg.cpp). Pure, no Qt here."""

from __future__ import annotations

from models.planner.machine import GpuKind, Machine
from models.planner.plan import PlanSettings

# For a host that is only described.
_NO_ENDPOINT = "HOST:PORT"
_LOAD_MODES = {"mmap_mlock": "mmap+mlock", "direct_io": "dio"}


def llama_cpp_flags(settings: PlanSettings, machine: Machine) -> tuple[str, ...]:
    """Return the arguments, one or two words each, that make llama-server load alike."""
    flags = [
        f"-c {settings.n_ctx}",
        f"-b {settings.n_batch}",
        f"-ub {settings.n_ubatch}",
        f"-fa {settings.flash_attn}",
    ]
    if settings.type_k != "f16":
        flags.append(f"-ctk {settings.type_k}")
    if settings.type_v != "f16":
        flags.append(f"-ctv {settings.type_v}")
    flags += _placement(settings, machine)
    if not settings.use_extra_bufts:
        flags.append("--no-repack")
    if settings.no_host:
        flags.append("--no-host")
    flags.append(f"-lm {_LOAD_MODES.get(settings.load_mode, settings.load_mode)}")
    if settings.n_threads:
        flags.append(f"-t {settings.n_threads}")
    # llama.cpp's own fitting would change what was planned.
    flags.append("-fit off")
    return tuple(flags)


def _placement(settings: PlanSettings, machine: Machine) -> list[str]:
    if not settings.devices:
        return ["-dev none", "-ngl 0"] if machine.gpus else []
    flags = []
    remote = [gpu for gpu in machine.gpus if gpu.kind is GpuKind.RPC]
    if any(gpu.device in settings.devices for gpu in remote):
        # Devices are numbered in the order of the hosts: none may be left out.
        known = list(dict.fromkeys(gpu.endpoint for gpu in remote if gpu.endpoint))
        described = [_NO_ENDPOINT for gpu in remote if not gpu.endpoint]
        flags.append(f"--rpc {','.join(known + described)}")
    if settings.devices != tuple(gpu.device for gpu in machine.gpus):
        flags.append(f"-dev {','.join(settings.devices)}")
    flags.append(f"-ngl {settings.n_gpu_layers}")
    if len(settings.devices) > 1 and settings.tensor_split:
        flags.append("-ts " + ",".join(f"{share:g}" for share in settings.tensor_split))
    if settings.overrides:
        pairs = ",".join(
            f"{override.pattern}={_buffer_type(override.device, machine)}"
            for override in settings.overrides
        )
        flags.append(f'-ot "{pairs}"')
    if not settings.op_offload:
        flags.append("--no-op-offload")
    if not settings.offload_kqv:
        flags.append("--no-kv-offload")
    return flags


def _buffer_type(device: str, machine: Machine) -> str:
    """Return a device's own buffer type, which ``-ot`` takes (ggml-rpc.cpp:1092 for hosts)."""
    gpu = machine.gpu(device)
    if gpu is None or gpu.kind is not GpuKind.RPC:
        return device
    endpoint = gpu.endpoint or _NO_ENDPOINT
    alike = [one.device for one in machine.gpus if gpu.endpoint and one.endpoint == endpoint]
    return f"RPC{alike.index(device) if alike else 0}[{endpoint}]"
