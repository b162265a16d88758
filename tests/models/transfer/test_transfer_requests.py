"""What a person can ask of downloads, with a real child and real servers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from helpers.fake_hub import TOKEN, FakeHub, Fault, fake_hub
from helpers.logcheck import LogCheck
from helpers.transfers import (
    REPOSITORY,
    Heard,
    assert_all_there,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from models.transfer.begun import find_elsewhere
from models.transfer.client import TransferClient, has_unfinished
from models.transfer.events import JobGone, QueueReplaced, TransferSettings
from models.transfer.job import JobSpec, JobState
from models.transfer.job_file import write_job_file
from models.transfer.queue_store import QUEUE_FILE
from models.transfer.rebuild import find_begun

FILES = gguf_shards(2, 700_000)
TOTAL_BYTES = sum(map(len, FILES.values()))
SLOW_BYTES_S = 300_000


def slow_download(hub: FakeHub, client: TransferClient, heard: Heard, root: Path) -> JobSpec:
    """Begin a download that takes a while, and wait until something has come."""
    offer(hub, FILES)
    hub.rate_bytes_s = SLOW_BYTES_S
    spec = spec_for(hub, sorted(FILES), root)
    client.add(spec)
    heard.wait_for_bytes(100_000)
    return spec


def names_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_pause_and_resume_fetch_nothing_twice(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        spec = slow_download(hub, client, heard, make_root(base_dir))
        client.pause(spec.job_id)
        paused = heard.wait_for_state(JobState.PAUSED)
        assert 100_000 <= paused.bytes_done < TOTAL_BYTES
        assert paused.rate_bytes_s == 0
        hub.rate_bytes_s = None
        client.resume(spec.job_id)
        view = heard.wait_for_state(JobState.READY, JobState.FAILED)
    assert view.failure is None
    assert view.bytes_refetched == 0
    assert_all_there(spec, FILES)


@pytest.mark.parametrize("kind", ["stall", "silent"])
def test_a_download_that_gets_nothing_is_paused_at_once(base_dir: Path, kind: str) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, FILES)
        hub.fail("cdn", Fault(kind, after=50_000), times=None)
        spec = spec_for(hub, sorted(FILES), make_root(base_dir))
        client.add(spec)
        hub.wait_for(lambda: len(hub.seen("cdn")) >= 3)
        client.pause(spec.job_id)
        heard.wait_for_state(JobState.PAUSED)
        assert client.jobs()[0].state is JobState.PAUSED


def test_cancel_and_delete_leaves_nothing(base_dir: Path) -> None:
    root = make_root(base_dir)
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, FILES)
        hub.fail("cdn", Fault("slow", rate_bytes_s=250_000), path="00002", times=None)
        spec = spec_for(hub, sorted(FILES), root)
        client.add(spec)
        heard.wait_for_bytes(TOTAL_BYTES // 2 + 50_000)
        client.cancel(spec.job_id, keep=False)
        heard.wait_for_state(JobState.CANCELLED)
        assert names_below(root) == []
        client.forget(spec.job_id)
        heard.wait_for(lambda event: isinstance(event, JobGone))
        assert client.jobs() == ()


def test_cancel_and_delete_spares_what_was_there_before(base_dir: Path) -> None:
    files = FILES | {"README.md": b"# Model\n"}
    root = make_root(base_dir)
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, files)
        first = spec_for(hub, ["README.md"], root)
        client.add(first)
        heard.wait_for_state(JobState.READY)
        hub.rate_bytes_s = SLOW_BYTES_S
        spec = spec_for(hub, sorted(files), root)
        client.add(spec)
        heard.wait_for_bytes(100_000)
        client.cancel(spec.job_id, keep=False)
        heard.wait_for_state(JobState.CANCELLED, job_id=spec.job_id)
    assert names_below(first.folder) == [".fathom", "README.md", "README.md.json"]


def test_cancelled_and_kept_goes_on_later(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        spec = slow_download(hub, client, heard, make_root(base_dir))
        client.cancel(spec.job_id, keep=True)
        kept = heard.wait_for_state(JobState.CANCELLED)
        assert kept.bytes_done >= 100_000
        hub.rate_bytes_s = None
        client.resume(spec.job_id)
        heard.wait_for_state(JobState.READY)
        assert hub.sent_bytes < TOTAL_BYTES + 600_000
    assert_all_there(spec, FILES)


def test_the_queue_survives_stop_and_start(base_dir: Path) -> None:
    root = make_root(base_dir)
    with fake_hub() as hub:
        with running_client(base_dir, asks_nobody=1) as (client, heard):
            spec = slow_download(hub, client, heard, root)
            second = spec_for(hub, sorted(FILES), root, title="Second")
            client.add(second)
            client.move(second.job_id, 0)
            heard.wait_for(lambda _: [v.spec.title for v in client.jobs()][:1] == ["Second"])
        assert has_unfinished(base_dir)
        hub.rate_bytes_s = None
        with running_client(base_dir, asks_nobody=1) as (client, heard):
            replaced = heard.wait_for(lambda event: isinstance(event, QueueReplaced))
            assert isinstance(replaced, QueueReplaced)
            assert [view.spec for view in replaced.views] == [second, spec]
            heard.wait_for_state(JobState.READY, job_id=spec.job_id)
            heard.wait_for_state(JobState.READY, job_id=second.job_id)
        assert not has_unfinished(base_dir)
    assert_all_there(spec, FILES)


@pytest.mark.parametrize("loss", ["missing", "damaged"])
def test_a_lost_queue_is_rebuilt_from_the_folders(
    base_dir: Path, loss: str, allow_logs: LogCheck
) -> None:
    allow_logs("ended unexpectedly")
    queue_file = base_dir / QUEUE_FILE
    with fake_hub() as hub:
        with running_client(base_dir, asks_nobody=1) as (client, heard):
            spec = slow_download(hub, client, heard, make_root(base_dir))
        if loss == "missing":
            queue_file.unlink()
            assert has_unfinished(base_dir)
        else:
            queue_file.write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
        hub.rate_bytes_s = None
        with running_client(base_dir, asks_nobody=1) as (client, heard):
            view = heard.wait_for_state(JobState.READY, JobState.FAILED)
        assert view.spec == spec
        assert hub.sent_bytes < TOTAL_BYTES + 600_000
    assert_all_there(spec, FILES)
    assert (base_dir / f"{QUEUE_FILE}.damaged-1").exists() == (loss == "damaged")


def test_what_was_cancelled_does_not_come_back_when_the_queue_is_lost(base_dir: Path) -> None:
    with fake_hub() as hub:
        with running_client(base_dir, asks_nobody=1) as (client, heard):
            spec = slow_download(hub, client, heard, make_root(base_dir))
            client.cancel(spec.job_id, keep=True)
            heard.wait_for_state(JobState.CANCELLED)
        (base_dir / QUEUE_FILE).unlink()
        assert not has_unfinished(base_dir)
        with running_client(base_dir, asks_nobody=1) as (client, heard):
            assert heard.wait_for(lambda _: True) == QueueReplaced(())
        # It can be taken up by whoever wants to: test_begun_elsewhere.py.
        assert [begun.spec.files for begun in find_elsewhere([spec.root])] == [spec.files[:1]]


def test_what_was_deleted_does_not_come_back_when_the_queue_is_lost(base_dir: Path) -> None:
    root = make_root(base_dir)
    with fake_hub() as hub:
        offer(hub, FILES)
        spec = spec_for(hub, sorted(FILES), root)
        spec.folder.mkdir(parents=True)
        write_job_file(spec)
        assert find_begun([root]) == []
        target = spec.folder / spec.files[1].target
        target.with_name(f"{target.name}.part").touch()
        assert [job.spec for job in find_begun([root])] == [spec]


def test_a_token_opens_what_needed_one(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir) as (client, heard):
        offer(hub, FILES)
        hub.gated.add(REPOSITORY)
        spec = spec_for(hub, sorted(FILES), make_root(base_dir))
        client.add(spec)
        view = heard.wait_for_state(JobState.NEEDS_TOKEN)
        assert view.failure is not None
        assert view.failure.code == "login_needed"
        client.configure(TransferSettings(token=TOKEN, token_endpoint=hub.endpoint))
        heard.wait_for_state(JobState.READY)
    assert_all_there(spec, FILES)


def test_a_hub_that_fails_is_told_after_the_first_question(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir) as (client, heard):
        offer(hub, FILES)
        hub.fail("hub", Fault("status", status=429, headers={"Retry-After": "1"}))
        client.add(spec_for(hub, sorted(FILES), make_root(base_dir)))
        view = heard.wait_for_state(JobState.WAITING, JobState.READY)
        assert len(hub.seen("hub")) == 1
        assert "too often" in view.why
        assert view.waits_until_s is not None
        heard.wait_for_state(JobState.READY)


def test_offline_stops_everything_and_online_goes_on(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        spec = slow_download(hub, client, heard, make_root(base_dir))
        seen = len(heard.events)
        client.configure(TransferSettings(is_offline=True))
        view = heard.wait_for_state(JobState.QUEUED, since=seen)
        assert view.why == "Fathom is set to work offline."
        client.pause(spec.job_id)
        paused = len(heard.events)
        heard.wait_for_state(JobState.PAUSED, since=seen)
        client.resume(spec.job_id)
        view = heard.wait_for_state(JobState.QUEUED, since=paused)
        assert view.why == "Fathom is set to work offline."
        hub.rate_bytes_s = None
        client.configure(TransferSettings())
        heard.wait_for_state(JobState.READY)
    assert_all_there(spec, FILES)


def test_parts_of_different_checkpoints_are_no_checkpoint(base_dir: Path) -> None:
    files = gguf_shards(2, 10_000, tensors=7)
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, files)
        client.add(spec_for(hub, sorted(files), make_root(base_dir)))
        view = heard.wait_for_state(JobState.READY, JobState.FAILED)
    assert view.state is JobState.FAILED
    assert view.failure is not None
    assert view.failure.code == "corrupt_gguf"


def test_what_a_changed_file_is_said_to_be_is_never_ready(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir) as (client, heard):
        offer(hub, FILES)
        spec = spec_for(hub, sorted(FILES), make_root(base_dir))
        first = spec.files[0]
        hub.add(REPOSITORY, first.path, b"\0" * first.size_bytes)
        client.add(spec)
        view = heard.wait_for_state(JobState.READY, JobState.FAILED)
    assert view.state is JobState.FAILED
    assert not (spec.folder / first.target).exists()


def test_a_folder_that_is_not_there_is_not_made(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, FILES)
        gone = base_dir / "drive" / "models"
        client.add(spec_for(hub, sorted(FILES), gone))
        view = heard.wait_for_state(JobState.FAILED)
    assert view.failure is not None
    assert view.failure.code == "disk"
    assert not gone.parent.exists()


def test_a_drive_that_vanishes_ends_the_download_and_is_not_made_anew(base_dir: Path) -> None:
    root, away = base_dir / "drive" / "models", base_dir / "away"
    root.mkdir(parents=True)
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        spec = slow_download(hub, client, heard, root)
        root.parent.rename(away)
        view = heard.wait_for_state(JobState.FAILED, JobState.READY)
        assert view.failure is not None
        assert view.failure.code == "disk"
        # Long before all of it had come.
        assert hub.sent_bytes < TOTAL_BYTES
        assert not root.parent.exists()
        # As systems leave the empty folder where a drive was: nothing is begun anew in it.
        root.mkdir(parents=True)
        since, asked = len(heard.events), len(hub.seen("cdn"))
        client.resume(spec.job_id)
        view = heard.wait_for_state(JobState.FAILED, JobState.READY, since=since)
        assert view.failure is not None
        assert "gone" in view.failure.message
        assert names_below(root) == []
        assert len(hub.seen("cdn")) == asked
        root.rmdir()
        root.parent.rmdir()
        away.rename(root.parent)
        hub.rate_bytes_s = None
        since = len(heard.events)
        client.resume(spec.job_id)
        heard.wait_for_state(JobState.READY, since=since)
    assert_all_there(spec, FILES)


@pytest.mark.parametrize("target", ["../out.gguf", "/tmp/out.gguf"])
def test_a_target_outside_of_the_folder_is_refused(base_dir: Path, target: str) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, FILES)
        spec = spec_for(hub, sorted(FILES)[:1], make_root(base_dir))
        file = type(spec.files[0])(spec.files[0].path, target, 10, "sha256:00")
        client.add(type(spec)(**{**vars(spec), "files": (file,)}))
        view = heard.wait_for_state(JobState.FAILED)
    assert view.failure is not None
    assert view.failure.code == "unsafe_name"
    assert names_below(base_dir / "models") == []


def test_a_second_child_does_not_touch_the_queue_of_the_first(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (first, heard):
        spec = slow_download(hub, first, heard, make_root(base_dir))
        with running_client(base_dir, asks_nobody=1) as (second, heard_too):
            trouble = heard_too.wait_for(lambda event: hasattr(event, "error"))
            assert trouble.error is not None
            assert trouble.error.code == "download_busy"
            assert second.jobs() == ()
        hub.rate_bytes_s = None
        heard.wait_for_state(JobState.READY)
        assert first.jobs()[0].spec == spec


def test_the_child_ends_with_its_parent_and_what_came_is_kept(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        slow_download(hub, client, heard, make_root(base_dir))
        pid = client.pid
        assert pid is not None
        os.kill(pid, signal.SIGCONT)  # it is there
        client.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
