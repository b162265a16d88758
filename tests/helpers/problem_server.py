"""A child in the place of the one that speaks HTTP, which fails as it is told to.

    python problem_server.py '{"begin": "ok"}'

begin   ok, busy (the port), never, garbage, exit, early (asks before it listens), twice
then    die (SIGKILL), exit, garbage, deaf (ignores the end of its input and SIGTERM); else it waits
asks    so many questions are brought at once, with ids from 1
turned  so many pages are turned away
says    written to standard error
What the parent writes is kept in the file that "heard" names, a line each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

_QUESTION = {"model": "", "messages": [{"role": "user", "content": "Why?", "reasoning": ""}]}


def _say(event: str, **fields: Any) -> None:
    os.write(1, json.dumps({"event": event, **fields}).encode() + b"\n")


def _hang() -> NoReturn:
    while True:
        threading.Event().wait(3600.0)


def _begin(kind: str) -> None:
    if kind == "never":
        return
    if kind == "garbage":
        os.write(1, b"INFO: Uvicorn running on http://0.0.0.0\n")
        return
    if kind == "exit":
        os._exit(3)
    if kind == "busy":
        words = {"message": "Port 8737 is in use.", "hint": "Take 8738.", "details": "d"}
        _say("not_listening", code="server_port_busy", **words)
        os._exit(1)
    if kind == "early":
        _say("asked_for_models", id=1)
    for _ in range(2 if kind == "twice" else 1):
        _say("listening", address="127.0.0.1", port=8737)


def _misbehave(kind: str) -> None:
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "exit":
        os._exit(7)
    elif kind == "garbage":
        os.write(1, b"garbage\n")


def main(script: dict[str, Any]) -> None:
    """Do what the script says until the input ends."""
    heard = Path(script["heard"]).open("wb", buffering=0) if "heard" in script else None  # noqa: SIM115
    if script.get("then") == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(2, script.get("says", "").encode())
    first = sys.stdin.buffer.readline()
    if heard is not None:
        heard.write(first)
    _begin(script.get("begin", "ok"))
    for number in range(script.get("asks", 0)):
        _say("asked", id=number + 1, question=_QUESTION)
    for _ in range(script.get("turned", 0)):
        _say("turned_away", reason="origin", shown="https://evil.example", count=1)
    waits_for_answer = script.get("after_first_answer")
    if not waits_for_answer:
        _misbehave(script.get("then", ""))
    for line in sys.stdin.buffer:
        if heard is not None:
            heard.write(line)
        if waits_for_answer and b'"piece"' in line:
            _misbehave(script.get("then", ""))
    if script.get("then") == "deaf":
        _hang()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
