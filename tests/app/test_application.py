from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.actions.load_model import LoadPhase, ModelStatus
from app.theme import DARK, current_theme
from app.views.discover_view import DiscoverView
from app.views.main_window import CHAT, MODELS, MONITOR, SERVER, SETTINGS
from app.views.models_page import DISCOVER, ModelsPage
from app.views.server_page import ServerPage
from app.views.settings_page import SettingsPage
from helpers.accessible import focusable, nameless
from helpers.fathom_process import FATHOM, assert_one_clear_line, fathom
from helpers.real_window import RealWindow
from helpers.window_parts import loaded
from models.library.library import LibraryEntry
from models.settings import Settings

PAGES = (CHAT, MODELS, MONITOR, SERVER, SETTINGS)


@pytest.fixture
def real(qtbot: QtBot, base_dir: Path) -> Iterator[RealWindow]:
    real = RealWindow(qtbot, base_dir)
    yield real
    real.close()


def press_tab_all_round(window: QWidget, first: QWidget, qtbot: QtBot) -> list[QWidget]:
    """Press Tab until the focus is back at the first widget."""
    window.activateWindow()
    first.setFocus()
    qtbot.waitUntil(first.hasFocus)
    order = [first]
    for _ in range(100):
        qtbot.keyClick(order[-1], Qt.Key.Key_Tab)
        now = window.focusWidget()
        if now is None or now is first:
            break
        order.append(now)
    return order


def settings_of(base_dir: Path) -> Settings:
    settings = Settings(base_dir / "config" / "settings.toml")
    settings.load()
    return settings


def show_whole(real: RealWindow, name: str) -> None:
    """Show a page, and wait until the rows that follow it are there."""
    real.window.show_page(name)
    page = real.window.page(name)
    real.until(lambda: not isinstance(page, (ServerPage, SettingsPage)) or page.is_filled)


def test_everything_the_keyboard_reaches_has_a_name(real: RealWindow) -> None:
    for name in PAGES:
        show_whole(real, name)
    assert len(focusable(real.window)) > 40
    assert nameless(real.window) == []


def test_the_page_of_models_is_made_ahead_of_its_first_showing(real: RealWindow) -> None:
    real.until(lambda: real.window.made_page(MODELS) is not None)
    assert real.window.current_page == CHAT
    assert not real.window.page(MODELS).isVisible()


def test_formulas_of_model_cards_are_drawn_by_another_child_than_those_of_answers(
    real: RealWindow,
) -> None:
    """A hostile card can have its child ended too often; then it draws nothing for a while."""
    answers, cards = real.program.books
    models = real.window.page(MODELS)
    assert isinstance(models, ModelsPage)
    models.show_tab(DISCOVER)
    discover = models.findChild(DiscoverView)
    assert isinstance(discover, DiscoverView)
    wanted: list[str] = []
    answers.wanted.connect(lambda _keys: wanted.append("answers"))
    cards.wanted.connect(lambda _keys: wanted.append("cards"))
    discover.repository.text.set_text(r"It is $\frac{1}{2}$.")
    real.until(lambda: wanted)
    assert wanted == ["cards"]
    children = {drawing.child for drawing in real.program.drawings}
    assert len(children) == 2


@pytest.mark.parametrize("width", [1280, 900, 640])
def test_every_page_fits_and_tab_leads_through_it(
    real: RealWindow, qtbot: QtBot, width: int
) -> None:
    window = real.window
    window.resize(width, 700)
    for name in PAGES:
        show_whole(real, name)
        assert window.width() == width
        assert window.page(name).minimumSizeHint().width() <= 588
        qtbot.waitUntil(lambda name=name: window.page(name).isVisible())
        order = press_tab_all_round(window, window.rail.button(name), qtbot)
        assert order[-1] is window.status_bar
        assert len(order) >= 3
        for widget in order:
            assert isinstance(widget, QWidget)
            assert window.isAncestorOf(widget)


