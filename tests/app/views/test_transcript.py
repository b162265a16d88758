"""The transcript: long conversations, following the text, selecting, copying."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QDesktopServices, QGuiApplication
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.views.transcript import Transcript
from app.widgets import chat_body
from app.widgets.chat_question import QuestionWidget
from app.widgets.chat_turn import NoticeView, TurnView


@pytest.fixture
def transcript(qtbot: QtBot, appearance: Appearance) -> Transcript:
    made = Transcript()
    qtbot.addWidget(made)
    made.resize(900, 600)
    made.show()
    return made


def turns(count: int, *, live: bool = False) -> list[TurnView]:
    return [
        TurnView(
            id=number,
            is_user=number % 2 == 1,
            text=f"Message {number}. " + "Some more words. " * (number % 23),
            is_live=live and number == count,
        )
        for number in range(1, count + 1)
    ]


def widgets(transcript: Transcript) -> list[int]:
    return [i for i in transcript.turn_ids if transcript.widget_of(i) is not None]


def test_a_long_conversation_makes_only_what_is_near_the_view(
    qtbot: QtBot, transcript: Transcript
) -> None:
    transcript.set_turns(turns(2000), enabled=True)
    bar = transcript.verticalScrollBar()
    assert bar.value() == bar.maximum()
    assert widgets(transcript)[-1] == 2000
    assert len(widgets(transcript)) < 40
    bar.setValue(0)
    qtbot.waitUntil(lambda: transcript.widget_of(1) is not None)
    qtbot.waitUntil(lambda: transcript.widget_of(2000) is None)
    assert len(widgets(transcript)) < 120
    transcript.jump_to_latest()
    assert transcript.widget_of(2000) is not None
    assert bar.value() == bar.maximum()


def test_scrolling_up_keeps_the_place_while_text_streams(
    qtbot: QtBot, transcript: Transcript
) -> None:
    transcript.set_turns(turns(40, live=True), enabled=True)
    bar = transcript.verticalScrollBar()
    answer = transcript.answer_of(40)
    assert answer is not None
    answer.append("word " * 300, "")
    assert bar.value() == bar.maximum()
    bar.setValue(bar.maximum() - 500)
    place = bar.value()
    assert not transcript.is_following
    answer.append("\n\nword " * 100, "")
    assert bar.value() == place
    assert bar.maximum() > place + 500
    transcript.jump_to_latest()
    answer.append("\n\nword " * 100, "")
    assert bar.value() == bar.maximum()


def test_resizing_keeps_the_end_in_view(qtbot: QtBot, transcript: Transcript) -> None:
    transcript.set_turns(turns(60), enabled=True)
    bar = transcript.verticalScrollBar()
    for width in (500, 1200, 400):
        transcript.resize(width, 600)
        qtbot.waitUntil(lambda: bar.value() == bar.maximum())


def test_text_is_selected_over_messages_and_copied(qtbot: QtBot, transcript: Transcript) -> None:
    transcript.set_turns(turns(4), enabled=True)
    column = transcript.widget()
    first, last = transcript.widget_of(1), transcript.widget_of(2)
    assert first is not None
    assert last is not None
    start = first.body.mapTo(column, QPoint(0, 6))
    end = last.body.mapTo(column, QPoint(600, last.body.height() - 3))
    qtbot.mousePress(column, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(column, end)
    column.dragged.emit(end)
    qtbot.mouseRelease(column, Qt.MouseButton.LeftButton, pos=end)
    assert transcript.selected_text().startswith("Message 1.")
    assert "Message 2." in transcript.selected_text()
    qtbot.keyClick(transcript, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == transcript.selected_text()


def test_everything_is_copied_even_what_is_no_widget(qtbot: QtBot, transcript: Transcript) -> None:
    transcript.set_turns(turns(500), enabled=True)
    qtbot.keyClick(transcript, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    text = transcript.selected_text()
    assert text.startswith("Message 1.")
    assert "Message 250." in text


def test_the_keyboard_selects(qtbot: QtBot, transcript: Transcript) -> None:
    transcript.set_turns(turns(2), enabled=True)
    for _ in range(7):
        qtbot.keyClick(transcript, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert transcript.selected_text() == "Message"


def test_only_safe_links_are_opened(
    qtbot: QtBot, transcript: Transcript, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    transcript.set_turns(turns(2), enabled=True)
    answer = transcript.answer_of(2)
    assert answer is not None
    for address in (
        "https://a.b/",
        "mailto:a@b.c",
        "file:///etc/passwd",
        "javascript:x",
        "ftp://a",
    ):
        answer.link_clicked.emit(address)
    assert opened == ["https://a.b/", "mailto:a@b.c"]


def test_a_branch_that_begins_alike_keeps_its_widgets(qtbot: QtBot, transcript: Transcript) -> None:
    views = turns(6)
    transcript.set_turns(views, enabled=True)
    before = transcript.widget_of(2)
    other = TurnView(id=99, is_user=False, text="Another answer", number=2, count=2)
    transcript.set_turns([*views[:5], other], enabled=True, keep=True)
    assert transcript.widget_of(2) is before
    assert transcript.turn_ids == [1, 2, 3, 4, 5, 99]


def test_a_notice_takes_its_room(qtbot: QtBot, transcript: Transcript) -> None:
    notice = NoticeView("It failed.", hint="Try again. " * 20, details="x", can_retry=True)
    transcript.set_turns(
        [TurnView(id=1, is_user=False, text="Half an answer", notice=notice)], enabled=True
    )
    answer = transcript.answer_of(1)
    assert answer is not None
    assert answer.notice is not None
    assert answer.notice.height() >= answer.notice.heightForWidth(answer.notice.width())
    before = answer.height()
    answer.notice.button("details").click()
    qtbot.waitUntil(lambda: answer.height() > before + 100)
    with qtbot.waitSignal(transcript.acted) as acted:
        answer.notice.button("retry").click()
    assert acted.args == ["retry", 1]


def test_a_huge_answer_opens_at_once(
    qtbot: QtBot, transcript: Transcript, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Slices without time render nothing, however fast the machine is.
    slice_s = chat_body.SLICE_S
    monkeypatch.setattr(chat_body, "SLICE_S", 0.0)
    text = ("word " * 100 + "\n\n") * 2000
    transcript.set_turns([TurnView(id=1, is_user=False, text=text)], enabled=True)
    answer = transcript.answer_of(1)
    assert answer is not None
    assert len(answer.body.pieces) < 10
    # What is not rendered in the first moment follows between other events.
    monkeypatch.setattr(chat_body, "SLICE_S", slice_s)
    qtbot.waitUntil(lambda: len(answer.body.pieces) > 150, timeout=10_000)


def test_the_editor_of_a_question_shows_all_of_its_lines(
    qtbot: QtBot, transcript: Transcript
) -> None:
    text = "Why is the sea salty, and the rivers that run into it are not? " * 4
    transcript.set_turns([TurnView(id=1, is_user=True, text=text)], enabled=True)
    question = transcript.widget_of(1)
    assert isinstance(question, QuestionWidget)
    question.begin_edit()
    assert question.editor is not None
    field = question.editor.field
    qtbot.waitUntil(lambda: field.document().size().height() > 1)
    assert field.height() >= field.wanted_height() > 2 * field.fontMetrics().lineSpacing()
    assert question.height() >= question.editor.height() > field.height()
