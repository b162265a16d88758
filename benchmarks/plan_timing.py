"""How long planning takes: a search, a step of a slider, the check with llama.cpp.

    python -m benchmarks.plan_timing [--repeats N]

Headers at full size from tests/data/headers, machines that are only described. Reported are wall
and processor time; on a machine that does other work only the second says something. Aims: a search
for 671B over four GPUs under 100 ms, a step of a slider under 16 ms, a check from a cold start
under 1.5 s.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from helpers.described_machines import machine
from helpers.true_scale import true_scale
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.plan import Plan
from models.planner.solver import solve
from models.planner.wishes import Wishes
from models.planning.verification import verify

_CASES = (
    ("v3-q4km", (24,), 512),
    ("v3-q4km", (24, 24, 24, 24), 512),
    ("v32-q4km", (24, 24, 24, 24), 512),
    ("v4f-mxfp4", (24, 24, 24, 24), 256),
    ("v2lite-q4km", (12,), 64),
    ("llama8-q4km", (8,), 32),
)
_SLIDER = tuple(range(4096, 65536, 3072))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds, those of ended children included."""
    start_s, start_cpu_s = time.perf_counter(), _cpu_s()
    work()
    return time.perf_counter() - start_s, _cpu_s() - start_cpu_s


def _cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (
            resource.getrusage(resource.RUSAGE_SELF),
            resource.getrusage(resource.RUSAGE_CHILDREN),
        )
    )


def row(name: str, cards: tuple[int, ...], ram: int, repeats: int) -> str:
    """Measure one checkpoint on one machine and return its row."""
    scale = true_scale(name)
    on = machine(cards, ram)
    first = timed(lambda: solve(Inventory(scale.shape), on, Wishes()))
    inventory = Inventory(scale.shape)
    plan = solve(inventory, on, Wishes())
    again = [timed(lambda: solve(inventory, on, Wishes())) for _ in range(repeats)]
    steps = [timed(lambda n=n: step(inventory, on, plan, n)) for n in _SLIDER]  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        checks = [
            timed(lambda: verify(scale.files, inventory, on, Wishes(), plan, work_dir=Path(folder)))
            for _ in range(repeats)
        ]
    columns = [_words([first]), _words(again), _words(steps), _worst(steps), _words(checks)]
    gpus = f"{len(cards)} x {cards[0]} GB" if cards else "no GPU"
    return f"| {name}, {gpus} | " + " | ".join(columns) + " |"


def step(inventory: Inventory, on: Machine, plan: Plan, n_ctx: int) -> Plan:
    """Plan as while the slider of the context moves."""
    wishes = dataclasses.replace(Wishes(), n_ctx=n_ctx)
    return solve(inventory, on, wishes, near=plan.settings)


def _words(times: list[tuple[float, float]]) -> str:
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    return f"{wall * 1e3:.0f} ({cpu * 1e3:.0f})"


def _worst(times: list[tuple[float, float]]) -> str:
    wall, cpu = (max(column) for column in zip(*times, strict=True))
    return f"{wall * 1e3:.0f} ({cpu * 1e3:.0f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print("Milliseconds, median: wall (processor)\n")
    print("| case | first search | search again | slider | slider, worst | check with llama.cpp |")
    print("|---|---|---|---|---|---|")
    for name, cards, ram in _CASES:
        print(row(name, cards, ram, repeats), flush=True)


if __name__ == "__main__":
    main()
