"""Bars, sliders, fields and marks of the plan panel, by pointer and by keyboard."""

from __future__ import annotations

import itertools

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QAccessible, QColor, QFontMetricsF
from PySide6.QtWidgets import QHBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.theme import Appearance, current_theme
from app.widgets.device_bar import BAR_HEIGHT, BarFill, BarPart, DeviceBar
from app.widgets.device_bars import DeviceBars, DeviceRowView, Legend
from app.widgets.fix_mark import FixMark
from app.widgets.fold import Fold
from app.widgets.labels import Run, RunsLabel, text_label
from app.widgets.log_slider import LogSlider, ValueSlider
from app.widgets.paragraph import Paragraph
from app.widgets.segmented import SegmentedControl
from app.widgets.token_field import TokenField, parse_tokens
from helpers.accessible import spoken_name
from helpers.paint_counter import LayoutCounter, PaintCounter, settle

pytestmark = pytest.mark.usefixtures("appearance")

GB = 10**9
ATTENTION = BarPart("Attention", "attention", 8 * GB, "~8.00 GB")
KV = BarPart("KV cache", "kv", 2 * GB, "~2.00 GB")
SOFT = BarPart("Routed experts", "routed_experts", 30 * GB, "~30.0 GB", "soft")
OTHERS = BarPart("Other programs", "text_quiet", 1 * GB, "1.00 GB", "hatched")


def bar(qtbot: QtBot, fill: BarFill, scale: float, width: int = 640) -> DeviceBar:
    widget = DeviceBar()
    qtbot.addWidget(widget)
    widget.resize(width, 30)
    widget.set_fill(fill, scale)
    return widget


def color_at(widget: QWidget, left: float, top: float = BAR_HEIGHT / 2) -> QColor:
    return widget.grab().toImage().pixelColor(round(left), round(top))


# --- bars ---------------------------------------------------------------------------------------


def test_bars_at_one_scale_compare_by_length(qtbot: QtBot) -> None:
    small = bar(qtbot, BarFill((ATTENTION, KV), total=16 * GB), 64 * GB)
    (_, first), (_, second) = small.spans()
    assert first.width() == pytest.approx(640 * 8 / 64)
    assert second.left() == pytest.approx(80)
    assert second.width() == pytest.approx(20)
    theme = current_theme()
    assert color_at(small, 40) == theme.color("attention")
    assert color_at(small, 90) == theme.color("kv")


def test_other_programs_stand_at_the_end_and_what_is_between_is_free(qtbot: QtBot) -> None:
    widget = bar(qtbot, BarFill((ATTENTION,), OTHERS, 16 * GB), 16 * GB)
    part = widget.part_at(QPointF(630, 8))
    assert part == OTHERS
    assert widget.part_at(QPointF(10, 8)) == ATTENTION
    assert widget.part_at(QPointF(480, 8)) is None


def test_what_is_over_is_red(qtbot: QtBot) -> None:
    fill = BarFill((ATTENTION, KV), OTHERS, 9 * GB)
    assert fill.over_from == 8 * GB
    widget = bar(qtbot, fill, 10 * GB)
    inside, outside = color_at(widget, 300), color_at(widget, 560)
    assert inside == current_theme().color("attention")
    assert outside.red() > outside.blue() + 60
    assert BarFill((ATTENTION,), OTHERS, 9 * GB).over_from == float("inf")
    # There is room in the memory, but other programs have it.
    assert BarFill((ATTENTION,), OTHERS, 8.5 * GB).over_from == 7.5 * GB


def test_a_bar_too_short_to_read_is_shown_enlarged_beside_itself(qtbot: QtBot) -> None:
    widget = bar(qtbot, BarFill((ATTENTION, KV), total=12 * GB), 512 * GB)
    assert widget.has_lens
    assert len(widget.spans()) == 4
    assert widget.part_at(QPointF(200, 8)) == ATTENTION
    assert not bar(qtbot, BarFill((ATTENTION, KV), total=12 * GB), 16 * GB).has_lens
    # Nothing to enlarge, and no room to do it in.
    assert not bar(qtbot, BarFill(), 16 * GB).has_lens
    assert not bar(qtbot, BarFill((ATTENTION,), total=12 * GB), 512 * GB, width=120).has_lens


def test_a_bar_longer_than_the_scale_is_torn(qtbot: QtBot) -> None:
    assert bar(qtbot, BarFill((SOFT,)), 16 * GB).is_torn
    whole = bar(qtbot, BarFill((SOFT,)), 64 * GB)
    assert not whole.is_torn
    # Without a total there is no empty room to outline.
    assert color_at(whole, 500) == color_at(whole, 600)


