"""A machine to plan for: this one, or one that is only described. Pure, no Qt here."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class GpuKind(enum.StrEnum):
    """Which ggml backend drives a device; it decides alignment, padding and staging."""

    CUDA = "cuda"
    ROCM = "rocm"
    VULKAN = "vulkan"
    METAL = "metal"
    SYCL = "sycl"
    RPC = "rpc"


@dataclass(frozen=True)
class Gpu:
    """A device beside the CPU.

    Attributes:
        device: ggml's name, such as ``CUDA0``; what overrides and measurements refer to.
        name: the product's name, as a person knows it.
        bandwidth_bytes_s: of its memory, None when not known.
        compute_flop_s: half-precision throughput as usable by ggml, None when not known.
        is_unified: shares the machine's RAM (Apple, integrated GPUs).
        link_bytes_s: between it and the CPU (PCIe, or the network of an RPC host), None: the
            machine's ``pcie_bytes_s``.
        link_latency_s: one round trip over that link, 0 inside one machine.
        driver_bytes: what the driver takes beside llama.cpp's account, None when not measured.
        remote: what an RPC host computes with, ``cuda`` or ``cpu``; it decides about alignment.
        endpoint: ``host:port`` of an RPC host that answered, empty for one that is described.
    """

    device: str
    name: str
    kind: GpuKind
    total_bytes: int
    free_bytes: int
    bandwidth_bytes_s: float | None = None
    compute_flop_s: float | None = None
    is_unified: bool = False
    link_bytes_s: float | None = None
    link_latency_s: float = 0.0
    driver_bytes: int | None = None
    remote: str = "cuda"
    endpoint: str = ""


@dataclass(frozen=True)
class Ram:
    """Host memory; ``available_bytes`` is what can be had without swapping."""

    total_bytes: int
    available_bytes: int
    bandwidth_bytes_s: float | None = None


@dataclass(frozen=True)
class Disk:
    """The disk that holds the checkpoint; ``read_ahead_bytes`` as the system has it set."""

    read_bytes_s: float | None = None
    read_ahead_bytes: int = 128 * 1024


@dataclass(frozen=True)
class Cpu:
    """The processor; ``features`` in ggml's words (AVX2, AVX512, AMX_INT8, NEON ...).

    With several ``sockets`` each has its own share of the RAM's bandwidth, and reads over the
    link between them are slower; ``cores`` are all of them.
    """

    cores: int
    features: tuple[str, ...] = ()
    name: str = ""
    sockets: int = 1


@dataclass(frozen=True)
class Calibration:
    """What was measured on a machine, with ggml's own kernels.

    Attributes:
        measured_on: date, ISO 8601.
        n_threads: with which the CPU figures were measured.
        cpu_decode_bytes_s: per quantization type, weight bytes a second in decode (all threads).
        cpu_prefill_flop_s: per quantization type, operations a second in prefill.
        cpu_fixed_s: seconds a token takes beside its layers and weights.
        cpu_layer_s: seconds a layer on the CPU takes beside its weights.
        gpu_decode_bytes_s, gpu_prefill_flop_s: per device name.
        pcie_bytes_s, ram_bytes_s, disk_bytes_s: None where not measured.
    """

    measured_on: str = ""
    n_threads: int = 0
    cpu_decode_bytes_s: Mapping[str, float] = field(default_factory=dict)
    cpu_prefill_flop_s: Mapping[str, float] = field(default_factory=dict)
    cpu_fixed_s: float = 0.0
    cpu_layer_s: float = 0.0
    gpu_decode_bytes_s: Mapping[str, float] = field(default_factory=dict)
    gpu_prefill_flop_s: Mapping[str, float] = field(default_factory=dict)
    pcie_bytes_s: float | None = None
    ram_bytes_s: float | None = None
    disk_bytes_s: float | None = None


@dataclass(frozen=True)
class Machine:
    """Everything the planner knows of a machine.

    Attributes:
        gpus: in llama.cpp's device order (RPC hosts first, then GPUs).
        pcie_bytes_s: between RAM and a GPU, None when not known.
        calibration: measured rates, None until there are some.
        decode_correction, prefill_correction: measured over predicted speed of earlier loads of
            the same checkpoint with a like placement; 1.0 when there were none.
        is_described: not this machine but a description of one.
    """

    gpus: tuple[Gpu, ...]
    ram: Ram
    disk: Disk
    cpu: Cpu
    pcie_bytes_s: float | None = None
    calibration: Calibration | None = None
    decode_correction: float = 1.0
    prefill_correction: float = 1.0
    is_described: bool = False

    def gpu(self, device: str) -> Gpu | None:
        """Return the GPU with a ggml name, None when there is none."""
        return next((gpu for gpu in self.gpus if gpu.device == device), None)
