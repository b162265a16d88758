"""The server in the composed program: seen everywhere, beside the chat, gone with the window."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.views.main_window import CHAT, SERVER
from app.views.server_page import ServerPage
from helpers.real_window import RealWindow
from models.settings import Settings
from models.units import split_rate


@pytest.fixture
def real(qtbot: QtBot, base_dir: Path) -> Iterator[RealWindow]:
    settings = Settings(base_dir / "config" / "settings.toml")
    settings.set("server.port", 0)
    settings.save()
    real = RealWindow(qtbot, base_dir)
    yield real
    real.close()


def ask(url: str, key: str) -> str:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    body = {"max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        return str(json.loads(connection.getresponse().read())["choices"][0]["finish_reason"])
    finally:
        connection.close()


def test_the_window_shows_that_the_server_is_on_and_closes_it(
    real: RealWindow, qtbot: QtBot
) -> None:
    real.load_demo()
    serving = real.program.serving.serving
    button = real.window.rail.button(SERVER)
    assert button.accessibleDescription() == ""
    real.window.show_page(SERVER)
    page = real.window.page(SERVER)
    assert isinstance(page, ServerPage)
    page.state.switch.click()
    real.until(lambda: page.state.url and serving.key.key)
    url = page.state.url
    assert url in button.accessibleDescription()
    assert url in button.toolTip()
    with ThreadPoolExecutor(1) as programs:
        asked = programs.submit(ask, url, serving.key.key)
        real.until(asked.done)
    assert asked.result() in ("stop", "length")
    # Of the answer as a whole, as after one of the chat: no live figure is left standing.
    real.until(lambda: serving.requests and not serving.requests[0].is_open)
    rate = serving.requests[0].note.decode_tok_s
    mean = " ".join(split_rate(rate)) if rate else "Ready"
    real.until(lambda: real.program.status_bar.speed.text() == mean)
    real.window.show_page(CHAT)
    bar = real.program.status_bar
    assert bar.server.text() == "Server on" or bar.server.text() == "Server answers"
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.server.geometry().center())
    assert real.window.current_page == SERVER
    real.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) != 0


def test_it_starts_with_the_window_only_where_that_is_wanted(
    qtbot: QtBot, base_dir: Path, real: RealWindow
) -> None:
    real.until(lambda: real.core.telemetry.latest)
    assert not real.program.serving.serving.status.is_on
    real.core.settings_bridge.set("server.starts_with_window", True)
    real.close()
    again = RealWindow(qtbot, base_dir)
    again.until(lambda: again.program.serving.serving.status.url)
    again.close()
