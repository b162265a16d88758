"""A new user on an empty machine: Discover, choose, download, pause, power cut, go on, load, chat.

The whole program runs in a process of its own, with a person in it who has mouse and keyboard only
(tests/helpers/new_user.py). In the middle of the download the window and the transfer child are
killed at the same moment; the same is started again on what they left.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from helpers import new_user
from helpers.fake_hub import FakeHub, fake_hub
from helpers.fake_hub_content import FileContent, RemoteFileContent
from helpers.true_scale import true_scale
from helpers.whole_program import is_gone, wait_until
from models.catalog.loader import load_catalog
from models.library.demo import find_demo
from models.transfer.patience import Layout

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL"),
    pytest.mark.model,
]

# No DeepSeek: what calls itself one and has another template is held back before it is loaded.
REPOSITORY, FILE = "maker/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct-Q4_1.gguf"
README = "---\nlicense: apache-2.0\n---\n# SmolLM2\n\nA *small* model to try with.\n"
# Of each connection: slow enough to be killed in the middle, then quick.
RATE_BYTES_S, LATER_RATE_BYTES_S = 10e6, 30e6
WAIT_S = 60.0
# Each of the two blocks in flight, and what the sockets of each hold.
BLOCKS = 2
SOCKETS_BYTES = 1 << 20
# What sizing a checkpoint reads of its header.
LOOK_BYTES = 4 << 20


class WatchedProgram:
    """The program with a person at it; ``hear`` waits for what the person comes to."""

    def __init__(self, steps: str, env: dict[str, str], log_file: Path) -> None:
        self._log_file = log_file
        with log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", new_user.__file__, steps],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **env},
                text=True,
            )

    def hear(self, seen: str) -> dict[str, Any]:
        """Return the next thing that the person tells, which must be this."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(WAIT_S)
        words = self._log_file.read_text(errors="replace")
        assert line, f"{seen} not seen; {self.process.returncode}: {words[-2000:]}"
        told: dict[str, Any] = json.loads(line)
        assert told.pop("seen") == seen, words[-2000:]
        return told

    def kill(self) -> list[int]:
        """Kill the window and all that it started at once; return their process ids."""
        family = [psutil.Process(self.process.pid)]
        family += family[0].children(recursive=True)
        for each in family:
            each.send_signal(signal.SIGSTOP)
        for each in family:
            each.kill()
        self.process.wait()
        return [each.pid for each in family]


@contextmanager
def watched(steps: str, env: dict[str, str], log_file: Path) -> Iterator[WatchedProgram]:
    """Run the program; it does not outlive the ``with`` block."""
    program = WatchedProgram(steps, env, log_file)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.kill()
        assert program.process.stdout is not None
        program.process.stdout.close()


def offer(hub: FakeHub, demo: Path) -> None:
    """Put the demo there, and a family of the catalogue to look at."""
    hub.add(REPOSITORY, FILE, FileContent(demo))
    hub.add(REPOSITORY, "README.md", README)
    card = next(card for card in load_catalog() if card.card_id == new_user.FAMILY)
    header = true_scale("qwen15-q4km").files[0]
    hub.add(
        card.gguf[0].repository,
        "DeepSeek-R1-Distill-Qwen-1.5B-Q4_K_M.gguf",
        RemoteFileContent(header.header, header.size_bytes),
    )


def sent_bytes(hub: FakeHub) -> int:
    """Return how much of the demo was sent."""
    return sum(seen.size_sent_bytes for seen in hub.seen("cdn") if FILE in seen.path)


def test_a_new_user_gets_an_answer_although_the_power_fails(
    private_home: Path, tmp_path: Path
) -> None:
    demo = find_demo()
    assert demo is not None
    size_bytes = demo.stat().st_size
    with fake_hub() as hub:
        offer(hub, demo)
        hub.rate_bytes_s = RATE_BYTES_S
        env = {"HF_ENDPOINT": hub.endpoint}
        with watched("fetch", env, tmp_path / "first.txt") as program:
            assert program.hear("family")["button"].startswith("Download")
            assert program.hear("repository")["button"].startswith("Download")
            assert 0 < program.hear("paused")["bytes_done"] < size_bytes
            half_bytes = program.hear("half")["bytes_done"]
            killed = program.kill()
        # The window and the transfer child, at least.
        assert len(killed) >= 2
        wait_until(lambda: all(map(is_gone, killed)), "the end of all that was killed")
        assert half_bytes < size_bytes
        assert not list(private_home.rglob(FILE))
        hub.rate_bytes_s = LATER_RATE_BYTES_S
        with watched("go_on", env, tmp_path / "second.txt") as program:
            ready = program.hear("ready")
            assert program.hear("loaded")["path"] == ready["path"]
            assert program.hear("answer")["text"].strip()
            assert program.process.wait(WAIT_S) == 0, (tmp_path / "second.txt").read_text()
        extra_bytes = sent_bytes(hub) - size_bytes
    path = Path(ready["path"])
    assert path.is_relative_to(private_home)
    assert digest(path) == digest(demo)
    may_lose_bytes = BLOCKS * Layout().flush_bytes
    assert may_lose_bytes + BLOCKS * SOCKETS_BYTES + LOOK_BYTES < half_bytes
    assert 0 <= ready["bytes_refetched"] <= may_lose_bytes
    assert 0 <= extra_bytes <= may_lose_bytes + BLOCKS * SOCKETS_BYTES + LOOK_BYTES
    print(f"fetched twice: {extra_bytes:,} of {size_bytes:,} bytes")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
