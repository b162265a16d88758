"""Random machines and settings, and the comparison of a planned account with llama.cpp's own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from models.gguf.shape import ModelShape
from models.planner.inventory import Inventory
from models.planner.kv_cache import KV_TYPES, check_kv, kv_cache_bytes
from models.planner.machine import Cpu, Disk, Gpu, GpuKind, Machine, Ram
from models.planner.placement import place
from models.planner.plan import CPU, BufferBytes, Override, PlanSettings

GIB = 2**30
# What ggml's modules for these generations say of themselves: none, AVX2, and AVX512 repack.
OLD_CPU = ("AVX",)
AVX2_CPU = ("AVX", "F16C", "FMA", "AVX2", "BMI2")
AVX512_CPU = (*AVX2_CPU, "AVX512")
_DEVICE_NAMES = {
    GpuKind.CUDA: "CUDA",
    GpuKind.ROCM: "ROCm",
    GpuKind.VULKAN: "Vulkan",
    GpuKind.SYCL: "SYCL",
    GpuKind.METAL: "MTL",
    GpuKind.RPC: "RPC",
}


@dataclass(frozen=True)
class Row:
    """One buffer of one case: (weights, KV) in bytes, planned and as llama.cpp has it."""

    buffer: str
    planned: tuple[int, int]
    actual: tuple[int, int]

    @property
    def differs(self) -> bool:
        """Whether a single byte is off."""
        return self.planned != self.actual


def machine_of(
    kinds: Sequence[GpuKind], *, features: tuple[str, ...] = AVX2_CPU, rng: random.Random
) -> Machine:
    """Return a machine with GPUs of some kinds and random free memory; RPC hosts come first."""
    counts: dict[GpuKind, int] = {}
    gpus = []
    for kind in sorted(kinds, key=lambda kind: kind is not GpuKind.RPC):
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        free_bytes = rng.randrange(2 * GIB, 80 * GIB)
        name = f"{_DEVICE_NAMES[kind]}{number}"
        gpus.append(
            Gpu(
                name,
                "phantom",
                kind,
                free_bytes + GIB,
                free_bytes,
                is_unified=kind is GpuKind.METAL or rng.random() < 0.15,
                remote=rng.choice(("cuda", "cpu")),
            )
        )
    return Machine(tuple(gpus), Ram(512 * GIB, 500 * GIB), Disk(), Cpu(16, features))


def random_settings(rng: random.Random, shape: ModelShape, machine: Machine) -> PlanSettings:
    """Return settings that llama.cpp accepts, drawn over everything that moves bytes."""
    known = [gpu.device for gpu in machine.gpus]
    devices = tuple(known[: rng.randint(1, len(known))]) if known and rng.random() < 0.9 else ()
    type_k, type_v, flash_attn = _random_cache(rng, shape)
    n_ubatch = rng.choice((16, 128, 512, 512, 1024, 4096))
    n_ctx = rng.choice((rng.randint(1, 2048), rng.randint(2048, 40000), 32768, 131072))
    return PlanSettings(
        n_ctx=n_ctx,
        n_batch=max(2048, n_ubatch),
        n_ubatch=n_ubatch,
        n_gpu_layers=rng.choice((shape.n_layer_all + 1, rng.randint(0, shape.n_layer_all + 1))),
        devices=devices,
        tensor_split=_random_split(rng, len(devices)),
        overrides=_random_overrides(rng, shape, devices),
        type_k=type_k,
        type_v=type_v,
        flash_attn=flash_attn,
        op_offload=rng.random() < 0.5,
        offload_kqv=rng.random() < 0.8,
        use_extra_bufts=rng.random() < 0.7,
        no_host=rng.random() < 0.3,
        load_mode=rng.choice(("mmap", "mmap", "none", "auto")),
        n_outputs_max=rng.choice((0, 1)),
    )


def _random_cache(rng: random.Random, shape: ModelShape) -> tuple[str, str, str]:
    while True:
        type_k = rng.choice(KV_TYPES)
        type_v = rng.choice((type_k, rng.choice(KV_TYPES)))
        flash_attn = rng.choice(("on", "on", "auto", "off"))
        if check_kv(shape, type_k, type_v, flash_attn) is None:
            return type_k, type_v, flash_attn


def _random_split(rng: random.Random, n_devices: int) -> tuple[float, ...]:
    if n_devices == 0 or rng.random() < 0.4:
        return ()
    shares = [rng.choice((rng.random(), float(rng.randint(0, 60)))) for _ in range(n_devices)]
    return tuple(shares) if any(shares) else ()


def _random_overrides(
    rng: random.Random, shape: ModelShape, devices: Sequence[str]
) -> tuple[Override, ...]:
    overrides = []
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        first = rng.randrange(shape.n_layer_all)
        layers = "|".join(map(str, range(first, rng.randint(first, shape.n_layer_all))))
        pattern = rng.choice(
            (
                r"\.ffn_(up|down|gate|gate_up)_(ch|)exps",
                rf"^blk\.({layers})\.ffn_.*exps" if layers else "exps",
                rf"blk\.({layers})\.ffn_(gate|up)" if layers else "ffn_up",
                r"blk\.\d*[02468]\.attn",
                "shexp",
                "token_embd",
                "^output",
                "rope_freqs",
            )
        )
        overrides.append(Override(pattern, rng.choice((CPU, CPU, *devices))))
    return tuple(overrides)


def compare(
    inventory: Inventory,
    machine: Machine,
    settings: PlanSettings,
    actual: Sequence[BufferBytes],
) -> list[Row]:
    """Return a row for every buffer that holds weights or a cache, by either account."""
    placement = place(inventory, machine, settings)
    cache = kv_cache_bytes(inventory, machine, settings, placement.layer_devices)
    planned = {
        name: (placement.weights.get(name, 0), cache.get(name, 0))
        for name in dict.fromkeys([*placement.weights, *cache])
    }
    found = {
        # RPC's buffers are called by their host, too: RPC0[127.0.0.1:50052].
        buffer.buffer.partition("[")[0]: (buffer.weights_bytes, buffer.kv_bytes)
        for buffer in actual
        if buffer.weights_bytes or buffer.kv_bytes
    }
    names = dict.fromkeys([*planned, *found])
    return [Row(name, planned.get(name, (0, 0)), found.get(name, (0, 0))) for name in names]
