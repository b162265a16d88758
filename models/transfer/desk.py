"""The queue: who is next, what a request or an end means, what the parent is told. No Qt here.

One thread uses a desk, and nothing here waits: disk and network are for the runs and the keeper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from models.errors import (
    AccessError,
    DiskFullError,
    DownloadBusyError,
    DownloadNotFoundError,
    FathomError,
    LicenceNotAcceptedError,
    LoginNeededError,
    OfflineError,
    StoppedError,
    TokenInvalidError,
    TransferError,
)
from models.transfer.job import ENDED, JobFailure, JobSpec, JobState
from models.transfer.job_book import FileStand, Job
from models.transfer.job_rows import row_of
from models.transfer.protocol import GoneLine, JobLine, QueueLine, TransferLine, job_line
from models.transfer.queue_store import StoredJob
from models.transfer.room_watch import FIRST_PAUSE_S, RoomWatch
from models.transfer.run import Run

_S = JobState

# One download has the line; another one may begin while it waits or is only being checked.
_RUNNING_LIMIT = 1
_STARTED_LIMIT = 3
_BUSY_PAUSE_S = 5.0

_HAVE_THE_LINE = frozenset({_S.RESOLVING, _S.RESERVING, _S.DOWNLOADING, _S.REPAIRING, _S.PAUSING})
_SHOWS_PROGRESS = frozenset({_S.DOWNLOADING, _S.VERIFYING, _S.REPAIRING})
_CAN_REST = frozenset({_S.QUEUED, _S.NEEDS_TOKEN, _S.NEEDS_LICENCE, _S.NO_SPACE})
_CAN_RESUME = _CAN_REST | {_S.PAUSED, _S.PAUSING, _S.FAILED, _S.CANCELLED, _S.READY}
_CAN_BE_FORGOTTEN = ENDED | {_S.FAILED}
_OFFLINE_WHY = "Fathom is set to work offline."

Emit = Callable[[TransferLine], None]
Keep = Callable[[dict[str, StoredJob], tuple[int, ...]], None]


class Launcher(Protocol):
    """Makes the runs of downloads."""

    def job(self, spec: JobSpec, files: tuple[FileStand, ...]) -> Run:
        """Return a run that fetches a download; not begun."""

    def discard(self, spec: JobSpec, files: tuple[FileStand, ...], *, keeps: bool) -> Run:
        """Return a run that takes a cancelled download away; not begun."""

    def room(self, spec: JobSpec) -> Run:
        """Return a run that looks whether there is room for a download; not begun."""


class Desk:
    """All downloads of one child.

    Args:
        launcher: makes runs, whose ends come to ``ended``.
        emit: tells the parent.
        keep: writes the queue down.
        room_pause_s: between two looks at a disk that was full.
    """

    def __init__(
        self, launcher: Launcher, emit: Emit, keep: Keep, *, room_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        self._launcher = launcher
        self._emit = emit
        self._keep = keep
        self._jobs: list[Job] = []
        self._runs: dict[str, Run] = {}
        self._said_specs: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._room = RoomWatch(room_pause_s)
        self._looks: dict[str, Run] = {}
        self._is_offline = False
        self._is_open = False
        self._is_closing = False

    @property
    def is_running(self) -> bool:
        """Whether something is being done whose progress is worth looking at."""
        return bool(self._runs)

    @property
    def next_s(self) -> float | None:
        """When something is to be tried again, on the monotonic clock; None when nothing is."""
        known = (*self._not_before.values(), self._room.next_s)
        return min((at_s for at_s in known if at_s is not None), default=None)

    def run_of(self, job_id: str) -> Run | None:
        """Return what is being done for a download; may be called from any thread."""
        return self._runs.get(job_id)

    # --- requests -------------------------------------------------------------------------------

    def open(self, jobs: Iterable[Job]) -> None:
        """Take over what the queue held."""
        known = {job.job_id for job in self._jobs}
        self._jobs[:0] = [job for job in jobs if job.job_id not in known]
        self._is_open = True
        lines = [self._line(job) for job in self._jobs]
        self._emit(QueueLine(tuple(lines)))
        for job in self._jobs:
            if job.state is _S.CANCELLING:
                self._discard(job)
        self._written()
        self._start_next()

    def add(self, spec: JobSpec) -> None:
        """Put a download at the end; one that is there already is left alone."""
        if all(job.job_id != spec.job_id for job in self._jobs):
            job = Job(spec)
            job.why = self._why_queued
            self._jobs.append(job)
            self._changed(job)
            self._start_next()

    def pause(self, job_id: str) -> None:
        """Stop a download, and keep what there is."""
        job = self._job(job_id)
        run = self._runs.get(job_id)
        if job.state in _CAN_REST and run is None:
            job.go(_S.PAUSED)
        elif job.may_go(_S.PAUSING) and run is not None:
            job.go(_S.PAUSING)
            run.stop()
        elif job.state is _S.QUEUED:  # its last run is just ending
            job.go(_S.PAUSED)
        self._changed(job)

    def resume(self, job_id: str) -> None:
        """Let a download go on."""
        job = self._job(job_id)
        if job.state in _CAN_RESUME - {_S.QUEUED}:
            self._not_before.pop(job_id, None)
            job.go(_S.QUEUED, why=self._why_queued)
            self._changed(job)
            self._start_next()

    def cancel(self, job_id: str, *, keep: bool) -> None:
        """End a download, and without ``keep`` take away what it fetched.

        Raises:
            DownloadNotFoundError: there is none.
            TransferError: it is finished.
        """
        job = self._job(job_id)
        if job.state is _S.READY:
            raise TransferError("The download is finished; delete it in the library.")
        if job.state is _S.CANCELLING or (job.state is _S.CANCELLED and keep):
            return
        if job.state is _S.CANCELLED:
            job.go(_S.QUEUED)
        job.go(_S.CANCELLING)
        job.keeps = keep
        run = self._runs.get(job_id)
        if run is not None:
            run.stop()
        else:
            self._discard(job)
        self._changed(job)

    def move(self, job_id: str, position: int) -> None:
        """Put a download to another place of the queue."""
        job = self._job(job_id)
        self._jobs.remove(job)
        self._jobs.insert(max(0, position), job)
        for each in self._jobs:
            self._emit(self._line(each))
        self._written()

    def forget(self, job_id: str) -> None:
        """Take a download off the list.

        Raises:
            DownloadNotFoundError: there is none.
            TransferError: it has not ended.
        """
        job = self._job(job_id)
        if job.state not in _CAN_BE_FORGOTTEN or job_id in self._runs:
            raise TransferError("The download has not ended.", hint="Cancel it first.")
        self._jobs.remove(job)
        self._said_specs.discard(job_id)
        self._emit(GoneLine(job_id))
        for each in self._jobs:
            self._emit(self._line(each))
        self._written()

    def set_offline(self, is_offline: bool) -> None:
        """Stop everything, or let it go on."""
        self._is_offline = is_offline
        for job in self._jobs:
            if is_offline and job.state is _S.QUEUED:
                job.why = _OFFLINE_WHY
            elif is_offline and job.may_go(_S.PAUSING) and job.job_id in self._runs:
                job.go(_S.QUEUED, why=_OFFLINE_WHY)
                self._runs[job.job_id].stop()
            elif not is_offline and job.state is _S.QUEUED and job.why == _OFFLINE_WHY:
                job.why = ""
            else:
                continue
            self._changed(job)
        self._start_next()

    @property
    def _why_queued(self) -> str:
        """Why what is put into the queue now does not begin; empty when it only has to wait."""
        return _OFFLINE_WHY if self._is_offline else ""

    def retry_refused(self) -> None:
        """Ask again for what was refused: the token is another one."""
        for job in self._jobs:
            if job.state in (_S.NEEDS_TOKEN, _S.NEEDS_LICENCE):
                job.go(_S.QUEUED)
                self._changed(job)
        self._start_next()

    def written(self, request_ids: tuple[int, ...] = ()) -> None:
        """Have the queue written down, and these requests answered then."""
        self._written(request_ids)

    def close(self, limit_s: float) -> None:
        """End all runs; what was going on is queued at the next start."""
        self._is_closing = True
        runs = list(self._runs.values())
        for run in runs:
            run.stop()
        end = time.monotonic() + limit_s
        for run in runs:
            run.join(max(0.0, end - time.monotonic()))
        self._written()

    # --- what happens ---------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Look how far the runs are, and tell; ``now_s`` is monotonic."""
        for job in self._jobs:
            run = self._runs.get(job.job_id)
            if run is not None and self._look(job, run, now_s):
                self._emit(self._line(job))
        due = [job_id for job_id, at_s in self._not_before.items() if at_s <= now_s]
        for job_id in due:
            del self._not_before[job_id]
        for job_id in self._room.due(now_s):
            self._look_for_room(job_id)
        self._start_next()

    def ended(self, run: Run, error: FathomError | None) -> None:
        """Take note of how a run ended."""
        for job_id, look in self._looks.items():
            if look is run:
                del self._looks[job_id]
                self._looked(job_id, error)
                return
        job = next((job for job in self._jobs if self._runs.get(job.job_id) is run), None)
        if job is None:
            return
        self._look(job, run, time.monotonic())
        del self._runs[job.job_id]
        job.meter.reset()
        job.refetched_before, job.bytes_refetched = (
            job.refetched_before + job.bytes_refetched,
            0,
        )
        if job.state is _S.CANCELLING:
            self._cancelled(job, run, error)
        elif job.state is _S.PAUSING and error is None:
            job.go(_S.READY, why=_lacks(run))
        elif job.state is _S.PAUSING and isinstance(error, StoppedError):
            job.go(_S.PAUSED)
        elif job.state is _S.PAUSING:
            job.go(_S.PAUSED, why=error.message if error else "")
        elif job.state not in (_S.QUEUED, _S.PAUSED):
            self._settle(job, error, _lacks(run))
        self._changed(job)
        self._start_next()

    def _cancelled(self, job: Job, run: Run, error: FathomError | None) -> None:
        if run.snapshot() is not None:
            # That was the download itself; what it fetched is taken away now.
            self._discard(job)
        elif error is not None:
            job.go(_S.FAILED, why=error.message, failure=failure_of(error))
        else:
            if not job.keeps:
                job.files = tuple(FileStand() for _ in job.files)
            job.go(_S.CANCELLED)

    def _settle(self, job: Job, error: FathomError | None, lacks: str) -> None:
        """Go where the end of a download leads to."""
        if error is None:
            job.go(_S.READY, why=lacks)
        elif isinstance(error, StoppedError):
            job.go(_S.QUEUED)
        elif isinstance(error, OfflineError):
            job.go(_S.QUEUED, why=error.message)
            self._not_before[job.job_id] = time.monotonic() + _BUSY_PAUSE_S
        elif isinstance(error, DownloadBusyError):
            job.go(_S.QUEUED, why=error.message, waits_until_s=time.time() + _BUSY_PAUSE_S)
            self._not_before[job.job_id] = time.monotonic() + _BUSY_PAUSE_S
        else:
            job.go(resting_state(error), why=error.message, failure=failure_of(error))
        if job.state is _S.NO_SPACE:
            self._room.rests(job.job_id, job.bytes_done, time.monotonic())

    def _look_for_room(self, job_id: str) -> None:
        job = next((job for job in self._jobs if job.job_id == job_id), None)
        if job is None or job.state is _S.READY:
            self._room.forget(job_id)
        elif job.state is not _S.NO_SPACE:
            self._room.sleep(job_id)
        elif job_id not in self._looks:
            self._looks[job_id] = look = self._launcher.room(job.spec)
            look.begin()

    def _looked(self, job_id: str, error: FathomError | None) -> None:
        """Let a download go on that there is room for now, or say what still lacks."""
        job = next((job for job in self._jobs if job.job_id == job_id), None)
        if job is None or job.state is not _S.NO_SPACE:
            return
        if error is None:
            self._room.sleep(job_id)
            job.go(_S.QUEUED, why=self._why_queued)
        elif not isinstance(error, DiskFullError) or failure_of(error) == job.failure:
            return
        else:
            job.why, job.failure = error.message, failure_of(error)
        self._changed(job)
        self._start_next()

    # --- its parts ------------------------------------------------------------------------------

    def _job(self, job_id: str) -> Job:
        for job in self._jobs:
            if job.job_id == job_id:
                return job
        raise DownloadNotFoundError("There is no such download.", details=job_id)

    def _look(self, job: Job, run: Run, now_s: float) -> bool:
        """Take over where a run stands; return whether that is worth telling."""
        snapshot = run.snapshot()
        if snapshot is None:
            return False
        job.show(snapshot.files)
        job.meter.mark(now_s, snapshot.bytes_fetched)
        job.bytes_refetched = snapshot.bytes_refetched
        if not job.may_go(_S.PAUSING):
            return False
        before = (job.state, job.why, job.waits_until_s)
        now = (snapshot.state, snapshot.why, snapshot.waits_until_s)
        if before != now:
            job.go(snapshot.state, why=snapshot.why, waits_until_s=snapshot.waits_until_s)
        return job.state in _SHOWS_PROGRESS or before != now

    def _start_next(self) -> None:
        if not self._is_open or self._is_offline or self._is_closing:
            return
        for job in self._jobs:
            started = [each for each in self._jobs if each.job_id in self._runs]
            running = [each for each in started if _has_the_line(each)]
            if len(running) >= _RUNNING_LIMIT or len(started) >= _STARTED_LIMIT:
                return
            waits = job.job_id in self._runs or job.job_id in self._not_before
            if job.state is _S.QUEUED and not waits:
                job.go(_S.RESOLVING)
                self._begin(job, self._launcher.job(job.spec, job.files))
                self._changed(job)

    def _discard(self, job: Job) -> None:
        keeps = job.keeps is not False
        self._begin(job, self._launcher.discard(job.spec, job.files, keeps=keeps))

    def _begin(self, job: Job, run: Run) -> None:
        self._runs[job.job_id] = run
        job.meter.reset()
        run.begin()

    def _changed(self, job: Job) -> None:
        # A request may have been about a download that has left the list meanwhile.
        self._emit(self._line(job))
        self._written()

    def _written(self, request_ids: tuple[int, ...] = ()) -> None:
        if self._is_open:
            rows = {job.job_id: row_of(job, place) for place, job in enumerate(self._jobs)}
            self._keep(rows, request_ids)

    def _line(self, job: Job) -> JobLine:
        is_new = job.job_id not in self._said_specs
        self._said_specs.add(job.job_id)
        return job_line(job.view(self._jobs.index(job)), with_spec=is_new)


def _has_the_line(job: Job) -> bool:
    # Between two files of a set it is only a moment until the next one is fetched.
    is_between = job.state is _S.VERIFYING and job.bytes_done < job.spec.size_bytes
    return is_between or job.state in _HAVE_THE_LINE


def _lacks(run: Run) -> str:
    snapshot = run.snapshot()
    return snapshot.lacks if snapshot is not None else ""


def resting_state(error: FathomError) -> JobState:
    """Return where a download rests that ended with an error."""
    if isinstance(error, (LoginNeededError, TokenInvalidError)):
        return _S.NEEDS_TOKEN
    if isinstance(error, LicenceNotAcceptedError):
        return _S.NEEDS_LICENCE
    if isinstance(error, AccessError) and type(error) is not AccessError:
        return _S.NEEDS_LICENCE  # access was asked for and is not given yet
    if isinstance(error, DiskFullError):
        return _S.NO_SPACE
    return _S.FAILED


def failure_of(error: FathomError) -> JobFailure:
    """Return an error taken apart, as a download carries it."""
    return JobFailure(error.code, error.message, error.hint, error.details)
