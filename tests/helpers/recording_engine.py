"""A talking engine that writes down what it emits, and when, before it emits it.

    python recording_engine.py '{"record": "FILE", "rate_words_s": 25, "pieces": 150}'

record      a file; every process adds lines of JSON: [seconds, kind, process id, text, reasoning]
            kind is asked (a question has arrived) or said (this is now handed to the parent)
pieces      of how many pieces the answer consists; the first ten are reasoning, every third time
Everything else as in talking_engine.py. The clock is the system's monotonic one, which all
processes share.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from talking_engine import TalkingEngine

_REASONING_PIECES = 10
# What an answer may hold and a careless commit could damage.
_WORDS = ("deep", "模型\n", "**été**", "`code()`", "\n\n- 🐋", "don't", "x\ty", "seek")


class RecordingEngine(TalkingEngine):
    """Says numbered words, no two processes the same ones."""

    def __init__(self, script: dict[str, Any]) -> None:
        super().__init__(script)
        self._record_fd = os.open(script["record"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _record(self, kind: str, text: str = "", reasoning: str = "") -> None:
        line = json.dumps([time.monotonic(), kind, os.getpid(), text, reasoning])
        os.write(self._record_fd, line.encode() + b"\n")

    def _pieces(self) -> list[tuple[str, str]]:
        self._record("asked")
        mark = os.getpid()
        words = [
            f"{mark}.{number} {_WORDS[number % len(_WORDS)]} "
            for number in range(self._script["pieces"])
        ]
        thoughts = _REASONING_PIECES if mark % 3 == 0 else 0
        return [("", word) for word in words[:thoughts]] + [(word, "") for word in words[thoughts:]]

    def _emit(self, event: str, request_id: int | None, **fields: Any) -> None:
        if event == "delta":
            # First written down: what the parent stores can never be ahead of the record.
            self._record("said", fields["text"], fields["reasoning"])
        super()._emit(event, request_id, **fields)


if __name__ == "__main__":
    RecordingEngine(json.loads(sys.argv[1])).run()
