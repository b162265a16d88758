"""What another Fathom began is found on the disk, offered, and never fetched by two at once."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.fake_hub import COMMIT, FakeHub, Fault, fake_hub
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
from models.hub.fetching import complete_spec
from models.hub.hub import Hub
from models.transfer.begun import find_elsewhere, not_among
from models.transfer.client import TransferClient
from models.transfer.job import JobSpec, JobState
from models.transfer.job_file import job_file_path
from models.transfer.queue_store import QUEUE_FILE

FILES = gguf_shards(2, 300_000)
FIRST, SECOND = sorted(FILES)
TOTAL_BYTES = sum(map(len, FILES.values()))


def begin(hub: FakeHub, client: TransferClient, heard: Heard, root: Path) -> JobSpec:
    """Begin a slow download and wait until its first file is there and some of its second."""
    offer(hub, FILES)
    hub.fail("cdn", Fault("slow", rate_bytes_s=30_000), path=SECOND, times=None)
    spec = spec_for(hub, sorted(FILES), root)
    client.add(spec)
    heard.wait_for_bytes(len(FILES[FIRST]) + 20_000)
    return spec


def test_what_another_one_fetches_is_found_busy_and_waited_for(base_dir: Path) -> None:
    root, other = make_root(base_dir), base_dir / "other"
    with fake_hub() as hub, running_client(other, asks_nobody=1) as (theirs, heard_there):
        spec = begin(hub, theirs, heard_there, root)
        (begun,) = find_elsewhere([root, root])
        assert begun.spec == spec
        assert begun.is_busy
        assert not begun.lacks_parts
        assert len(FILES[FIRST]) <= begun.bytes_done < TOTAL_BYTES
        # Going on all the same waits, and fetches nothing.
        with running_client(base_dir, asks_nobody=1) as (ours, heard_here):
            ours.add(spec)
            heard_here.wait_for(lambda _: any(view.why for view in ours.jobs()))
            assert "being fetched already" in ours.jobs()[0].why
            hub.mend()
            theirs.pause(spec.job_id)
            heard_there.wait_for_state(JobState.PAUSED)
            theirs.resume(spec.job_id)
            heard_there.wait_for_state(JobState.READY)
            # It looks again by itself; so it does when somebody does not want to wait.
            ours.pause(spec.job_id)
            ours.resume(spec.job_id)
            heard_here.wait_for_state(JobState.READY)
            # What was in the sockets when theirs was paused came twice, and no more.
            assert hub.sent_bytes < TOTAL_BYTES + 128 * 1024
    assert find_elsewhere([root]) == ()
    assert_all_there(spec, FILES)


def test_what_was_stopped_elsewhere_goes_on_here(base_dir: Path) -> None:
    root = make_root(base_dir)
    with fake_hub() as hub:
        with running_client(base_dir / "other", asks_nobody=1) as (theirs, heard):
            spec = begin(hub, theirs, heard, root)
            theirs.pause(spec.job_id)
            heard.wait_for_state(JobState.PAUSED)
        (begun,) = find_elsewhere([root])
        assert (begun.spec, begun.is_busy) == (spec, False)
        # What is in our own list already is not offered, whatever its number is there.
        assert not_among([begun], [replace(spec, job_id="0" * 32)]) == ()
        assert not_among([begun], [replace(spec, folder=root / "x")]) == (begun,)
        hub.mend()
        # Of these alone: to the one that was paused a piece may still be on its way.
        n_earlier = len(hub.requests)
        with running_client(base_dir, asks_nobody=1) as (ours, heard):
            ours.add(begun.spec)
            view = heard.wait_for_state(JobState.READY, JobState.FAILED)
        assert view.state is JobState.READY
        sent_bytes = sum(request.size_sent_bytes for request in hub.requests[n_earlier:])
        assert sent_bytes == TOTAL_BYTES - begun.bytes_done
    assert_all_there(spec, FILES)


def test_a_lone_shard_is_offered_once_and_the_hub_knows_the_others(base_dir: Path) -> None:
    root = make_root(base_dir)
    # A set in a folder of its own, as large quantizations lie on the hub.
    files = {f"Q4_K_M/{name}": data for name, data in FILES.items()}
    with fake_hub() as hub:
        offer(hub, files)
        hub.rate_bytes_s = 300_000
        with running_client(base_dir, asks_nobody=1) as (client, heard):
            spec = spec_for(hub, sorted(files), root)
            client.add(spec)
            heard.wait_for_bytes(len(FILES[FIRST]) + 20_000)
            client.cancel(spec.job_id, keep=True)
            heard.wait_for_state(JobState.CANCELLED)
        assert not job_file_path(spec).exists()
        hub.rate_bytes_s = None
        (begun,) = find_elsewhere([root])
        assert begun.lacks_parts
        assert begun.spec.files == (spec.files[1],)
        assert begun.spec.folder == spec.folder
        whole = complete_spec(begun.spec, Hub(endpoint=hub.endpoint))
        assert (whole.files, whole.folder, whole.commit) == (spec.files, spec.folder, COMMIT)
        (base_dir / QUEUE_FILE).unlink()
        sent_bytes = hub.sent_bytes
        with running_client(base_dir / "new", asks_nobody=1) as (client, heard):
            client.add(whole)
            heard.wait_for_state(JobState.READY)
        # The first part was there, and of the second some.
        assert hub.sent_bytes - sent_bytes == len(FILES[SECOND]) - begun.bytes_done


def test_hostile_small_files_lead_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / REPOSITORY / ".fathom"
    folder.mkdir(parents=True)
    name = "0" * 32
    spec = {
        "job_id": name, "title": "x", "endpoint": "http://x", "repository": REPOSITORY,
        "commit": COMMIT, "quant": "", "root": "/", "folder": "/etc",
        "files": [{"path": "p", "target": "../../../passwd", "size_bytes": 1, "digest": "x"}],
    }  # fmt: skip
    path = folder / f"{name}.job.json"
    for data in (b"", b"[" * 100_000, b"{}", json.dumps({"version": 1, "spec": spec}).encode()):
        path.write_bytes(data)
        # The last one makes sense, but nothing of it is there.
        assert find_elsewhere([tmp_path]) == ()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes in folders")
def test_pipes_in_the_place_of_small_files_keep_nobody(tmp_path: Path) -> None:
    folder = tmp_path / REPOSITORY / ".fathom"
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"{'0' * 32}.job.json")
    os.mkfifo(folder.parent / "x.gguf.part.json")
    assert find_elsewhere([tmp_path]) == ()
