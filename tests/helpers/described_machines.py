"""Machines that are only described, to plan for in tests."""

from __future__ import annotations

from collections.abc import Sequence

from models.planner.machine import Cpu, Disk, Gpu, GpuKind, Machine, Ram

GIB = 2**30


def gpu(
    index: int,
    total_gib: float,
    *,
    kind: GpuKind = GpuKind.CUDA,
    bandwidth_bytes_s: float = 9e11,
    free_gib: float | None = None,
) -> Gpu:
    """Return a GPU with almost all of its memory free."""
    prefix = {GpuKind.CUDA: "CUDA", GpuKind.RPC: "RPC", GpuKind.VULKAN: "Vulkan"}[kind]
    free = total_gib * 0.97 if free_gib is None else free_gib
    is_remote = kind is GpuKind.RPC
    return Gpu(
        f"{prefix}{index}",
        f"192.168.0.{index}:50052" if is_remote else f"Card {index}",
        kind,
        int(total_gib * GIB),
        int(free * GIB),
        bandwidth_bytes_s,
        8e13,
        link_bytes_s=1.2e9 if is_remote else None,
        link_latency_s=2e-4 if is_remote else 0.0,
    )


def machine(
    gpus_gib: Sequence[float] = (),
    ram_gib: float = 64,
    *,
    available_gib: float | None = None,
    features: Sequence[str] = ("AVX2", "FMA", "F16C"),
    cores: int = 16,
) -> Machine:
    """Return a machine with CUDA cards of these sizes."""
    available = ram_gib * 0.9 if available_gib is None else available_gib
    return Machine(
        tuple(gpu(index, size) for index, size in enumerate(gpus_gib)),
        Ram(int(ram_gib * GIB), int(available * GIB), 6e10),
        Disk(3.5e9),
        Cpu(cores, tuple(features)),
        2.4e10,
        is_described=True,
    )
