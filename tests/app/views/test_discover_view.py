from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.actions.discover import Discover
from app.actions.discover_data import Phase
from app.tasks import TaskRunner
from app.theme import Appearance
from app.views.discover_view import DiscoverView
from app.views.repository_words import verdict_words
from helpers.accessible import nameless, tab_order
from helpers.discover_parts import (
    LARGE,
    REPOSITORY,
    SMALL,
    STEM,
    discover_parts,
    fill_hub,
    gpu_machine,
)
from helpers.fake_hub import FakeHub, fake_hub
from models.hub.hub import Hub
from models.hub.quants import RemoteFile
from models.library.library import LibraryEntry


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        fill_hub(hub)
        yield hub


@pytest.fixture
def view(
    hub: FakeHub, tmp_path: Path, appearance: Appearance, qtbot: QtBot, qapp: QApplication
) -> Iterator[DiscoverView]:
    runner = TaskRunner()
    discover = Discover(discover_parts(tmp_path, Hub(hub.endpoint), gpu_machine()), runner)
    view = DiscoverView(discover)
    view.resize(1200, 800)
    view.show()
    qtbot.waitUntil(
        lambda: bool(discover.cards) and not discover.is_judging and _is_settled(view),
        timeout=20_000,
    )
    yield view
    discover.stop()
    view.close()
    view.deleteLater()
    runner.shutdown()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def _is_settled(view: DiscoverView) -> bool:
    return not view.families._slices.is_running


def discover_of(view: DiscoverView) -> Discover:
    return view._discover


def open_page(view: DiscoverView, qtbot: QtBot, repository: str = REPOSITORY) -> None:
    view.open_repository(repository)
    look = discover_of(view).look
    qtbot.waitUntil(
        lambda: (
            look.status.phase is Phase.FAILED
            or (look.status.text is not None and not look.status.is_judging)
        ),
        timeout=20_000,
    )


def test_families_stand_under_where_they_would_live(view: DiscoverView) -> None:
    keys = [section.key for section in view.families.board.sections]
    # What is shown first is not shown again below its heading.
    assert keys == ["picks", "disk"]
    small = view.families.card(SMALL).view
    assert small is not None
    assert small.rate.startswith("~")
    assert small.button == "Download"
    assert small.file.startswith("Q8_0")
    assert small.file.endswith("on the GPU")
    large = view.families.card(LARGE).view
    assert large is not None
    assert large.tone == "tight"
    # 250 GB that give a word in three seconds are not offered by one click.
    assert large.button == "Details"


def test_only_the_first_pick_is_the_thing_to_do(view: DiscoverView) -> None:
    (pick,) = view.families.picks
    assert pick.view is not None
    assert pick.view.is_primary
    assert pick.view.label == "Best answers here"
    assert pick.button.property("kind") == "primary"
    assert pick is view.families.card(SMALL)
    view.filter.segment("fits").click()
    assert [s.key for s in view.families.board.sections] == ["gpu", "disk"]
    assert view.families.board.head("gpu").title == "On your GPU"
    assert pick.view.label == ""
    assert pick.button.property("kind") == ""
    view.filter.segment("all").click()
    assert view.families.picks == [pick]
    assert pick.view.label == "Best answers here"


def test_one_press_downloads(view: DiscoverView, qtbot: QtBot) -> None:
    with qtbot.waitSignal(view.download_requested, timeout=20_000) as wanted:
        qtbot.mouseClick(view.families.picks[0].button, Qt.MouseButton.LeftButton)
        busy = view.families.picks[0].view
        assert busy is not None
        assert busy.button == "Looking it up"
    page, files = wanted.args or (None, None)
    assert (page.repository, files.quant) == (REPOSITORY, "Q8_0")


def test_a_card_opens_its_page_by_mouse_and_keyboard(view: DiscoverView, qtbot: QtBot) -> None:
    card = view.families.card(SMALL)
    qtbot.mouseClick(card, Qt.MouseButton.LeftButton)
    assert view.is_on_repository
    view.repository.back_button.click()
    assert not view.is_on_repository
    qtbot.keyClick(card, Qt.Key.Key_Return)
    assert view.is_on_repository


def test_the_best_file_is_chosen_and_another_can_be(view: DiscoverView, qtbot: QtBot) -> None:
    open_page(view, qtbot)
    quants = view.repository.quants
    assert quants.choice is not None
    assert quants.choice.files.quant == "Q8_0"
    assert view.repository.choice.button.text() == "Download 8.10 GB"
    row = next(row for text, row in quants.rows.items() if "Q4_K_M" in text)
    row.click()
    assert view.repository.choice.button.text() == "Download 4.68 GB"
    with qtbot.waitSignal(view.download_requested) as wanted:
        view.repository.choice.button.click()
    assert (wanted.args or [None, None])[1].quant == "Q4_K_M"
    with qtbot.waitSignal(view.plan_requested) as planned:
        view.repository.choice.plan_button.click()
    assert "Q4_K_M" in (planned.args or [""])[0]


