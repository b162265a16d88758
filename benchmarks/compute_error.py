"""Estimated compute buffers against llama.cpp's own account.

``python benchmarks/compute_error.py [--machines N] [--cases N] [--seed N] [--only NAME]
[--kinds cuda,rpc] [--worst N]``: random machines of 0 to 4 GPUs and random settings for every
true-scale header in tests/data/headers, each asked of llama.cpp itself (a dry run with phantom GPUs
in a child). Prints, per checkpoint, how far the estimate of a device's compute buffers is off:
``total %`` is of everything the device holds (weights, cache, compute), the rest is in MiB. Under
is what hurts. Aims: 2 % of the total in the median, never under by more than 1024 MiB on a GPU and
by 256 MiB and 5 % in RAM. ``--record FILE`` writes some cases for tests/data instead.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helpers.compute_cases import CaseError, compare_compute, random_machine, random_plan
from helpers.true_scale import NAMES, TrueScale, true_scale
from models.errors import OracleError
from models.planner.inventory import Inventory
from models.planner.machine import GpuKind, Machine
from models.planner.plan import PlanSettings
from models.runtime.oracle import Oracle

MIB = 2**20
HEADINGS = ("devices", "exact %", "total % median", "p90", "MiB mean", "median", "p90")
WORST = ("GPU under", "GPU over", "RAM under", "RAM over", "ms first", "ms then")


@dataclass(frozen=True)
class Measured:
    """One device of one case, the settings it came from, and how long the estimate took."""

    error: CaseError
    settings: PlanSettings
    first_s: float
    again_s: float


def cases(
    checkpoint: TrueScale, args: argparse.Namespace, rng: random.Random
) -> Iterator[tuple[Machine, PlanSettings, Oracle]]:
    """Yield random plans with an oracle for their machine."""
    kinds = [GpuKind(kind) for kind in args.kinds.split(",")]
    for _ in range(args.machines):
        machine = random_machine(rng, kinds)
        with (
            tempfile.TemporaryDirectory() as folder,
            Oracle(
                checkpoint.files,
                machine.gpus,
                cpu_features=machine.cpu.features,
                work_dir=Path(folder),
            ) as oracle,
        ):
            for _ in range(args.cases):
                yield machine, random_plan(rng, checkpoint.shape, machine), oracle


def measure(checkpoint: TrueScale, args: argparse.Namespace) -> list[Measured]:
    """Compare every case of a checkpoint; refused ones are left out and counted."""
    rng = random.Random(f"{args.seed} {checkpoint.name}")
    inventory = Inventory(checkpoint.shape)
    found, refused = [], 0
    for machine, settings, oracle in cases(checkpoint, args, rng):
        try:
            actual = oracle.account(settings)
        except OracleError:
            refused += 1
            continue
        start_s = time.perf_counter()
        errors = compare_compute(inventory, machine, settings, actual)
        first_s = time.perf_counter() - start_s
        compare_compute(inventory, machine, settings, actual)
        again_s = time.perf_counter() - start_s - first_s
        found += [Measured(error, settings, first_s, again_s) for error in errors]
    if refused:
        print(f"  {checkpoint.name}: llama.cpp refused {refused} of the settings")
    return found


def row(measured: Sequence[Measured]) -> list[str]:
    """Return a table row."""
    errors = [one.error for one in measured]
    shares = sorted(abs(error.share) * 100 for error in errors)
    sizes = sorted(abs(error.off_bytes) / MIB for error in errors)
    gpu = [error.off_bytes / MIB for error in errors if error.is_gpu] or [0.0]
    ram = [error.off_bytes / MIB for error in errors if not error.is_gpu] or [0.0]
    ninth = len(errors) * 9 // 10
    return [
        str(len(errors)),
        f"{sum(size < 1 for size in sizes) / len(sizes) * 100:.0f}",
        f"{statistics.median(shares):.2f}",
        f"{shares[ninth]:.2f}",
        f"{statistics.mean(sizes):.1f}",
        f"{statistics.median(sizes):.1f}",
        f"{sizes[ninth]:.0f}",
        *(f"{value:.0f}" for value in (min(gpu), max(gpu), min(ram), max(ram))),
        f"{statistics.median(one.first_s for one in measured) * 1e3:.1f}",
        f"{statistics.median(one.again_s for one in measured) * 1e3:.2f}",
    ]


def record(args: argparse.Namespace) -> None:
    """Write some cases with llama.cpp's own figures."""
    kept = []
    for name in [args.only] if args.only else NAMES:
        rng = random.Random(f"{args.seed} {name}")
        for machine, settings, oracle in cases(true_scale(name), args, rng):
            try:
                actual = oracle.account(settings)
            except OracleError:
                continue
            kept.append(
                {
                    "checkpoint": name,
                    "gpus": [asdict(gpu) for gpu in machine.gpus],
                    "cpu_features": machine.cpu.features,
                    "settings": asdict(settings),
                    "buffers": [asdict(buffer) for buffer in actual],
                }
            )
    command = f"python benchmarks/compute_error.py {' '.join(sys.argv[1:])}"
    text = json.dumps({"made_by": command, "cases": kept}, indent=1)
    Path(args.record).write_text(text + "\n", encoding="utf-8")


def main() -> int:
    """Print the table of errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--kinds", default="cuda,rpc")
    parser.add_argument("--worst", type=int, default=0, help="settings of the worst to print")
    parser.add_argument("--record", help="file to write cases to, instead of the table")
    args = parser.parse_args()
    if args.record:
        record(args)
        return 0
    print("| checkpoint |", " | ".join((*HEADINGS, *WORST)), "|")
    print("|---" * (1 + len(HEADINGS) + len(WORST)) + "|")
    for name in [args.only] if args.only else NAMES:
        measured = measure(true_scale(name), args)
        print("|", " | ".join([name, *row(measured)]), "|", flush=True)
        measured.sort(key=lambda one: -abs(one.error.off_bytes))
        for one in measured[: args.worst]:
            print("   ", one.error, one.settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
