"""Whole downloads: a real child, the fake hub, real files."""

from __future__ import annotations

from pathlib import Path

from helpers.fake_hub import fake_hub
from helpers.transfers import (
    assert_all_there,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from models.transfer.job import JobState


def test_a_set_of_shards_becomes_ready(base_dir: Path) -> None:
    files = gguf_shards(3, 600_000) | {"README.md": b"# Model\n"}
    with fake_hub() as hub, running_client(base_dir) as (client, heard):
        offer(hub, files)
        spec = spec_for(hub, sorted(files), make_root(base_dir))
        client.add(spec)
        view = heard.wait_for_state(JobState.READY, JobState.FAILED)
    assert view.failure is None
    assert view.bytes_done == view.bytes_total == sum(map(len, files.values()))
    assert_all_there(spec, files)
