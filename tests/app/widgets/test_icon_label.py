"""An icon of a row has the colour of the theme, also of the one that is chosen later."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor

from app.theme import DARK, LIGHT
from app.widgets.chat_notice import ChatNotice
from app.widgets.finding_row import FindingRow
from app.widgets.hit_row import HitRow, HitView
from app.widgets.icon_label import IconLabel
from app.widgets.icons import pixmap
from app.widgets.plan_pieces import SentenceList
from app.widgets.toast import Toast


def has_color(label: IconLabel, color: QColor) -> bool:
    """Tell whether an icon is the one that is drawn in a colour."""
    expected = pixmap(label._name, color, label._size, label.devicePixelRatioF())
    return label.pixmap().toImage() == expected.toImage()


def notice():
    made = ChatNotice()
    made.show_notice("It failed.", tone="tight")
    return made


def sentences():
    made = SentenceList("triangle-alert", "tight")
    made.show_sentences(["It is tight."])
    return made


MAKERS = {
    "fail": lambda: Toast("error", "No."),
    "accent": lambda: FindingRow(("info", "accent"), "Note", "Title", "Text"),
    "tight": notice,
    "tight_": sentences,
    "text_quiet": lambda: HitRow(HitView("name", "publisher", "facts", is_locked=True)),
}


@pytest.mark.parametrize("token", MAKERS)
def test_icons_follow_the_theme(qtbot, appearance, token):
    widget = MAKERS[token]()
    qtbot.addWidget(widget)
    for choice, theme in (("light", LIGHT), ("dark", DARK), ("light", LIGHT)):
        appearance.choose(choice)
        icons = [one for one in widget.findChildren(IconLabel) if not one.pixmap().isNull()]
        assert icons
        assert all(has_color(icon, theme.color(token.rstrip("_"))) for icon in icons)


def test_without_a_name_it_is_empty_until_it_has_one(qtbot, appearance):
    label = IconLabel(size=16)
    qtbot.addWidget(label)
    appearance.choose("dark")
    assert label.pixmap().isNull()
    label.show_icon("info", "accent")
    assert has_color(label, DARK.color("accent"))
    assert not has_color(label, LIGHT.color("accent"))
