"""The frozen program's planner child: started by its verb, asked over its pipe."""

from __future__ import annotations

from helpers.frozen_program import FrozenProgram
from helpers.plan_samples import machine, v3_shape
from models.planner.inventory import Inventory
from models.planner.solver import solve
from models.planner.wishes import Wishes
from models.planning.planner_child import PlannerChild


def test_the_planner_child_plans_as_the_checkout_does(frozen: FrozenProgram) -> None:
    shape, here = v3_shape(), machine(1, vram_gb=24, ram_gb=512)
    child = PlannerChild(command=frozen.command("planner"))
    try:
        plan = child.plan(shape, here, Wishes(n_ctx=8192))
    finally:
        child.close()
    assert plan == solve(Inventory(shape), here, Wishes(n_ctx=8192))
