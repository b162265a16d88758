"""Downloads: the queue in its order, what has ended below it, and what holds for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from PySide6.QtCore import QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from app.actions.download_totals import download_totals
from app.actions.downloads import Downloads
from app.theme import SIZE_HEADING, SPACE_S, SPACE_XS
from app.views import download_words
from app.views.begun_downloads import BegunDownloads
from app.views.download_menus import add_places, make_menu, open_page, popup
from app.views.download_words import download_row_view, kept_words, totals_words, unfinished_first
from app.widgets.buttons import TextButton
from app.widgets.download_row import DownloadRow, DownloadRowView
from app.widgets.empty_state import EmptyState
from app.widgets.labels import ElidedLabel, Weight, text_label
from app.widgets.page import ScrollColumn, card, hairline
from app.widgets.page_stack import PageStack, focus_kept
from app.widgets.setting_controls import NumberControl
from app.widgets.slices import Slices
from models.transfer.begun import BegunDownload
from models.transfer.job import JobState, JobView

WIDTH = 960
_NARROW_BELOW = 700
_COUNTDOWN_MS = 1000


class DownloadsView(QWidget):
    """Shows job views and says what was asked for; knows nobody who downloads.

    Signals with a job's id: ``pause_requested``, ``resume_requested``, ``forget_requested``,
    ``load_requested`` (with its JobView), ``cancel_requested`` (and whether what was fetched is
    kept), ``move_requested`` (and the new position in the queue).
    """

    pause_requested = Signal(str)
    resume_requested = Signal(str)
    cancel_requested = Signal(str, bool)
    move_requested = Signal(str, int)
    forget_requested = Signal(str)
    load_requested = Signal(object)
    settings_requested = Signal()
    library_requested = Signal()
    discover_requested = Signal()
    # Whether the list is in sight: what it shows need not be told elsewhere.
    watched = Signal(bool)
    # Million bytes a second, 0 for none.
    limit_chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._jobs: tuple[JobView, ...] = ()
        self._has_begun = False
        self._rows: dict[str, DownloadRow] = {}
        self._shown_order: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self._summary = ElidedLabel(mode=Qt.TextElideMode.ElideRight)
        self._summary.setProperty("tone", "quiet")
        self.limit = self._make_limit()
        self.pause_all_button = TextButton(self.tr("Pause all"), icon_name="pause")
        self.pause_all_button.clicked.connect(self._pause_all)
        self.resume_all_button = TextButton(self.tr("Resume all"), icon_name="play")
        self.resume_all_button.clicked.connect(self._resume_all)
        self.clear_button = TextButton(self.tr("Clear list"), kind="quiet")
        self.clear_button.clicked.connect(self._clear_ended)
        self._queue_list, self._queue_card = _make_list()
        self._ended_list, self._ended_card = _make_list()
        self._ended_head = QWidget()
        self.begun = BegunDownloads()
        self._drop_line = QFrame(self)
        self._drop_line.setProperty("kind", "drop-line")
        self._drop_line.setFixedHeight(2)
        self._drop_line.hide()
        self._lines: dict[str, QFrame] = {}
        self._slices = Slices(self)
        self._refresh = Slices(self)
        self._stack = PageStack(self)
        self.empty = EmptyState(
            "download",
            self.tr("Nothing to download"),
            self.tr(
                "What you choose in Discover is fetched here and checked byte by byte. "
                "It goes on where it was after a lost line, a crash or a new start."
            ),
            self.tr("Discover"),
        )
        self.empty.triggered.connect(self.discover_requested)
        self._countdown = QTimer(self)
        self._countdown.setInterval(_COUNTDOWN_MS)
        self._countdown.timeout.connect(self._show_rows)
        self._lay_out()
        self.show_jobs(())

    def row(self, job_id: str) -> DownloadRow:
        """Return the row of a download; KeyError when it is not in the list (yet)."""
        return self._rows[job_id]

    @property
    def is_filled(self) -> bool:
        """Whether every download has its row."""
        return not (self._slices.is_running or self._refresh.is_running)

    def follow(self, downloads: Downloads) -> None:
        """Show these downloads from now on, and let them hear what is asked for here."""
        self.show_jobs(downloads.jobs)
        self.show_begun(downloads.begun)
        downloads.changed.connect(self.show_jobs)
        downloads.begun_changed.connect(self.show_begun)
        self.begun.take_up_requested.connect(downloads.take_up)
        self.pause_requested.connect(downloads.pause)
        self.resume_requested.connect(downloads.resume)
        self.cancel_requested.connect(downloads.cancel)
        self.move_requested.connect(downloads.move)
        self.forget_requested.connect(downloads.forget)
        self.load_requested.connect(downloads.load_wanted)
        self.settings_requested.connect(downloads.settings_wanted)
        self.library_requested.connect(downloads.library_wanted)
        self.limit_chosen.connect(downloads.set_limit)
        self.watched.connect(downloads.set_watched)
        self.set_limit(downloads.limit_mb_s)
        downloads.limit_changed.connect(self.set_limit)

    @Slot(tuple)
    def show_jobs(self, jobs: tuple[JobView, ...]) -> None:
        """Show the queue as it is now; rows of downloads that stay are kept."""
        self._jobs = jobs
        queue, ended = unfinished_first(jobs)
        order = (tuple(job.job_id for job in queue), tuple(job.job_id for job in ended))
        if order != self._shown_order:
            self._arrange(order)
        self._show_rows()
        totals = download_totals(jobs)
        self._summary.set_full_text(totals_words(totals))
        self._show_all_buttons(queue)
        self._queue_card.setVisible(bool(queue))
        self._ended_card.setVisible(bool(ended))
        self._ended_head.setVisible(bool(ended))
        self._show_page()
        self._count_down()

    @Slot(tuple)
    def show_begun(self, begun: tuple[BegunDownload, ...]) -> None:
        """Show what was begun elsewhere and can be taken up."""
        self._has_begun = bool(begun)
        self.begun.show_begun(begun)
        self._show_page()

    def _show_page(self) -> None:
        self._stack.show_page(self._column if self._jobs or self._has_begun else self.empty)

    def _show_all_buttons(self, queue: tuple[JobView, ...]) -> None:
        views = self._views(queue)
        pauses = any(row.can_pause for row in views)
        resumes = not pauses and any(row.can_resume for row in views)
        buttons = (self.pause_all_button, self.resume_all_button)
        had_focus = self.window().focusWidget() in buttons
        if had_focus:
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        for button, shown in zip(buttons, (pauses, resumes), strict=True):
            button.setVisible(shown)
            if shown and had_focus:
                button.setFocus(Qt.FocusReason.OtherFocusReason)

    def set_limit(self, limit_mb_s: float) -> None:
        """Show the bandwidth limit, in million bytes a second; 0 for none."""
        self.limit.set_value(limit_mb_s)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what does not fit."""
        super().resizeEvent(event)
        narrow = self.width() < _NARROW_BELOW
        self._limit_name.setVisible(not narrow)
        for button in (self.pause_all_button, self.resume_all_button):
            button.set_icon_only(narrow)
        for row in self._rows.values():
            row.set_narrow(narrow)
        self.begun.set_narrow(narrow)

    def showEvent(self, event: QShowEvent) -> None:
        """Count down again."""
        super().showEvent(event)
        self.watched.emit(True)
        self._show_rows()
        self._count_down()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody sees the seconds."""
        super().hideEvent(event)
        self.watched.emit(False)
        self._countdown.stop()

    # --- rows -----------------------------------------------------------------------------------

    def _arrange(self, order: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        self._shown_order = order
        with focus_kept(self):
            for job_id in set(self._rows) - {job.job_id for job in self._jobs}:
                row, line = self._rows.pop(job_id), self._lines.pop(job_id)
                for widget in (line, row):
                    widget.hide()
                    widget.deleteLater()
            self._slices.run(self._fill())

    def _fill(self) -> Iterator[object]:
        """Put rows into their lists; what has to be made takes a step each."""
        for layout, ids in zip(
            (self._queue_list, self._ended_list), self._shown_order, strict=True
        ):
            for place, job_id in enumerate(ids):
                is_new = job_id not in self._rows
                job = self._job(job_id) if is_new else None
                if job is not None:
                    self._rows[job_id] = self._make_row(job_id, job.spec.title)
                    self._lines[job_id] = hairline()
                    self._show_row(job, time.time())
                self._put(layout, job_id, place)
                if layout is self._queue_list:
                    ends = (place == 0, place == len(ids) - 1)
                    self._rows[job_id].order.set_ends(is_first=ends[0], is_last=ends[1])
                if is_new:
                    yield job_id

    def _put(self, layout: QVBoxLayout, job_id: str, place: int) -> None:
        row, line = self._rows[job_id], self._lines[job_id]
        item = layout.itemAt(2 * place + 1)
        if item is None or item.widget() is not row:
            for number, widget in enumerate((line, row)):
                # Out of whichever list it was in.
                self._queue_list.removeWidget(widget)
                self._ended_list.removeWidget(widget)
                layout.insertWidget(2 * place + number, widget)
            row.show()
        line.setVisible(place > 0)

    def _make_row(self, job_id: str, title: str) -> DownloadRow:
        row = DownloadRow(title)
        row.set_narrow(self.width() < _NARROW_BELOW)
        row.pause_requested.connect(partial(self.pause_requested.emit, job_id))
        row.resume_requested.connect(partial(self.resume_requested.emit, job_id))
        row.forget_requested.connect(partial(self.forget_requested.emit, job_id))
        row.cancel_requested.connect(partial(self._ask_cancel, job_id))
        row.action_requested.connect(partial(self._act, job_id))
        row.menu_requested.connect(partial(self._open_menu, job_id))
        row.order.up_requested.connect(partial(self._step, job_id, -1))
        row.order.down_requested.connect(partial(self._step, job_id, 1))
        row.order.moved.connect(self._show_drop_line)
        row.order.dropped.connect(partial(self._drop, job_id))
        return row

    @Slot()
    def _show_rows(self) -> None:
        if not self.isVisible():
            return
        self._refresh.run(self._refreshed())

    def _refreshed(self) -> Iterator[object]:
        now_s = time.time()
        for job in self._jobs:
            if job.job_id in self._rows:
                self._show_row(job, now_s)
                yield job

    def _show_row(self, job: JobView, now_s: float) -> None:
        self._rows[job.job_id].show_view(download_row_view(job, now_s=now_s))

    def _views(self, jobs: tuple[JobView, ...]) -> list[DownloadRowView]:
        return [download_row_view(job, now_s=0.0) for job in jobs]

    def _job(self, job_id: str) -> JobView | None:
        return next((job for job in self._jobs if job.job_id == job_id), None)

    def _count_down(self) -> None:
        waits = any(
            job.state is JobState.WAITING and job.waits_until_s is not None for job in self._jobs
        )
        if waits and self.isVisible():
            if not self._countdown.isActive():
                self._countdown.start()
        else:
            self._countdown.stop()

    # --- what is asked for ----------------------------------------------------------------------

    def _act(self, job_id: str, action: str) -> None:
        job = self._job(job_id)
        if job is None:
            return
        if action == download_words.LOAD:
            self.load_requested.emit(job)
        elif action in (download_words.RETRY, download_words.RESUME):
            self.resume_requested.emit(job_id)
        elif action == download_words.SETTINGS:
            self.settings_requested.emit()
        elif action == download_words.SPACE:
            self.library_requested.emit()
        elif action == download_words.TERMS:
            open_page(job.spec)

    def _ask_cancel(self, job_id: str, button: QWidget) -> None:
        job = self._job(job_id)
        if job is None:
            return
        if not job.bytes_done:
            self.cancel_requested.emit(job_id, False)
            return
        menu = make_menu(self)
        self._add_cancel(menu, job)
        popup(menu, button)

    def _add_cancel(self, menu: QMenu, job: JobView) -> None:
        size = kept_words(job)
        keep = menu.addAction(self.tr("Cancel, keep the {0} that are here").format(size))
        keep.triggered.connect(partial(self.cancel_requested.emit, job.job_id, True))
        delete = menu.addAction(self.tr("Cancel and delete {0}").format(size))
        delete.triggered.connect(partial(self.cancel_requested.emit, job.job_id, False))

    def _open_menu(self, job_id: str, button: QWidget) -> None:
        job = self._job(job_id)
        if job is None:
            return
        menu = make_menu(self)
        view = download_row_view(job, now_s=time.time())
        if view.can_move:
            self._add_order(menu, job_id)
        lacks = job.state is JobState.READY and bool(job.why)
        if lacks or job.state in (
            JobState.NO_SPACE,
            JobState.NEEDS_TOKEN,
            JobState.NEEDS_LICENCE,
        ):
            again = menu.addAction(self.tr("Try again"))
            again.triggered.connect(partial(self.resume_requested.emit, job_id))
        add_places(menu, job.spec)
        if view.note:
            copied = f"{view.note}\n{view.note_details}".strip()
            menu.addAction(self.tr("Copy the message")).triggered.connect(partial(_copy, copied))
        menu.addSeparator()
        if view.can_forget:
            forget = menu.addAction(self.tr("Take off the list"))
            forget.triggered.connect(partial(self.forget_requested.emit, job_id))
        if job.state is JobState.CANCELLED and job.bytes_done:
            delete = menu.addAction(self.tr("Delete {0}").format(kept_words(job)))
            delete.triggered.connect(partial(self.cancel_requested.emit, job_id, False))
        elif view.can_cancel:
            self._add_cancel(menu, job)
        popup(menu, button)

    def _add_order(self, menu: QMenu, job_id: str) -> None:
        ids = self._shown_order[0]
        place = ids.index(job_id)
        first = menu.addAction(self.tr("Download first"))
        first.setEnabled(place > 0)
        first.triggered.connect(partial(self._move_to, job_id, 0))
        last = menu.addAction(self.tr("Download last"))
        last.setEnabled(place < len(ids) - 1)
        last.triggered.connect(partial(self._move_to, job_id, len(ids) - 1))
        menu.addSeparator()

    @Slot()
    def _pause_all(self) -> None:
        for job in self._jobs:
            if download_row_view(job, now_s=0.0).can_pause:
                self.pause_requested.emit(job.job_id)

    @Slot()
    def _resume_all(self) -> None:
        for job in self._jobs:
            if job.state is JobState.PAUSED:
                self.resume_requested.emit(job.job_id)

    @Slot()
    def _clear_ended(self) -> None:
        for job_id in self._shown_order[1]:
            self.forget_requested.emit(job_id)

    # --- order ----------------------------------------------------------------------------------

    def _step(self, job_id: str, by: int) -> None:
        self._move_to(job_id, self._shown_order[0].index(job_id) + by)

    def _move_to(self, job_id: str, place: int) -> None:
        """Put a download before the one that stands at ``place`` among those to be done."""
        ids = [one for one in self._shown_order[0] if one != job_id]
        place = min(max(place, 0), len(ids))
        positions = sorted(job.position for job in self._jobs if job.job_id in (*ids, job_id))
        self.move_requested.emit(job_id, positions[place])

    @Slot(int)
    def _show_drop_line(self, screen_y: int) -> None:
        place = self._place_at(screen_y)
        ids = [job_id for job_id in self._shown_order[0] if job_id in self._rows]
        row = self._rows[ids[min(place, len(ids) - 1)]]
        edge = row.rect().topLeft() if place < len(ids) else row.rect().bottomLeft()
        at = row.mapTo(self, edge)
        self._drop_line.setGeometry(at.x(), at.y() - 1, row.width(), 2)
        self._drop_line.show()
        self._drop_line.raise_()

    def _drop(self, job_id: str, screen_y: int) -> None:
        self._drop_line.hide()
        place, now = self._place_at(screen_y), self._shown_order[0].index(job_id)
        place -= 1 if place > now else 0
        if place != now:
            self._move_to(job_id, place)

    def _place_at(self, screen_y: int) -> int:
        """Return how many rows of the queue have their middle above a height on the screen."""
        rows = [self._rows[job_id] for job_id in self._shown_order[0] if job_id in self._rows]
        middles = [row.mapToGlobal(QPoint(0, row.height() // 2)).y() for row in rows]
        return sum(1 for middle in middles if middle < screen_y)

    # --- frame ----------------------------------------------------------------------------------

    def _make_limit(self) -> NumberControl:
        limit = NumberControl(
            self.tr("Bandwidth limit in MB per second"),
            is_whole=False,
            minimum=0.0,
            maximum=100_000.0,
            special=self.tr("No limit"),
            suffix=self.tr(" MB/s"),
            step=1.0,
        )
        limit.edited.connect(self._tell_limit)
        return limit

    @Slot(object)
    def _tell_limit(self, value: object) -> None:
        if isinstance(value, (int, float)):
            self.limit_chosen.emit(float(value))

    def _lay_out(self) -> None:
        self._limit_name = text_label(self.tr("Limit"), tone="quiet")
        head = QHBoxLayout()
        head.setSpacing(SPACE_S)
        head.addWidget(self._summary, 1)
        head.addWidget(self._limit_name)
        head.addWidget(self.limit)
        head.addWidget(self.pause_all_button)
        head.addWidget(self.resume_all_button)
        ended_row = QHBoxLayout(self._ended_head)
        ended_row.setContentsMargins(0, SPACE_XS, 0, 0)
        ended_row.addWidget(text_label(self.tr("Ended"), size=SIZE_HEADING, weight=Weight.DemiBold))
        ended_row.addStretch(1)
        ended_row.addWidget(self.clear_button)
        column = ScrollColumn(WIDTH, self._stack)
        column.column.setSpacing(SPACE_S)
        column.column.addLayout(head)
        for widget in (self._queue_card, self.begun, self._ended_head, self._ended_card):
            column.column.addWidget(widget)
        column.column.addStretch(1)
        self._stack.addWidget(self.empty)
        self._column = column
        self._stack.addWidget(column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)


def _make_list() -> tuple[QVBoxLayout, QFrame]:
    frame = card()
    layout = QVBoxLayout(frame)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    return layout, frame


def _copy(text: str) -> None:
    QGuiApplication.clipboard().setText(text)
