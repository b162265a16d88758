"""The frozen program as a server: its HTTP child brings the modules that it needs."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from pathlib import Path

from helpers.frozen_program import LIMIT_S, FrozenProgram


def test_serve_answers_and_ends_with_its_children(frozen: FrozenProgram, tmp_path: Path) -> None:
    arguments = ("--basedir", tmp_path / "base", "serve", "demo", "--port", "0", "--json")
    with subprocess.Popen(
        frozen.command(*arguments, "--ctx", "1024"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=frozen.environment(),
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        ready = json.loads(program.stdout.readline())
        assert ready["event"] == "serving"
        key = Path(ready["key_file"]).read_text()
        connection = http.client.HTTPConnection("127.0.0.1", ready["port"], timeout=LIMIT_S)
        question = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(question), headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, body
        assert json.loads(body)["choices"][0]["message"]["content"].strip()
        program.send_signal(signal.SIGINT)
        program.stdout.read()
        errors = program.stderr.read()
    assert (program.returncode, errors) == (0, "")


def test_the_key_is_printed(frozen: FrozenProgram, tmp_path: Path) -> None:
    printed = frozen.output("--basedir", tmp_path / "base", "serve", "--print-key")
    assert printed.startswith("fathom-")