def test_what_must_be_held_has_a_bracket_below_it(qtbot: QtBot) -> None:
    plain = bar(qtbot, BarFill((KV, SOFT), total=64 * GB), 64 * GB)
    held = bar(qtbot, BarFill((KV, SOFT), total=64 * GB, held=16 * GB), 64 * GB)
    assert held.sizeHint().height() > plain.sizeHint().height()
    below = [held.grab().toImage().pixelColor(80, y) for y in range(BAR_HEIGHT + 1, 23)]
    assert any(color.lightness() < 200 for color in below)


def test_a_part_that_exists_is_seen(qtbot: QtBot) -> None:
    tiny = BarPart("KV cache", "kv", 1, "1 B")
    widget = bar(qtbot, BarFill((tiny,), total=16 * GB), 16 * GB)
    ((_, rect),) = widget.spans()
    assert rect.width() >= 2


def test_figures_that_are_computed_anew_are_paler(qtbot: QtBot) -> None:
    widget = bar(qtbot, BarFill((ATTENTION,), total=16 * GB), 16 * GB)
    before = color_at(widget, 100)
    widget.set_dimmed(True)
    assert color_at(widget, 100) != before
    widget.set_dimmed(False)
    assert color_at(widget, 100) == before


def test_the_same_fill_again_repaints_nothing(qtbot: QtBot) -> None:
    widget = bar(qtbot, BarFill((ATTENTION,), total=16 * GB), 16 * GB)
    widget.show()
    settle()
    counter = PaintCounter(widget)
    widget.set_fill(BarFill((ATTENTION,), total=16 * GB), 16 * GB)
    settle()
    assert counter.count == 0
    widget.set_fill(BarFill((KV,), total=16 * GB), 16 * GB)
    settle()
    assert counter.count == 1


def row_view(key: str, name: str) -> DeviceRowView:
    fill = BarFill((ATTENTION,), total=16 * GB)
    return DeviceRowView(key, name, "~8.00", "GB", "8.00 GB free", fill, spoken="8 GB of it")


def test_rows_are_kept_while_their_devices_stay(qtbot: QtBot) -> None:
    bars = DeviceBars()
    qtbot.addWidget(bars)
    bars.show()
    bars.show_rows([row_view("CUDA0", "One"), row_view("CPU", "RAM")], 16 * GB, ())
    kept = bars.row("CPU")
    bars.show_rows([row_view("CPU", "RAM")], 16 * GB, ())
    assert bars.row("CPU") is kept
    with pytest.raises(KeyError):
        bars.row("CUDA0")
    assert kept.figures.text() == "~8.00 GB   8.00 GB free"
    assert kept.accessibleDescription() == "8 GB of it"


def test_the_legend_takes_as_many_lines_as_it_needs(qtbot: QtBot) -> None:
    legend = Legend()
    qtbot.addWidget(legend)
    legend.show_parts([ATTENTION, KV, SOFT, OTHERS])
    assert legend.heightForWidth(180) > legend.heightForWidth(900)
    assert legend.heightForWidth(900) < 24
    # New parts in the same room have places of their own at once.
    legend.resize(900, 24)
    legend.show()
    settle()
    legend.show_parts([KV, ATTENTION, OTHERS, SOFT])
    settle()
    items = [one for one in legend.findChildren(QWidget) if one.parent() is legend]
    places = [one.geometry() for one in items if one.isVisible()]
    assert len(places) == 4
    assert not any(one.intersects(other) for one, other in itertools.combinations(places, 2))


# --- sliders ------------------------------------------------------------------------------------


def log_slider(qtbot: QtBot) -> LogSlider:
    slider = LogSlider("Context")
    qtbot.addWidget(slider)
    slider.resize(336, 40)
    slider.show_value(8192, 512, 131072)
    slider.set_marks([(2**power, f"{2**power}") for power in range(9, 18)])
    slider.show()
    return slider


def press(qtbot: QtBot, slider: ValueSlider, left: int) -> None:
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=QPoint(left, 11))


def test_every_doubling_is_equally_far(qtbot: QtBot) -> None:
    slider = log_slider(qtbot)
    places = [slider.share_of(2**power) for power in range(9, 18)]
    steps = [after - before for before, after in itertools.pairwise(places)]
    assert steps == pytest.approx([1 / 8] * 8)
    assert slider.value_at(0.0) == 512
    assert slider.value_at(0.5) == 8192
    assert slider.value_at(1.0) == 131072
    assert all(slider.value_at(share / 100) % 256 == 0 for share in range(101))


def test_a_slider_speaks_the_value_itself(qtbot: QtBot) -> None:
    slider = log_slider(qtbot)
    interface = QAccessible.queryAccessibleInterface(slider)
    assert interface.text(QAccessible.Text.Name) == "Context"
    assert interface.valueInterface().currentValue() == 8192