def test_settings_take_effect_at_once(real: RealWindow, tmp_path: Path) -> None:
    real.core.settings_bridge.set("appearance.theme", "dark")
    assert current_theme() is DARK
    real.core.settings_bridge.set("library.roots", (str(tmp_path),))
    assert real.core.library.roots == (real.core.paths.models_dir, tmp_path)


def test_a_loaded_model_has_to_be_loaded_again_for_engine_settings(
    real: RealWindow, tmp_path: Path
) -> None:
    real.core.settings_bridge.set("engine.n_ctx", 2048)
    assert real.window.toasts.toasts == []
    entry = LibraryEntry("r1", "R1", tmp_path / "absent.gguf", 1)
    real.program.loader._set(ModelStatus(LoadPhase.READY, entry, loaded=loaded()))
    real.core.settings_bridge.set("engine.n_ctx", 4096)
    real.core.settings_bridge.set("sampling.top_k", 12)
    toast = real.window.toasts.toasts[0]
    assert "loaded again" in toast.accessibleName()
    assert toast.action_button.text() == "Load again"


def test_figures_stop_while_nobody_sees_them(real: RealWindow) -> None:
    telemetry = real.core.telemetry
    real.until(lambda: telemetry.latest is not None)
    assert telemetry.is_running
    real.window.hide()
    assert not telemetry.is_running
    real.window.show()
    assert telemetry.is_running


def test_a_polite_kill_closes_cleanly_and_keeps_the_place(base_dir: Path, qtbot: QtBot) -> None:
    process = subprocess.Popen(
        [*FATHOM, "--basedir", str(base_dir)],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # The store is opened when the window is on the screen.
        store = base_dir / "data" / "conversations.sqlite3"
        qtbot.waitUntil(lambda: store.exists() or process.poll() is not None, timeout=60_000)
        process.send_signal(signal.SIGTERM)
        _out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert errors == ""
    assert settings_of(base_dir).get("window.geometry")
    assert not (base_dir / "data" / "conversations.sqlite3-wal").exists()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    words = assert_one_clear_line(fathom("--basedir", blocked / "base"), code=1)
    assert "folder" in words


def test_broken_settings_do_not_keep_the_window_from_opening(qtbot: QtBot, base_dir: Path) -> None:
    file = base_dir / "config" / "settings.toml"
    file.parent.mkdir(parents=True)
    file.write_text("this is = = no toml", encoding="utf-8")
    real = RealWindow(qtbot, base_dir)
    try:
        shown = [toast.accessibleName() for toast in real.window.toasts.toasts]
        assert any("settings" in text for text in shown)
    finally:
        real.close()


@pytest.mark.model
def test_the_demo_answers_without_a_display(base_dir: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out" / "fathom.png"
    done = fathom(
        "--basedir", base_dir, "--demo-question", "Why is the sea salty?", "--screenshot", picture
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Why is the sea salty?"
    assert "tok/s, first token after" in done.stdout
    assert "CPU: weights" in done.stdout
    assert "RAM " in done.stdout
    image = QImage(str(picture))
    assert (image.width(), image.height()) == (1280, 800)
    # The window's own size is not taken from a run that nobody saw.
    assert settings_of(base_dir).get("window.geometry") == ""


@pytest.mark.model
def test_the_demo_fails_in_one_line_when_the_picture_cannot_be_written(
    base_dir: Path, tmp_path: Path
) -> None:
    done = fathom(
        "--basedir", base_dir, "--demo-question", "Hi", "--screenshot", tmp_path / "x.nosuchformat"
    )
    assert "screenshot" in assert_one_clear_line(done, code=1)


def test_start_up_loads_nothing_heavy() -> None:
    script = (
        "import sys, app.application\n"
        "heavy = {'llama_cpp', 'numpy', 'jinja2', 'psutil', 'pynvml', 'huggingface_hub',"
        " 'PySide6.QtNetwork', 'PySide6.QtQml', 'asyncio', 'requests', 'httpx2'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
