from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.widgets.card_board import BoardSection, CardBoard
from app.widgets.clamped_label import ClampedLabel
from app.widgets.family_card import CARD_HEIGHT, FamilyCard, FamilyView
from app.widgets.hit_row import HitRow, HitView
from app.widgets.markdown_view import MarkdownView
from app.widgets.quant_row import QuantRow, QuantView
from app.widgets.slices import Slices

LONG = "DeepSeek-R1-Distill-" + "very-long-name-" * 12 + "GGUF"


@pytest.fixture
def board(appearance: Appearance, qtbot: QtBot) -> CardBoard:
    board = CardBoard()
    qtbot.addWidget(board)
    board.resize(960, 100)
    board.show()
    return board


def cards(board: CardBoard, count: int) -> tuple[FamilyCard, ...]:
    return tuple(FamilyCard(board) for _ in range(count))


def test_cards_stand_in_two_columns_and_in_one(board: CardBoard, qtbot: QtBot) -> None:
    one, two, three = cards(board, 3)
    board.show_sections([BoardSection("a", "A", "Words.", (one, two, three))])
    assert one.y() == two.y() < three.y()
    assert one.x() == three.x() < two.x()
    assert two.geometry().right() < 960
    assert board.height() == three.geometry().bottom() + 1
    board.resize(500, 100)
    assert one.x() == two.x() == three.x() == 0
    assert two.y() - one.y() > CARD_HEIGHT
    assert one.width() == 500


def test_a_wide_first_card_is_as_wide_as_the_board(board: CardBoard) -> None:
    one, two, three = cards(board, 3)
    board.show_sections([BoardSection("p", "P", "", (one, two, three), has_wide_first=True)])
    assert one.width() == 960
    assert two.y() == three.y() > one.y()


def test_a_card_keeps_its_widget_when_it_moves(board: CardBoard) -> None:
    one, two = cards(board, 2)
    board.show_sections([BoardSection("a", "A", "", (one,)), BoardSection("b", "B", "", (two,))])
    top = one.y()
    board.show_sections([BoardSection("b", "B", "", (two, one))])
    assert one.isVisible()
    assert one.y() == two.y() == top
    board.show_sections([BoardSection("b", "B", "", (two,))])
    assert one.isHidden()


def test_a_section_folds(board: CardBoard) -> None:
    (one,) = cards(board, 1)
    board.show_sections([BoardSection("n", "Does not fit", "", (one,), folds=True)])
    assert one.isHidden()
    folded = board.height()
    button = board.head("n").button
    assert button.text() == "Show"
    assert button.accessibleName() == "Show: Does not fit"
    button.click()
    assert one.isVisible()
    assert board.height() > folded
    button.click()
    assert one.isHidden()


def test_long_text_ends_with_an_ellipsis_and_has_a_tooltip(
    appearance: Appearance, qtbot: QtBot
) -> None:
    label = ClampedLabel("word " * 60, lines=2)
    qtbot.addWidget(label)
    label.resize(200, 40)
    label.show()
    assert len(label.shown_lines) == 2
    assert label.shown_lines[1].endswith("\N{HORIZONTAL ELLIPSIS}")
    assert label.toolTip() == label.full_text
    label.set_full_text("short")
    assert label.shown_lines == ["short"]
    assert label.toolTip() == ""


def test_a_long_name_does_not_push_the_button_out(appearance: Appearance, qtbot: QtBot) -> None:
    card = FamilyCard()
    qtbot.addWidget(card)
    view = FamilyView(
        LONG, LONG, LONG, label="Best answers here", badge="In library", rate="~8,888",
        unit="tok/s", file=LONG, button="Looking it up",
    )  # fmt: skip
    card.show_view(view)
    card.resize(300, CARD_HEIGHT)
    card.show()
    qtbot.waitExposed(card)
    assert card.minimumSizeHint().width() <= 360
    assert LONG in card.accessibleDescription()
    assert card.button.accessibleName() == f"Looking it up: {LONG}"


def test_the_button_of_a_card_does_not_open_it(appearance: Appearance, qtbot: QtBot) -> None:
    card = FamilyCard()
    qtbot.addWidget(card)
    card.show_view(FamilyView("A", "B", "C", button="Download"))
    card.resize(440, CARD_HEIGHT)
    card.show()
    with qtbot.assertNotEmitted(card.opened), qtbot.waitSignal(card.pressed):
        qtbot.mouseClick(card.button, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(card.opened):
        qtbot.mouseClick(card, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(card.opened):
        qtbot.keyClick(card, Qt.Key.Key_Space)


def test_a_busy_card_cannot_be_pressed_again(appearance: Appearance, qtbot: QtBot) -> None:
    card = FamilyCard()
    qtbot.addWidget(card)
    card.show_view(FamilyView("A", "B", "C", button="Looking it up", is_busy=True))
    assert not card.button.isEnabled()


def test_rows_say_what_they_show(appearance: Appearance, qtbot: QtBot) -> None:
    row = QuantRow()
    qtbot.addWidget(row)
    row.show_view(QuantView("Q4_K_M", "4.68", "GB", badge="Best here", rate="~41.3", unit="tok/s"))
    assert row.accessibleName() == "Q4_K_M, 4.68 GB"
    assert row.accessibleDescription() == "Best here, ~41.3 tok/s"
    hit = HitRow(HitView("Name-GGUF", "owner", "facts", downloads="184k", is_locked=True))
    qtbot.addWidget(hit)
    assert hit.accessibleName() == "owner/Name-GGUF"


def test_a_row_is_clicked_anywhere(appearance: Appearance, qtbot: QtBot) -> None:
    row = QuantRow()
    qtbot.addWidget(row)
    row.show_view(QuantView("Q4_K_M", "4.68", "GB"))
    row.resize(600, row.height())
    row.show()
    qtbot.mouseClick(row, Qt.MouseButton.LeftButton, pos=row.rect().center())
    assert row.isChecked()


def test_a_text_is_as_tall_as_it_needs_to_be(appearance: Appearance, qtbot: QtBot) -> None:
    view = MarkdownView("Model card")
    qtbot.addWidget(view)
    view.resize(600, 10)
    view.show()
    view.set_text("word " * 300)
    wide = view.height()
    view.resize(300, view.height())
    assert view.height() > 1.7 * wide
    view.set_text("word")
    assert view.height() < 60


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_first_card_is_framed_in_both_themes(
    appearance: Appearance, qtbot: QtBot, theme: str
) -> None:
    appearance.choose(theme)
    card = FamilyCard()
    qtbot.addWidget(card)
    card.show_view(FamilyView("A", "B", "C", is_primary=True))
    card.resize(300, CARD_HEIGHT)
    image = card.grab().toImage()
    assert image.pixelColor(150, CARD_HEIGHT // 2).name() == appearance.theme.surface.lower()
    edge = image.pixelColor(150, 0).name()
    assert edge == appearance.theme.accent.lower()


def test_slices_do_everything_in_order_and_can_be_stopped(qtbot: QtBot) -> None:
    done: list[int] = []

    def steps(count: int) -> Iterator[int]:
        for number in range(count):
            done.append(number)
            yield number

    slices = Slices()
    slices.run(steps(1000))
    qtbot.waitUntil(lambda: not slices.is_running)
    assert done == list(range(1000))
    slices.run(steps(10**9))
    assert slices.is_running
    slices.stop()
    assert not slices.is_running
