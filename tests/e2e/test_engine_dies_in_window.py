"""The composed window over the real engine and the demo: it dies, it is stopped, it is closed."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from app.actions.load_model import LoadPhase
from helpers.logcheck import LogCheck
from helpers.real_window import RealWindow
from helpers.whole_program import engine_variable, is_gone
from models.chat.store import ConversationStore, Message
from models.paths import user_paths

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL"),
    pytest.mark.model,
]

LONG = "Write a very long story about a lighthouse keeper and the sea, with many chapters."
SHORT = "What is the capital of France?"
# Enough to be in the middle of an answer that goes on for hundreds of tokens.
SOME_CHARS = 60
ESCAPE = "\x1b"
PROBLEM_ENGINE = Path(__file__).parents[1] / "helpers" / "problem_engine.py"


def press(window: RealWindow, qtbot: QtBot, key: str) -> None:
    """Press a key in the composer."""
    qtbot.keyClick(window.page.composer.field, key)


def stored(base_dir: Path) -> list[Message]:
    """Return the messages of the only conversation, read after the window has closed."""
    with ConversationStore(user_paths(base_dir).conversations_file) as store:
        (conversation,) = store.list_conversations()
        return store.path_to_leaf(conversation.id)


def ask_for_long(window: RealWindow) -> str:
    """Load the demo and ask for a long answer; return what there is of it so far."""
    # The same answer every time.
    window.core.settings.set("sampling.seed", 3)
    window.load_demo()
    window.ask(LONG)
    return window.wait_for_text(SOME_CHARS)


def test_a_killed_engine_leaves_text_words_and_a_way_on(
    base_dir: Path, open_window: Any, allow_logs: LogCheck
) -> None:
    allow_logs("engine")
    window = open_window(base_dir)
    text = ask_for_long(window)
    pid = window.core.supervisor.pid
    os.kill(pid, signal.SIGKILL)
    window.until(lambda: window.program.loader.status.phase is LoadPhase.FAILED)
    window.wait_for_end()

    kept = window.answer_text()
    assert kept.startswith(text)
    notice = window.answer().notice
    assert notice is not None
    assert re.search("killed by the system .*because memory ran out", notice.accessibleName())
    assert "smaller context" in notice.accessibleName()
    assert notice.button("retry") is not None

    window.ask(SHORT)
    banner = window.page.banner
    window.until(banner.isVisible)
    banner.button("retry").click()
    window.until(lambda: len(window.page.transcript.turn_ids) == 4)
    # A short answer may be whole before anybody looks.
    window.until(lambda: len(window.answer_text()) >= 5)
    assert window.core.supervisor.pid != pid
    window.wait_for_end()
    assert banner.isHidden()
    window.close()
    states = [(message.role, message.state) for message in stored(base_dir)]
    assert states[:3] == [("user", "complete"), ("assistant", "interrupted"), ("user", "complete")]
    assert states[3] == ("assistant", "complete")
    assert stored(base_dir)[1].content == kept


def test_retry_below_the_answer_loads_again_and_answers(
    base_dir: Path, open_window: Any, allow_logs: LogCheck
) -> None:
    allow_logs("engine")
    window = open_window(base_dir)
    ask_for_long(window)
    first_id = window.page.transcript.turn_ids[-1]
    os.kill(window.core.supervisor.pid, signal.SIGKILL)
    window.until(lambda: window.program.loader.status.phase is LoadPhase.FAILED)
    window.wait_for_end()
    window.answer().notice.button("retry").click()
    window.until(lambda: window.page.transcript.turn_ids[-1] != first_id)
    window.wait_for_text(SOME_CHARS)
    window.close()


def test_escape_stops_an_answer(base_dir: Path, open_window: Any, qtbot: QtBot) -> None:
    window = open_window(base_dir)
    text = ask_for_long(window)
    press(window, qtbot, ESCAPE)
    window.wait_for_end()
    kept = window.answer_text()
    assert kept.startswith(text)
    assert window.answer().notice is None
    assert window.program.loader.status.is_ready
    window.ask(SHORT)
    window.until(lambda: len(window.page.transcript.turn_ids) == 4)
    # A short answer may be whole before anybody looks.
    window.until(lambda: len(window.answer_text()) >= 5)
    press(window, qtbot, ESCAPE)
    window.wait_for_end()
    window.close()
    messages = stored(base_dir)
    assert (messages[1].state, messages[1].content) == ("cancelled", kept)


def test_an_engine_that_ignores_escape_is_ended_and_the_user_told(
    base_dir: Path, open_window: Any, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {"generate": "ignore_cancel", "rate_words_s": 30, "words": 10_000}
    for name, value in engine_variable(PROBLEM_ENGINE, script).items():
        monkeypatch.setenv(name, value)
    window = open_window(base_dir)
    text = ask_for_long(window)
    pid = window.core.supervisor.pid
    press(window, qtbot, ESCAPE)
    window.wait_for_end()
    window.until(lambda: is_gone(pid))
    assert window.answer_text().startswith(text)
    window.until(lambda: window.told("did not react"))


def test_closing_in_mid_answer_ends_the_engine_and_keeps_the_text(
    base_dir: Path, open_window: Any
) -> None:
    window = open_window(base_dir)
    text = ask_for_long(window)
    pid = window.core.supervisor.pid
    assert not is_gone(pid)
    window.close()
    assert is_gone(pid)
    messages = stored(base_dir)
    assert messages[1].content.startswith(text)
    assert messages[1].state == "cancelled"
    again = open_window(base_dir)
    again.until(lambda: again.page.transcript.turn_ids == [m.id for m in messages])
    assert again.answer_text() == messages[1].content
    again.close()
