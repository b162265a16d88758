"""``fathom serve`` as a real process, and its clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from helpers.desk_parts import Collected
from helpers.fathom_process import FATHOM, TIMEOUT_S

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a client got; names of headers in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Json:
        """The one JSON object."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def text(self) -> str:
        """What was answered, of an answer in one piece."""
        content = self.data["choices"][0]["message"]["content"]
        assert isinstance(content, str)
        return content

    @property
    def chunks(self) -> list[Json]:
        """The objects of a streamed answer; it must have come to its end."""
        blocks = [block for block in self.body.decode().split("\n\n") if block.startswith("data: ")]
        assert blocks[-1] == "data: [DONE]"
        return [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]

    @property
    def streamed_text(self) -> str:
        """What was answered, of a streamed answer."""
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)


class ServedClient:
    """A program that knows the port and the key."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key

    def connect(self, body: Json | None = None, path: str = "/v1/chat/completions") -> Any:
        """Send a request and return the connection; its answer is still to be read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self.key}"}
        if body is None:
            connection.request("GET", path, headers=headers)
        else:
            headers["Content-Type"] = "application/json"
            connection.request("POST", path, json.dumps(body).encode(), headers)
        return connection

    def ask(self, body: Json | None = None, path: str = "/v1/chat/completions") -> Answer:
        """Ask and return the whole answer."""
        with contextlib.closing(self.connect(body, path)) as connection:
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, answer.read())


class ServedProcess(ServedClient):
    """``fathom serve ... --json --port 0``, started; ``wait_ready`` before the first question."""

    def __init__(self, *arguments: str | Path, base_dir: Path, env: Json | None = None) -> None:
        super().__init__(0, "")
        self.process = subprocess.Popen(
            [*FATHOM, "--basedir", str(base_dir), "serve", "--json", "--port", "0"]
            + [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, **(env or {})},
        )
        self.events: Collected[Json] = Collected()
        self.stderr = ""
        self._threads = [threading.Thread(target=self._read), threading.Thread(target=self._listen)]
        for thread in self._threads:
            thread.start()

    def wait_ready(self) -> Json:
        """Wait until the checkpoint is loaded; return the line that says so."""
        ready = self.events.wait_for(lambda event: event.get("event") in ("serving", "end"))
        assert ready.get("event") == "serving", self.stderr
        self.port = ready["port"]
        self.key = Path(ready["key_file"]).read_text()
        return ready

    def wait_for_request(self, wanted: Callable[[Json], bool]) -> Json:
        """Return the first line about a request that fits."""
        return self.events.wait_for(lambda event: event.get("event") == "request" and wanted(event))

    def children(self) -> list[psutil.Process]:
        """Return its children, engine and server."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it as Ctrl-C does, and return the exit status; safe twice."""
        if self.process.poll() is None and sys.platform == "win32":
            # Ctrl-C is the console's there.
            self.process.terminate()
        elif self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(TIMEOUT_S)
        for thread in self._threads:
            thread.join()
        for file in (self.process.stdout, self.process.stderr):
            assert file is not None
            file.close()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events(json.loads(line))
        self.events({"event": "end"})

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line


@contextlib.contextmanager
def serving(
    *arguments: str | Path, base_dir: Path, env: Json | None = None
) -> Iterator[ServedProcess]:
    """Start ``fathom serve``, wait until it is ready, and stop it at the end."""
    served = ServedProcess(*arguments, base_dir=base_dir, env=env)
    try:
        served.wait_ready()
        yield served
    finally:
        if served.process.poll() is None and not served.port:
            served.process.kill()
        served.stop()


def question(text: str, **fields: Any) -> Json:
    """Return a question that is always answered in the same words."""
    messages = [{"role": "user", "content": text}]
    return {"messages": messages, "temperature": 0, "max_tokens": 8, **fields}
