"""What ``fathom run`` says when its engine child crashes, hangs or talks nonsense."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli.failures import guarded
from app.cli.parser import parse
from app.cli.run import run
from app.cli.session import Session
from helpers.engine_harness import PROBLEM_ENGINE
from helpers.tiny_gguf import write_tiny
from models.paths import user_paths
from models.runtime.protocol import Cancelled, DeviceList, LoadSettings
from models.settings import Settings


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf")


@pytest.fixture(autouse=True)
def engine_may_complain(allow_logs: Any) -> None:
    allow_logs("engine")


def problem_session(base_dir: Path, script: dict[str, Any]) -> Session:
    paths = user_paths(base_dir)
    command = (sys.executable, str(PROBLEM_ENGINE), json.dumps(script))
    return Session(paths, Settings(paths.settings_file), command)


def options_for(checkpoint: Path, *more: str) -> argparse.Namespace:
    return parse(["run", str(checkpoint), "--prompt", "x", *more])


def run_with(base_dir: Path, checkpoint: Path, script: dict[str, Any], *more: str) -> int:
    options = options_for(checkpoint, *more)
    session = problem_session(base_dir, script)
    return guarded(lambda: run(options, session), json_output=options.json, log_file=None)


def test_an_answer(base_dir: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(base_dir, checkpoint, {}) == 0
    out, err = capsys.readouterr()
    assert out == "word0 word1 word2 word3 word4 \n"
    assert err == "fathom: prompt of 7 tokens, the answer is complete\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"hello": "old"}, "version"),
        ({"hello": "error"}, "No libllama. Install it."),
        ({"hello": "exit"}, "fathom: "),
        ({"load": "error"}, "No. Another one."),
        ({"load": "segv"}, "SIGSEGV"),
        ({"load": "kill"}, "memory"),
        ({"load": "out_of_memory"}, "memory"),
    ],
)
def test_a_failure_before_the_answer_is_one_line(
    base_dir: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    script: dict[str, Any],
    words: str,
) -> None:
    assert run_with(base_dir, checkpoint, script) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fathom: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["segv_late", "kill", "garbage", "partial"])
def test_a_crash_in_the_answer_keeps_what_came(
    base_dir: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    assert run_with(base_dir, checkpoint, {"generate": kind}) == 1
    out, err = capsys.readouterr()
    assert out == "word0 word1 \n"
    assert err.count("\n") == 1


def test_the_retry_in_safe_mode_is_told(
    base_dir: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(base_dir, checkpoint, {"load": "abort_repacked"}) == 0
    out, err = capsys.readouterr()
    assert "word4" in out
    assert "safe mode" in err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    "script", [{"load": "slow"}, {"generate": "flood", "rate_words_s": 50}], ids=["load", "answer"]
)
def test_ctrl_c_cancels(
    base_dir: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    script: dict[str, Any],
) -> None:
    session = problem_session(base_dir, script)
    options = options_for(checkpoint, "--json")
    done = threading.Event()

    def idle(*_: object) -> None:
        """Listen to no Ctrl-C."""

    interrupter = threading.Thread(target=interrupt_until, args=(done, idle))
    before = signal.signal(signal.SIGINT, idle)
    interrupter.start()
    try:
        code = run(options, session)
    finally:
        done.set()
        interrupter.join()
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert json.loads(capsys.readouterr().out)["stop_reason"] == "cancelled"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_at_the_end_of_one_request_cancels_the_next(
    base_dir: Path, checkpoint: Path
) -> None:
    engine = problem_session(base_dir, {"load": "slow"}).open_engine()
    with engine, engine.ctrl_c_cancels():
        engine.supervisor.start()
        os.kill(os.getpid(), signal.SIGINT)
        asked = engine.supervisor.request_devices()
        engine.supervisor.wait(asked)
        # It had ended before anybody took note of Ctrl-C.
        assert isinstance(engine.last(asked).body, DeviceList)
        load = engine.supervisor.load(str(checkpoint), LoadSettings())
        assert isinstance(engine.last(load).body, Cancelled)


def interrupt_until(done: threading.Event, idle: Callable[..., None]) -> None:
    """Press Ctrl-C once, when the command line has begun to listen for it.

    It may do so before this thread has taken its first step.
    """
    while signal.getsignal(signal.SIGINT) is idle:
        if done.wait(0.02):
            return
    os.kill(os.getpid(), signal.SIGINT)
