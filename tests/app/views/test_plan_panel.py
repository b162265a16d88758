"""The plan panel as a user has it: bars, controls, marks, states, one column and two."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.views.plan_controls import ContextRow, ListRow, SegmentsRow, SliderRow, SwitchRow
from app.views.plan_panel import DIM_AFTER_MS, PlanPanel
from app.views.plan_view import LoadPhase, PlanPhase, PlanView
from app.views.plan_words import error_notice, make_plan_view
from helpers.accessible import focusable, nameless, spoken_name, tab_order
from helpers.paint_counter import PaintCounter, settle
from helpers.plan_samples import (
    GB,
    distill_plan,
    distill_shape,
    long_names,
    machine,
    v3_plan,
    v3_shape,
)
from models.errors import FathomError
from models.planner.machine import Machine
from models.planner.plan import Alternative, Plan, Profile
from models.planner.wishes import Wishes
from models.planning.measured import DeviceDifference, PartBytes

V3 = v3_shape()
ROOMY = machine(1, vram_gb=24, ram_gb=512)
MEASURED = (DeviceDifference("CUDA0", PartBytes(12 * GB), PartBytes(12 * GB, 0, 55_000_000)),)


class FilledPanel(PlanPanel):
    """What it is to show is there at once; how it comes, test_plan_slices.py tests."""

    def show_view(self, view: PlanView) -> None:
        super().show_view(view)
        _ = self.body


@pytest.fixture
def panel(qtbot: QtBot, qapp: QApplication, appearance: Appearance) -> Iterator[PlanPanel]:
    panel = FilledPanel()
    panel.resize(360, 900)
    panel.show()
    yield panel
    panel.close()
    panel.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def view(
    plan: Plan | None = None, on: Machine = ROOMY, wishes: Wishes | None = None, **more: object
) -> PlanView:
    return make_plan_view(
        phase=PlanPhase.READY,
        wishes=wishes or Wishes(),
        name="DeepSeek-V3-Q4_K_M",
        shape=V3,
        machine=on,
        plan=plan or v3_plan(on, expert_layers=1),
        **more,  # type: ignore[arg-type]
    )


def context(panel: PlanPanel) -> ContextRow:
    row = panel.body.controls.row("n_ctx")
    assert isinstance(row, ContextRow)
    return row


def slider_row(panel: PlanPanel, key: str) -> SliderRow:
    row = panel.body.controls.row(key)
    assert isinstance(row, SliderRow)
    return row


# --- fixing and releasing -----------------------------------------------------------------------


def test_a_typed_context_is_fixed_beside_everything_else_that_is(
    panel: PlanPanel, qtbot: QtBot
) -> None:
    panel.show_view(view(wishes=Wishes(type_k="f16", type_v="f16")))
    field = context(panel).field
    field.setFocus()
    field.selectAll()
    with qtbot.waitSignal(panel.wishes_changed) as told:
        qtbot.keyClicks(field, "64k")
        qtbot.keyClick(field, Qt.Key.Key_Return)
    assert told.args == [Wishes(n_ctx=65536, type_k="f16", type_v="f16")]
    assert context(panel).mark.isChecked()


def test_dragging_tells_every_step_and_late_views_do_not_move_the_knob(
    panel: PlanPanel, qtbot: QtBot
) -> None:
    panel.show_view(view())
    slider = context(panel).slider
    told: list[Wishes] = []
    panel.wishes_changed.connect(told.append)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=QPoint(slider.width() // 2, 11))
    held = slider.value()
    assert panel.is_dragging
    # A view of the wishes before arrives, with another value fixed meanwhile.
    panel.show_view(view(wishes=Wishes(expert_layers=5)))
    assert slider.value() == held
    assert panel.wishes == Wishes(expert_layers=5, n_ctx=held)
    assert context(panel).field.text() == f"{held:,}"
    qtbot.mouseMove(slider, QPoint(slider.width() // 2 + 40, 11))
    assert told[-1] == Wishes(expert_layers=5, n_ctx=slider.value())
    assert slider.value() > held
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton)
    assert not panel.is_dragging
    panel.show_view(view(wishes=Wishes(n_ctx=4096)))
    assert slider.value() == 4096


def test_every_kind_of_control_wishes_in_the_planners_words(panel: PlanPanel, qtbot: QtBot) -> None:
    panel.show_view(view())
    panel.body.controls.more.button.click()
    told: list[Wishes] = []
    panel.wishes_changed.connect(told.append)
    kv, profile = (panel.body.controls.row(key) for key in ("kv", "profile"))
    ubatch, offload = (panel.body.controls.row(key) for key in ("n_ubatch", "op_offload"))
    assert isinstance(kv, SegmentsRow)
    assert isinstance(profile, SegmentsRow)
    assert isinstance(ubatch, ListRow)
    assert isinstance(offload, SwitchRow)
    kv.segments.segment("f16").click()
    profile.segments.segment("decode").click()
    qtbot.keyClick(slider_row(panel, "expert_layers").slider, Qt.Key.Key_Right)
    qtbot.keyClick(slider_row(panel, "gpu_share:CUDA0").slider, Qt.Key.Key_PageDown)
    ubatch.combo.setFocus()
    qtbot.keyClick(ubatch.combo, Qt.Key.Key_Down)
    offload.switch.click()
    assert told[-1] == Wishes(
        profile=Profile.DECODE,
        type_k="f16",
        type_v="f16",
        expert_layers=2,
        gpu_share={"CUDA0": 0.9},
        n_ubatch=2048,
        op_offload=True,
    )
    assert len(told) == 6


def test_a_mark_releases_by_keyboard_and_fixes_what_the_plan_chose(
    panel: PlanPanel, qtbot: QtBot
) -> None:
    panel.show_view(view(wishes=Wishes(n_ctx=4096)))
    mark = context(panel).mark
    assert "fixed by you" in spoken_name(mark)
    with qtbot.waitSignal(panel.release_requested) as released:
        qtbot.keyClick(mark, Qt.Key.Key_Space)
    assert released.args == ["n_ctx"]
    assert panel.wishes == Wishes()
    panel.show_view(view())
    with qtbot.waitSignal(panel.wishes_changed) as fixed:
        qtbot.keyClick(mark, Qt.Key.Key_Space)
    assert fixed.args == [Wishes(n_ctx=32768)]


@pytest.mark.parametrize(
    ("key", "wishes"),
    [
        ("kv", Wishes(type_k="f16", type_v="f16")),
        ("gpu_share:CUDA0", Wishes(gpu_share={"CUDA0": 0.5})),
    ],
)
def test_marks_release_by_the_keys_of_the_wishes(
    panel: PlanPanel, qtbot: QtBot, key: str, wishes: Wishes
) -> None:
    panel.show_view(view(wishes=wishes))
    with qtbot.waitSignal(panel.release_requested) as released:
        panel.body.controls.row(key).mark.click()
    assert released.args == [key]


def test_everything_is_released_at_once_where_something_is_fixed(
    panel: PlanPanel, qtbot: QtBot
) -> None:
    panel.show_view(view())
    button = panel.body.controls.release_button
    assert button.isHidden()
    panel.show_view(view(wishes=Wishes(n_ctx=4096)))
    with qtbot.waitSignal(panel.release_requested) as released:
        button.click()
    assert released.args == ["all"]


def test_an_alternative_is_chosen_by_its_button(panel: PlanPanel, qtbot: QtBot) -> None:
    panel.show_view(view())
    _, less, smaller, more_ram = panel.body.alternatives.rows
    with qtbot.waitSignal(panel.wishes_changed) as wished:
        less.button.click()
    assert wished.args == [Wishes(n_ctx=16384)]
    with qtbot.waitSignal(panel.models_requested):
        smaller.button.click()
    assert more_ram.button.isHidden()


def test_the_flags_are_folded_and_can_be_copied(panel: PlanPanel) -> None:
    plan = v3_plan(ROOMY)
    panel.show_view(view(plan))
    flags = panel.body.flags
    assert not flags.is_open
    flags.button.click()
    flags.copy_button.click()
    text = QGuiApplication.clipboard().text()
    assert text == " ".join(plan.llama_cpp_flags)
    assert text.startswith('-c 32768 -ngl 62 -ot "blk')


def test_the_button_loads_and_never_refuses(panel: PlanPanel, qtbot: QtBot) -> None:
    tight = machine(1)
    for shown, text in (
        (view(), "Load with this plan"),
        (view(v3_plan(tight), tight), "Load anyway"),
    ):
        panel.show_view(shown)
        assert panel.body.footer.button.text() == text
        with qtbot.waitSignal(panel.load_requested):
            panel.body.footer.button.click()
    assert "lacks" in panel.body.footer.verdict.text()
    panel.show_view(view(is_here=False))
    assert not panel.body.footer.button.isEnabled()
    assert "Download" in panel.body.footer.verdict.text()


def test_a_load_is_stopped_by_a_button_of_its_own(panel: PlanPanel, qtbot: QtBot) -> None:
    panel.show_view(view())
    footer = panel.body.footer
    assert not footer.stop_button.isVisible()
    panel.show_view(view(load=LoadPhase.LOADING))
    assert (footer.button.isEnabled(), footer.stop_button.text()) == (False, "Stop loading")
    with qtbot.waitSignal(panel.stop_requested):
        qtbot.keyClick(footer.stop_button, Qt.Key.Key_Space)
    panel.show_view(view(load=LoadPhase.LOADING, is_stopping=True))
    assert not footer.stop_button.isVisible()


# --- states -------------------------------------------------------------------------------------


def test_without_a_checkpoint_it_leads_to_one(panel: PlanPanel, qtbot: QtBot) -> None:
    panel.show_view(make_plan_view(phase=PlanPhase.EMPTY, wishes=Wishes()))
    with qtbot.waitSignal(panel.choose_requested):
        panel.empty.button.click()


def test_opening_can_be_given_up(panel: PlanPanel, qtbot: QtBot) -> None:
    panel.show_view(make_plan_view(phase=PlanPhase.OPENING, wishes=Wishes(), name="V3"))
    assert panel.waiting.isVisible()
    assert panel.waiting.accessibleName() == "Reading the header: V3"
    with qtbot.waitSignal(panel.cancel_requested):
        panel.waiting.cancel_button.click()
    panel.show_view(make_plan_view(phase=PlanPhase.PLANNING, wishes=Wishes(), name="V3"))
    assert panel.waiting.cancel_button.isHidden()


def test_a_failure_says_what_happened_and_what_can_be_done(panel: PlanPanel, qtbot: QtBot) -> None:
    error = FathomError("The hub did not answer.", hint="Try later.", details="timeout")
    failed = make_plan_view(phase=PlanPhase.FAILED, wishes=Wishes(), name="V3", error=error)
    panel.show_view(failed)
    notice = panel.failed.notice
    assert notice.accessibleName() == "The hub did not answer. Try later."
    retry, choose = notice.button("retry"), notice.button("choose")
    assert retry is not None
    assert choose is not None
    assert notice.button("details") is not None
    with qtbot.waitSignal(panel.retry_requested):
        retry.click()
    with qtbot.waitSignal(panel.choose_requested):
        choose.click()


def test_an_error_beside_a_plan_stands_above_it(panel: PlanPanel) -> None:
    panel.show_view(view(error=FathomError("llama.cpp says no.")))
    assert panel.body.notice.isVisible()
    assert panel.body.bars.isVisible()
    panel.show_view(view())
    assert panel.body.notice.isHidden()


def test_figures_are_dimmed_when_they_stay_old_and_not_before(
    panel: PlanPanel, qtbot: QtBot
) -> None:
    panel.show_view(view())
    settle()
    fresh = panel.body.bars.grab().toImage()
    panel.show_view(view(is_stale=True))
    assert panel.body.bars.grab().toImage() == fresh
    # Another old view must not put it off for ever.
    panel.show_view(view(is_stale=True))
    qtbot.waitUntil(lambda: panel.body.bars.grab().toImage() != fresh, timeout=20 * DIM_AFTER_MS)
    panel.show_view(view())
    assert panel.body.bars.grab().toImage() == fresh


def test_measured_bytes_stand_beside_the_planned_ones(panel: PlanPanel) -> None:
    panel.show_view(view())
    assert not panel.body.measured.isVisible()
    shown = view(measured=MEASURED)
    panel.show_measured(shown.measured)
    settle()
    assert panel.body.measured.isVisible()
    assert panel.body.measured.grid.cell(0, 2).text() == "+55.0 MB"
    panel.show_view(view())
    assert not panel.body.measured.isVisible()


def test_what_would_fit_comes_first_where_the_plan_does_not(panel: PlanPanel) -> None:
    tight = machine(1)
    panel.show_view(view(v3_plan(tight), tight))
    settle()
    body = panel.body
    assert top_of(body.alternatives, panel) < top_of(body.reasons, panel)
    panel.show_view(view())
    settle()
    assert top_of(body.alternatives, panel) > top_of(body.reasons, panel)


def test_no_gaps_are_left_by_texts_that_came_while_sections_moved(panel: PlanPanel) -> None:
    plan = v3_plan(ROOMY)
    short = (
        Alternative("less_context", "Less would fit.", plan.settings, decode_tok_s=3.1),
        Alternative("more_vram", "29.2 MB more memory on CUDA0 would do."),
    )
    panel.show_view(view(dataclasses.replace(plan, fits=False, alternatives=short)))
    settle()
    for row in panel.body.alternatives.rows:
        assert row.height() == row.heightForWidth(row.width())
    panel.resize(1100, 900)
    settle()
    panel.resize(360, 900)
    panel.show_view(view())
    settle()
    for line in panel.body.alternatives.rows:
        assert line.height() == line.heightForWidth(line.width())


def top_of(widget: QWidget, panel: PlanPanel) -> int:
    return widget.mapTo(panel, QPoint(0, 0)).y()


def test_controls_change_with_the_machine_and_the_checkpoint(panel: PlanPanel) -> None:
    four = machine(4, vram_gb=80, ram_gb=512)
    panel.show_view(view(v3_plan(four), four))
    context_row = context(panel)
    panel.show_view(
        make_plan_view(
            phase=PlanPhase.READY,
            wishes=Wishes(),
            name="7B",
            shape=distill_shape(),
            machine=machine(0, ram_gb=16),
            plan=distill_plan(machine(0, ram_gb=16)),
        )
    )
    assert context(panel) is context_row
    for gone in ("gpu_share:CUDA3", "expert_layers", "op_offload"):
        with pytest.raises(KeyError):
            panel.body.controls.row(gone)


def test_a_type_out_of_the_row_gets_a_place_in_it(panel: PlanPanel) -> None:
    panel.show_view(view())
    panel.show_view(view(wishes=Wishes(type_k="bf16", type_v="bf16")))
    row = panel.body.controls.row("kv")
    assert isinstance(row, SegmentsRow)
    assert row.segments.value == "bf16"
    order = tab_order(context(panel).field)
    marks = [order.index(panel.body.controls.row(key).mark) for key in ("n_ctx", "kv")]
    assert marks == sorted(marks)


# --- shape --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 360, 640, 900, 1240])
def test_nothing_is_cut_off_at_any_width(panel: PlanPanel, width: int) -> None:
    on = long_names(machine(2, vram_gb=24, ram_gb=192))
    panel.resize(width, 800)
    panel.show_view(view(v3_plan(on, expert_layers=2), on, measured=MEASURED, is_here=False))
    panel.body.controls.more.button.click()
    panel.body.flags.button.click()
    settle()
    inner = panel.body.area.widget()
    assert inner is not None
    assert inner.width() <= panel.body.area.viewport().width()
    assert panel.minimumSizeHint().width() <= 320


def test_a_scroll_bar_that_comes_moves_nothing(panel: PlanPanel) -> None:
    panel.show_view(view())
    places = []
    for height in (2400, 500):
        panel.resize(360, height)
        settle()
        bars = panel.body.bars
        places.append((bars.mapTo(panel, QPoint(0, 0)).x(), bars.width()))
        assert (panel.body.area.verticalScrollBar().maximum() > 0) == (height == 500)
    assert places[0] == places[1]


@pytest.mark.parametrize(("width", "margin"), [(360, 16), (640, 24), (823, 24), (1100, 24)])
def test_every_state_keeps_the_margins_of_its_page(
    panel: PlanPanel, width: int, margin: int
) -> None:
    panel.resize(width, 800)
    panel.show_view(view())
    settle()
    lefts = [panel.body.footer.verdict.mapTo(panel, QPoint(0, 0)).x()]
    head = panel.body._head_section
    lefts.append(head.mapTo(panel, QPoint(0, 0)).x())
    error = FathomError("It is damaged.", hint="Download it again.")
    panel.show_view(PlanView(PlanPhase.FAILED, Wishes(), "broken", notice=error_notice(error)))
    settle()
    lefts.append(panel.failed.notice.mapTo(panel, QPoint(0, 0)).x())
    assert lefts == [margin] * 3


def test_a_button_stands_beside_the_verdict_where_there_is_room(panel: PlanPanel) -> None:
    panel.show_view(view())
    footer = panel.body.footer
    for width, is_beside in ((360, False), (640, True)):
        panel.resize(width, 800)
        settle()
        verdict, button = (
            one.mapTo(panel, QPoint(0, 0)).y() + one.height() / 2
            for one in (footer.verdict, footer.button)
        )
        assert (abs(verdict - button) < 8) == is_beside


def test_a_drag_lays_out_and_repaints_only_what_changes(panel: PlanPanel) -> None:
    panel.resize(1180, 900)
    plan = v3_plan(ROOMY, expert_layers=1)
    panel.show_view(view(plan))
    settle()
    sentence = panel.body.reasons._lines[0]
    counts = [PaintCounter(one) for one in (panel.body.head, panel.body.flags, sentence)]
    other = dataclasses.replace(
        plan, explanation=("Another reason.", *plan.explanation[1:]), llama_cpp_flags=("-c", "1")
    )
    panel.show_view(view(other))
    settle()
    # A sentence that could be selected from would be painted again for every round of layout.
    assert [count.count for count in counts][::2] == [0, 1]


def test_from_900_px_on_the_controls_stand_beside_the_bars(panel: PlanPanel) -> None:
    panel.show_view(view())
    panel.resize(1100, 800)
    settle()
    bars, controls = panel.body.bars, panel.body.controls
    assert controls.mapTo(panel, QPoint(0, 0)).x() > bars.mapTo(panel, QPoint(0, 0)).x() + 400
    assert panel.body.table.isVisible()
    panel.resize(360, 800)
    settle()
    assert controls.mapTo(panel, QPoint(0, 0)).x() < 40
    assert not panel.body.table.isVisible()


def test_everything_that_can_be_reached_has_a_name(panel: PlanPanel) -> None:
    on = machine(2, vram_gb=24, ram_gb=192)
    panel.show_view(view(v3_plan(on), on, Wishes(n_ctx=4096, n_gpu_layers=12)))
    panel.body.controls.more.button.click()
    assert nameless(panel) == []
    bar = panel.body.bars.row("CUDA0").bar
    assert bar.accessibleName() == "GPU 0: RTX 4090"
    assert "KV cache ~" in bar.accessibleDescription()
    assert panel.body.rates[0].accessibleName().startswith("Answers: ~")


def test_tab_goes_from_the_controls_to_the_button(panel: PlanPanel) -> None:
    panel.show_view(view(wishes=Wishes(n_ctx=4096)))
    order = tab_order(panel.body.controls.release_button)
    row = context(panel)
    wanted: list[QWidget] = [row.field, row.slider, row.mark]
    wanted += [panel.body.controls.row("kv").mark, panel.body.controls.more.button]
    wanted += [panel.body.alternatives.rows[0].button, panel.body.footer.button]
    places = [order.index(widget) for widget in wanted]
    assert places == sorted(places)
    assert set(order) <= set(focusable(panel))


def test_what_is_fixed_in_the_fold_is_counted_on_it(panel: PlanPanel) -> None:
    more = panel.body.controls.more.button
    for wishes, words in (
        (Wishes(n_ctx=4096), "More settings"),
        (Wishes(flash_attn="off", n_ubatch=512), "More settings, 2 fixed"),
        (Wishes(), "More settings"),
    ):
        panel.show_view(view(wishes=wishes))
        assert (more.text(), more.accessibleName()) == (words, words)


def test_a_button_that_does_not_load_says_why(panel: PlanPanel) -> None:
    panel.show_view(view(wishes=Wishes(type_v="q8_0"), is_stale=True, is_refused=True))
    footer = panel.body.footer
    assert not footer.button.isEnabled()
    assert "no plan for these settings" in footer.verdict.text()
    assert not panel.body.head.tier.isVisible()


def test_the_focus_goes_to_a_control_and_not_to_the_button_that_loads(
    panel: PlanPanel, qtbot: QtBot
) -> None:
    panel.show_view(make_plan_view(phase=PlanPhase.EMPTY, wishes=Wishes()))
    panel.activateWindow()
    panel.empty.button.setFocus()
    qtbot.waitUntil(panel.empty.button.hasFocus)
    panel.show_view(view())
    focus = QApplication.focusWidget()
    assert focus is not None
    assert panel.body.controls.isAncestorOf(focus)


def test_the_same_view_again_repaints_nothing(panel: PlanPanel) -> None:
    panel.show_view(view())
    settle()
    counters = [PaintCounter(widget) for widget in (panel.body, panel.body.bars, panel)]
    panel.show_view(view())
    settle()
    assert [counter.count for counter in counters] == [0, 0, 0]


def test_the_wheel_scrolls_and_changes_nothing(panel: PlanPanel) -> None:
    panel.show_view(view())
    told: list[Wishes] = []
    panel.wishes_changed.connect(told.append)
    slider = context(panel).slider
    before = slider.value()
    _wheel(slider)
    assert (slider.value(), told) == (before, [])


def _wheel(widget: QWidget) -> None:
    from PySide6.QtCore import QPointF
    from PySide6.QtGui import QWheelEvent

    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle,
        widget.mapToGlobal(middle),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_paint_it(panel: PlanPanel, appearance: Appearance, theme: str) -> None:
    appearance.choose(theme)
    panel.show_view(view(measured=MEASURED))
    settle()
    ground = panel.grab().toImage().pixelColor(2, 2)
    assert (ground.lightness() < 128) == (theme == "dark")


def test_a_panel_keeps_the_wishes_it_was_given(panel: PlanPanel) -> None:
    wishes = Wishes(profile=Profile.PREFILL, margin_bytes=GB, n_threads=4)
    panel.show_view(view(wishes=wishes))
    context(panel).field.edited.emit(4096)
    assert panel.wishes == dataclasses.replace(wishes, n_ctx=4096)
