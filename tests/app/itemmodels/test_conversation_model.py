"""The list of conversations as a model: headings by day, roles, rename."""

from __future__ import annotations

import datetime

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from app.itemmodels.conversations import (
    ConversationListModel,
    ConversationRole,
    Section,
)
from models.chat.conversation import Conversation, SearchHit

TODAY = datetime.date(2026, 3, 2)


def at(day: int, hour: int = 12) -> float:
    return datetime.datetime(2026, 3, day, hour).astimezone().timestamp()


def hit(number: int, when: float, *, pinned: bool = False, snippet: str = "") -> SearchHit:
    found = Conversation(number, f"Title {number}", when, when, pinned=pinned)
    return SearchHit(found, None, snippet, ((0, 3),) if snippet else ())


@pytest.fixture
def model(qapp: object) -> ConversationListModel:
    headings = {section: section.value for section in Section}
    return ConversationListModel(headings, "Untitled")


def shown(model: ConversationListModel) -> list[str]:
    return [model.index(row).data() for row in range(model.rowCount())]


def test_conversations_stand_under_their_day(model: ConversationListModel) -> None:
    tester = QAbstractItemModelTester(model)
    old = datetime.datetime(2026, 2, 1).astimezone().timestamp()
    hits = [hit(4, old, pinned=True), hit(1, at(2)), hit(2, at(1, 23)), hit(3, old)]
    model.set_hits(hits, TODAY)
    assert shown(model) == [
        "pinned",
        "Title 4",
        "today",
        "Title 1",
        "yesterday",
        "Title 2",
        "earlier",
        "Title 3",
    ]
    assert tester.model() is model


def test_headings_cannot_be_chosen(model: ConversationListModel) -> None:
    model.set_hits([hit(1, at(2))], TODAY)
    assert model.flags(model.index(0)) == Qt.ItemFlag.NoItemFlags
    assert model.flags(model.index(1)) & Qt.ItemFlag.ItemIsEditable
    assert model.conversation(model.index(0)) is None
    assert model.conversation(QModelIndex()) is None


def test_roles(model: ConversationListModel) -> None:
    model.set_hits([hit(7, at(2), snippet="sea water")], TODAY)
    index = model.index_of(7)
    assert index.data(ConversationRole.ID) == 7
    assert index.data(ConversationRole.SNIPPET) == "sea water"
    assert index.data(ConversationRole.MARKS) == ((0, 3),)
    assert index.data(ConversationRole.HEADING) is False
    model.set_live(7)
    assert index.data(ConversationRole.LIVE) is True
    assert not model.index_of(99).isValid()


def test_an_edited_title_asks_for_a_rename(qtbot: QtBot, model: ConversationListModel) -> None:
    model.set_hits([hit(7, at(2))], TODAY)
    index = model.index_of(7)
    with qtbot.waitSignal(model.rename_requested) as asked:
        assert model.setData(index, "  New   title ")
    assert asked.args == [7, "New title"]
    with qtbot.assertNotEmitted(model.rename_requested):
        assert not model.setData(index, "   ")
        assert not model.setData(index, "Title 7")


def test_the_same_list_resets_nothing(qtbot: QtBot, model: ConversationListModel) -> None:
    model.set_hits([hit(7, at(2))], TODAY)
    with qtbot.assertNotEmitted(model.modelReset):
        model.set_hits([hit(7, at(2))], TODAY)
