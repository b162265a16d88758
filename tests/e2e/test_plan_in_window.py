"""Planning as a user does it: the whole window, its keys, a real engine, tiny checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.actions.plan_status import PlanState
from app.views.chat_frame import ChatFrame
from app.views.main_window import CHAT, MODELS, PLAN
from app.views.models_page import ModelsPage
from app.views.plan_host import PlanInspector, PlanPage
from app.views.plan_panel import PlanPanel
from app.widgets.model_row import ModelRow
from helpers.accessible import nameless, tab_order
from helpers.real_window import RealWindow
from helpers.tiny_gguf import TinyModel, write_tiny
from models.library.library import LibraryEntry
from models.planner.plan import Tier
from models.planner.wishes import Wishes

pytestmark = pytest.mark.model

OpenWindow = Callable[[Path], RealWindow]


@pytest.fixture
def window(base_dir: Path, open_window: OpenWindow) -> RealWindow:
    folder = base_dir / "data" / "models"
    folder.mkdir(parents=True)
    write_tiny(folder / "v2-tiny.gguf", TinyModel(architecture="deepseek2"))
    window = open_window(base_dir)
    window.until(lambda: len(window.program.loader.entries) == 2)
    return window


def entry_of(window: RealWindow, name: str) -> LibraryEntry:
    return next(entry for entry in window.program.loader.entries if entry.name == name)


def row_of(window: RealWindow, models: ModelsPage, entry: LibraryEntry) -> ModelRow:
    """Return a checkpoint's row once every row is there; they come in slices."""
    window.until(lambda: models.library.is_filled)
    return models.row(entry)


def open_plan_page(window: RealWindow, name: str = "v2-tiny") -> PlanPage:
    window.window.show_page(MODELS)
    models = window.window.page(MODELS)
    assert isinstance(models, ModelsPage)
    row_of(window, models, entry_of(window, name)).plan_button.click()
    page = window.window.page(PLAN)
    assert isinstance(page, PlanPage)
    window.until(lambda: window.program.planning.plan.status.state is PlanState.EXACT)
    return page


def inspector_of(window: RealWindow) -> PlanInspector:
    inspector = window.page.inspector
    assert isinstance(inspector, PlanInspector)
    return inspector


def shown_in(panel: PlanPanel, words: str) -> bool:
    texts = [label.property("text") for label in panel.findChildren(QWidget)]
    return any(words in str(text) for text in texts if text)


def test_choose_drag_fix_release_and_load_with_the_plan(window: RealWindow, qtbot: QtBot) -> None:
    page = open_plan_page(window)
    plan, panel = window.program.planning.plan, page.host.panel
    assert window.window.current_page == PLAN
    assert window.window.rail.button(MODELS).isChecked()
    free = plan.status.plan.settings.n_ctx
    panel.wishes_changed.emit(plan.status.wishes.__class__(n_ctx=640))
    window.until(lambda: plan.status.state is PlanState.EXACT and plan.status.wishes.n_ctx == 640)
    assert plan.status.plan.settings.n_ctx == 640
    assert "n_ctx" in plan.status.plan.fixed
    panel.release_requested.emit("n_ctx")
    window.until(lambda: plan.status.state is PlanState.EXACT)
    window.until(lambda: plan.status.plan.settings.n_ctx == free)
    wanted = plan.status.plan
    panel.body.load_pressed.emit()
    window.until(lambda: window.program.loader.status.is_ready)
    assert window.program.loader.status.planned.plan is wanted
    assert plan.status.plan is wanted
    assert wanted.tier is Tier.EXACT
    for difference in plan.status.measured:
        assert difference.difference_bytes == 0
    window.until(lambda: shown_in(panel, "Planned and measured"))


def test_tab_goes_from_the_controls_down_to_the_button_that_loads(window: RealWindow) -> None:
    page = open_plan_page(window)
    plan, body = window.program.planning.plan, page.host.panel.body
    plan.set_wishes(Wishes(n_ctx=640))
    window.until(lambda: plan.status.state is PlanState.EXACT and plan.status.wishes.n_ctx == 640)
    order = tab_order(page.back_button)
    wanted = [
        page.back_button,
        body.controls.release_button,
        body.controls.row("n_ctx").mark,
        body.controls.more.button,
        body.flags.button,
        body.footer.button,
        window.window.status_bar,
    ]
    places = [order.index(widget) for widget in wanted]
    assert places == sorted(places)
    # The inspector hands the focus to a control, never to the button that releases everything.
    window.window.resize(1280, 800)
    window.window.show_page(CHAT)
    window.page.show_inspector()
    panel = inspector_of(window).host.panel
    # Shown, it asks for fresh figures; what cannot be used meanwhile takes no focus.
    window.until(lambda: panel.body.isVisible() and plan.status.state is PlanState.EXACT)
    inspector_of(window).setFocus()
    window.until(lambda: panel.body.controls.isAncestorOf(QApplication.focusWidget()))
    assert QApplication.focusWidget() is not panel.body.controls.release_button
    # It does not lose the focus to the far end of the window when it is folded.
    window.window.resize(700, 700)
    window.until(lambda: not window.page.is_inspector_shown)
    assert QApplication.focusWidget() is window.page.inspector_button