def test_labels_thin_out_evenly_where_there_is_no_room(qtbot: QtBot) -> None:
    slider = log_slider(qtbot)
    metrics = QFontMetricsF(slider.font())

    def shown(width: int) -> list[int]:
        slider.resize(width, 40)
        return [value for value, _ in slider._labels_that_fit(metrics)]

    assert shown(800) == [2**power for power in range(9, 18)]
    assert shown(330) == [512, 2048, 8192, 32768, 131072]
    assert shown(60)[-1] == 131072


def test_dragging_tells_every_step_and_catches_at_marks(qtbot: QtBot) -> None:
    slider = log_slider(qtbot)
    told: list[int] = []
    slider.edited.connect(told.append)
    press(qtbot, slider, 248)
    # 248 is the place of 32768: 8 + 320 * 0.75.
    assert told == [32768]
    assert slider.isSliderDown()
    qtbot.mouseMove(slider, QPoint(251, 11))
    assert told == [32768]
    qtbot.mouseMove(slider, QPoint(268, 11))
    assert told[-1] == slider.value_at((268 - 8) / 320)
    with qtbot.waitSignal(slider.drag_ended):
        qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=QPoint(268, 11))
    assert not slider.isSliderDown()


def test_what_is_held_is_not_moved_by_others(qtbot: QtBot) -> None:
    slider = log_slider(qtbot)
    press(qtbot, slider, 248)
    slider.show_value(1024, 512, 131072)
    assert slider.value() == 32768
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=QPoint(248, 11))
    told: list[int] = []
    slider.edited.connect(told.append)
    slider.show_value(1024, 512, 131072)
    assert (slider.value(), told) == (1024, [])


def test_the_keyboard_steps_and_doubles(qtbot: QtBot) -> None:
    slider = log_slider(qtbot)
    told: list[int] = []
    slider.edited.connect(told.append)
    qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    assert told == [16384]
    qtbot.keyClick(slider, Qt.Key.Key_PageDown)
    assert told[-1] == 8192
    qtbot.keyClick(slider, Qt.Key.Key_Right)
    assert 8192 < told[-1] < 16384
    qtbot.keyClick(slider, Qt.Key.Key_Home)
    assert told[-1] == 512
    qtbot.keyClick(slider, Qt.Key.Key_Right)
    assert told[-1] == 768
    qtbot.keyClick(slider, Qt.Key.Key_End)
    assert told[-1] == 131072
    assert slider.value() == 131072


def test_a_linear_slider_goes_one_by_one(qtbot: QtBot) -> None:
    slider = ValueSlider("Experts")
    qtbot.addWidget(slider)
    slider.show_value(9, 0, 58)
    told: list[int] = []
    slider.edited.connect(told.append)
    qtbot.keyClick(slider, Qt.Key.Key_Right)
    qtbot.keyClick(slider, Qt.Key.Key_Left)
    assert told == [10, 9]
    assert slider.sizeHint().height() < log_slider(qtbot).sizeHint().height()


def test_a_slider_without_room_to_move_stays_usable(qtbot: QtBot) -> None:
    slider = LogSlider("Context")
    qtbot.addWidget(slider)
    slider.show_value(512, 512, 512)
    slider.show()
    press(qtbot, slider, 40)
    assert slider.value() == 512


# --- text ---------------------------------------------------------------------------------------


def test_a_number_keeps_its_unit_beside_it(qtbot: QtBot) -> None:
    words = "More VRAM would bring 2 of them over: 13.6 to 14.5 tok/s instead of 4.20 GB less."
    paragraph = Paragraph()
    qtbot.addWidget(paragraph)
    paragraph.setText(words)
    assert (paragraph.text(), paragraph.accessibleName()) == (words, words)
    shown = paragraph.property("text")
    # Qt breaks lines at spaces and after a slash.
    assert "14.5\u00a0tok/\u2060s" in shown
    assert "4.20\u00a0GB" in shown
    assert "2 of" in shown


def test_figures_that_change_in_their_room_ask_for_no_new_layout(qtbot: QtBot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    label = RunsLabel(reserve="88.8 GB")
    QHBoxLayout(holder).addWidget(label)
    holder.show()
    label.set_runs([Run("12.3"), Run(" GB", "text_quiet")])
    settle()
    asked = LayoutCounter(holder)
    label.set_runs([Run("12.4"), Run(" GB", "text_quiet")])
    settle()
    assert asked.count == 0
    assert (label.text(), label.accessibleName()) == ("12.4 GB", "12.4 GB")
    label.set_runs([Run("A far longer figure"), Run(" GB", "text_quiet")])
    settle()
    assert asked.count > 0
    # A name that somebody gave it stays.
    label.setAccessibleName("VRAM")
    label.set_runs([Run("1")])
    assert label.accessibleName() == "VRAM"


# --- fields, marks, folds -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("32768", 32768), ("32,768", 32768), ("32 768", 32768), ("32k", 32768), ("1.5K", 1536),
        ("1m", 1048576), (" 4096 ", 4096), ("", None), ("many", None), ("0", None), ("-5", None),
        ("1,2,3", None), ("99999999999", None), ("32,7689", None), ("32.76", None),
        ("128m", 134217728), ("129m", None),
    ],
)  # fmt: skip
def test_tokens_are_typed_as_people_write_them(text: str, tokens: int | None) -> None:
    assert parse_tokens(text) == tokens


