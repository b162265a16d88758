"""Where a checkpoint would live, in the room of a row."""

from __future__ import annotations

import dataclasses
import math

import pytest
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.views.forecast_view import forecast_view
from app.widgets.model_row import ModelRow
from helpers.plan_samples import distill_plan, machine, v3_plan
from models.planner.plan import CPU


def test_places_from_the_left_with_a_tilde() -> None:
    plan = v3_plan(machine(2, vram_gb=24, ram_gb=256))
    view = forecast_view(plan)
    assert [part.look for part in view.fill.parts][:2] == ["solid", "soft"]
    vram = sum(one.used_bytes for one in plan.memory.devices if one.name != CPU)
    assert view.fill.parts[0].size == vram
    assert view.rate.startswith("~")
    assert view.unit == "tok/s"
    # What a disk has to give lies beyond all memory, and is no shortage.
    assert view.fill.total > sum(one.total_bytes for one in plan.memory.devices)
    assert view.fill.over_from == math.inf
    assert view.tone == "tight"
    assert "read while answering" in view.tooltip
    assert all(part.words in view.tooltip for part in view.fill.parts)


def test_what_does_not_fit_says_so_in_place_of_a_rate() -> None:
    view = forecast_view(dataclasses.replace(distill_plan(machine()), fits=False))
    assert (view.rate, view.words, view.tone) == ("", "Does not fit", "fail")


@pytest.mark.usefixtures("appearance")
def test_a_narrow_row_keeps_the_rate_and_leaves_the_bar_out(
    qtbot: QtBot, appearance: Appearance
) -> None:
    row = ModelRow("A model")
    qtbot.addWidget(row)
    row.resize(800, 64)
    row.show()
    assert row._bar.isHidden()
    view = forecast_view(v3_plan(machine(2, vram_gb=24, ram_gb=256)))
    row.set_forecast(
        view.fill,
        rate=view.rate,
        unit=view.unit,
        words=view.words,
        tone=view.tone,
        tooltip=view.tooltip,
    )
    assert row._bar.isVisible()
    row.set_narrow(True)
    assert row._bar.isHidden()
    assert view.rate in row._rate.text()
    assert row.plan_button.text() == ""
    assert row.plan_button.accessibleName()
    row.set_narrow(False)
    assert row._bar.isVisible()
    assert row.plan_button.text() == "Plan"
