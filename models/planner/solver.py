"""The planner's front: shape, machine and wishes in, a plan out. Pure, no Qt here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.planner.account import account
from models.planner.advice import Advisor
from models.planner.explain import Explainer, warnings_of
from models.planner.filling import Filled, excess_of
from models.planner.flags import llama_cpp_flags
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.plan import BufferBytes, Memory, Plan, PlanSettings, Tier
from models.planner.search import Candidate, Search, Solution, with_true_budgets
from models.planner.speed import forecast
from models.planner.wishes import Wishes, fixed_names


def solve(
    inventory: Inventory,
    machine: Machine,
    wishes: Wishes,
    *,
    near: PlanSettings | None = None,
    offsets: Mapping[str, int] | None = None,
) -> Plan:
    """Return the best plan by closed formulas (tier FAST).

    Args:
        inventory: the checkpoint.
        machine: the machine.
        wishes: what is fixed; nothing of it is ever changed.
        near: settings found before; only their placement is found anew, and no alternatives
            are looked for. For a slider that moves.
        offsets: by device, how much more bytes llama.cpp was found to need than the formulas say.

    Raises:
        InvalidSettingError: the wishes contradict the architecture or each other.
    """
    search = Search(inventory, machine, wishes, offsets)
    solution = search.run() if near is None else search.near(near)
    memory = with_true_budgets(search, solution.best, offset=bool(offsets))
    return _plan(search, solution, memory, Tier.FAST, with_advice=near is None)


def measured_plan(
    inventory: Inventory,
    machine: Machine,
    wishes: Wishes,
    plan: Plan,
    buffers: Sequence[BufferBytes],
) -> Plan:
    """Return the plan with llama.cpp's own account in place of the formulas' (tier EXACT).

    ``fits`` says whether it stays within the budgets with these figures.
    """
    search = Search(inventory, machine, wishes)
    settings = plan.settings
    # Places the tensors and counts what is no buffer of llama.cpp's.
    filled = search.refill(settings)
    memory = account(
        inventory,
        machine,
        settings,
        budgets=search.budgets,
        measured=buffers,
        placement=filled.placement,
    )
    excess = excess_of(memory, machine, settings, search.budgets)
    exact = Filled(settings, filled.placement, memory, excess)
    speed = forecast(inventory, machine, settings, filled.placement, memory)
    best = Candidate(exact, speed)
    return _plan(search, Solution(best, None), memory, Tier.EXACT, with_advice=False, before=plan)


def _plan(
    search: Search,
    solution: Solution,
    memory: Memory,
    tier: Tier,
    *,
    with_advice: bool,
    before: Plan | None = None,
) -> Plan:
    best = solution.best
    advice = tuple(Advisor(search, best, solution.runner_up).alternatives()) if with_advice else ()
    if before is not None:
        advice = before.alternatives
    larger = [other.text for other in advice if other.kind == "more_vram" and best.fits]
    explainer = Explainer(search, best, memory)
    return Plan(
        fits=best.fits,
        tier=tier,
        profile=search.wishes.profile,
        settings=best.settings,
        memory=memory,
        speed=best.speed,
        fixed=fixed_names(search.wishes),
        explanation=(*explainer.where(), *larger, *explainer.more()),
        warnings=warnings_of(search, best, memory),
        llama_cpp_flags=llama_cpp_flags(best.settings, search.machine),
        alternatives=advice,
    )