def test_what_was_chosen_stays_when_something_changes(view: DiscoverView, qtbot: QtBot) -> None:
    open_page(view, qtbot)
    row = next(row for text, row in view.repository.quants.rows.items() if "Q2_K" in text)
    row.click()
    path = Path(f"/models/{STEM}-Q2_K.gguf")
    entry = LibraryEntry("x", "x", path, 1, repository=REPOSITORY)
    discover_of(view).set_entries((entry,))
    assert view.repository.choice.button.text() == "Show in library"
    assert view.repository.choice.button._icon_name == "boxes"
    with qtbot.waitSignal(view.library_requested) as wanted:
        view.repository.choice.button.click()
    assert wanted.args == [entry]
    view.show_families()
    # What changed while the families were out of sight follows in slices.
    qtbot.waitUntil(lambda: _is_settled(view))
    badge = view.families.card(SMALL).view
    assert badge is not None
    assert badge.badge == "In library"


def test_the_model_card_is_shown_and_its_links_are_only_announced(
    view: DiscoverView, qtbot: QtBot
) -> None:
    open_page(view, qtbot)
    assert "the paper" in view.repository.text.text
    assert view.repository.text.height() > 20
    view.repository.link_requested.disconnect()
    with qtbot.waitSignal(view.repository.link_requested) as wanted:
        view.repository.text.link_clicked.emit("https://example.org/p")
    assert wanted.args == ["https://example.org/p"]
    with qtbot.assertNotEmitted(view.repository.link_requested):
        view.repository.text.link_clicked.emit("file:///etc/passwd")


def test_a_gated_page_says_what_has_to_be_done(
    view: DiscoverView, hub: FakeHub, qtbot: QtBot
) -> None:
    hub.gated.add(REPOSITORY)
    hub.facts[REPOSITORY].gate = "auto"
    hub.shows_gated = True
    open_page(view, qtbot)
    choice = view.repository.choice
    assert not choice.button.isEnabled()
    assert choice.settings_button.isVisible()
    # In the words of the hub, which was asked: they depend on who asks.
    assert "A mirror is never shown a token" in choice._gate.text()
    with qtbot.waitSignal(view.settings_requested):
        choice.settings_button.click()


def test_a_page_that_fails_says_why_and_is_asked_again(
    view: DiscoverView, hub: FakeHub, qtbot: QtBot
) -> None:
    open_page(view, qtbot, "later/There-GGUF")
    failure = view.repository._failure
    assert failure is not None
    assert failure.isVisible()
    fill_hub(hub, "later/There-GGUF")
    failure.button.click()
    look = discover_of(view).look
    qtbot.waitUntil(lambda: look.status.text is not None, timeout=20_000)
    assert view.repository.quants.choice is not None


def test_search_shows_families_at_once_and_the_hub_soon(view: DiscoverView, qtbot: QtBot) -> None:
    qtbot.keyClicks(view.field, "distill")
    assert [s.key for s in view.families.board.sections] == ["gpu"]
    search = discover_of(view).search
    qtbot.waitUntil(lambda: search.status.phase is Phase.READY, timeout=20_000)
    qtbot.waitUntil(lambda: len(view.results.rows) == 1)
    assert view.more.isVisible()
    with qtbot.waitSignal(view.results.opened):
        view.results.rows[0].click()
    assert view.is_on_repository
    view.show_families()
    view.field.clear()
    assert view.results.isHidden()
    assert [s.key for s in view.families.board.sections] == ["picks", "disk"]


def test_an_address_of_the_hub_is_opened(view: DiscoverView, qtbot: QtBot) -> None:
    view.field.setText(f"https://huggingface.co/{REPOSITORY}/tree/main")
    qtbot.keyClick(view.field, Qt.Key.Key_Return)
    assert view.is_on_repository
    assert discover_of(view).look.status.repository == REPOSITORY


def test_filter_and_sort(view: DiscoverView) -> None:
    view.filter.segment("thinks").click()
    assert [s.key for s in view.families.board.sections] == ["gpu"]
    view.filter.segment("code").click()
    assert view.families.board.sections == ()
    assert view._nothing.isVisible()
    view.filter.segment("all").click()
    assert not view._nothing.isVisible()


def test_everything_can_be_reached_and_has_a_name(view: DiscoverView, qtbot: QtBot) -> None:
    assert nameless(view) == []
    order = tab_order(view.field)
    card = view.families.card(SMALL)
    large = view.families.card(LARGE)
    assert order.index(card) < order.index(card.button) < order.index(large)
    open_page(view, qtbot)
    assert nameless(view) == []


@pytest.mark.parametrize("width", [516, 1200])
def test_nothing_is_cut_off_at_any_width(view: DiscoverView, qtbot: QtBot, width: int) -> None:
    view.resize(width, 700)
    qtbot.waitUntil(lambda: view.families.board.width() <= width)
    for card in (*view.families.picks, view.families.card(SMALL), view.families.card(LARGE)):
        assert card.geometry().right() < view.families.board.width()
        assert card.button.geometry().right() < card.width()
        assert card.button.geometry().left() > card._file.geometry().left()
    assert view.sort.geometry().right() <= view.width()
    open_page(view, qtbot)
    for row in view.repository.quants.rows.values():
        assert row._size.geometry().right() < row.width()


