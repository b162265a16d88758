"""Downloads of the window over the real transfer child and a hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.actions.download_parts import DownloadParts
from app.actions.downloads import Downloads
from app.bridges.downloads import DownloadsBridge
from app.messages import Notice, Severity
from helpers.download_samples import job_spec as sample_spec
from helpers.download_samples import job_view
from helpers.fake_hub import FakeHub, fake_hub
from helpers.small_transfers import child_command
from helpers.transfers import (
    REPOSITORY,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from helpers.window_parts import Parts
from models.errors import LoginNeededError, TransferError
from models.hub.fetching import complete_spec, find_quant, job_spec
from models.hub.hub import Hub
from models.hub.names import RepositoryPlace
from models.hub.pages import RepositoryPage
from models.hub.quants import QuantFiles
from models.transfer.begun import find_elsewhere
from models.transfer.client import TransferClient
from models.transfer.events import JobChanged, QueueReplaced, TransferDown, TransferSettings
from models.transfer.job import JobFailure, JobSpec, JobState, JobView

LIMIT_MS = 20_000


@dataclass
class Rig:
    """Downloads with all that is behind them, and what the user was told."""

    downloads: Downloads
    bridge: DownloadsBridge
    client: TransferClient
    hub: FakeHub
    root: Path
    notices: list[Notice] = field(default_factory=list)
    configured: list[TransferSettings] = field(default_factory=list)
    has_unfinished: bool = False
    finished: list[JobView] = field(default_factory=list)

    def state(self) -> JobState | None:
        """Where the only download stands."""
        return self.downloads.jobs[0].state if self.downloads.jobs else None

    def notice(self, severity: Severity) -> Notice | None:
        return next((notice for notice in self.notices if notice.severity is severity), None)


@pytest.fixture
def rig(parts: Parts, base_dir: Path, qtbot: QtBot) -> Iterator[Rig]:
    bridge = DownloadsBridge()
    root = make_root(base_dir)
    client = TransferClient(child_command(), data_dir=base_dir, listener=bridge.listener)
    with fake_hub() as hub:

        def read_settings() -> TransferSettings:
            limit_bytes_s = parts.settings.get_float("downloads.limit_mb_s") * 1e6
            rig.configured.append(TransferSettings(limit_bytes_s=limit_bytes_s, roots=(root,)))
            return rig.configured[-1]

        def make_spec(page: RepositoryPage, quant: QuantFiles) -> JobSpec:
            if not page.is_readable:
                raise LoginNeededError("It is for known users.", hint="Give a token.")
            return job_spec(page, quant, root=root)

        downloads = Downloads(
            client=client,
            bridge=bridge,
            settings=parts.settings_bridge,
            runner=parts.runner,
            messages=parts.messages,
            parts=DownloadParts(
                read_settings=read_settings,
                make_spec=make_spec,
                has_unfinished=lambda: rig.has_unfinished,
                find_begun=lambda: find_elsewhere([root]),
                complete=lambda spec: complete_spec(spec, Hub(endpoint=hub.endpoint)),
            ),
        )
        rig = Rig(downloads, bridge, client, hub, root)
        parts.messages.posted.connect(rig.notices.append)
        parts.messages.attach()
        downloads.finished.connect(rig.finished.append)
        yield rig
        qtbot.waitUntil(lambda: parts.runner.is_idle)
        client.stop()
        bridge.detach()


def test_a_quant_of_a_page_is_here_and_checked_in_the_end(rig: Rig, qtbot: QtBot) -> None:
    files = gguf_shards(2, 400_000)
    offer(rig.hub, files)
    page = Hub(endpoint=rig.hub.endpoint).page(RepositoryPlace(REPOSITORY), stop=lambda: False)
    quant = find_quant(page, "Q4_K_M")
    rig.downloads.start(page, quant)
    qtbot.waitUntil(lambda: bool(rig.finished), timeout=LIMIT_MS)
    (job,) = rig.finished
    assert job.path.read_bytes() == files[min(files)]
    assert rig.downloads.totals.unfinished == 0
    found = rig.downloads.job_of(REPOSITORY, min(files))
    assert found is not None
    assert found.job_id == job.job_id
    assert rig.downloads.job_of(REPOSITORY, "other.gguf") is None
    notice = rig.notice(Severity.INFO)
    assert notice is not None
    assert notice.text == f"{job.spec.title} is here and checked."
    assert notice.action is not None
    with qtbot.waitSignal(rig.downloads.load_wanted) as wanted:
        notice.action.run()
    assert wanted.args[0].path == job.path
    rig.downloads.forget(job.job_id)
    qtbot.waitUntil(lambda: rig.downloads.jobs == (), timeout=LIMIT_MS)


def test_pause_resume_and_cancel_reach_the_child(rig: Rig, qtbot: QtBot) -> None:
    files = gguf_shards(1, 4_000_000)
    offer(rig.hub, files)
    rig.hub.rate_bytes_s = 200_000
    spec = spec_for(rig.hub, list(files), rig.root)
    rig.downloads.start_spec(spec)
    qtbot.waitUntil(lambda: rig.state() is JobState.DOWNLOADING, timeout=LIMIT_MS)
    rig.downloads.pause(spec.job_id)
    qtbot.waitUntil(lambda: rig.state() is JobState.PAUSED, timeout=LIMIT_MS)
    assert rig.downloads.totals.running == 0
    rig.downloads.resume(spec.job_id)
    qtbot.waitUntil(lambda: rig.state() is JobState.DOWNLOADING, timeout=LIMIT_MS)
    rig.downloads.start_spec(spec_for(rig.hub, list(files), rig.root))
    assert "already" in rig.notices[-1].text
    rig.downloads.cancel(spec.job_id, False)
    qtbot.waitUntil(lambda: rig.state() in (JobState.CANCELLED, None), timeout=LIMIT_MS)
    assert list(spec.folder.rglob("*.part*")) == []
    assert len(rig.downloads.jobs) <= 1


def test_the_child_is_told_how_to_work_before_and_after_a_change(
    rig: Rig, parts: Parts, qtbot: QtBot
) -> None:
    parts.settings_bridge.set("downloads.limit_mb_s", 3.0)
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    assert rig.configured == []
    rig.has_unfinished = True
    rig.downloads.start_if_needed()
    qtbot.waitUntil(lambda: rig.client.pid is not None, timeout=LIMIT_MS)
    assert rig.configured[-1].limit_bytes_s == 3e6
    with qtbot.waitSignal(rig.downloads.limit_changed) as changed:
        rig.downloads.set_limit(5.0)
    assert changed.args == [5.0]
    qtbot.waitUntil(lambda: rig.configured[-1].limit_bytes_s == 5e6)


def test_without_anything_to_do_there_is_no_child(rig: Rig, parts: Parts, qtbot: QtBot) -> None:
    rig.downloads.start_if_needed()
    qtbot.waitUntil(lambda: parts.runner.is_idle)
    assert rig.client.pid is None
    assert rig.configured == []


def test_what_cannot_be_begun_is_told_with_the_way_out(
    rig: Rig, parts: Parts, qtbot: QtBot
) -> None:
    page = RepositoryPage(REPOSITORY, "main", "c" * 40, "http://x", (), is_readable=False)
    rig.downloads.start(page, QuantFiles("Model", "Q4_K_M", 1, "x"))
    qtbot.waitUntil(lambda: rig.notice(Severity.ERROR) is not None)
    notice = rig.notice(Severity.ERROR)
    assert notice is not None
    assert notice.action is not None
    with qtbot.waitSignal(rig.downloads.settings_wanted):
        notice.action.run()


@pytest.mark.parametrize(
    ("state", "button", "signal"),
    [
        (JobState.NEEDS_TOKEN, "Open settings", "settings_wanted"),
        (JobState.NO_SPACE, "Free space", "library_wanted"),
        (JobState.FAILED, "Show", "list_wanted"),
    ],
)
def test_a_download_that_rests_is_told_once(
    rig: Rig, qtbot: QtBot, state: JobState, button: str, signal: str
) -> None:
    spec = sample_spec()
    failure = JobFailure("x", "It cannot go on.", "Do this.")
    rig.bridge.listener(QueueReplaced((job_view(spec, JobState.DOWNLOADING),)))
    with qtbot.waitSignal(rig.bridge.stepped):
        rig.bridge.listener(JobChanged(job_view(spec, state, failure=failure)))
    rig.bridge.listener(JobChanged(job_view(spec, state, failure=failure, share=0.5)))
    rig.bridge.listener(QueueReplaced((job_view(spec, state, failure=failure),)))
    qtbot.wait(0)
    (notice,) = rig.notices
    assert notice.text == f"{spec.title}: It cannot go on."
    assert notice.hint == "Do this."
    assert notice.action is not None
    assert notice.action.text == button
    with qtbot.waitSignal(getattr(rig.downloads, signal)):
        notice.action.run()


def test_what_a_download_needed_is_taken_back_when_it_has_it(
    rig: Rig, parts: Parts, qtbot: QtBot
) -> None:
    failure = JobFailure("disk_full", "1 GB is missing.")
    view = job_view(sample_spec(), JobState.NO_SPACE, failure=failure)
    withdrawn: list[int] = []
    parts.messages.withdrawn.connect(withdrawn.append)
    with qtbot.waitSignal(rig.bridge.stepped):
        rig.bridge.listener(JobChanged(view))
    # What lacks changes while the disk is looked at; nobody is told again.
    less = replace(view, failure=JobFailure("disk_full", "1 MB is missing."))
    with qtbot.waitSignal(rig.bridge.stepped):
        rig.bridge.listener(JobChanged(less))
    (notice,) = rig.notices
    assert withdrawn == []
    with qtbot.waitSignal(rig.bridge.stepped):
        rig.bridge.listener(JobChanged(job_view(view.spec, JobState.QUEUED)))
    assert withdrawn == [notice.id]


def test_what_another_window_began_is_offered_and_taken_up(
    rig: Rig, base_dir: Path, qtbot: QtBot
) -> None:
    files = gguf_shards(2, 200_000)
    offer(rig.hub, files)
    rig.hub.rate_bytes_s = 200_000
    with running_client(base_dir / "other", asks_nobody=1) as (client, heard):
        spec = spec_for(rig.hub, list(files), rig.root)
        client.add(spec)
        heard.wait_for_bytes(20_000)
        client.cancel(spec.job_id, keep=True)
        heard.wait_for_state(JobState.CANCELLED)
    rig.hub.rate_bytes_s = None
    with qtbot.waitSignal(rig.downloads.begun_changed):
        rig.downloads.set_watched(True)
    (begun,) = rig.downloads.begun
    assert begun.lacks_parts
    rig.downloads.take_up(begun)
    qtbot.waitUntil(lambda: rig.state() is JobState.READY, timeout=LIMIT_MS)
    assert rig.downloads.begun == ()
    assert rig.downloads.jobs[0].spec.files == spec.files
    # It is whole, and does not come back as a begun one when the list is cleared.
    rig.downloads.forget(rig.downloads.jobs[0].job_id)
    qtbot.waitUntil(lambda: rig.downloads.jobs == (), timeout=LIMIT_MS)
    assert rig.downloads.begun == ()


def test_what_is_cancelled_and_kept_is_offered_again_when_the_list_is_cleared(
    rig: Rig, qtbot: QtBot
) -> None:
    files = gguf_shards(1, 400_000)
    offer(rig.hub, files)
    rig.hub.rate_bytes_s = 200_000
    rig.downloads.set_watched(True)
    rig.downloads.start_spec(spec_for(rig.hub, list(files), rig.root))
    qtbot.waitUntil(
        lambda: bool(rig.downloads.jobs) and rig.downloads.jobs[0].bytes_done > 20_000,
        timeout=LIMIT_MS,
    )
    job_id = rig.downloads.jobs[0].job_id
    rig.downloads.cancel(job_id, keep=True)
    qtbot.waitUntil(lambda: rig.state() is JobState.CANCELLED, timeout=LIMIT_MS)
    assert rig.downloads.begun == ()
    rig.downloads.forget(job_id)
    qtbot.waitUntil(lambda: rig.downloads.begun != (), timeout=LIMIT_MS)


def test_only_a_final_end_of_the_child_is_told(rig: Rig, qtbot: QtBot) -> None:
    error = TransferError("The child ended.")
    with qtbot.waitSignal(rig.bridge.went_down):
        rig.bridge.listener(TransferDown(error, is_final=False))
    assert rig.notices == []
    with qtbot.waitSignal(rig.bridge.went_down):
        rig.bridge.listener(TransferDown(error, is_final=True))
    (notice,) = rig.notices
    assert notice.text == "The child ended."
    assert notice.action is not None
    notice.action.run()
    qtbot.waitUntil(lambda: rig.client.pid is not None, timeout=LIMIT_MS)


def test_what_is_seen_or_loaded_is_not_told_any_longer(
    rig: Rig, parts: Parts, qtbot: QtBot
) -> None:
    withdrawn: list[int] = []
    parts.messages.withdrawn.connect(withdrawn.append)

    def be_ready(number: int) -> JobView:
        job = job_view(sample_spec(number, title=f"Model {number}"), JobState.READY)
        rig.bridge.listener(QueueReplaced((replace(job, state=JobState.VERIFYING),)))
        with qtbot.waitSignal(rig.bridge.stepped):
            rig.bridge.listener(JobChanged(job))
        return job

    first = be_ready(1)
    be_ready(2)
    rig.downloads.withdraw_ready(first.path)
    assert withdrawn == [rig.notices[0].id]
    # Who looks at the list sees the button there.
    rig.downloads.set_watched(True)
    assert withdrawn == [notice.id for notice in rig.notices]
    be_ready(3)
    assert len(rig.notices) == 2
