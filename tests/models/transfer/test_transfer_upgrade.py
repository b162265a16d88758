"""Half-done downloads of earlier versions go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import half_download
from helpers.fake_hub import fake_hub
from helpers.transfers import assert_all_there, gguf_shards, make_root, offer, running_client
from models.transfer.client import has_unfinished
from models.transfer.job import JobState

FILES = gguf_shards(2, half_download.SHARD_BYTES, seed=half_download.SEED)


@pytest.mark.parametrize("name", half_download.samples())
@pytest.mark.parametrize("is_queue_lost", [False, True])
def test_a_half_done_download_of_an_earlier_version_goes_on(
    base_dir: Path, name: str, is_queue_lost: bool
) -> None:
    make_root(base_dir)
    with fake_hub() as hub:
        offer(hub, FILES)
        half_download.lay_out(name, base_dir, hub.endpoint)
        if is_queue_lost:
            (base_dir / "downloads.sqlite3").unlink()
        assert has_unfinished(base_dir)
        # With the blocks of today, and not those it was begun with.
        with running_client(base_dir, asks_nobody=1) as (_, heard):
            view = heard.wait_for_state(JobState.READY, JobState.FAILED)
        assert view.failure is None
        # The first part was there, and some of the second.
        assert hub.sent_bytes < half_download.SHARD_BYTES
    assert_all_there(view.spec, FILES)
