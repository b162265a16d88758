"""How long llama.cpp's own account of a plan takes, from a header alone.

``python benchmarks/oracle_time.py [--repeat N] [--only NAME]``: for the large checkpoints of
tests/data/headers and machines of 0 to 4 GPUs, the time from nothing to the first answer (header
written, child started, model and context simulated: cold), of an answer with another context
(context) and of one with another placement (reload). Median and worst of N runs; processor time of
a child that answers once beside it, which other programs on the machine change little. Aim: cold
below 1.5 s for V3 on a quiet machine. Experts stay on the CPU, the rest goes to the GPUs.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helpers.true_scale import TrueScale, true_scale
from models.planner.machine import Gpu, GpuKind
from models.planner.plan import Override, PlanSettings
from models.runtime.oracle import Oracle

NAMES = ("v3-q4km", "v32-q4km", "v4f-mxfp4", "v2lite-q4km", "llama8-q4km")
N_GPUS = (0, 1, 2, 4)
AIM_S = 1.5
EXPERTS = Override(r"\.ffn_(gate|up|down)_exps", "CPU")
GIB = 2**30


def seconds(work: Callable[[], object]) -> float:
    """Return how long it took."""
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


def plan_for(checkpoint: TrueScale, gpus: list[Gpu]) -> PlanSettings:
    """Return a plan with the experts on the CPU and the rest on the GPUs."""
    return PlanSettings(
        n_ctx=8192,
        n_gpu_layers=checkpoint.shape.n_layer_all + 1 if gpus else 0,
        devices=tuple(gpu.device for gpu in gpus),
        overrides=(EXPERTS,) if gpus else (),
        use_extra_bufts=False,
    )


def one_run(checkpoint: TrueScale, gpus: list[Gpu]) -> tuple[float, float, float]:
    """Return the seconds of a cold answer, of another context and of another placement."""
    plan = plan_for(checkpoint, gpus)
    placed = dataclasses.replace(plan, n_gpu_layers=plan.n_gpu_layers // 2, no_host=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Oracle(checkpoint.files, gpus, work_dir=Path(folder)) as oracle,
    ):
        cold = seconds(lambda: oracle.account(plan))
        context = seconds(lambda: oracle.account(dataclasses.replace(plan, n_ctx=32768)))
        return cold, context, seconds(lambda: oracle.account(placed))


def processor_seconds(checkpoint: TrueScale, gpus: list[Gpu]) -> float:
    """Return the processor time of a child that answers once."""
    before = os.times()
    with (
        tempfile.TemporaryDirectory() as folder,
        Oracle(checkpoint.files, gpus, work_dir=Path(folder)) as oracle,
    ):
        oracle.account(plan_for(checkpoint, gpus))
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def row(checkpoint: TrueScale, n_gpus: int, repeat: int) -> float:
    """Measure and print one line; return the median of the cold answer."""
    gpus = [
        Gpu(f"CUDA{index}", "a card", GpuKind.CUDA, 24 * GIB, 24 * GIB) for index in range(n_gpus)
    ]
    runs = [one_run(checkpoint, gpus) for _ in range(repeat)]
    processor_s = statistics.median(processor_seconds(checkpoint, gpus) for _ in range(repeat))
    cold, context, reload = (
        f"{statistics.median(run):.2f} ({max(run):.2f})" for run in zip(*runs, strict=True)
    )
    print(
        f"{checkpoint.name:<12} {n_gpus:>4} {cold:>14} {processor_s:>8.2f} "
        f"{context:>18} {reload:>17}",
        flush=True,
    )
    return statistics.median(run[0] for run in runs)


def main() -> int:
    """Measure and print; 1 when V3 takes longer than the aim in the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=NAMES)
    options = parser.parse_args()
    print("checkpoint   GPUs cold s (worst)    CPU s  context s (worst)  reload s (worst)")
    missed = False
    for name in NAMES if options.only is None else (options.only,):
        for n_gpus in N_GPUS:
            cold_s = row(true_scale(name), n_gpus, options.repeat)
            missed |= name.startswith("v3-") and cold_s > AIM_S
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
