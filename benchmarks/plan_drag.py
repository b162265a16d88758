"""What one step of a dragged slider costs the window: words of the plan, widgets, painting.

    python -m benchmarks.plan_drag [--machine benchmarks/machines/server-4gpu-512gb.json]
        [--checkpoint v3-q4km] [--steps 60] [--json]

The context of a checkpoint of tests/data/headers is dragged over its whole range. For every step
the plan is made anew (as the window does it, but outside of the clock, because that runs in a
thread of its own), then timed in this process's CPU time: ``words`` makes what the panel shows of
it, ``widgets`` hands it to a real panel, ``painting`` lets Qt lay out and paint (offscreen). Once
as the inspector (360 px) and once as the page (1180 px).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication  # noqa: E402

from app.theme import Appearance, load_fonts  # noqa: E402
from app.views.plan_panel import PlanPanel  # noqa: E402
from app.views.plan_view import PlanPhase, PlanView  # noqa: E402
from app.views.plan_words import make_plan_view  # noqa: E402
from helpers.paint_counter import settle  # noqa: E402
from helpers.true_scale import true_scale  # noqa: E402
from models.gguf.shape import ModelShape  # noqa: E402
from models.planner.inventory import Inventory  # noqa: E402
from models.planner.machine import Machine  # noqa: E402
from models.planner.machine_file import machine_from_json  # noqa: E402
from models.planner.plan import Plan  # noqa: E402
from models.planner.solver import solve  # noqa: E402
from models.planner.wishes import Wishes  # noqa: E402

WIDTHS = (360, 1180)
PARTS = ("words", "widgets", "painting")
Step = tuple[Wishes, Plan]


def dragged(shape: ModelShape, machine: Machine, steps: int) -> list[Step]:
    """Return the plans of a context that is dragged from 512 tokens to the most there are."""
    inventory = Inventory(shape)
    first = solve(inventory, machine, Wishes())
    doublings = (shape.n_ctx_train / 512) ** (1 / max(steps - 1, 1))
    contexts = [round(512 * doublings**step / 256) * 256 for step in range(steps)]
    wishes = [Wishes(n_ctx=n_ctx) for n_ctx in contexts]
    return [(one, solve(inventory, machine, one, near=first.settings)) for one in wishes]


def timed(
    panel: PlanPanel, shape: ModelShape, machine: Machine, step: Step
) -> tuple[float, float, float]:
    """Return the seconds of CPU time of one step's parts."""
    began_s = time.process_time()
    view = view_of(shape, machine, step)
    made_s = time.process_time()
    panel.show_view(view)
    shown_s = time.process_time()
    settle()
    return made_s - began_s, shown_s - made_s, time.process_time() - shown_s


def view_of(shape: ModelShape, machine: Machine, step: Step) -> PlanView:
    """Return what the panel shows of a step."""
    wishes, plan = step
    return make_plan_view(
        phase=PlanPhase.READY,
        wishes=wishes,
        name=shape.name,
        shape=shape,
        machine=machine,
        plan=plan,
    )


def measure(width: int, shape: ModelShape, machine: Machine, steps: list[Step]) -> dict[str, float]:
    """Return median and worst milliseconds of each part at one width."""
    panel = PlanPanel()
    panel.resize(width, 900)
    panel.show()
    panel.show_view(view_of(shape, machine, steps[0]))
    settle()
    columns = zip(*(timed(panel, shape, machine, step) for step in steps[1:]), strict=True)
    figures: dict[str, float] = {}
    for name, column in zip(PARTS, columns, strict=True):
        figures[f"{name}_median_ms"] = round(1000 * statistics.median(column), 2)
        figures[f"{name}_worst_ms"] = round(1000 * max(column), 2)
    panel.close()
    return figures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ROOT / "benchmarks" / "machines" / "server-4gpu-512gb.json"
    parser.add_argument("--machine", type=Path, default=default)
    parser.add_argument("--checkpoint", default="v3-q4km")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    app = QApplication(sys.argv[:1])
    load_fonts()
    Appearance(app).choose("light")
    machine = machine_from_json(options.machine.read_text(encoding="utf-8"))
    shape = true_scale(options.checkpoint).shape
    steps = dragged(shape, machine, options.steps)
    figures = {width: measure(width, shape, machine, steps) for width in WIDTHS}
    if options.json:
        print(json.dumps({str(width): found for width, found in figures.items()}))
        return 0
    for width, found in figures.items():
        words = ", ".join(f"{name.removesuffix('_ms')} {value} ms" for name, value in found.items())
        print(f"{width} px: {words}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
