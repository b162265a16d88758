"""A process that writes answers as the window does is killed, again and again."""

from __future__ import annotations

import hashlib
import os
import random
import selectors
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.chat.store import ConversationStore, Message

REPO_ROOT = Path(__file__).resolve().parents[3]
KILLS = 20
SEED = 20_261_121

# One line is reported after each commit has returned: message, what happened, digest of its text.
WRITER = """
import hashlib, os, random, sys
from pathlib import Path
from models.chat.store import ConversationStore

def report(message_id, state, content, reasoning):
    digest = hashlib.sha256(f"{content}|{reasoning}".encode()).hexdigest()
    os.write(1, f"{message_id} {state} {len(content)} {len(reasoning)} {digest}\\n".encode())

def word(rng):
    return rng.choice(["deep", "seek", "模型", "\\n", "code()", "été"]) + " "

rng = random.Random(int(sys.argv[2]))
store = ConversationStore(Path(sys.argv[1]))
store.open()
store.recover()
os.write(1, b"open\\n")
while True:
    conversation = store.create_conversation(f"conversation {rng.random()}")
    leaf = None
    for turn in range(4):
        question = "".join(word(rng) for _ in range(30))
        asked = store.add_message(conversation.id, leaf, "user", question)
        report(asked.id, "complete", question, "")
        answer = store.add_message(conversation.id, asked.id, "assistant", "", state="streaming")
        report(answer.id, "streaming", "", "")
        content = reasoning = ""
        for step in range(rng.randrange(1, 25)):
            new = "".join(word(rng) for _ in range(rng.choice([5, 20, 2000])))
            if step < 8:
                reasoning += new
            else:
                content += new
            store.update_answer(answer.id, content, reasoning)
            report(answer.id, "streaming", content, reasoning)
        state = rng.choice(["complete", "cancelled", "failed"])
        store.finish_answer(answer.id, content, reasoning, state, {"ttft_s": 0.5})
        report(answer.id, state, content, reasoning)
        leaf = answer.id
"""


class Reported:
    """What the killed processes said they had committed: the last word on each message."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[str, int, int, str]] = {}
        self.lines = 0

    def take(self, output: bytes) -> None:
        for line in output.splitlines(keepends=True):
            fields = line.split()
            if len(fields) == 5 and line.endswith(b"\n"):
                state, digest = fields[1].decode(), fields[4].decode()
                self.last[int(fields[0])] = (state, int(fields[2]), int(fields[3]), digest)
                self.lines += 1


def run_until_killed(path: Path, seed: int, run_s: float) -> bytes:
    """Let a writer run for ``run_s`` from its first word on; return all its words."""
    # Without a buffer: what it held of the first words would come after all others.
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(seed)],
        cwd=REPO_ROOT,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert child.stdout is not None
    output = child.stdout.readline()
    assert output == b"open\n"
    deadline = time.monotonic() + run_s
    with selectors.DefaultSelector() as selector, child.stdout:
        selector.register(child.stdout, selectors.EVENT_READ)
        while (left_s := deadline - time.monotonic()) > 0:
            if selector.select(left_s):
                output += os.read(child.stdout.fileno(), 65536)
        child.kill()
        child.wait(timeout=60)
        output += child.stdout.read()
    return output


def check(message: Message, state: str, lengths: tuple[int, int], digest: str) -> None:
    """The message is as reported, or one step further: that commit's report did not get out."""
    content, reasoning = message.content, message.reasoning
    text = f"{content[: lengths[0]]}|{reasoning[: lengths[1]]}"
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    if state == "streaming":
        assert message.state in ("interrupted", "complete", "cancelled", "failed")
    else:
        assert message.state == state
        assert (len(content), len(reasoning)) == lengths


@pytest.mark.skipif(sys.platform == "win32", reason="pipes cannot be selected there")
def test_everything_committed_survives_twenty_kills(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    rng = random.Random(SEED)
    reported = Reported()
    interrupted = 0
    for kill in range(KILLS):
        reported.take(run_until_killed(path, seed=kill, run_s=rng.uniform(0.0, 0.4)))
        with ConversationStore(path) as store:
            interrupted += store.recover()
            assert store.problems() == []
            for message_id, (state, *lengths, digest) in reported.last.items():
                check(store.message(message_id), state, (lengths[0], lengths[1]), digest)
            for conversation in store.list_conversations():
                branch = store.path_to_leaf(conversation.id)
                assert not branch or branch[-1].id == conversation.leaf_id
    # The kills must have hit answers in the middle, or this test would show nothing.
    assert reported.lines > 10 * KILLS
    assert interrupted > KILLS // 4


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_kill_while_the_file_is_made_leaves_a_file_that_opens(tmp_path: Path) -> None:
    """The process dies at each of SQLite's first statements in turn."""
    code = """
import os, signal, sqlite3, sys
from pathlib import Path
from models.chat import database
from models.chat.store import ConversationStore
left = int(sys.argv[2])
connect = sqlite3.connect

class Dying(sqlite3.Connection):
    def execute(self, *arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*arguments)

sqlite3.connect = lambda *a, **k: connect(*a, factory=Dying, **k)
with ConversationStore(Path(sys.argv[1])):
    pass
"""
    for statements in range(0, 34, 3):
        path = tmp_path / str(statements) / "c.sqlite3"
        child = subprocess.run(
            [sys.executable, "-c", code, str(path), str(statements)], cwd=REPO_ROOT, check=False
        )
        assert child.returncode in (0, -9)
        with ConversationStore(path) as store:
            assert store.list_conversations() == []
            assert store.problems() == []
