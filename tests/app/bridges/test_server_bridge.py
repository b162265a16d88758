"""The server's threads at the bridge: order, what is left out, and the end."""

from __future__ import annotations

import threading

from PySide6.QtCore import QThread
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bridges.server import ServerBridge
from models.api.protocol import TurnedAway
from models.api.requests import RequestNote
from models.api.server import ServerPhase, ServerState

WAIT_MS = 15_000


def test_states_come_in_order_in_the_main_thread(qtbot: QtBot) -> None:
    bridge = ServerBridge()
    heard: list[tuple[ServerPhase, bool]] = []
    bridge.state_changed.connect(
        lambda state: heard.append((state.phase, QThread.currentThread().isMainThread()))
    )
    phases = [ServerPhase.STARTING, ServerPhase.LISTENING, ServerPhase.STOPPED] * 20

    def speak() -> None:
        for phase in phases:
            bridge.on_state(ServerState(phase))

    speaker = threading.Thread(target=speak)
    speaker.start()
    qtbot.waitUntil(lambda: len(heard) == len(phases), timeout=WAIT_MS)
    speaker.join()
    assert heard == [(phase, True) for phase in phases]
    bridge.detach()


def test_of_each_request_the_newest_note_comes(qtbot: QtBot) -> None:
    bridge = ServerBridge()
    heard: list[tuple[RequestNote, ...]] = []
    bridge.noted.connect(heard.append)
    bridge.on_note(RequestNote(1, "demo", "waiting"))
    bridge.on_note(RequestNote(2, "demo", "waiting"))
    bridge.on_note(RequestNote(1, "demo", "done"))
    qtbot.waitUntil(lambda: bool(heard), timeout=WAIT_MS)
    assert heard == [(RequestNote(1, "demo", "done"), RequestNote(2, "demo", "waiting"))]
    bridge.detach()


def test_a_flood_of_notes_does_not_fill_the_memory(qtbot: QtBot) -> None:
    bridge = ServerBridge()
    heard: list[RequestNote] = []
    bridge.noted.connect(heard.extend)
    for number in range(5000):
        bridge.on_note(RequestNote(number, "demo", "failed"))
    qtbot.waitUntil(lambda: bool(heard), timeout=WAIT_MS)
    assert len(heard) == 500
    assert heard[-1].id == 4999
    bridge.detach()


def test_a_state_brings_with_it_what_was_waiting(qtbot: QtBot) -> None:
    bridge = ServerBridge()
    heard: list[str] = []
    bridge.noted.connect(lambda _notes: heard.append("note"))
    bridge.turned_away.connect(lambda _refusals: heard.append("refusal"))
    bridge.state_changed.connect(lambda _state: heard.append("state"))
    bridge.on_note(RequestNote(1, "demo", "gone"))
    bridge.on_turned_away(TurnedAway("key"))
    bridge.on_state(ServerState())
    qtbot.waitUntil(lambda: len(heard) == 3, timeout=WAIT_MS)
    assert sorted(heard) == ["note", "refusal", "state"]
    bridge.detach()


def test_after_detaching_nothing_is_heard(qapp: QApplication) -> None:
    bridge = ServerBridge()
    heard: list[object] = []
    bridge.state_changed.connect(heard.append)
    bridge.on_state(ServerState())
    bridge.detach()
    bridge.on_state(ServerState(ServerPhase.LISTENING))
    bridge.on_note(RequestNote(1, "demo", "done"))
    qapp.processEvents()
    assert heard == []
