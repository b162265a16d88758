"""``fathom serve``: the key, bad input, what is told, Ctrl-C, and an engine that crashes."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from app.cli import serve as serve_verb
from app.cli.failures import guarded
from app.cli.parser import parse
from app.cli.serve import request_words, turned_away_words
from app.cli.session import Session
from helpers.engine_harness import WAIT_S, problem_command
from helpers.fathom_process import FATHOM, assert_one_clear_line, fathom, one_object
from helpers.served_process import ServedClient, ServedProcess, question, serving
from helpers.tiny_gguf import write_tiny
from models.api.desk import RequestNote
from models.api.key import KEY_FILE, load_or_make_key
from models.api.protocol import TurnedAway
from models.paths import paths_under
from models.runtime.command import ENGINE_COMMAND_VARIABLE
from models.settings import Settings

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf")


def _engine(script: dict[str, Any]) -> dict[str, str]:
    return {ENGINE_COMMAND_VARIABLE: shlex.join(problem_command(script))}


def _session(base_dir: Path, script: dict[str, Any] | None = None) -> Session:
    paths = paths_under(base_dir)
    return Session(paths, Settings(paths.settings_file), tuple(problem_command(script or {})))


def _run(base_dir: Path, *arguments: str | Path) -> int:
    """Run the verb in this process, as far as it comes without an engine."""
    options = parse(["serve", *map(str, arguments)])
    verb = functools.partial(serve_verb.serve, options, _session(base_dir))
    return guarded(verb, json_output=options.json, log_file=None)


# --- the key --------------------------------------------------------------------------------------


def test_the_key_is_printed_and_replaced(
    base_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = paths_under(base_dir).data_dir
    assert _run(base_dir, "--print-key") == 0
    key, errors = capsys.readouterr()
    assert (key.strip(), errors) == (load_or_make_key(data_dir), "")
    assert _run(base_dir, "--new-key", "--json") == 0
    new = one_object(capsys.readouterr().out)["key"]
    assert new == load_or_make_key(data_dir)
    assert new != key.strip()


def test_a_damaged_key_is_said_and_mended_on_demand_only(
    base_dir: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = paths_under(base_dir)
    paths.create()
    (paths.data_dir / KEY_FILE).write_text("not a key")
    assert _run(base_dir, checkpoint) == 1
    assert "--new-key" in capsys.readouterr().err
    assert (paths.data_dir / KEY_FILE).read_text() == "not a key"


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which checkpoint?"),
        (["nowhere.gguf"], "nowhere"),
        (["demo", "--allow-origin", "*"], "all of a kind"),
        (["demo", "--allow-origin", "null"], "null"),
        (["demo", "--allow-origin", "https://a.example/page"], "a.example/page"),
    ],
    ids=["no name", "no such file", "all pages", "null", "a path"],
)
def test_bad_input_is_one_line(
    base_dir: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(base_dir, *arguments) == 2
    out, errors = capsys.readouterr()
    assert (out, len(errors.splitlines())) == ("", 1)
    assert words in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--port", "65536"], "65536"),
        (["demo", "--port", "-1"], "-1"),
        (["--print-key", "--new-key"], "not allowed with"),
    ],
    ids=["no port", "a negative port", "two wishes"],
)
def test_bad_options_end_it(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["serve", *arguments])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_a_port_in_use_is_said_before_anything_is_loaded(base_dir: Path, checkpoint: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        # Loading would never end.
        done = fathom(
            "serve",
            checkpoint,
            "--port",
            port,
            "--basedir",
            base_dir,
            env=_engine({"load": "hang"}),
        )
    assert port in assert_one_clear_line(done, code=1)


def test_a_checkpoint_that_cannot_be_loaded_ends_it(base_dir: Path, checkpoint: Path) -> None:
    arguments = ["serve", checkpoint, "--port", "0", "--basedir", base_dir]
    done = fathom(*arguments, env=_engine({"load": "error"}))
    assert_one_clear_line(done, code=1)


# --- a server -------------------------------------------------------------------------------------


def test_what_happens_is_told_a_line_each(base_dir: Path, checkpoint: Path) -> None:
    env = _engine({"words": 3})
    with serving(checkpoint, base_dir=base_dir, env=env) as served:
        ready = served.wait_ready()
        assert ready["url"] == f"http://127.0.0.1:{served.port}/v1"
        answer = served.ask(question("a secret", model=ready["name"]))
        assert (answer.status, answer.text) == (200, "word0 word1 word2 ")
        done = served.wait_for_request(lambda event: event["state"] == "done")
        assert (done["id"], done["prompt_tokens"], done["model"]) == (1, 7, ready["name"])
        served.key = "fathom-wrong"
        assert served.ask(question("x")).status == 401
        told = served.events.wait_for(lambda event: event.get("event") == "turned_away")
        assert told["reason"] == "key"
    assert "secret" not in json.dumps(served.events.items)
    assert "word0" not in json.dumps(served.events.items)
    assert served.stderr == ""


def test_in_words_for_people(base_dir: Path, checkpoint: Path) -> None:
    """Without ``--json``: where it is on standard output, the rest on standard error."""
    arguments = ["serve", str(checkpoint), "--port", "0", "--basedir", str(base_dir)]
    with subprocess.Popen(
        [*FATHOM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **_engine({"words": 1})},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:")
        assert str(paths_under(base_dir).data_dir / KEY_FILE) in line
        assert load_or_make_key(paths_under(base_dir).data_dir) not in line
        process.terminate()
        process.stdout.read()
        errors = process.stderr.read()
    assert errors == ""


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_ends_it_in_the_middle_of_an_answer(
    base_dir: Path, checkpoint: Path, number: signal.Signals
) -> None:
    env = _engine({"generate": "flood", "rate_words_s": 100})
    with serving(checkpoint, base_dir=base_dir, env=env) as served:
        connection = served.connect(question("Why?", stream=True))
        assert connection.getresponse().readline()
        children = served.children()
        assert len(children) == 2
        assert served.stop(number) == 0
        connection.close()
        assert not [child for child in children if child.is_running()]
    assert served.stderr == ""


@posix_only
def test_ctrl_c_during_the_load_is_an_end_like_any_other_verbs(
    base_dir: Path, checkpoint: Path
) -> None:
    served = ServedProcess(checkpoint, base_dir=base_dir, env=_engine({"load": "slow"}))
    # Its server and its engine: whatever it is at, it is not ready, and never will be.
    while len(served.children()) < 2:
        assert served.process.poll() is None, served.stderr
        threading.Event().wait(0.02)
    assert served.stop() == 130
    assert [event.get("event") for event in served.events.items] == ["end"]
    assert served.stderr.splitlines()[-1] == "fathom: Stopped."


def test_a_server_that_is_killed_ends_it_with_a_word(base_dir: Path, checkpoint: Path) -> None:
    with serving(checkpoint, base_dir=base_dir, env=_engine({})) as served:
        (server,) = (child for child in served.children() if "http-server" in child.cmdline())
        server.kill()
        served.events.wait_for(lambda event: event.get("event") == "end")
        assert served.stop() == 1
    errors = [item["error"] for item in served.events.items if "error" in item]
    assert [error["code"] for error in errors] == ["server_down"]
    assert served.stderr.startswith("fathom: The server was ")


# --- an engine that crashes -----------------------------------------------------------------------


class _Output(io.StringIO):
    """Standard output that another thread reads line by line."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def write(self, text: str) -> int:
        """Take a line, or the end of it."""
        if text.strip():
            self._lines.put(json.loads(text))
        return len(text)

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return the next line of an event, past all others."""
        while (line := self._lines.get(timeout=WAIT_S))["event"] != event:
            pass
        return line


@posix_only
def test_after_a_crash_the_checkpoint_is_loaded_again(
    base_dir: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    allow_logs: Any,
) -> None:
    allow_logs("engine")
    monkeypatch.setattr(serve_verb, "RELOAD_INTERVAL_S", 0.0)
    session = _session(base_dir, {"generate": "segv_late"})
    options = parse(["serve", str(checkpoint), "--port", "0", "--json"])
    statuses: list[int] = []
    output = _Output()

    def be_client() -> None:
        try:
            for _ in range(2):
                ready = output.wait_for("serving")
                key = Path(ready["key_file"]).read_text()
                statuses.append(ServedClient(ready["port"], key).ask(question("Why?")).status)
                assert output.wait_for("engine_failed")["error"]["code"] == "engine_crashed"
            output.wait_for("serving")
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    client = threading.Thread(target=be_client)
    client.start()
    try:
        with contextlib.redirect_stdout(output):
            assert serve_verb.serve(options, session) == 0
    finally:
        client.join()
    assert statuses == [500, 500]


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (
            RequestNote(1, "demo", "done", 30, 45, 12.34, 4.0),
            "45 tokens at 12.3 tok/s, prompt of 30 tokens, 4.00 s",
        ),
        (RequestNote(1, "demo", "failed", error="It\x1b[31m broke."), "failed: It[31m broke."),
        (
            RequestNote(1, "demo", "failed", error='No "x\nRequest 2: 5 tokens" here.'),
            'failed: No "x Request 2: 5 tokens" here.',
        ),
        (
            RequestNote(1, "demo", "gone", 30, 2, 0.0, 1.0),
            "2 tokens, prompt of 30 tokens, 1.00 s, the client hung up",
        ),
    ],
    ids=["done", "failed", "failed and forging lines", "gone"],
)
def test_a_request_in_words(note: RequestNote, words: str) -> None:
    assert request_words(note) == words


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            TurnedAway("origin", "https://evil.example"),
            "A web page at https://evil.example wanted to use the server and was refused.",
        ),
        (TurnedAway("origin"), "A web page wanted to use the server and was refused."),
        (TurnedAway("key", count=3), "A request without the right key was refused, 3 times."),
        (TurnedAway("new", "\x1b[2J"), "A request was refused ([2J)."),
    ],
    ids=["a page", "a page without a name", "the key", "unknown"],
)
def test_who_was_turned_away_in_words(told: TurnedAway, words: str) -> None:
    assert turned_away_words(told) == words
