"""What an alternative promises is what its button leads to: with the real planner."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.views.plan_view import PlanPhase, PlanView
from app.views.plan_words import make_plan_view
from helpers.true_scale import true_scale
from models.planner.inventory import Inventory
from models.planner.machine_file import machine_from_json
from models.planner.plan import Plan, Profile
from models.planner.solver import solve
from models.planner.wishes import Wishes

MACHINES = Path(__file__).parents[3] / "benchmarks" / "machines"
# Beyond what is wished a search may place a layer elsewhere; ranges are ten times as wide.
NEAR = 0.05


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(),
        Wishes(n_ctx=32768),
        Wishes(flash_attn="off", load_mode="none"),
        Wishes(profile=Profile.DECODE, n_ubatch=64),
    ],
)
@pytest.mark.parametrize("machine_name", ["desktop-64gb-12gb", "workstation-512gb-24gb"])
@pytest.mark.parametrize("checkpoint", ["v3-q4km", "v2lite-q4km", "qwen7-q4km"])
def test_every_offer_leads_to_what_it_says(
    checkpoint: str, machine_name: str, wishes: Wishes
) -> None:
    shape = true_scale(checkpoint).shape
    inventory = Inventory(shape)
    machine = machine_from_json((MACHINES / f"{machine_name}.json").read_text(encoding="utf-8"))

    def planned(wanted: Wishes) -> tuple[Plan, PlanView]:
        plan = solve(inventory, machine, wanted)
        view = make_plan_view(
            phase=PlanPhase.READY, wishes=wanted, shape=shape, machine=machine, plan=plan
        )
        return plan, view

    plan, view = planned(wishes)
    by_text = {one.text: one for one in plan.alternatives}
    for offer in view.alternatives:
        said = by_text[offer.text]
        if said.kind == "plan":
            assert offer.wishes is not None, "a plan that cannot be had was offered"
        if offer.wishes is None or said.settings is None:
            continue
        got, _ = planned(offer.wishes)
        assert (got.settings.n_ctx, got.settings.type_k, got.settings.n_ubatch) == (
            said.settings.n_ctx,
            said.settings.type_k,
            said.settings.n_ubatch,
        )
        assert got.settings.devices == said.settings.devices
        assert said.decode_tok_s is not None
        assert got.speed.decode.mid == pytest.approx(said.decode_tok_s, rel=NEAR)
