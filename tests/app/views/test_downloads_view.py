from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QApplication, QDoubleSpinBox, QMenu, QWidget
from pytestqt.qtbot import QtBot

from app.theme import Appearance
from app.views.downloads_view import DownloadsView
from helpers.accessible import nameless
from helpers.download_samples import every_state, job_spec, job_view
from models.transfer.begun import BegunDownload
from models.transfer.job import JobState, JobView

S = JobState


@pytest.fixture
def view(appearance: Appearance, qtbot: QtBot, qapp: QApplication) -> Iterator[DownloadsView]:
    view = DownloadsView()
    view.resize(1000, 800)
    view.show()
    qtbot.waitExposed(view)
    yield view
    view.close()
    view.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def queue(*states: JobState) -> tuple[JobView, ...]:
    return tuple(
        job_view(job_spec(number + 1, title=f"Model {number + 1}"), state, position=number)
        for number, state in enumerate(states)
    )


def show(view: DownloadsView, qtbot: QtBot, jobs: tuple[JobView, ...]) -> None:
    view.show_jobs(jobs)
    qtbot.waitUntil(lambda: view.is_filled)


def order(view: DownloadsView) -> list[str]:
    rows = sorted(view._rows.values(), key=lambda row: row.mapTo(view, QPoint()).y())
    return [row._title.full_text for row in rows]


def the_menu(view: DownloadsView, qtbot: QtBot) -> dict[str, QAction]:
    qtbot.waitUntil(lambda: any(menu.isVisible() for menu in view.findChildren(QMenu)))
    menu = next(menu for menu in view.findChildren(QMenu) if menu.isVisible())
    return {action.text(): action for action in menu.actions() if action.text()}


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_what_was_begun_elsewhere_is_offered_below_the_queue(
    view: DownloadsView, qtbot: QtBot
) -> None:
    begun = (
        BegunDownload(job_spec(1, title="Left"), 1_000_000_000),
        BegunDownload(job_spec(2, title="Busy"), 2_000_000_000, is_busy=True),
        BegunDownload(job_spec(3, title="A part", shards=1), 3_000_000_000, lacks_parts=True),
    )
    assert view.empty.isVisible()
    view.show_begun(begun)
    qtbot.waitUntil(view.begun.isVisible)
    left, busy, part = view.begun.rows
    assert [row.action_button.isVisible() for row in view.begun.rows] == [True, False, True]
    assert "1.00 GB of 4.68 GB" in left.accessibleDescription()
    assert "Another Fathom" in busy.accessibleDescription()
    assert "3.00 GB are here" in part.accessibleDescription()
    assert nameless(view) == []
    with qtbot.waitSignal(view.begun.take_up_requested) as asked:
        qtbot.mouseClick(left.action_button, Qt.MouseButton.LeftButton)
    assert asked.args == [begun[0]]
    left.menu_button.click()
    qtbot.waitUntil(lambda: any(menu.isVisible() for menu in view.findChildren(QMenu)))
    close_menus(view)
    # The same row goes on while others fetch.
    view.show_begun((begun[0], replace(begun[1], is_busy=False), begun[2]))
    assert view.begun.rows[1] is busy
    assert busy.action_button.isVisible()
    view.show_begun(())
    assert view.empty.isVisible()


def close_menus(view: DownloadsView) -> None:
    for menu in view.findChildren(QMenu):
        menu.close()


def test_an_empty_list_leads_to_discover(view: DownloadsView, qtbot: QtBot) -> None:
    assert view.empty.isVisible()
    with qtbot.waitSignal(view.discover_requested):
        view.empty.button.click()


def test_every_state_says_what_it_is_and_fits_into_640(
    view: DownloadsView, qtbot: QtBot, qapp: QApplication
) -> None:
    jobs = every_state(time.time())
    show(view, qtbot, jobs)
    for job in jobs:
        row = view.row(job.job_id)
        row.fold.button.click()
        said = (row._state.text(), row._amount.text(), row._note.text())
        assert any(said), job.state
    assert nameless(view) == []
    for width in (1000, 588):
        view.resize(width, 800)
        qapp.processEvents()
        for job in jobs:
            row = view.row(job.job_id)
            right = row.menu_button.mapTo(view, row.menu_button.rect().topRight()).x()
            assert right <= width, job.state
            assert row.menu_button.isVisible()


def test_a_running_download_says_how_far_how_fast_and_how_long(
    view: DownloadsView, qtbot: QtBot
) -> None:
    spec = job_spec(1, shards=4, shard_bytes=10_000_000_000)
    job = job_view(
        spec, S.DOWNLOADING, share=0.55, rate_bytes_s=41_300_000, eta_s=435.0,
        bytes_refetched=67_108_864,
    )  # fmt: skip
    show(view, qtbot, (job,))
    row = view.row(job.job_id)
    assert row._amount.text() == "22.0 GB of 40.0 GB   41.3 MB/s"
    assert row._eta.text() == "about 7 min 15 s"
    assert row.bar.value() == 550
    row.fold.button.click()
    assert row.fold.button.text() == "4 files, 2 checked"
    words = [words.text() for _, words, _ in row._file_widgets]
    assert words == ["10.0 GB, checked", "10.0 GB, checked", "2.00 GB of 10.0 GB", "10.0 GB"]
    facts = {name.text(): value.full_text for name, value in row._fact_widgets}
    assert facts["Fetched twice"] == "67.1 MB"
    assert "22.0 GB" in row.bar.accessibleDescription()
    assert "18.0 GB left" in view._summary.full_text