def test_a_page_says_what_the_hub_warns_of_and_what_lies_in_pieces(
    view: DiscoverView, hub: FakeHub, qtbot: QtBot
) -> None:
    open_page(view, qtbot)
    page = discover_of(view).look.status.page
    assert page is not None
    bad = f"{STEM}-Q8_0.gguf"
    pieces = tuple(RemoteFile(f"{STEM}-F16.gguf.part{n}of2", 7 * 10**9) for n in (1, 2))
    status = discover_of(view).look.status
    changed = replace(page, flagged=(bad,), files=(*page.files, *pieces), is_from_store=True)
    discover_of(view).look._set(replace(status, page=changed))
    head = view.repository.head
    assert bad in head._warning.text()
    assert head._warning.property("tone") == "fail"
    assert "cannot be asked now" in head._store.text()
    qtbot.waitUntil(lambda: _note_of(view, "Q8_0") == "The hub warns of it")
    assert _note_of(view, "Q4_K_M") == "usual choice"
    # It may be fetched, but nobody is invited to.
    assert view.repository.choice.button.property("kind") == ""
    cut = view.repository.quants._cut
    assert cut.isVisible()
    assert "F16 (14.0 GB) is left out" in cut.text()
    assert "2 pieces" in cut.text()


def _note_of(view: DiscoverView, quant: str) -> str:
    rows = view.repository.quants.rows
    shown = next(row.view for text, row in rows.items() if quant in text)
    assert shown is not None
    return shown.note


def test_one_publisher_is_not_offered_as_a_choice(
    view: DiscoverView, hub: FakeHub, qtbot: QtBot
) -> None:
    fill_hub(hub, "demo-org/Tiny-GGUF")
    open_page(view, qtbot, "demo-org/Tiny-GGUF")
    assert view.repository.sources.isHidden()


def test_what_nobody_would_wait_for_says_how_long_it_takes(
    hub: FakeHub, view: DiscoverView, qtbot: QtBot
) -> None:
    open_page(view, qtbot)
    best = discover_of(view).look.status.recommended
    assert best is not None
    assert best.plan is not None
    decode = replace(best.plan.speed.decode, low=0.2, mid=0.25, high=0.3)
    slow_plan = replace(best.plan, speed=replace(best.plan.speed, decode=decode))
    slow = replace(best, plan=slow_plan)
    assert "an answer of 300 words would take about 27 min" in verdict_words(slow, is_judging=False)
    status = discover_of(view).look.status
    discover_of(view).look._set(replace(status, quants=(slow,)))
    assert view.repository.choice.button.property("kind") == ""


def test_what_the_hub_found_fits_into_a_narrow_window(
    view: DiscoverView, hub: FakeHub, qtbot: QtBot
) -> None:
    fill_hub(hub, "a-company/DeepSeek-R1-Distill-Qwen-7B-" + "long-" * 8 + "GGUF")
    qtbot.keyClicks(view.field, "distill")
    qtbot.waitUntil(lambda: len(view.results.rows) == 2, timeout=20_000)
    view.resize(516, 700)
    qtbot.waitUntil(lambda: view.results.width() < 516)
    assert view.results.minimumSizeHint().width() < 440
    for row in view.results.rows:
        assert row.width() <= view.width()


def test_offline_it_works_from_the_catalogue_and_says_so(
    hub: FakeHub, tmp_path: Path, appearance: Appearance, qtbot: QtBot, qapp: QApplication
) -> None:
    runner = TaskRunner()
    parts = discover_parts(tmp_path, Hub(hub.endpoint, is_offline=True), gpu_machine())
    discover = Discover(replace(parts, is_offline=lambda: True), runner)
    view = DiscoverView(discover)
    view.resize(1200, 800)
    view.show()
    qtbot.waitUntil(
        lambda: bool(discover.cards) and not discover.is_judging and _is_settled(view),
        timeout=20_000,
    )
    assert [s.key for s in view.families.board.sections] == ["picks", "disk"]
    assert "offline" in view.families._machine.full_text
    open_page(view, qtbot)
    failure = view.repository._failure
    assert failure is not None
    assert failure.button.text() == "Open settings"
    discover.stop()
    view.close()
    view.deleteLater()
    runner.shutdown()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_esc_leads_back(view: DiscoverView, qtbot: QtBot) -> None:
    view.activateWindow()
    view.focus_search()
    qtbot.waitUntil(view.field.hasFocus)
    qtbot.keyClicks(view.field, "distill")
    open_page(view, qtbot)
    qtbot.waitUntil(view.repository.hasFocus)
    qtbot.keyClick(view.repository, Qt.Key.Key_Escape)
    assert not view.is_on_repository
    assert view.field.text() == "distill"
    view.focus_search()
    qtbot.keyClick(view.field, Qt.Key.Key_Escape)
    assert view.field.text() == ""
