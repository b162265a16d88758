from __future__ import annotations

import threading

from pytestqt.qtbot import QtBot

from app.messages import Action, Messages, Notice, Severity
from models.errors import OutOfMemoryError


def collect(messages: Messages) -> list[Notice]:
    posted: list[Notice] = []
    messages.posted.connect(posted.append)
    return posted


def test_what_is_said_before_the_window_exists_waits_for_it(qtbot: QtBot) -> None:
    messages = Messages()
    posted = collect(messages)
    messages.info("one")
    messages.warning("two")
    assert posted == []
    messages.attach()
    assert [notice.text for notice in posted] == ["one", "two"]
    messages.info("three")
    assert [notice.text for notice in posted] == ["one", "two", "three"]


def test_an_error_brings_its_hint_and_details(qtbot: QtBot) -> None:
    messages = Messages()
    posted = collect(messages)
    messages.attach()
    messages.error(OutOfMemoryError("No room.", hint="Use less.", details="malloc"))
    messages.error("Plain words.")
    first, second = posted
    assert (first.text, first.hint, first.details) == ("No room.", "Use less.", "malloc")
    assert first.severity is Severity.ERROR
    assert (second.text, second.details) == ("Plain words.", "")


def test_undo_is_an_action(qtbot: QtBot) -> None:
    messages = Messages()
    posted = collect(messages)
    messages.attach()
    undone: list[bool] = []
    messages.undo("Deleted.", lambda: undone.append(True))
    assert posted[0].severity is Severity.UNDO
    assert posted[0].action is not None
    assert posted[0].action.text == "Undo"
    posted[0].action.run()
    assert undone == [True]


def test_a_notice_can_be_withdrawn_before_and_after_it_is_shown(qtbot: QtBot) -> None:
    messages = Messages()
    posted = collect(messages)
    number = messages.info("one")
    messages.withdraw(number)
    messages.attach()
    assert posted == []
    number = messages.info("two", Action("Look", lambda: None))
    with qtbot.waitSignal(messages.withdrawn) as withdrawn:
        messages.withdraw(number)
    assert withdrawn.args == [number]


def test_a_post_from_another_thread_arrives_in_the_main_thread(qtbot: QtBot) -> None:
    messages = Messages()
    messages.attach()
    seen: list[threading.Thread] = []
    posted = collect(messages)
    messages.posted.connect(lambda _notice: seen.append(threading.current_thread()))
    thread = threading.Thread(target=messages.info, args=("from elsewhere",))
    thread.start()
    thread.join()
    assert posted == []
    qtbot.waitUntil(lambda: bool(posted))
    assert seen == [threading.main_thread()]
