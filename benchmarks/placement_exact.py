"""Planned weights and KV caches against llama.cpp's own account, byte by byte.

``python benchmarks/placement_exact.py [--machines N] [--cases N] [--seed N] [--only NAME]``:
random machines of 0 to 4 GPUs and random settings for every true-scale header in
tests/data/headers, each plan asked of llama.cpp itself (a dry run with phantom GPUs in a child).
A row is a buffer that holds weights or a cache; every difference is printed. Aim: none.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helpers.placement_cases import (
    AVX2_CPU,
    AVX512_CPU,
    OLD_CPU,
    Row,
    compare,
    machine_of,
    random_settings,
)
from helpers.true_scale import NAMES, TrueScale, retyped, true_scale
from models.errors import OracleError
from models.planner.inventory import Inventory
from models.planner.machine import GpuKind, Machine
from models.runtime.oracle import Oracle

KINDS = (*GpuKind, GpuKind.CUDA, GpuKind.CUDA)
SHARDS = 3
RETYPED = ("v2lite-q4km", "v32-q4km", "v4f-mxfp4", "qwen15-q4km")


class Tally:
    """Rows, differences and refusals so far."""

    def __init__(self) -> None:
        self.rows = 0
        self.plans = 0
        self.kinds: Counter[str] = Counter()
        self.differing: list[Row] = []
        self.refused: Counter[str] = Counter()

    def add(self, rows: list[Row]) -> list[Row]:
        """Count a plan's rows; returns those that differ."""
        self.plans += 1
        self.rows += len(rows)
        self.kinds.update(row.buffer.rstrip("0123456789") for row in rows)
        differing = [row for row in rows if row.differs]
        self.differing += differing
        return differing


def random_machine(rng: random.Random) -> Machine:
    """Return a machine with 0 to 4 GPUs, one generation of CPU."""
    kinds = [rng.choice(KINDS) for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4)))]
    return machine_of(kinds, features=rng.choice((OLD_CPU, AVX2_CPU, AVX512_CPU)), rng=rng)


def run(checkpoint: TrueScale, args: argparse.Namespace, rng: random.Random, tally: Tally) -> None:
    """Compare random plans of one checkpoint on random machines."""
    inventory = Inventory(checkpoint.shape)
    for _ in range(args.machines):
        machine = random_machine(rng)
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
                settings = random_settings(rng, checkpoint.shape, machine)
                try:
                    actual = oracle.account(settings)
                except OracleError as error:
                    tally.refused[error.message] += 1
                    print("  refused:", error.message, error.details[-300:], settings)
                    continue
                for row in tally.add(compare(inventory, machine, settings, actual)):
                    print("  DIFFERS:", checkpoint.name, row, machine.cpu.features, settings)


def checkpoints(names: Sequence[str], seed: int) -> Iterator[TrueScale]:
    """Yield every checkpoint; some in shards too, and some with weights of all types."""
    for name in names:
        yield true_scale(name)
        if name in ("v2lite-q4km", "v3-q4km"):
            yield true_scale(name, SHARDS)
        if name in RETYPED:
            yield retyped(name, random.Random(seed))


def main() -> int:
    """Run the grid and print its sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--machines", type=int, default=8)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=NAMES)
    args = parser.parse_args()
    tally = Tally()
    start_s = time.monotonic()
    for checkpoint in checkpoints([args.only] if args.only else NAMES, args.seed):
        before = tally.rows, len(tally.differing)
        rng = random.Random(f"{args.seed} {checkpoint.name} {len(checkpoint.files)}")
        run(checkpoint, args, rng, tally)
        rows, differing = tally.rows - before[0], len(tally.differing) - before[1]
        shards = f" in {len(checkpoint.files)} shards" if len(checkpoint.files) > 1 else ""
        print(f"{checkpoint.name}{shards}: {rows} rows, {differing} differ", flush=True)
    kinds = ", ".join(f"{kind} {count}" for kind, count in tally.kinds.most_common())
    print(f"{tally.plans} plans in {time.monotonic() - start_s:.0f} s, seed {args.seed}: {kinds}")
    print(
        f"{tally.rows} rows, {len(tally.differing)} differ, {sum(tally.refused.values())} refused"
    )
    return 1 if tally.differing else 0


if __name__ == "__main__":
    sys.exit(main())