def test_the_inspector_folds_and_remembers(
    window: RealWindow, base_dir: Path, open_window: OpenWindow, qtbot: QtBot
) -> None:
    window.window.resize(1280, 800)
    assert window.page.inspector is None
    window.program.loader.load(entry_of(window, "v2-tiny"))
    window.until(lambda: window.program.loader.status.is_ready)
    qtbot.keyClick(window.window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    window.until(lambda: window.page.is_inspector_shown)
    inspector = inspector_of(window)
    assert inspector.isVisible()
    assert not window.page.is_inspector_drawer
    assert window.page.main.geometry().right() < inspector.geometry().left()
    window.until(lambda: shown_in(inspector.host.panel, "v2-tiny"))
    assert nameless(inspector) == []
    window.close()
    again = open_window(base_dir)
    again.window.resize(1280, 800)
    again.until(lambda: again.page.inspector is not None and again.page.inspector.isVisible())
    inspector_of(again).close_button.click()
    assert not again.page.is_inspector_shown
    again.close()
    third = open_window(base_dir)
    third.window.resize(1280, 800)
    QApplication.processEvents()
    assert third.page.inspector is None


@pytest.mark.parametrize("width", [640, 880])
def test_in_a_narrow_window_the_inspector_is_a_drawer(
    window: RealWindow, qtbot: QtBot, width: int
) -> None:
    window.window.resize(width, 700)
    page: ChatFrame = window.page
    page.inspector_button.click()
    assert page.is_inspector_drawer
    inspector = inspector_of(window)
    assert inspector.isVisible()
    assert inspector.geometry().right() <= page.width()
    assert page.main.width() == page.width() - page.main.x()
    qtbot.keyClick(inspector, Qt.Key.Key_Escape)
    assert not inspector.isVisible()
    page.show_inspector()
    page.toggle_side()
    assert page.is_inspector_shown != (page.is_narrow and page.is_drawer_open)
    window.window.resize(1280, 700)
    assert window.window.width() == 1280


# Qt's platform without a screen says so of every popup.
@pytest.mark.qt_log_ignore("does not support")
def test_the_picker_leads_to_the_plan_by_keyboard(window: RealWindow, qtbot: QtBot) -> None:
    window.window.resize(1280, 800)
    picker = window.page.picker
    picker.open()
    window.until(lambda: len(picker.popup._row_widgets) == 2)
    picker.popup.focus_row("demo")
    qtbot.keyClick(picker.popup.focusWidget(), Qt.Key.Key_Down)
    assert picker.popup.focusWidget() is picker.popup._row_widgets[1]
    qtbot.keyClick(picker.popup.focusWidget(), Qt.Key.Key_Tab)
    button = picker.popup.focusWidget()
    assert "v2-tiny" in button.accessibleName()
    qtbot.keyClick(button, Qt.Key.Key_Space)
    window.until(lambda: window.program.planning.plan.status.title == "v2-tiny")
    assert window.page.is_inspector_shown
    assert not window.program.loader.status.is_loading


def test_rows_of_models_tell_where_it_would_live_and_how_fast(window: RealWindow) -> None:
    window.window.resize(1280, 800)
    window.window.show_page(MODELS)
    models = window.window.page(MODELS)
    assert isinstance(models, ModelsPage)
    for entry in window.program.loader.entries:
        row = row_of(window, models, entry)
        window.until(lambda row=row: "tok/s" in row._rate.text())
        assert row._rate.text().startswith("~")
        assert row._bar.isVisible()
        assert "RAM" in row.accessibleDescription()
    assert nameless(models) == []


def test_a_broken_file_has_no_forecast_and_no_plan(window: RealWindow, base_dir: Path) -> None:
    broken = base_dir / "data" / "models" / "broken.gguf"
    broken.write_text("not a model", encoding="utf-8")
    window.program.loader.refresh()
    window.until(lambda: len(window.program.loader.entries) == 3)
    window.window.show_page(MODELS)
    models = window.window.page(MODELS)
    assert isinstance(models, ModelsPage)
    row = row_of(window, models, entry_of(window, "broken"))
    window.until(lambda: not row.plan_button.isEnabled())
    assert row._rate.text() == ""


def test_the_window_closes_in_the_middle_of_a_verification(window: RealWindow) -> None:
    window.window.show_page(MODELS)
    models = window.window.page(MODELS)
    assert isinstance(models, ModelsPage)
    row_of(window, models, entry_of(window, "demo")).plan_button.click()
    window.until(lambda: window.program.planning.plan.status.state is PlanState.VERIFYING)
    window.close()
    assert window.program.planning.plan.status.plan.tier is Tier.FAST


def test_another_checkpoint_is_planned_beside_an_answer_and_checked_after_it(
    window: RealWindow,
) -> None:
    window.window.resize(1280, 800)
    window.load_demo()
    window.page.toggle_inspector()
    plan = window.program.planning.plan
    states: list[PlanState] = []
    window.ask("Tell me a long story about the sea.")
    window.wait_for_text(2)
    plan.choose_entry(entry_of(window, "v2-tiny"))
    plan.status_changed.connect(lambda status: states.append(status.state))
    window.until(lambda: plan.status.state is PlanState.READY and plan.status.plan)
    assert window.program.chat.live
    length = len(window.answer_text())
    window.until(lambda: len(window.answer_text()) > length)
    assert PlanState.VERIFYING not in states
    window.program.chat.stop()
    window.wait_for_end()
    window.until(lambda: plan.status.state is PlanState.EXACT)


def test_the_chat_page_goes_on_while_the_plan_is_open(window: RealWindow) -> None:
    window.window.resize(1280, 800)
    window.load_demo()
    window.page.toggle_inspector()
    window.ask("Hi")
    window.wait_for_text(2)
    window.program.chat.stop()
    window.wait_for_end()
    assert window.window.current_page == CHAT
    runs = window.core.paths.data_dir
    assert (runs / "measured-loads.jsonl").exists()
