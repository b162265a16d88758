"""Tooltips show what somebody else wrote as it is, and never as HTML."""

from __future__ import annotations

import datetime

import pytest
from PySide6.QtCore import QModelIndex
from PySide6.QtGui import Qt, QTextDocument
from pytestqt.qtbot import QtBot

from app.itemmodels.served_requests import RequestColumn, ServedRequest, ServedRequestModel
from app.widgets.buttons import IconButton
from app.widgets.clamped_label import ClampedLabel
from app.widgets.labels import ElidedLabel
from app.widgets.tips import plain_tip
from models.api.requests import RequestNote

HOSTILE = "<img src=/dev/zero> & <b>bold</b>"


def shown(tip: str) -> str:
    """Return the text that Qt shows; it would read the picture of a hostile one for ever."""
    if not Qt.mightBeRichText(tip):
        return tip
    assert "<img" not in tip
    document = QTextDocument()
    document.setHtml(tip)
    return document.toPlainText()


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "a  <b>\nx", '"<i>"', "&lt;b&gt;", "1 < 2", "first\n<b>", "plain", ""],
)
def test_a_tooltip_shows_its_text_as_it_is(text: str) -> None:
    assert shown(plain_tip(text)) == text


def test_what_looks_like_no_html_stays_as_it_is() -> None:
    assert plain_tip("DeepSeek R1 & friends, 1 < 2") == "DeepSeek R1 & friends, 1 < 2"


def test_names_that_are_cut_show_themselves_whole(qtbot: QtBot) -> None:
    elided = ElidedLabel(HOSTILE)
    clamped = ClampedLabel(HOSTILE, lines=1)
    for label in (elided, clamped):
        qtbot.addWidget(label)
        label.resize(20, 20)
        label.show()
        qtbot.waitUntil(lambda label=label: label.toolTip() != "")
        assert shown(label.toolTip()) == HOSTILE


def test_a_button_that_names_a_file_shows_its_name(qtbot: QtBot) -> None:
    button = IconButton("x", HOSTILE)
    qtbot.addWidget(button)
    assert shown(button.toolTip()) == HOSTILE


@pytest.mark.parametrize("column", [RequestColumn.MODEL, RequestColumn.STATE])
def test_what_a_program_calls_a_model_is_no_html(column: RequestColumn) -> None:
    model = ServedRequestModel([""] * len(RequestColumn), {"failed": "Failed"})
    note = RequestNote(1, HOSTILE, "failed", error=HOSTILE)
    model.set_requests([ServedRequest(note, datetime.datetime.now().astimezone())])
    tip = model.index(0, column, QModelIndex()).data(Qt.ItemDataRole.ToolTipRole)
    assert shown(str(tip)) == HOSTILE
