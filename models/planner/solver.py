"""The planner's front: shape, machine and wishes in, a plan out. Pure, no Qt here."""

from __future__ import annotations

from collections.abc import Sequence

from models.planner.account import account
from models.planner.advice import Advisor
from models.planner.explain import Explainer, warnings_of
from models.planner.filling import Filled, Offsets, excess_of
from models.planner.flags import llama_cpp_flags
from models.planner.inventory import Inventory
from models.planner.machine import Machine
from models.planner.placement import place
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
    offsets: Offsets | None = None,
) -> Plan:
    """Return the best plan by closed formulas (tier FAST).

    Args:
        inventory: the checkpoint.
        machine: the machine.
        wishes: what is fixed; nothing of it is ever changed.
        near: settings found before; only their placement is found anew, and no alternatives
            are looked for. For a slider that moves.
        offsets: how many bytes more llama.cpp was found to need than the formulas say.

    Raises:
        InvalidSettingError: the wishes contradict the architecture or each other.
    """
    search = Search(inventory, machine, wishes, offsets)
    solution = search.run() if near is None else search.near(near)
    memory = with_true_budgets(search, solution.best, offset=offsets is not None)
    return _plan(search, solution, memory, Tier.FAST, with_advice=near is None)


def measured_plan(
    inventory: Inventory,
    machine: Machine,
    wishes: Wishes,
    plan: Plan,
    buffers: Sequence[BufferBytes],
    *,
    with_advice: bool = False,
) -> Plan:
    """Return the plan with llama.cpp's own account in place of the formulas' (tier EXACT).

    ``fits`` says whether it stays within the budgets with these figures. Alternatives are those of
    ``plan``, or with ``with_advice`` looked for anew.
    """
    search = Search(inventory, machine, wishes)
    settings = plan.settings
    placement = place(inventory, machine, settings)
    memory = account(
        inventory,
        machine,
        settings,
        budgets=search.budgets,
        measured=buffers,
        placement=placement,
    )
    excess = excess_of(memory, machine, settings, search.budgets)
    speed = forecast(inventory, machine, settings, placement, memory)
    best = Candidate(Filled(settings, placement, memory, excess), speed)
    before = None if with_advice else plan
    return _plan(
        search,
        Solution(best, None),
        memory,
        Tier.EXACT,
        with_advice=with_advice,
        before=before,
    )


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
