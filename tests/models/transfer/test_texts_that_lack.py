"""A checkpoint whose weights are verified is ready, whatever becomes of its texts."""

from __future__ import annotations

from pathlib import Path

from helpers.fake_hub import FakeHub, Fault, fake_hub
from helpers.transfers import (
    Heard,
    assert_all_there,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from models.transfer.client import TransferClient
from models.transfer.events import QueueReplaced
from models.transfer.job import FileState, JobState, JobView

WEIGHTS = gguf_shards(2, 60_000)
README = {"README.md": b"# A model\n" * 50}
FILES = WEIGHTS | README
# As a download has them: the parts first.
NAMES = [*sorted(WEIGHTS), *README]


def fetch(hub: FakeHub, client: TransferClient, heard: Heard, root: Path) -> JobView:
    offer(hub, FILES)
    client.add(spec_for(hub, NAMES, root))
    return heard.wait_for_state(JobState.READY, JobState.FAILED, JobState.NEEDS_TOKEN)


def names_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


FAULTS = {
    "gone": Fault("status", status=404),
    "refused": Fault("status", status=401),
    "broken": Fault("status", status=500),
    "asked for too often": Fault("status", status=429, headers={"Retry-After": "3600"}),
    "wrong bytes": Fault("corrupt", after=3),
    "a broken line": Fault("reset", after=0),
}


def test_a_text_that_cannot_be_had_costs_a_note_only(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1, extra_ms=300) as both:
        offer(hub, FILES)
        client, heard = both
        for name, fault in FAULTS.items():
            hub.mend()
            hub.fail("hub", fault, path="README", times=None)
            root = make_root(base_dir / name)
            spec = spec_for(hub, NAMES, root)
            client.add(spec)
            view = heard.wait_for_state(JobState.READY, JobState.FAILED, job_id=spec.job_id)
            assert view.state is JobState.READY, name
            assert view.why.startswith("Without README.md: ")
            assert view.failure is None
            states = [file.state for file in view.files]
            assert states == [FileState.VERIFIED, FileState.VERIFIED, FileState.FAILED]
            assert names_below(spec.folder) == [".fathom", *sorted(WEIGHTS)]


def test_a_text_may_be_asked_for_again_later(base_dir: Path) -> None:
    root = make_root(base_dir)
    with fake_hub() as hub:
        with running_client(base_dir, asks_nobody=1, extra_ms=300) as (client, heard):
            hub.fail("hub", Fault("status", status=404), path="README", times=1)
            view = fetch(hub, client, heard, root)
        with running_client(base_dir, asks_nobody=1) as (client, heard):
            found = heard.wait_for(lambda event: isinstance(event, QueueReplaced))
            assert isinstance(found, QueueReplaced)
            # It stays ready over a start, with its note, and asks for nothing by itself.
            assert found.views == (view,)
            asked, since = len(hub.seen("cdn")), len(heard.events)
            client.resume(view.job_id)
            whole = heard.wait_for_state(JobState.READY, since=since)
            assert whole.why == ""
            assert len(hub.seen("cdn")) == asked
    assert_all_there(view.spec, FILES)


def test_a_text_whose_place_is_taken_is_left_out(base_dir: Path) -> None:
    root = make_root(base_dir)
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, FILES)
        spec = spec_for(hub, NAMES, root)
        (spec.folder / "README.md").mkdir(parents=True)
        client.add(spec)
        view = heard.wait_for_state(JobState.READY, JobState.FAILED)
        assert (view.state, view.why.partition(":")[0]) == (JobState.READY, "Without README.md")
    assert (spec.folder / "README.md").is_dir()


def test_weights_that_vanish_meanwhile_are_not_called_ready(base_dir: Path) -> None:
    root = make_root(base_dir)
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1, extra_ms=300) as both:
        client, heard = both
        offer(hub, FILES)
        hub.fail("hub", Fault("silent"), path="README", times=None)
        spec = spec_for(hub, NAMES, root)
        client.add(spec)
        hub.wait_for(lambda: any("README" in request.path for request in hub.requests))
        root.rename(base_dir / "away")
        client.pause(spec.job_id)
        heard.wait_for_state(JobState.PAUSED)
        since = len(heard.events)
        client.resume(spec.job_id)
        view = heard.wait_for_state(JobState.READY, JobState.FAILED, since=since)
    assert view.state is JobState.FAILED


def test_a_pause_stops_a_text_as_anything_else(base_dir: Path) -> None:
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, FILES)
        hub.fail("hub", Fault("silent"), path="README", times=1)
        spec = spec_for(hub, NAMES, make_root(base_dir))
        client.add(spec)
        hub.wait_for(lambda: any("README" in request.path for request in hub.requests))
        client.pause(spec.job_id)
        heard.wait_for_state(JobState.PAUSED)
        client.resume(spec.job_id)
        heard.wait_for_state(JobState.READY)
    assert_all_there(spec, FILES)


def test_only_texts_beside_a_checkpoint_may_lack(base_dir: Path) -> None:
    with fake_hub() as hub:
        offer(hub, FILES)
        spec = spec_for(hub, NAMES, make_root(base_dir))
        assert [spec.is_extra(file) for file in spec.files] == [False, False, True]
        alone = spec_for(hub, list(README), make_root(base_dir))
        assert not alone.is_extra(alone.files[0])
