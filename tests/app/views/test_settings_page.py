from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from app.actions.hub_token import HubToken
from app.theme import TEXT_COLUMN_WIDTH
from app.views.settings_page import SettingRow, SettingsPage
from app.widgets.path_controls import FolderControl, LineControl
from app.widgets.setting_controls import (
    BoolControl,
    ChoiceControl,
    Control,
    NumberControl,
    PathListControl,
    TextControl,
)
from helpers.accessible import nameless
from helpers.window_parts import Parts
from models.hub.tokens import TokenStore
from models.settings import SETTINGS


@pytest.fixture
def page(parts: Parts, qtbot: QtBot, qapp: QApplication) -> Iterator[SettingsPage]:
    page = SettingsPage(parts.settings_bridge)
    page.resize(900, 700)
    assert page.row("appearance.theme")
    page.show()
    page.activateWindow()
    qtbot.waitExposed(page)
    yield page
    page.close()
    page.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_rows_follow_the_page_and_one_that_is_needed_is_there_at_once(
    parts: Parts, qtbot: QtBot
) -> None:
    page = SettingsPage(parts.settings_bridge)
    qtbot.addWidget(page)
    assert not page.is_filled
    assert not page.findChildren(SettingRow)
    # What changes meanwhile is what a row shows when it comes.
    parts.settings_bridge.set("sampling.temperature", 0.25)
    row = page.row("sampling.temperature")
    assert row.reset_button.isVisibleTo(row)
    assert page.is_filled


def test_a_group_comes_with_all_its_rows_and_what_is_there_does_not_move(
    parts: Parts, qtbot: QtBot, qapp: QApplication
) -> None:
    page = SettingsPage(parts.settings_bridge)
    qtbot.addWidget(page)
    page.resize(900, 700)
    page.show()
    painted: dict[SettingRow, set[tuple[int, int, int]]] = {}
    incomplete = []

    class Watcher(QObject):
        """Notes where a row is painted, and whether one of its group is missing then."""

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if isinstance(watched, SettingRow) and event.type() == QEvent.Type.Paint:
                top = watched.mapTo(page, QPoint(0, 0)).y()
                painted.setdefault(watched, set()).add((top, watched.width(), watched.height()))
                rows = watched.parentWidget().findChildren(SettingRow)
                incomplete.extend(row for row in rows if not row.isVisible())
            return False

    watcher = Watcher()
    qapp.installEventFilter(watcher)
    qtbot.waitUntil(lambda: page.is_filled and len(painted) > 4)
    qapp.removeEventFilter(watcher)
    assert incomplete == []
    assert [places for places in painted.values() if len(places) > 1] == []


def control(page: SettingsPage, key: str) -> Control:
    return page.row(key).control


def test_every_setting_that_is_not_hidden_has_a_row_and_a_name(page: SettingsPage) -> None:
    for spec in SETTINGS:
        if spec.hidden:
            with pytest.raises(KeyError):
                page.row(spec.key)
        else:
            assert page.row(spec.key) is not None
    assert nameless(page) == []


def test_a_switch_takes_effect_at_once_and_offers_a_reset(
    page: SettingsPage, parts: Parts, qtbot: QtBot
) -> None:
    row = page.row("engine.load_last_checkpoint")
    switch = row.control
    assert isinstance(switch, BoolControl)
    assert row.reset_button.isHidden()
    with qtbot.waitSignal(parts.settings_bridge.changed) as changed:
        qtbot.keyClick(switch.switch, Qt.Key.Key_Space)
    assert changed.args == ["engine.load_last_checkpoint", False]
    assert parts.settings.get("engine.load_last_checkpoint") is False
    row.reset_button.click()
    assert parts.settings.get("engine.load_last_checkpoint") is True
    assert switch.switch.isChecked()
    assert row.reset_button.isHidden()


def test_few_choices_lie_side_by_side_and_many_in_a_list(
    page: SettingsPage, parts: Parts, qtbot: QtBot
) -> None:
    theme, kv = control(page, "appearance.theme"), control(page, "engine.kv_type")
    assert isinstance(theme, ChoiceControl)
    assert isinstance(kv, ChoiceControl)
    assert theme.segments is not None
    theme.segments.segment("dark").click()
    assert parts.settings.get("appearance.theme") == "dark"
    assert kv.combo is not None
    kv.combo.setFocus()
    qtbot.keyClick(kv.combo, Qt.Key.Key_Down)
    assert parts.settings.get("engine.kv_type") != "f16"


def test_numbers_keep_to_their_bounds_and_say_what_zero_means(
    page: SettingsPage, parts: Parts, qtbot: QtBot
) -> None:
    temperature = control(page, "sampling.temperature")
    assert isinstance(temperature, NumberControl)
    temperature.box.setFocus()
    temperature.box.selectAll()
    qtbot.keyClicks(temperature.box, temperature.box.locale().toString(99.0, "f", 1))
    qtbot.keyClick(temperature.box, Qt.Key.Key_Return)
    value = parts.settings.get("sampling.temperature")
    assert isinstance(value, float)
    assert 0.0 <= value <= 5.0
    context = control(page, "engine.n_ctx")
    assert isinstance(context, NumberControl)
    assert context.box.text() == "Automatic"
    qtbot.keyClick(context.box, Qt.Key.Key_Up)
    assert parts.settings.get("engine.n_ctx") == 1


