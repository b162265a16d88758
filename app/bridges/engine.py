"""Engine notices, heard in the supervisor's reader thread, as signals of the main thread.

Tokens come as fast as the engine makes them and are handed on at most 30 times a second, figures
at most 4 times, load progress at most 10 times. Whatever ends a request goes at once and after
everything that came before it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from models.errors import FathomError
from models.runtime.protocol import (
    FINAL_EVENTS,
    Cancelled,
    Delta,
    DeviceList,
    Done,
    ErrorEvent,
    Event,
    Loaded,
    LoadProgress,
    Log,
    Started,
    Stats,
    StatsEvent,
    Unloaded,
)
from models.runtime.request_book import error_from_event
from models.runtime.states import OthersAnswerEnded
from models.runtime.supervisor import (
    EngineFailed,
    EngineNotice,
    EngineState,
    EventReceived,
    SafeModeRetry,
    StateChanged,
)

DELTA_INTERVAL_S = 1 / 30
SLOWEST_INTERVAL_S = 0.1
# On few cores every cycle that the window takes costs the engine ten (its threads wait for each
# other): showing text may take 3 % of one core where there are two, 10 % where there are eight,
# and is done less often when it would take more.
CORE_SHARE_PER_CORE = 0.0125
MIN_CORE_SHARE, MAX_CORE_SHARE = 0.03, 0.1
STATS_INTERVAL_S = 0.25
PROGRESS_INTERVAL_S = 0.1
_MEASURE_EVERY = 5

_log = logging.getLogger(__name__)
_LOG_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    # What the engine warns of is often harmless; what matters comes as a warning of `loaded`.
    "warning": logging.INFO,
    "error": logging.INFO,
}


class EngineBridge(QObject):
    """Give ``listener`` to the supervisor; connect to the signals. Lives in the main thread."""

    state_changed = Signal(EngineState)
    load_progress = Signal(LoadProgress)
    loaded = Signal(Loaded)
    unloaded = Signal()
    started = Signal(int, Started)
    delta = Signal(int, str, str, int)  # request id, text, reasoning, tokens
    stats = Signal(Stats)
    finished = Signal(int, object)  # request id, Done | Cancelled
    # A request that is not the window's own: Usage | None. Its live figures came as ``stats``.
    others_answer_ended = Signal(object)
    failed = Signal(object, FathomError)  # request id | None
    safe_mode_retry = Signal(FathomError)
    devices = Signal(DeviceList)
    _wake = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._queue: deque[EngineNotice] = deque()
        self._wake_sent = False
        self._timer_runs = False
        self._attached = True
        self._last_delta_s = self._last_stats_s = self._last_progress_s = 0.0
        self._interval_s = DELTA_INTERVAL_S
        self._flushes = 0
        self._flush_began_s = 0.0
        share = CORE_SHARE_PER_CORE * (os.cpu_count() or 1)
        self._core_share = min(max(share, MIN_CORE_SHARE), MAX_CORE_SHARE)
        self._painted_timer = QTimer(self, singleShot=True, interval=0)
        self._painted_timer.timeout.connect(self._on_painted)
        self._stats: Stats | None = None
        self._progress: LoadProgress | None = None
        self._timer = QTimer(self, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_timer)
        # Not the same timer: text must not wait for figures, which may wait longer.
        self._figures_timer = QTimer(self, singleShot=True)
        self._figures_timer.timeout.connect(self._on_figures_timer)
        self._wake.connect(self._on_wake, Qt.ConnectionType.QueuedConnection)

    def listener(self, notice: EngineNotice) -> None:
        """Take a notice, in any thread; returns at once."""
        with self._lock:
            if not self._attached:
                return
            self._queue.append(notice)
            # One wake-up is enough, and none while the timer will look anyway.
            if self._wake_sent or (self._timer_runs and _can_wait(notice)):
                return
            self._wake_sent = True
        self._wake.emit()

    def detach(self) -> None:
        """Hear nothing any more; what is queued is dropped. To be called before the end."""
        with self._lock:
            self._attached = False
            self._queue.clear()
        self._timer.stop()
        self._figures_timer.stop()
        self._painted_timer.stop()

    @Slot()
    def _on_wake(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._wake_sent = False
            urgent = any(not _can_wait(notice) for notice in self._queue)
            due_s = self._last_delta_s + self._interval_s - now
            wait = not urgent and due_s > 0
        if wait:
            self._start_timer(due_s)
        else:
            self._flush(now)

    @Slot()
    def _on_timer(self) -> None:
        with self._lock:
            self._timer_runs = False
        self._flush(time.monotonic())

    @Slot()
    def _on_figures_timer(self) -> None:
        self._emit_figures(time.monotonic(), force=False)

    def _start_timer(self, delay_s: float) -> None:
        with self._lock:
            self._timer_runs = True
        self._timer.start(max(1, round(delay_s * 1000)))

    def _flush(self, now: float) -> None:
        # Not every time: where a system call is slow, asking for the cost would be half of it.
        self._flushes += 1
        measured = self._flushes % _MEASURE_EVERY == 0
        began_s = time.thread_time() if measured else 0.0
        with self._lock:
            notices = list(self._queue)
            self._queue.clear()
        texts: list[Delta] = []
        answering: tuple[int | None, bool] = (None, False)
        for notice in notices:
            body = notice.event.body if isinstance(notice, EventReceived) else None
            if isinstance(notice, EventReceived) and isinstance(body, Delta):
                # Reasoning and answer apart, so that the tokens of each can be counted.
                kind = (notice.event.request_id, bool(body.reasoning))
                if kind != answering:
                    self._emit_text(answering[0], texts)
                    answering, texts = kind, []
                texts.append(body)
                continue
            if not _can_wait(notice):
                self._emit_text(answering[0], texts)
                texts = []
                self._emit_figures(now, force=True)
            self._dispatch(notice)
        if texts:
            self._last_delta_s, self._flush_began_s = now, began_s
            if measured:
                # Fires when everything that was posted, painting above all, is done.
                self._painted_timer.start()
        self._emit_text(answering[0], texts)
        self._emit_figures(now, force=False)

    @Slot()
    def _on_painted(self) -> None:
        """Work out how often text may be shown from what showing it cost, painting included."""
        wanted_s = (time.thread_time() - self._flush_began_s) / self._core_share
        # Mostly the old one: one costly moment must not make the text stutter.
        wanted_s = 0.6 * self._interval_s + 0.4 * wanted_s
        self._interval_s = min(max(wanted_s, DELTA_INTERVAL_S), SLOWEST_INTERVAL_S)

    def _emit_text(self, request_id: int | None, texts: list[Delta]) -> None:
        if request_id is None or not texts:
            return
        self.delta.emit(
            request_id,
            "".join(piece.text for piece in texts),
            "".join(piece.reasoning for piece in texts),
            sum(piece.tokens for piece in texts),
        )

    def _emit_figures(self, now: float, *, force: bool) -> None:
        delays_s: list[float] = []
        if self._stats is not None:
            left_s = self._last_stats_s + STATS_INTERVAL_S - now
            if force or left_s <= 0:
                stats, self._stats, self._last_stats_s = self._stats, None, now
                self.stats.emit(stats)
            else:
                delays_s.append(left_s)
        if self._progress is not None:
            left_s = self._last_progress_s + PROGRESS_INTERVAL_S - now
            if force or left_s <= 0:
                progress, self._progress, self._last_progress_s = self._progress, None, now
                self.load_progress.emit(progress)
            else:
                delays_s.append(left_s)
        if delays_s:
            self._figures_timer.start(round(min(delays_s) * 1000) + 1)

    def _dispatch(self, notice: EngineNotice) -> None:
        match notice:
            case StateChanged(state=state):
                self.state_changed.emit(state)
            case SafeModeRetry(error=error):
                self.safe_mode_retry.emit(error)
            case EngineFailed(error=error, request_id=request_id):
                self.failed.emit(request_id, error)
            case OthersAnswerEnded(usage=usage):
                self.others_answer_ended.emit(usage)
            case EventReceived(event=event):
                self._dispatch_event(event)

    def _dispatch_event(self, event: Event) -> None:
        request_id = -1 if event.request_id is None else event.request_id
        match event.body:
            case StatsEvent(stats=stats):
                self._stats = stats
            case LoadProgress() as progress:
                self._progress = progress
            case Started() as started:
                self.started.emit(request_id, started)
            case Loaded() as loaded:
                self.loaded.emit(loaded)
            case Unloaded():
                self.unloaded.emit()
            case Done() | Cancelled():
                self.finished.emit(request_id, event.body)
            case ErrorEvent() as error:
                self.failed.emit(event.request_id, error_from_event(error))
            case DeviceList() as found:
                self.devices.emit(found)
            case Log(level=level, text=text):
                _log.log(_LOG_LEVELS.get(level, logging.INFO), "engine: %s", text)


def _can_wait(notice: EngineNotice) -> bool:
    """Tell whether a notice may wait for the timer: text, figures, progress and log lines."""
    if not isinstance(notice, EventReceived):
        return False
    body = notice.event.body
    return not isinstance(body, (Started, *FINAL_EVENTS))