def test_a_wait_counts_down(view: DownloadsView, qtbot: QtBot) -> None:
    waiting = replace(
        queue(S.WAITING)[0], why="No network.", waits_until_s=time.time() + 40, bytes_done=5
    )
    show(view, qtbot, (waiting,))
    row = view.row(waiting.job_id)
    assert row._note.text().startswith("No network. Tries again in ")
    assert view._countdown.isActive()
    show(view, qtbot, (replace(waiting, waits_until_s=time.time() - 1),))
    assert row._note.text() == "No network. Tries again now."
    show(view, qtbot, queue(S.PAUSED))
    assert not view._countdown.isActive()


def test_pause_resume_and_all_of_them(view: DownloadsView, qtbot: QtBot) -> None:
    jobs = queue(S.DOWNLOADING, S.PAUSED, S.QUEUED, S.FAILED)
    show(view, qtbot, jobs)
    asked: list[tuple[str, str]] = []
    view.pause_requested.connect(lambda job_id: asked.append(("pause", job_id)))
    view.resume_requested.connect(lambda job_id: asked.append(("resume", job_id)))
    ids = [job.job_id for job in jobs]
    view.row(ids[0]).pause_button.click()
    view.row(ids[1]).pause_button.click()
    view.row(ids[3]).action_button.click()
    assert asked == [("pause", ids[0]), ("resume", ids[1]), ("resume", ids[3])]
    asked.clear()
    assert view.resume_all_button.isHidden()
    view.pause_all_button.click()
    assert asked == [("pause", ids[0]), ("pause", ids[2])]
    show(view, qtbot, queue(S.PAUSED, S.PAUSED))
    asked.clear()
    assert view.pause_all_button.isHidden()
    view.resume_all_button.click()
    assert asked == [("resume", ids[0]), ("resume", ids[1])]


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_cancel_asks_what_becomes_of_what_is_here(view: DownloadsView, qtbot: QtBot) -> None:
    begun = replace(queue(S.DOWNLOADING)[0], bytes_done=2_000_000_000)
    fresh = job_view(job_spec(9), S.QUEUED, position=1)
    show(view, qtbot, (begun, fresh))
    with qtbot.waitSignal(view.cancel_requested) as asked:
        view.row(fresh.job_id).cancel_button.click()
    assert asked.args == [fresh.job_id, False]
    for text, keep in (
        ("Cancel, keep the 2.00 GB that are here", True),
        ("Cancel and delete 2.00 GB", False),
    ):
        view.row(begun.job_id).cancel_button.click()
        action = the_menu(view, qtbot)[text]
        with qtbot.waitSignal(view.cancel_requested) as asked:
            action.trigger()
        assert asked.args == [begun.job_id, keep]
        close_menus(view)


def test_what_ended_is_below_and_can_be_taken_off(view: DownloadsView, qtbot: QtBot) -> None:
    jobs = queue(S.READY, S.DOWNLOADING, S.CANCELLED)
    show(view, qtbot, jobs)
    assert order(view) == ["Model 2", "Model 3", "Model 1"]
    ready = view.row(jobs[0].job_id)
    assert ready.action_button.text() == "Load"
    with qtbot.waitSignal(view.load_requested) as asked:
        ready.action_button.click()
    assert asked.args == [jobs[0]]
    gone: list[str] = []
    view.forget_requested.connect(gone.append)
    ready.cancel_button.click()
    view.clear_button.click()
    assert gone == [jobs[0].job_id, jobs[2].job_id, jobs[0].job_id]
    row = view.row(jobs[1].job_id)
    show(view, qtbot, jobs[1:2])
    assert order(view) == ["Model 2"]
    assert view.row(jobs[1].job_id) is row
    assert view._ended_card.isHidden()


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_what_a_person_has_to_do_has_a_button(view: DownloadsView, qtbot: QtBot) -> None:
    jobs = queue(S.NEEDS_TOKEN, S.NO_SPACE, S.NEEDS_LICENCE)
    show(view, qtbot, jobs)
    with qtbot.waitSignal(view.settings_requested):
        view.row(jobs[0].job_id).action_button.click()
    with qtbot.waitSignal(view.library_requested):
        view.row(jobs[1].job_id).action_button.click()
    assert view.row(jobs[2].job_id).action_button.text() == "Open its page"
    view.row(jobs[1].job_id).menu_button.click()
    with qtbot.waitSignal(view.resume_requested):
        the_menu(view, qtbot)["Try again"].trigger()
    close_menus(view)


