"""The chat page with a server beside it, and a program that asks: real children, real sockets."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from app.actions.server import Serving
from helpers.chat_window import ChatWindow
from models.api.server import ServerPhase

ANSWER_LIMIT_S = 60.0


@dataclass
class ServingWindow:
    """A chat window, the server over the same engine, and threads for the programs that ask."""

    window: ChatWindow
    serving: Serving
    programs: ThreadPoolExecutor

    def open(self) -> None:
        """Switch the server on and wait until programs can ask."""
        self.serving.switch(True)
        self.wait_until_open()

    def wait_until_open(self) -> None:
        """Wait until programs can ask, with the key that is known here and by all settings."""
        self.window.until(
            lambda: (
                self.serving.key.key
                and self.serving.status.phase is ServerPhase.LISTENING
                and not self.serving.status.needs_restart
            )
        )

    def ask(self, text: str = "Why?", **headers: str) -> Future[tuple[int, Any]]:
        """Let a program ask; the result is the status and the JSON of the answer."""
        return self.programs.submit(_ask, self.url, self.serving.key.key, text, headers)

    @property
    def url(self) -> str:
        """What programs are told."""
        return self.serving.status.url

    def answer(self, asked: Future[tuple[int, Any]]) -> tuple[int, Any]:
        """Wait for an answer with the event loop running."""
        self.window.until(asked.done)
        return asked.result()

    def close(self) -> None:
        """End the server and the programs."""
        self.serving.close()
        self.serving.stop_server()
        self.programs.shutdown(wait=True)
        self.serving.bridge.detach()


def make_serving(window: ChatWindow) -> ServingWindow:
    """Put a server beside a chat window, on whatever port is free."""
    window.settings.set("server.port", 0)
    serving = Serving(
        engine=window.supervisor,
        turns=window.queue,
        loader=window.loader,
        settings=window.settings,
        key_folder=window.folder / "data",
        runner=window.runner,
        messages=window.messages,
    )
    return ServingWindow(window, serving, ThreadPoolExecutor(4))


def text_of(answer: Any) -> str:
    """Return the text of an answer in OpenAI's shape."""
    return str(answer["choices"][0]["message"]["content"])


def _ask(url: str, key: str, text: str, headers: dict[str, str]) -> tuple[int, Any]:
    address = url.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(address, timeout=ANSWER_LIMIT_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps({"messages": [{"role": "user", "content": text}]}),
            {
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/json",
                **named,
            },
        )
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
