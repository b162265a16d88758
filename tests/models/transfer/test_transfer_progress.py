"""Progress: often enough, not too often, never back, and right in the end."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path

import pytest

from helpers.fake_hub import fake_hub
from helpers.transfers import Heard, gguf_shards, make_root, offer, running_client, spec_for
from models.transfer.events import JobChanged, TransferEvent
from models.transfer.job import JobState
from models.transfer.progress import Meter


class Clocked(Heard):
    """Also notes when what came."""

    def __init__(self) -> None:
        super().__init__()
        self.times_s: list[float] = []

    def __call__(self, event: TransferEvent) -> None:
        if isinstance(event, JobChanged) and event.view.state is JobState.DOWNLOADING:
            self.times_s.append(time.monotonic())
        super().__call__(event)


def test_progress_of_a_slow_line(base_dir: Path) -> None:
    files = gguf_shards(2, 600_000)
    heard = Clocked()
    with fake_hub() as hub, running_client(base_dir, heard=heard, asks_nobody=1) as (client, _):
        offer(hub, files)
        hub.rate_bytes_s = 200_000
        spec = spec_for(hub, sorted(files), make_root(base_dir))
        client.add(spec)
        last = heard.wait_for_state(JobState.READY)
    views = [event.view for event in heard.of(JobChanged)]
    done = [view.bytes_done for view in views]
    assert done == sorted(done)
    assert done[-1] == spec.size_bytes == last.bytes_total
    for view in views:
        assert view.bytes_done == sum(file.bytes_done for file in view.files)
    gaps_s = [after - before for before, after in itertools.pairwise(heard.times_s)]
    # A busy machine may be late now and then; the child's own clock is what is meant.
    assert 0.1 <= statistics.median(gaps_s) <= 0.25
    rates = [view.rate_bytes_s for view in views if view.rate_bytes_s]
    assert 100_000 < statistics.median(rates) < 1_000_000
    assert any(view.eta_s for view in views)


def test_the_meter_looks_at_the_last_seconds() -> None:
    meter = Meter()
    assert meter.rate_bytes_s == 0
    for second in range(20):
        meter.mark(second, 1000 * second)
    assert meter.rate_bytes_s == pytest.approx(1000)
    for second in range(20, 40):
        meter.mark(second, 20_000)
    assert meter.rate_bytes_s == 0
    meter.mark(40, 0)  # another run
    meter.mark(41, 500)
    assert meter.rate_bytes_s == pytest.approx(500)
