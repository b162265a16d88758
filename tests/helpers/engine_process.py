"""A real engine child driven line by line, with nothing of Fathom's own client in between."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from models.runtime.protocol import FINAL_EVENTS, event_from_json

ANSWER_LIMIT_S = 120.0
FINAL_NAMES = (
    "devices",
    "loaded",
    "unloaded",
    "done",
    "benched",
    "streams",
    "cancelled",
    "cancel_accepted",
    "pong",
    "bye",
    "error",
)
assert len(FINAL_NAMES) == len(FINAL_EVENTS)

ENGINE_COMMAND = [sys.executable, "-c", "from models.runtime.worker import main; main()"]


class EngineProcess:
    """Starts the engine child and speaks the protocol by hand."""

    def __init__(self, command: list[str] | None = None) -> None:
        self.process = subprocess.Popen(
            command or ENGINE_COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="engine-test-reader")
        self._reader.start()
        self._next_id = 0
        self.unclaimed: list[dict[str, Any]] = []

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def send(self, op: str, **fields: Any) -> int:
        """Write one request and return its id."""
        self._next_id += 1
        self.send_raw(json.dumps({"id": self._next_id, "op": op, **fields}).encode() + b"\n")
        return self._next_id

    def send_raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def next_event(self) -> dict[str, Any]:
        """Return the next event; fail at the end of the stream."""
        event = self._lines.get(timeout=ANSWER_LIMIT_S)
        assert event is not None, "the engine child closed its output"
        event_from_json(dict(event))  # every event is one of the protocol
        return event

    def until(self, request_id: int | None, name: str) -> list[dict[str, Any]]:
        """Return the events of a request up to and including the first one called ``name``."""
        events: list[dict[str, Any]] = []
        while True:
            event = self.next_event()
            if event["id"] != request_id:
                self.unclaimed.append(event)
                continue
            events.append(event)
            if event["event"] == name:
                return events
            assert event["event"] not in FINAL_NAMES, event

    def ask(self, op: str, **fields: Any) -> list[dict[str, Any]]:
        """Send a request and return all its events; the last one is final."""
        return self.finish(self.send(op, **fields))

    def finish(self, request_id: int) -> list[dict[str, Any]]:
        """Return a request's events up to its final one."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["event"] not in FINAL_NAMES:
            event = self.next_event()
            (events if event["id"] == request_id else self.unclaimed).append(event)
        return events

    def load(self, path: Path, **settings: Any) -> dict[str, Any]:
        """Load a checkpoint and return its final event."""
        return self.ask("load", path=str(path), settings=settings)[-1]

    def answer(self, text: str, **fields: Any) -> tuple[str, str, dict[str, Any]]:
        """Ask one question; return text, reasoning and the final event."""
        fields.setdefault("sampling", {"temperature": 0})
        events = self.ask("generate", messages=[{"role": "user", "content": text}], **fields)
        deltas = [event for event in events if event["event"] == "delta"]
        return (
            "".join(delta["text"] for delta in deltas),
            "".join(delta["reasoning"] for delta in deltas),
            events[-1],
        )

    def close(self) -> int:
        """End the child through the end of its input; return its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            status = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status
