"""Random machines and plans for compute buffers, and the comparison with llama.cpp's account."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.placement_cases import AVX2_CPU, AVX512_CPU, OLD_CPU, machine_of, random_settings
from models.gguf.shape import ModelShape
from models.planner.compute import compute_bytes
from models.planner.inventory import Inventory
from models.planner.machine import GpuKind, Machine
from models.planner.placement import place
from models.planner.plan import CPU, BufferBytes, Override, PlanSettings


@dataclass(frozen=True)
class CaseError:
    """Compute buffers of one device: estimated, as llama.cpp has them, and all it holds."""

    device: str
    planned_bytes: int
    actual_bytes: int
    total_bytes: int

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU, not RAM."""
        return self.device != CPU

    @property
    def off_bytes(self) -> int:
        """How much the estimate is above llama.cpp's account; below 0: under it."""
        return self.planned_bytes - self.actual_bytes

    @property
    def share(self) -> float:
        """The error as a part of everything the device holds."""
        return self.off_bytes / max(self.total_bytes, 1)


def random_machine(rng: random.Random, kinds: Sequence[GpuKind]) -> Machine:
    """Return a machine with 0 to 4 GPUs of unequal size and memory of their own.

    A dry run cannot map files: weights lie in page-locked memory, which an integrated CUDA device
    reads in place, where a real load copies them. Such devices cannot be compared.
    """
    chosen = [rng.choice(kinds) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4)))]
    machine = machine_of(chosen, features=rng.choice((OLD_CPU, AVX2_CPU, AVX512_CPU)), rng=rng)
    gpus = (dataclasses.replace(gpu, is_unified=False) for gpu in machine.gpus)
    return dataclasses.replace(machine, gpus=tuple(gpus))


def random_plan(rng: random.Random, shape: ModelShape, machine: Machine) -> PlanSettings:
    """Return settings over everything that moves compute buffers, mostly such as a plan has.

    Half of them place experts as plans do: whole layers, from the front, single tensors.
    """
    settings = random_settings(rng, shape, machine)
    n_ubatch = rng.choice((1, 31, 32, 64, 128, 256, 512, 512, 512, 1024, 2048, 4096))
    settings = dataclasses.replace(
        settings,
        n_ctx=rng.choice((int(2 ** rng.uniform(9, 20)), 4096, 8192, 32768, 131072)),
        n_ubatch=n_ubatch,
        n_batch=max(2048, n_ubatch),
        n_outputs_max=rng.choice((1, 1, 0, 64, 512)),
        offload_kqv=rng.random() < 0.9,
    )
    if shape.is_moe and settings.devices and rng.random() < 0.5:
        settings = dataclasses.replace(settings, overrides=_experts(rng, shape, settings.devices))
    return settings


def _experts(rng: random.Random, shape: ModelShape, devices: Sequence[str]) -> tuple[Override, ...]:
    names = rng.choice(("(up|down|gate)", "(up|down|gate)", "up", "gate", "(gate|down)"))
    first = rng.randrange(shape.n_layer_dense, shape.n_layer)
    layers = "|".join(map(str, range(first, shape.n_layer)))
    chosen = [Override(rf"blk\.({layers})\.ffn_{names}_exps", CPU)]
    if rng.random() < 0.3:
        chosen.append(Override(rf"blk\.{first - 1}\.ffn_(up|gate)_exps", CPU))
    if rng.random() < 0.2:
        chosen = [Override(rf"\.ffn_{names}_exps", rng.choice((CPU, *devices)))]
    return tuple(chosen)


def compare_compute(
    inventory: Inventory,
    machine: Machine,
    settings: PlanSettings,
    actual: Sequence[BufferBytes],
) -> list[CaseError]:
    """Return the error of every device that one of both gives a compute buffer."""
    placement = place(inventory, machine, settings)
    gpus = {gpu.device for gpu in machine.gpus}
    planned: dict[str, int] = {}
    for name, size in compute_bytes(inventory, machine, settings, placement).items():
        device = name if name in gpus else CPU
        planned[device] = planned.get(device, 0) + size
    found: dict[str, int] = {}
    totals: dict[str, int] = {}
    for buffer in actual:
        found[buffer.device] = found.get(buffer.device, 0) + buffer.compute_bytes
        totals[buffer.device] = totals.get(buffer.device, 0) + buffer.total_bytes
    return [
        CaseError(name, planned.get(name, 0), found.get(name, 0), totals.get(name, 0))
        for name in dict.fromkeys([*planned, *found])
        if planned.get(name) or found.get(name)
    ]
