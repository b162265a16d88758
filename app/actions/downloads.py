"""What one can do with downloads, and what is told of them when nobody looks at the list."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QObject, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices

from app.actions.download_parts import DownloadParts
from app.actions.download_totals import DownloadTotals, download_totals
from app.bridges.downloads import DownloadsBridge
from app.bridges.settings import SettingsBridge
from app.messages import Action, Messages
from app.tasks import TaskRunner, expected
from models.errors import FathomError, LoginNeededError, StoppedError, TokenInvalidError
from models.transfer.begun import BegunDownload, not_among
from models.transfer.events import TransferSettings
from models.transfer.job import ENDED, JobSpec, JobState, JobView

if TYPE_CHECKING:
    from pathlib import Path

    from models.hub.pages import RepositoryPage
    from models.hub.quants import QuantFiles

__all__ = ["DownloadTotals", "Downloads", "TransferService"]

# Settings that the transfer child works by.
SETTINGS_OF_TRANSFERS = (
    "downloads.limit_mb_s",
    "downloads.connections",
    "downloads.folder",
    "hub.endpoint",
    "hub.offline",
    "library.roots",
)

_log = logging.getLogger(__name__)


class TransferService(Protocol):
    """What is needed of ``models.transfer.client.TransferClient``; nothing waits for the child."""

    def configure(self, settings: TransferSettings) -> None:
        """Say how downloads are to be made."""

    def start(self) -> None:
        """Start the child unless it runs."""

    def add(self, spec: JobSpec) -> None:
        """Put a download at the end of the queue."""

    def pause(self, job_id: str) -> None:
        """Stop a download and keep what there is."""

    def resume(self, job_id: str) -> None:
        """Go on with a download that rests."""

    def cancel(self, job_id: str, *, keep: bool) -> None:
        """End a download; without ``keep``, what it fetched is deleted."""

    def move(self, job_id: str, position: int) -> None:
        """Put a download to another place of the queue."""

    def forget(self, job_id: str) -> None:
        """Take a download that ended off the list."""


class Downloads(QObject):
    """The queue of the window: over a TransferClient whose listener is ``bridge.listener``.

    ``changed`` carries all downloads in the queue's order (tuple[JobView, ...], at most five times
    a second), ``totals_changed`` their DownloadTotals. ``finished`` carries the JobView of one that
    is READY just now: the library is to be looked at again. ``begun_changed`` carries what lies
    unfinished on the disk and is in no list (tuple[BegunDownload, ...]). ``load_wanted`` (JobView),
    ``settings_wanted``, ``library_wanted`` and ``list_wanted`` come from buttons of notices and
    of the list.
    """

    changed = Signal(tuple)
    totals_changed = Signal(DownloadTotals)
    finished = Signal(JobView)
    begun_changed = Signal(tuple)
    load_wanted = Signal(JobView)
    settings_wanted = Signal()
    library_wanted = Signal()
    list_wanted = Signal()
    limit_changed = Signal(float)

    def __init__(
        self,
        *,
        client: TransferService,
        bridge: DownloadsBridge,
        settings: SettingsBridge,
        runner: TaskRunner,
        messages: Messages,
        parts: DownloadParts,
        parent: QObject | None = None,
    ) -> None:
        """Compose; nothing is started and nothing is asked yet.

        Args:
            client: the transfer child's owner.
            bridge: what ``client`` tells its events to.
            settings: heard for changes of ``SETTINGS_OF_TRANSFERS``.
            runner: background work, in the lanes ``hub`` and ``general``.
            messages: the one door for notices.
            parts: what is done in background threads.
            parent: as usual.
        """
        super().__init__(parent)
        self._client = client
        self._bridge = bridge
        self._settings = settings
        self._runner = runner
        self._messages = messages
        self._parts = parts
        self._begun: tuple[BegunDownload, ...] = ()
        self._listed: frozenset[str] = frozenset()
        self._totals = DownloadTotals()
        self._is_configured = False
        # What waits until the child knows how to work.
        self._waiting: list[Callable[[], None]] = []
        self._trouble_notice: int | None = None
        self._is_watched = False
        # By path: what is here and was not loaded since.
        self._ready_notices: dict[Path, int] = {}
        # By download: what it needs before it can go on.
        self._rest_notices: dict[str, int] = {}
        bridge.jobs_changed.connect(self._on_jobs)
        bridge.stepped.connect(self._on_step)
        bridge.went_down.connect(self._on_down)
        bridge.trouble.connect(self._on_trouble)
        settings.changed.connect(self._on_setting)

    @property
    def jobs(self) -> tuple[JobView, ...]:
        """All downloads, in the order of the queue."""
        return self._bridge.jobs

    @property
    def totals(self) -> DownloadTotals:
        """All of them together."""
        return self._totals

    @property
    def begun(self) -> tuple[BegunDownload, ...]:
        """What lies unfinished on the disk, was begun elsewhere, and is not in the queue."""
        return self._begun

    @property
    def limit_mb_s(self) -> float:
        """Of all downloads together, in million bytes a second; 0 for no limit."""
        return self._settings.settings.get_float("downloads.limit_mb_s")

    def job_of(self, repository: str, file: str) -> JobView | None:
        """Return the download that fetches a file (its path in the repository), if there is one."""
        for job in self.jobs:
            wanted = job.state is not JobState.CANCELLED and job.spec.repository == repository
            if wanted and any(one.path == file for one in job.spec.files):
                return job
        return None

    def start_if_needed(self) -> None:
        """Go on with what an earlier run left; no child is started where there is nothing."""
        self._runner.run(self._parts.has_unfinished, done=self._on_unfinished, error=self._on_error)

    def start(self, page: RepositoryPage, quant: QuantFiles) -> None:
        """Download a checkpoint; it is put at the end of the queue."""
        self._runner.run(
            partial(self._parts.make_spec, page, quant),
            done=self.start_spec,
            error=self._on_error,
            lane="hub",
        )

    def start_spec(self, spec: JobSpec) -> None:
        """Download, or repair, what a spec says."""
        for job in self.jobs:
            if job.state not in ENDED and _same(job.spec, spec):
                self._messages.info(
                    self.tr("{0} is being downloaded already.").format(spec.title),
                    Action(self.tr("Show"), self.list_wanted.emit),
                )
                return
        self._when_configured(partial(self._client.add, spec))

    def look_for_begun(self) -> None:
        """Look what lies unfinished on the disk; ``begun_changed`` has it."""
        self._runner.run(
            self._parts.find_begun, done=self._on_found, error=self._on_error, lane="disk"
        )

    @Slot(object)
    def take_up(self, begun: BegunDownload) -> None:
        """Go on with what was begun elsewhere; a lock keeps two from fetching the same file."""
        if not begun.lacks_parts:
            self.start_spec(begun.spec)
            return
        self._runner.run(
            partial(self._parts.complete, begun.spec),
            done=self.start_spec,
            error=self._on_error,
            lane="hub",
        )

    def pause(self, job_id: str) -> None:
        """Stop a download and keep what there is."""
        self._when_configured(partial(self._client.pause, job_id))

    def resume(self, job_id: str) -> None:
        """Go on with a download that rests, for whatever reason."""
        self._when_configured(partial(self._client.resume, job_id))

    def cancel(self, job_id: str, keep: bool) -> None:
        """End a download; without ``keep``, what it fetched is deleted."""
        self._when_configured(partial(self._client.cancel, job_id, keep=keep))

    def move(self, job_id: str, position: int) -> None:
        """Put a download to another place of the queue, counted from 0."""
        self._when_configured(partial(self._client.move, job_id, position))

    def forget(self, job_id: str) -> None:
        """Take a download that ended off the list; its files stay."""
        self._when_configured(partial(self._client.forget, job_id))

    def set_limit(self, limit_mb_s: float) -> None:
        """Limit all downloads together, in million bytes a second; 0 for no limit."""
        self._settings.set("downloads.limit_mb_s", limit_mb_s)

    @Slot(bool)
    def set_watched(self, watched: bool) -> None:
        """Take whether somebody looks at the list."""
        self._is_watched = watched
        if watched:
            for path in tuple(self._ready_notices):
                self.withdraw_ready(path)
            self.look_for_begun()

    def withdraw_ready(self, path: Path) -> None:
        """Take back that a checkpoint is here: it is being loaded, or was seen."""
        notice = self._ready_notices.pop(path, None)
        if notice is not None:
            self._messages.withdraw(notice)

    def reconfigure(self) -> None:
        """Read settings and token again, as after a token was given or forgotten."""
        self._runner.run(
            self._parts.read_settings, done=self._on_settings, error=self._on_no_settings
        )

    # --- settings -------------------------------------------------------------------------------

    def _when_configured(self, request: Callable[[], None]) -> None:
        """Ask the child now, or as soon as it was told how to work."""
        if self._is_configured:
            request()
            return
        self._waiting.append(request)
        if len(self._waiting) == 1:
            self.reconfigure()

    def _on_settings(self, settings: TransferSettings) -> None:
        self._client.configure(settings)
        self._is_configured = True
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request()

    @Slot(str, object)
    def _on_setting(self, key: str, _value: object) -> None:
        if key == "downloads.limit_mb_s":
            self.limit_changed.emit(self.limit_mb_s)
        # Before the first request there is nobody to tell.
        if key in SETTINGS_OF_TRANSFERS and self._is_configured:
            self.reconfigure()

    def _on_unfinished(self, there_is: bool) -> None:
        if there_is:
            self._when_configured(self._client.start)

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, StoppedError):
            return
        error = expected(error)
        action = None
        if isinstance(error, (LoginNeededError, TokenInvalidError)):
            action = Action(self.tr("Open settings"), self.settings_wanted.emit)
        self._messages.error(error, action)

    def _on_no_settings(self, error: Exception) -> None:
        # What was asked for is not done later, behind the back of who was told that it failed.
        self._waiting.clear()
        self._on_error(error)

    # --- what the child says --------------------------------------------------------------------

    @Slot(tuple)
    def _on_jobs(self, jobs: tuple[JobView, ...]) -> None:
        self._show_begun(self._begun)
        listed = frozenset(job.job_id for job in jobs)
        if self._is_watched and not self._listed <= listed:
            # What was taken off the list may be whole, gone, or still there in parts.
            self.look_for_begun()
        self._listed = listed
        totals = download_totals(jobs)
        self.changed.emit(jobs)
        if totals != self._totals:
            self._totals = totals
            self.totals_changed.emit(totals)

    def _on_found(self, found: tuple[BegunDownload, ...]) -> None:
        self._show_begun(found)

    def _show_begun(self, found: tuple[BegunDownload, ...]) -> None:
        begun = not_among(found, (job.spec for job in self.jobs))
        if begun != self._begun:
            self._begun = begun
            self.begun_changed.emit(begun)

    @Slot(object, JobView)
    def _on_step(self, before: JobView | None, after: JobView) -> None:
        if before is not None and before.state is after.state:
            return
        self._withdraw_rest(after.job_id)
        if after.state is JobState.READY:
            self.finished.emit(after)
            self._tell_ready(after)
        elif after.state in (JobState.FAILED, *_NEEDS):
            self._tell_rest(after)

    def _tell_ready(self, job: JobView) -> None:
        # Whoever looks at the list sees it turn green, with a button where the other ones are.
        if not self._is_watched:
            load = Action(self.tr("Load"), partial(self.load_wanted.emit, job))
            self._ready_notices[job.path] = self._messages.info(self._ready_words(job), load)

    def _ready_words(self, job: JobView) -> str:
        if job.spec.repairs:
            return self.tr("{0} is whole again.").format(job.spec.title)
        return self.tr("{0} is here and checked.").format(job.spec.title)

    def _tell_rest(self, job: JobView) -> None:
        failure = job.failure
        text = failure.message if failure is not None else job.why
        hint = failure.hint if failure is not None else ""
        text = f"{job.spec.title}: {text}"
        if job.state is JobState.FAILED:
            shown = FathomError(text, hint=hint, details=failure.details if failure else "")
            self._messages.error(shown, Action(self.tr("Show"), self.list_wanted.emit))
            return
        actions = {
            JobState.NEEDS_TOKEN: Action(self.tr("Open settings"), self.settings_wanted.emit),
            JobState.NO_SPACE: Action(self.tr("Free space"), self.library_wanted.emit),
            JobState.NEEDS_LICENCE: Action(self.tr("Open its page"), partial(_open_page, job)),
        }
        notice = self._messages.warning(text, actions[job.state], hint=hint)
        self._rest_notices[job.job_id] = notice

    def _withdraw_rest(self, job_id: str) -> None:
        """Take back what a download needed: it has it, or somebody ended it."""
        notice = self._rest_notices.pop(job_id, None)
        if notice is not None:
            self._messages.withdraw(notice)

    @Slot(object, bool)
    def _on_down(self, error: FathomError, is_final: bool) -> None:
        # One that is started again is nobody's business: downloads go on where they were.
        if is_final:
            self._messages.error(error, Action(self.tr("Start again"), self._client.start))
        else:
            _log.info("Downloads were interrupted: %s", error.one_line())

    @Slot(object)
    def _on_trouble(self, error: FathomError | None) -> None:
        if self._trouble_notice is not None:
            self._messages.withdraw(self._trouble_notice)
            self._trouble_notice = None
        if error is not None:
            self._trouble_notice = self._messages.warning(error.message, hint=error.hint)


_NEEDS = (JobState.NEEDS_TOKEN, JobState.NEEDS_LICENCE, JobState.NO_SPACE)


def _same(one: JobSpec, other: JobSpec) -> bool:
    """Whether two specs would write the same files."""
    return one.folder == other.folder and {file.target for file in one.files} == {
        file.target for file in other.files
    }


def _open_page(job: JobView) -> None:
    QDesktopServices.openUrl(QUrl(f"{job.spec.endpoint}/{job.spec.repository}"))
