from __future__ import annotations

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAccessible, QColor, QImage
from PySide6.QtWidgets import QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.theme import DARK, LIGHT, Appearance
from app.widgets.buttons import IconButton, RailButton, Switch, TextButton
from app.widgets.chat_empty import ChatEmpty, StarterCard
from app.widgets.empty_state import EmptyState
from app.widgets.gauge import Gauge
from app.widgets.icons import icon, pixmap
from app.widgets.labels import ElidedLabel, Run, RunsLabel
from app.widgets.progress import ProgressRow
from app.widgets.segmented import SegmentedControl
from app.widgets.stacked_bar import Part, StackedBar
from app.widgets.time_graph import TimeGraph, nice_ceiling
from helpers.accessible import spoken_name
from helpers.paint_counter import PaintCounter, settle

pytestmark = pytest.mark.usefixtures("appearance")

LONG = "DeepSeek-R1-Distill-Qwen-7B-" + "very-" * 30 + "Q4_K_M"


def colors_of(widget: QWidget) -> set[str]:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    return {
        QColor(image.pixel(x, y)).name().upper()
        for x in range(image.width())
        for y in range(image.height())
    }


def test_a_long_name_is_elided_in_the_middle_and_whole_in_the_tooltip(qtbot: QtBot) -> None:
    label = ElidedLabel(LONG)
    qtbot.addWidget(label)
    label.resize(200, 20)
    label.show()
    assert "\N{HORIZONTAL ELLIPSIS}" in label.text()
    assert label.text().startswith("DeepSeek")
    assert label.text().endswith("Q4_K_M")
    assert label.toolTip() == LONG
    assert spoken_name(label) == LONG
    label.resize(4000, 20)
    assert label.text() == LONG
    assert label.toolTip() == ""


def test_of_facts_in_a_row_whole_ones_are_left_out(qtbot: QtBot) -> None:
    facts = ["3 downloads", "190 GB left", "41.3 MB/s", "about 1 h"]
    label = ElidedLabel(" \N{MIDDLE DOT} ".join(facts), mode=Qt.TextElideMode.ElideRight)
    qtbot.addWidget(label)
    label.show()
    seen = set()
    for width in range(label.sizeHint().width(), 0, -1):
        label.resize(width, 20)
        shown = label.text().removesuffix(" \N{HORIZONTAL ELLIPSIS}")
        seen.add(shown)
        parts = shown.split(" \N{MIDDLE DOT} ")
        assert parts == facts[: len(parts)] or (len(parts) == 1 and "41" not in shown)
        assert label.fontMetrics().horizontalAdvance(label.text()) <= max(width, 12)
    assert {" \N{MIDDLE DOT} ".join(facts[:count]) for count in range(1, 5)} <= seen


