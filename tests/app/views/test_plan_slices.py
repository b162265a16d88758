"""The first plan is made and filled out of sight, in slices, and comes all at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.views.plan_controls import ControlRow
from app.views.plan_panel import PlanPanel
from app.views.plan_view import PlanPhase, PlanView
from app.views.plan_words import make_plan_view
from app.widgets.device_bars import DeviceBars
from helpers.plan_samples import machine, v3_plan, v3_shape
from models.planner.wishes import Wishes

MACHINE = machine(1, vram_gb=24, ram_gb=512)


@pytest.fixture
def panel(qtbot: QtBot, qapp: QApplication, appearance: Appearance) -> Iterator[PlanPanel]:
    panel = PlanPanel()
    panel.resize(360, 900)
    panel.show()
    yield panel
    panel.close()
    panel.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def view(name: str = "V3", wishes: Wishes | None = None) -> PlanView:
    return make_plan_view(
        phase=PlanPhase.READY,
        wishes=wishes or Wishes(),
        name=name,
        shape=v3_shape(),
        machine=MACHINE,
        plan=v3_plan(MACHINE, expert_layers=1),
    )


def visible(panel: PlanPanel, kind: type[QWidget]) -> list[QWidget]:
    return [widget for widget in panel.findChildren(kind) if widget.isVisible()]


def test_the_first_plan_comes_all_at_once(panel: PlanPanel, qtbot: QtBot) -> None:
    panel.show_view(view())
    seen = []

    def look() -> bool:
        seen.append((len(visible(panel, DeviceBars)), len(visible(panel, ControlRow))))
        return panel.is_filled

    qtbot.waitUntil(look)
    assert (0, 0) in seen
    assert {have for have in seen if have != (0, 0)} == {seen[-1]}
    assert panel.body.head.name.full_text == "V3"
    # From now on, what is shown is there at once.
    panel.show_view(view("R1"))
    assert panel.is_filled
    assert panel.body.head.name.full_text == "R1"


def test_what_is_shown_while_it_is_made_is_the_newest(panel: PlanPanel, qtbot: QtBot) -> None:
    panel.show_view(view("V3"))
    qtbot.waitUntil(lambda: bool(panel.findChildren(ControlRow)))
    assert not panel.is_filled
    panel.show_view(view("R1", Wishes(n_ctx=4096)))
    with qtbot.waitSignal(panel.filled):
        pass
    assert panel.body.head.name.full_text == "R1"
    assert panel.body.controls.row("n_ctx").value == 4096


def test_a_plan_that_is_gone_before_it_was_shown_does_not_come(
    panel: PlanPanel, qtbot: QtBot
) -> None:
    panel.show_view(view())
    panel.show_view(make_plan_view(phase=PlanPhase.EMPTY, wishes=Wishes()))
    qtbot.waitUntil(lambda: panel.is_filled)
    assert panel.empty.isVisible()
    panel.show_view(view())
    qtbot.waitUntil(lambda: panel.is_filled)
    assert not panel.empty.isVisible()
    assert visible(panel, ControlRow)


def test_all_of_it_is_there_for_whoever_needs_it(panel: PlanPanel) -> None:
    panel.show_view(view())
    assert panel.body.controls.row("n_ctx").isVisible()
    assert panel.is_filled


def test_the_width_of_the_meantime_holds(panel: PlanPanel, qtbot: QtBot) -> None:
    panel.show_view(view())
    qtbot.waitUntil(lambda: bool(panel.findChildren(ControlRow)))
    panel.resize(1180, 900)
    qtbot.waitUntil(lambda: panel.is_filled)
    # Two columns: the table of figures has room beside the controls.
    assert panel.body.table.isVisible()
