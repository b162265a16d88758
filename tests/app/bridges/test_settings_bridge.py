from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from app.messages import Notice
from helpers.window_parts import Parts
from models.errors import InvalidSettingError
from models.settings import Settings


def test_a_change_is_told_and_written_soon(parts: Parts, qtbot: QtBot) -> None:
    bridge = parts.settings_bridge
    with qtbot.waitSignal(bridge.changed) as changed:
        bridge.set("appearance.theme", "dark")
    assert changed.args == ["appearance.theme", "dark"]
    assert not parts.settings.path.exists()
    qtbot.waitUntil(parts.settings.path.exists)
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    again = Settings(parts.settings.path)
    again.load()
    assert again.get("appearance.theme") == "dark"


def test_the_same_value_is_no_change(parts: Parts, qtbot: QtBot) -> None:
    with qtbot.assertNotEmitted(parts.settings_bridge.changed):
        parts.settings_bridge.set("appearance.theme", "system")


def test_a_refused_value_changes_nothing(parts: Parts, qtbot: QtBot) -> None:
    with (
        qtbot.assertNotEmitted(parts.settings_bridge.changed),
        pytest.raises(InvalidSettingError),
    ):
        parts.settings_bridge.set("appearance.theme", "pink")


def test_flush_writes_at_the_end(parts: Parts) -> None:
    parts.settings_bridge.set("appearance.theme", "dark")
    parts.settings_bridge.flush()
    assert "dark" in parts.settings.path.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_told_and_tried_again(parts: Parts, qtbot: QtBot) -> None:
    posted: list[Notice] = []
    parts.messages.posted.connect(posted.append)
    parts.messages.attach()
    parts.settings.path.mkdir()
    parts.settings_bridge.set("appearance.theme", "dark")
    qtbot.waitUntil(lambda: bool(posted))
    assert "settings.toml" in posted[0].text
    parts.settings.path.rmdir()
    parts.settings_bridge.flush()
    assert parts.settings.path.is_file()