def test_an_elided_label_lets_its_window_become_narrow(qtbot: QtBot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    QVBoxLayout(holder).addWidget(ElidedLabel(LONG))
    assert holder.minimumSizeHint().width() < 120


def test_a_number_with_a_quieter_unit_reads_as_one_text(qtbot: QtBot) -> None:
    label = RunsLabel()
    qtbot.addWidget(label)
    label.set_number("41.3", "tok/s", before="Decode")
    assert label.text() == "Decode 41.3 tok/s"
    assert spoken_name(label) == "Decode 41.3 tok/s"


def test_a_number_is_repainted_only_when_it_changes(qtbot: QtBot) -> None:
    label = RunsLabel(reserve="888.8 tok/s")
    qtbot.addWidget(label)
    label.set_number("41.3", "tok/s")
    label.show()
    qtbot.waitExposed(label)
    settle()
    counter = PaintCounter(label)
    for _ in range(10):
        label.set_number("41.3", "tok/s")
    settle()
    assert counter.count == 0
    label.set_number("41.4", "tok/s")
    qtbot.waitUntil(lambda: counter.count == 1)


def test_running_numbers_do_not_change_the_width(qtbot: QtBot) -> None:
    label = RunsLabel(reserve="888.8 tok/s")
    qtbot.addWidget(label)
    widths = set()
    for value in ("1.11", "41.3", "888"):
        label.set_runs([Run(value), Run(" tok/s", "text_quiet")])
        widths.add(label.sizeHint().width())
    assert len(widths) == 1


@pytest.mark.parametrize(
    ("share", "token"),
    [(None, "accent"), (0.2, "accent"), (0.84, "accent"), (0.85, "tight"), (0.98, "fail")],
)
def test_a_gauge_turns_amber_and_red(qtbot: QtBot, share: float | None, token: str) -> None:
    gauge = Gauge("RAM")
    qtbot.addWidget(gauge)
    gauge.set_values(share, "18.2", "64", "GB")
    assert gauge.token == token
    gauge.resize(gauge.sizeHint())
    if share:
        assert getattr(LIGHT, token) in colors_of(gauge)


def test_a_gauge_says_its_name_value_and_words(qtbot: QtBot) -> None:
    gauge = Gauge("RAM")
    qtbot.addWidget(gauge)
    gauge.set_values(0.25, "16", "64", "GB")
    interface = QAccessible.queryAccessibleInterface(gauge)
    assert interface.role() == QAccessible.Role.ProgressBar
    assert interface.text(QAccessible.Text.Name) == "RAM"
    assert gauge.accessibleDescription() == "16 / 64 GB"
    assert interface.valueInterface().currentValue() == 250


def test_a_gauge_without_its_bar_is_narrower(qtbot: QtBot) -> None:
    gauge = Gauge("GPU0")
    qtbot.addWidget(gauge)
    gauge.set_values(0.5, "12", "24", "GB")
    wide = gauge.sizeHint().width()
    gauge.set_bar_shown(False)
    assert gauge.sizeHint().width() < wide


def test_an_unchanged_gauge_is_not_repainted(qtbot: QtBot) -> None:
    gauge = Gauge("RAM")
    qtbot.addWidget(gauge)
    gauge.set_values(0.25, "16", "64", "GB")
    gauge.show()
    qtbot.waitExposed(gauge)
    settle()
    counter = PaintCounter(gauge)
    for _ in range(10):
        gauge.set_values(0.25, "16", "64", "GB")
    settle()
    assert counter.count == 0


def test_icons_are_drawn_in_the_colour_asked_for_and_sharp() -> None:
    drawn = pixmap("plus", "#FF0000", 20, 2.0)
    assert drawn.size() == QSize(40, 40)
    assert drawn.devicePixelRatio() == 2.0
    image = drawn.toImage()
    center = QColor(image.pixel(20, 20))
    assert (center.red(), center.green(), center.blue()) == (255, 0, 0)
    assert not icon("plus", "#FF0000").isNull()


def test_an_icon_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        pixmap("no-such-icon", "#000000")


def test_an_icon_button_has_name_tooltip_and_follows_the_theme(
    qtbot: QtBot, appearance: Appearance
) -> None:
    button = IconButton("x", "Dismiss")
    qtbot.addWidget(button)
    button.show()
    assert spoken_name(button) == "Dismiss"
    assert button.toolTip() == "Dismiss"
    assert LIGHT.text_quiet in colors_of(button)
    appearance.choose("dark")
    assert DARK.text_quiet in colors_of(button)


def test_a_text_button_can_shrink_to_its_icon(qtbot: QtBot) -> None:
    button = TextButton("Add folder", icon_name="folder-plus")
    qtbot.addWidget(button)
    button.set_icon_only(True)
    assert button.text() == ""
    assert spoken_name(button) == "Add folder"
    assert button.toolTip() == "Add folder"
    button.set_icon_only(True)
    button.set_icon_only(False)
    assert button.text() == "Add folder"
    assert button.toolTip() == ""


def test_a_rail_button_collapses_and_shows_its_focus(qtbot: QtBot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    layout = QVBoxLayout(holder)
    button, other = RailButton("activity", "Monitor", "Ctrl+3"), TextButton("x")
    layout.addWidget(button)
    layout.addWidget(other)
    holder.show()
    holder.activateWindow()
    qtbot.waitExposed(holder)
    other.setFocus()
    before = LIGHT.accent in colors_of(button)
    button.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(button.hasFocus)
    assert not before
    assert LIGHT.accent in colors_of(button)
    wide = button.sizeHint()
    button.set_collapsed(True)
    assert button.sizeHint().width() < wide.width()
    assert spoken_name(button) == "Monitor"
    assert "Ctrl+3" in button.toolTip()


def test_a_switch_is_a_check_box_that_space_toggles(qtbot: QtBot) -> None:
    switch = Switch("Reduce motion")
    qtbot.addWidget(switch)
    switch.show()
    interface = QAccessible.queryAccessibleInterface(switch)
    assert interface.role() == QAccessible.Role.CheckBox
    qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert switch.isChecked()
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton)
    assert not switch.isChecked()


def test_an_empty_state_shows_its_whole_sentence_in_any_width(qtbot: QtBot) -> None:
    sentence = "This is a sentence that is long enough to need two or three lines. " * 2
    state = EmptyState("compass", "Nothing here", sentence, "Add folder")
    qtbot.addWidget(state)
    state.show()
    for width in (260, 640, 1200):
        state.resize(width, 500)
        label = state._sentence
        assert label.height() >= label.heightForWidth(label.width())
        assert label.width() <= width
    with qtbot.waitSignal(state.triggered):
        state.button.click()


def test_progress_can_be_stopped_and_read(qtbot: QtBot) -> None:
    row = ProgressRow("Loading a model")
    qtbot.addWidget(row)
    row.show()
    row.set_progress("Loading, 1.90 GB of 4.70 GB", 0.4, "2 min 5 s")
    assert row.bar.value() == 400
    assert row.bar.accessibleDescription() == "Loading, 1.90 GB of 4.70 GB 2 min 5 s"
    with qtbot.waitSignal(row.stop_requested):
        row.stop_button.click()


def test_arrow_keys_move_in_a_segmented_control(qtbot: QtBot) -> None:
    control = SegmentedControl("Theme", [("a", "System"), ("b", "Light"), ("c", "Dark")])
    qtbot.addWidget(control)
    control.show()
    qtbot.waitExposed(control)
    first = control.segment("a")
    control.activateWindow()
    first.setFocus()
    qtbot.waitUntil(first.hasFocus)
    with qtbot.waitSignal(control.chosen) as chosen:
        qtbot.keyClick(first, Qt.Key.Key_Right)
    assert chosen.args == ["b"]
    with qtbot.assertNotEmitted(control.chosen):
        control.set_value("c")
    assert control.segment("c").isChecked()
    assert spoken_name(first) == "Theme: System"


def test_the_parts_of_a_bar_have_their_colours_and_words(qtbot: QtBot) -> None:
    bar = StackedBar("GPU0")
    qtbot.addWidget(bar)
    bar.resize(300, 16)
    parts = [Part("Weights", "dense", 4, "4.00 GB"), Part("KV", "kv", 1, "1.00 GB")]
    bar.set_parts(parts, 12, 24)
    assert {LIGHT.dense, LIGHT.kv} <= colors_of(bar)
    assert bar.accessibleDescription() == "Weights 4.00 GB, KV 1.00 GB"
    image = bar.grab().toImage()
    assert QColor(image.pixel(250, 8)).name().upper() not in (LIGHT.dense, LIGHT.kv)


@pytest.mark.parametrize(
    ("value", "ceiling"), [(0, 1), (0.7, 1), (1, 1), (41.3, 50), (101, 200), (2100, 2500)]
)
def test_scales_end_at_round_numbers(value: float, ceiling: float) -> None:
    assert nice_ceiling(value) == ceiling


def test_a_graph_forgets_what_is_older_than_its_window(qtbot: QtBot) -> None:
    graph = TimeGraph("Decode", window_s=60, label=str)
    qtbot.addWidget(graph)
    graph.set_series([("Decode", "accent")])
    for second in range(200):
        graph.append(float(second), [None if second == 150 else 40.0])
    points = graph.series[0].points
    assert len(points) <= 67
    assert points[0][0] >= 199 - 66
    assert graph.top() == 50
    graph.resize(400, 160)
    assert LIGHT.accent in colors_of(graph)


def test_a_graph_that_nobody_sees_is_not_painted(qtbot: QtBot) -> None:
    graph = TimeGraph("Decode", window_s=60, label=str, ceiling=100)
    qtbot.addWidget(graph)
    graph.set_series([("Decode", "accent")])
    counter = PaintCounter(graph)
    for second in range(50):
        graph.append(float(second), [40.0])
    settle()
    assert counter.count == 0
    assert graph.top() == 100


def test_a_graph_without_values_has_no_numbers_at_its_scale(qtbot: QtBot) -> None:
    asked: list[float] = []

    def label(value: float) -> str:
        asked.append(value)
        return str(value)

    for ceiling, values in ((0.0, 0), (0.0, 1), (100.0, 0)):
        asked.clear()
        graph = TimeGraph("Memory", window_s=60, label=label, ceiling=ceiling)
        qtbot.addWidget(graph)
        graph.set_series([("a", "accent")])
        for _ in range(values):
            graph.append(1.0, [40.0])
        graph.grab()
        assert bool(asked) == bool(ceiling or values)


def test_the_picture_of_an_empty_chat_makes_room_for_questions(qtbot: QtBot) -> None:
    empty = ChatEmpty()
    qtbot.addWidget(empty)
    empty.show_state("None is loaded.", button="Load the demo", note="Small.")
    empty.show()
    card = empty.findChildren(StarterCard)[0]
    for height, is_shown in ((600, True), (300, False), (600, True)):
        empty.resize(580, height)
        qtbot.waitUntil(lambda shown=is_shown: empty._picture.isVisible() == shown)
        qtbot.waitUntil(lambda: card.mapTo(empty, card.rect().bottomLeft()).y() < empty.height())
