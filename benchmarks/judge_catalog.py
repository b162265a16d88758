"""How long it takes to judge every family of the catalogue on described machines.

Run: ``python -m benchmarks.judge_catalog [MACHINE ...]``, names of files in benchmarks/machines.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from models.catalog.loader import load_catalog
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.machine_file import machine_from_json
from models.planner.plan import Plan, PlanSettings
from models.planner.solver import solve
from models.planner.wishes import Wishes
from models.planning.judging import Judge
from models.planning.open_checkpoint import OpenCheckpoint

_MACHINES = Path(__file__).parent / "machines"
_USUAL = ("laptop-8gb", "desktop-64gb-12gb", "server-4gpu-512gb")


class Counting:
    """The planner, counting searches."""

    def __init__(self) -> None:
        self.searches = 0

    def plan(
        self,
        checkpoint: OpenCheckpoint,
        machine: Machine,
        wishes: Wishes,
        *,
        near: PlanSettings | None = None,
    ) -> Plan:
        """Plan by formulas."""
        self.searches += near is None
        return solve(Inventory(checkpoint.shape), machine, wishes, near=near)


def main() -> None:
    """Judge the catalogue once on each machine and print what it took."""
    begun_s = time.perf_counter()
    catalog = load_catalog()
    print(f"{len(catalog)} cards read in {(time.perf_counter() - begun_s) * 1000:.0f} ms")
    for name in sys.argv[1:] or _USUAL:
        machine = machine_from_json((_MACHINES / f"{name}.json").read_text(encoding="utf-8"))
        planner = Counting()
        judge = Judge(planner)
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        longest_s, longest = 0.0, ""
        wheres: Counter[str] = Counter()
        for card in catalog:
            card_s = time.process_time()
            found = judge.judge(card, machine, Wishes())
            wheres[found.where.value if found.where else "not judged"] += 1
            longest_s, longest = max(
                (longest_s, longest), (time.process_time() - card_s, card.card_id)
            )
        print(
            f"{name}: {time.perf_counter() - begun_s:.1f} s, "
            f"{time.process_time() - cpu_s:.1f} s of CPU, {planner.searches} searches, "
            f"longest {longest} {longest_s:.2f} s; {dict(wheres)}"
        )


if __name__ == "__main__":
    main()