@pytest.mark.qt_log_ignore("This plugin does not support")
def test_the_order_changes_by_buttons_and_menu(view: DownloadsView, qtbot: QtBot) -> None:
    # One that ended lies between: positions are the queue's, places are those of the list.
    jobs = queue(S.DOWNLOADING, S.READY, S.QUEUED, S.QUEUED)
    show(view, qtbot, jobs)
    first, last = view.row(jobs[0].job_id), view.row(jobs[3].job_id)
    assert not first.order.up_button.isEnabled()
    assert not last.order.down_button.isEnabled()
    with qtbot.waitSignal(view.move_requested) as asked:
        last.order.up_button.click()
    assert asked.args == [jobs[3].job_id, 2]
    with qtbot.waitSignal(view.move_requested) as asked:
        first.order.down_button.click()
    assert asked.args == [jobs[0].job_id, 2]
    last.menu_button.click()
    with qtbot.waitSignal(view.move_requested) as asked:
        the_menu(view, qtbot)["Download first"].trigger()
    assert asked.args == [jobs[3].job_id, 0]
    close_menus(view)


def test_a_row_is_dragged_to_another_place(view: DownloadsView, qtbot: QtBot) -> None:
    jobs = queue(S.DOWNLOADING, S.QUEUED, S.QUEUED)
    show(view, qtbot, jobs)
    view.row(jobs[0].job_id)
    grip = view.row(jobs[2].job_id).order.grip
    target = view.row(jobs[0].job_id)
    above = grip.mapFromGlobal(target.mapToGlobal(QPoint(0, 2)))
    qtbot.mousePress(grip, Qt.MouseButton.LeftButton)
    qtbot.mouseMove(grip, above)
    assert view._drop_line.isVisible()
    with qtbot.waitSignal(view.move_requested) as asked:
        qtbot.mouseRelease(grip, Qt.MouseButton.LeftButton, pos=above)
    assert asked.args == [jobs[2].job_id, 0]
    assert view._drop_line.isHidden()
    moved: list[object] = []
    view.move_requested.connect(lambda *args: moved.append(args))
    qtbot.mousePress(grip, Qt.MouseButton.LeftButton)
    qtbot.mouseRelease(grip, Qt.MouseButton.LeftButton)
    assert moved == []


def test_the_limit_is_shown_and_chosen(view: DownloadsView, qtbot: QtBot) -> None:
    view.set_limit(0.0)
    assert view.limit.box.text() == "No limit"
    with qtbot.waitSignal(view.limit_chosen) as chosen:
        box = view.limit.box
        assert isinstance(box, QDoubleSpinBox)
        box.setValue(12.5)
    assert chosen.args == [12.5]
    assert view.limit.box.text() == "12.50 MB/s"


def test_a_mirrors_word_for_itself_is_said(view: DownloadsView, qtbot: QtBot) -> None:
    job = job_view(job_spec(1, is_independent=False), S.READY, share=1.0)
    show(view, qtbot, (job,))
    row = view.row(job.job_id)
    assert "as the mirror has it" in row._note.text()
    assert row._note.property("tone") == "tight"


def test_the_keyboard_is_never_handed_to_what_nobody_chose(
    view: DownloadsView, qtbot: QtBot
) -> None:
    def focused() -> QWidget | None:
        return view.window().focusWidget()

    show(view, qtbot, queue(S.DOWNLOADING, S.QUEUED))
    row = view.row(f"{1:032x}")
    row.pause_button.setFocus()
    # Nothing can be pressed while it is being paused; the next button would cancel.
    show(view, qtbot, queue(S.PAUSING, S.QUEUED))
    assert focused() is row
    show(view, qtbot, queue(S.PAUSED, S.QUEUED))
    assert focused() is row.pause_button
    first, second = queue(S.PAUSED, S.QUEUED)
    show(view, qtbot, (replace(first, position=1), replace(second, position=0)))
    qtbot.waitUntil(lambda: order(view) == ["Model 2", "Model 1"])
    assert focused() is row.pause_button
    show(view, qtbot, (second,))
    assert focused() is view
    view.pause_all_button.setFocus()
    show(view, qtbot, (replace(second, state=S.PAUSED),))
    assert focused() is view.resume_all_button
    show(view, qtbot, ())
    assert focused() is view


def test_a_long_list_is_filled_in_slices_and_in_order(view: DownloadsView, qtbot: QtBot) -> None:
    jobs = queue(*([S.QUEUED] * 20 + [S.READY] * 10))
    view.show_jobs(jobs)
    assert not view.is_filled
    assert 0 < len(view._rows) < 30
    qtbot.waitUntil(lambda: view.is_filled)
    waiting = [f"Model {number + 1}" for number in range(20)]
    ended = [f"Model {number + 1}" for number in reversed(range(20, 30))]
    qtbot.waitUntil(lambda: order(view) == [*waiting, *ended])
    # One that ended changes its list, and the others close up.
    show(view, qtbot, (replace(jobs[0], state=S.READY), *jobs[1:]))
    qtbot.waitUntil(lambda: order(view) == [*waiting[1:], *ended, "Model 1"])
    assert view._lines[jobs[1].job_id].isHidden()
    assert view._lines[jobs[0].job_id].isVisible()
