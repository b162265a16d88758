"""What the window tells of itself, in the composed program."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from app.actions.updates import UpdateStage
from app.views.about_dialog import AboutDialog
from app.views.main_window import SETTINGS
from app.views.settings_page import SettingsPage
from app.views.update_row import UpdateRow
from helpers.real_window import WAIT_MS, RealWindow
from helpers.release_site import new_key

OpenWindow = Callable[[Path], RealWindow]


@pytest.fixture
def row(base_dir: Path, open_window: OpenWindow) -> tuple[RealWindow, UpdateRow]:
    window = open_window(base_dir)
    window.window.show_page(SETTINGS)
    page = window.window.page(SETTINGS)
    assert isinstance(page, SettingsPage)
    window.until(lambda: page.is_filled)
    (row,) = page.findChildren(UpdateRow)
    return window, row


def test_the_settings_ask_for_updates_as_they_are_set(row: tuple[RealWindow, UpdateRow]) -> None:
    window, update_row = row
    updates = window.program.about.updates
    update_row.check_button.click()
    window.until(lambda: updates.status.stage is UpdateStage.FAILED)
    assert "no address" in update_row.words
    window.core.settings_bridge.set("updates.address", "http://127.0.0.1/manifest.json")
    update_row.check_button.click()
    window.until(lambda: "https://" in update_row.words)


def test_about_opens_over_the_window(row: tuple[RealWindow, UpdateRow]) -> None:
    window, update_row = row
    update_row.about_button.click()
    (dialog,) = window.window.findChildren(AboutDialog)
    window.until(lambda: dialog.list.count() > 20)
    dialog.close_button.click()
    window.until(lambda: not window.window.findChildren(AboutDialog))


def test_the_window_closes_while_somebody_asks(
    row: tuple[RealWindow, UpdateRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, update_row = row
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"ed25519": [{"public": b64encode(new_key()[1]).decode()}]}))
    monkeypatch.setattr("models.updates.keys.KEYS_FILE", keys)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(WAIT_MS / 1000)
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/manifest.json"
        window.core.settings_bridge.set("updates.address", address)
        update_row.check_button.click()
        connection, _ = silent.accept()
        # It never says a word, and closing does not wait for one.
        with connection:
            assert window.program.about.updates.status.stage is UpdateStage.ASKING
            window.close()
    assert window.program.about.updates.status.stage is UpdateStage.ASKING