def test_the_seed_holds_more_than_31_bits_of_nothing(page: SettingsPage) -> None:
    seed = control(page, "sampling.seed")
    assert isinstance(seed, NumberControl)
    assert seed.box.text() == "Random"
    assert seed.box.maximum() == 2**31 - 1


def test_the_wheel_scrolls_and_changes_nothing(page: SettingsPage, parts: Parts) -> None:
    top_k = control(page, "sampling.top_k")
    assert isinstance(top_k, NumberControl)
    wheel = QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(0, 0), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(top_k.box, wheel)
    assert parts.settings.get("sampling.top_k") == 40


def test_a_text_is_taken_after_a_pause_and_when_left(
    page: SettingsPage, parts: Parts, qtbot: QtBot
) -> None:
    prompt = control(page, "chat.system_prompt")
    assert isinstance(prompt, TextControl)
    prompt.edit.setFocus()
    qtbot.keyClicks(prompt.edit, "Be brief.")
    qtbot.waitUntil(lambda: parts.settings.get("chat.system_prompt") == "Be brief.")
    qtbot.keyClicks(prompt.edit, " Be kind.")
    qtbot.keyClick(prompt.edit, Qt.Key.Key_Tab)
    qtbot.waitUntil(lambda: parts.settings.get("chat.system_prompt") == "Be brief. Be kind.")


def test_folders_can_be_taken_off_the_list(page: SettingsPage, parts: Parts, qtbot: QtBot) -> None:
    parts.settings_bridge.set("library.roots", ("/models/a", "/models/b"))
    roots = control(page, "library.roots")
    assert isinstance(roots, PathListControl)
    assert roots._lines.count() == 2
    roots.remove_button("/models/a").click()
    assert parts.settings.get("library.roots") == ("/models/b",)
    assert roots._lines.count() == 1
    assert nameless(page) == []


def test_a_change_from_elsewhere_is_shown(page: SettingsPage, parts: Parts) -> None:
    parts.settings_bridge.set("sampling.top_k", 12)
    top_k = control(page, "sampling.top_k")
    assert isinstance(top_k, NumberControl)
    assert top_k.box.value() == 12
    assert page.row("sampling.top_k").reset_button.isVisibleTo(page)


def test_a_value_that_is_refused_says_why(page: SettingsPage, parts: Parts) -> None:
    page._edited("sampling.top_p", 7.0)
    row = page.row("sampling.top_p")
    assert "from 0.0 to 1.0" in row._error.text()
    assert parts.settings.get("sampling.top_p") == 0.95
    page._edited("sampling.top_p", 0.5)
    assert row._error.isHidden()


def test_the_column_is_not_wider_than_text_and_fits_640(page: SettingsPage, qtbot: QtBot) -> None:
    page.resize(1400, 700)
    assert page.row("appearance.theme").width() <= TEXT_COLUMN_WIDTH
    page.resize(588, 700)
    assert page.row("appearance.theme").width() <= 588
    assert page.minimumSizeHint().width() <= 588


def test_a_line_is_taken_when_it_is_left_and_only_once(
    page: SettingsPage, parts: Parts, qtbot: QtBot
) -> None:
    line = control(page, "hub.endpoint")
    assert isinstance(line, LineControl)
    changes: list[object] = []
    line.edited.connect(changes.append)
    line.edit.setFocus()
    qtbot.keyClicks(line.edit, "https://hub.example.org")
    assert changes == []
    qtbot.keyClick(line.edit, Qt.Key.Key_Return)
    line.edit.clearFocus()
    assert changes == ["https://hub.example.org"]
    assert parts.settings.get("hub.endpoint") == "https://hub.example.org"
    page.row("hub.endpoint").reset_button.click()
    assert line.edit.text() == ""


def test_a_folder_is_chosen_and_given_up_again(
    page: SettingsPage, parts: Parts, qtbot: QtBot, tmp_path: Path
) -> None:
    folder = control(page, "downloads.folder")
    assert isinstance(folder, FolderControl)
    assert folder.shown == "Fathom's own folder"
    folder.choose_button.click()
    dialog = folder.findChild(QFileDialog)
    assert dialog is not None
    dialog.fileSelected.emit(str(tmp_path))
    dialog.reject()
    assert parts.settings.get("downloads.folder") == str(tmp_path)
    assert folder.shown == str(tmp_path)
    page.row("downloads.folder").reset_button.click()
    assert folder.shown == "Fathom's own folder"


def test_the_row_of_the_token_is_brought_into_sight(parts: Parts, qtbot: QtBot) -> None:
    store = TokenStore({}, find_backend=lambda: None)
    token = HubToken(store=store, runner=parts.runner)
    page = SettingsPage(parts.settings_bridge, token=token)
    qtbot.addWidget(page)
    page.resize(588, 500)
    page.show()
    page.activateWindow()
    qtbot.waitExposed(page)
    row = page.token_row
    assert row is not None
    page.show_token()
    qtbot.waitUntil(row.field.hasFocus)
    top = row.mapTo(page, row.rect().topLeft()).y()
    assert 0 <= top < page.height()
    assert nameless(page) == []
    qtbot.waitUntil(lambda: parts.runner.is_idle)
