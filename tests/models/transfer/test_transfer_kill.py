"""The child is killed, again and again: nothing wrong is ever called ready, little is lost."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from helpers.fake_hub import fake_hub
from helpers.logcheck import LogCheck
from helpers.small_transfers import BLOCK_BYTES, FLUSH_BYTES
from helpers.transfers import (
    assert_all_there,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from models.transfer.events import QueueReplaced, TransferDown
from models.transfer.job import JobState

KILLS = 20
WORKERS = 4
# What the server has handed to the system when a child dies, for each connection.
IN_FLIGHT_BYTES = 128 * 1024


def test_kill_nine_at_twenty_random_points_of_four_shards(
    base_dir: Path, allow_logs: LogCheck
) -> None:
    allow_logs("ended unexpectedly")
    rng = random.Random(4)
    files = gguf_shards(4, 1_500_000, seed=4)
    total_bytes = sum(map(len, files.values()))
    with fake_hub() as hub, running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, files)
        hub.rate_bytes_s = 2_000_000
        spec = spec_for(hub, sorted(files), make_root(base_dir))
        client.add(spec)
        for number in range(KILLS):
            # Bytes that came once are not asked for again: the last kill is before the end.
            share = total_bytes * (number + rng.random()) / (KILLS + 1)
            seen = len(heard.events)
            if number % 4:
                heard.wait_for_bytes(int(share))
            else:
                heard.wait_for(lambda event: isinstance(event, QueueReplaced))
            pid = client.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            # What the dead one still said comes before its end, the next one's queue after it.
            heard.wait_for(lambda event: isinstance(event, TransferDown), since=seen)
            ends = [at for at, event in enumerate(heard.events) if isinstance(event, TransferDown)]
            heard.wait_for(lambda event: isinstance(event, QueueReplaced), since=ends[-1])
            client.start()
        view = heard.wait_for_state(JobState.READY, JobState.FAILED)
        sent_bytes = hub.sent_bytes
    assert view.failure is None
    assert_all_there(spec, files)
    each_bytes = WORKERS * (FLUSH_BYTES + IN_FLIGHT_BYTES)
    assert each_bytes < WORKERS * BLOCK_BYTES
    assert sent_bytes - total_bytes <= KILLS * each_bytes