def test_a_typed_number_is_told_when_it_is_done(qtbot: QtBot) -> None:
    field = TokenField("Context in tokens")
    qtbot.addWidget(field)
    field.show()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus)
    field.show_value(8192)
    assert field.text() == "8,192"
    field.selectAll()
    told: list[int] = []
    field.edited.connect(told.append)
    qtbot.keyClicks(field, "32k")
    assert told == []
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert told == [32768]
    assert field.text() == "32,768"
    # Selected again: what is typed next replaces it.
    qtbot.keyClicks(field, "no")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert (field.text(), told) == ("32,768", [32768])
    qtbot.keyClicks(field, "1")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert (field.text(), told) == ("256", [32768, 256])
    field.show_value(32768)
    qtbot.keyClicks(field, "12")
    qtbot.keyClick(field, Qt.Key.Key_Escape)
    assert field.text() == "32,768"


def test_arrows_in_the_field_ask_for_steps(qtbot: QtBot) -> None:
    field = TokenField("Context in tokens")
    qtbot.addWidget(field)
    told: list[int] = []
    field.stepped.connect(told.append)
    qtbot.keyClick(field, Qt.Key.Key_Up)
    qtbot.keyClick(field, Qt.Key.Key_Down)
    assert told == [1, -1]


def test_a_mark_says_who_chose_and_shows_what_holds(qtbot: QtBot) -> None:
    mark = FixMark("Context")
    qtbot.addWidget(mark)
    assert spoken_name(mark) == "Context: chosen by the plan. Press to keep this value."
    free = mark.grab().toImage()
    with qtbot.waitSignal(mark.clicked):
        qtbot.keyClick(mark, Qt.Key.Key_Space)
    assert not mark.isChecked()
    mark.set_fixed(True)
    assert spoken_name(mark) == "Context: fixed by you. Press to let the plan choose."
    assert mark.grab().toImage() != free
    assert mark.focusPolicy() & Qt.FocusPolicy.TabFocus


def test_a_fold_opens_by_keyboard(qtbot: QtBot) -> None:
    fold = Fold("More settings")
    qtbot.addWidget(fold)
    inside = text_label("inside")
    fold.body.addWidget(inside)
    fold.show()
    assert not inside.isVisible()
    qtbot.keyClick(fold.button, Qt.Key.Key_Space)
    assert fold.is_open
    assert inside.isVisible()


def test_a_choice_that_cannot_be_made_says_why(qtbot: QtBot) -> None:
    control = SegmentedControl("KV cache", [("f16", "f16"), ("q8_0", "q8_0")])
    qtbot.addWidget(control)
    control.show()
    control.set_why_not("q8_0", "It needs flash attention.")
    told: list[str] = []
    control.chosen.connect(told.append)
    qtbot.mouseClick(control.segment("q8_0"), Qt.MouseButton.LeftButton)
    assert told == []
    assert control.segment("q8_0").toolTip() == "It needs flash attention."
    control.set_why_not("q8_0", "")
    qtbot.mouseClick(control.segment("q8_0"), Qt.MouseButton.LeftButton)
    assert told == ["q8_0"]


def test_a_paragraph_is_as_tall_as_its_lines_and_no_taller(qtbot: QtBot) -> None:
    paragraph = Paragraph()
    qtbot.addWidget(paragraph)
    paragraph.setText("A sentence that is long enough to take two lines in a narrow column.")
    line = paragraph.fontMetrics().height()
    assert paragraph.minimumSizeHint().height() == line
    assert paragraph.heightForWidth(260) == 2 * line
    assert paragraph.heightForWidth(900) == line


def test_figures_that_keep_their_width_do_not_shake(qtbot: QtBot) -> None:
    label = RunsLabel(keeps_width=True)
    qtbot.addWidget(label)
    label.set_runs([Run("~123 GB")])
    wide = label.sizeHint().width()
    label.set_runs([Run("~1 GB")])
    assert label.sizeHint().width() == wide


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_is_painted_in_both_themes(
    qtbot: QtBot, appearance: Appearance, theme: str
) -> None:
    appearance.choose(theme)
    widget = bar(qtbot, BarFill((ATTENTION, KV), OTHERS, 16 * GB, 14 * GB), 64 * GB)
    assert color_at(widget, 40) == current_theme().color("attention")
