"""The program is asked to quit in the middle of an answer: nothing at all is lost."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.whole_program import WAIT_S, WholeProgram, engine_variable, is_gone, wait_until
from models.chat.store import ConversationStore
from models.paths import user_paths

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's"),
    pytest.mark.model,
]

ENGINE = Path(__file__).parents[1] / "helpers" / "recording_engine.py"
SOME_PIECES = 12


def said(record: Path) -> list[list[Any]]:
    """Return what the engine has said so far."""
    lines = record.read_bytes().split(b"\n")[:-1] if record.exists() else []
    return [line for line in map(json.loads, lines) if line[1] == "said"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_kill_in_mid_answer_keeps_every_word(
    base_dir: Path, number: signal.Signals
) -> None:
    record = base_dir / "said.jsonl"
    env = engine_variable(ENGINE, {"record": str(record), "rate_words_s": 20, "pieces": 150})
    arguments = ("--basedir", base_dir, "--demo-question", "Who are you?")
    with WholeProgram(*arguments, env=env, log_file=base_dir / "output.txt") as program:

        def heard() -> bool:
            program.check_runs()
            return len(said(record)) >= SOME_PIECES

        wait_until(heard, "the middle of the answer")
        program.process.send_signal(number)
        program.process.wait(WAIT_S)
    assert program.process.returncode >= 0
    assert "Traceback" not in (base_dir / "output.txt").read_text(encoding="utf-8")
    pieces = said(record)
    assert is_gone(pieces[0][2])
    with ConversationStore(user_paths(base_dir).conversations_file) as store:
        (conversation,) = store.list_conversations()
        _, answer = store.path_to_leaf(conversation.id)
        assert store.problems() == []
    assert answer.state == "cancelled"
    assert answer.content == "".join(piece[3] for piece in pieces)
    assert answer.reasoning == "".join(piece[4] for piece in pieces)
