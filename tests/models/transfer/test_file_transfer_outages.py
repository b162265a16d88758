"""What a line does for minutes or hours: names that are not resolved, storms of refusals, sleep.

All of it passes, nobody is asked for help, and what had come is not fetched again. An hour is a
second here: how often one tries, and not for how long, is what could go wrong.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_hub import FakeHub, Fault, fake_hub
from helpers.transfer_case import KIB, LAYOUT, Case, Running, content
from helpers.transfers import (
    assert_all_there,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from helpers.whole_program import wait_until
from models.transfer.job import JobState

STORM = 25
TRIES = 12


class Names:
    """The system's resolver, which may know no name for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._resolve = socket.getaddrinfo
        self.is_down = False
        self.refused = 0
        monkeypatch.setattr(socket, "getaddrinfo", self.resolve)

    def resolve(self, *asked: Any, **options: Any) -> Any:
        """Resolve a name, or fail as the system does without a network."""
        if self.is_down:
            self.refused += 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._resolve(*asked, **options)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


@pytest.fixture
def case(hub: FakeHub, tmp_path: Path) -> Case:
    return Case(hub, tmp_path, content(6 * LAYOUT.block_bytes + 777))


def test_names_that_are_not_resolved_for_a_while(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch)
    case.hub.rate_bytes_s = 1_000_000
    running = Running(case)
    case.hub.wait_for_bytes(300 * KIB)
    names.is_down = True
    case.hub.drop_connections()
    wait_until(lambda: names.refused >= TRIES, "some tries without a network")
    assert any(heard.waits_until_s and "reached" in heard.why for heard in case.heard)
    case.hub.rate_bytes_s = None
    names.is_down = False
    running.join()
    assert running.error is None
    case.assert_done()
    assert case.heard[-1].bytes_refetched == 0


@pytest.mark.parametrize("where", ["hub", "cdn"])
def test_a_storm_of_too_many_requests(case: Case, where: str) -> None:
    case.hub.fail(where, Fault("status", status=429), times=STORM)
    case.run()
    case.assert_done()
    assert any(heard.waits_until_s and "too often" in heard.why for heard in case.heard)
    assert case.heard[-1].bytes_refetched == 0
    # Nobody else was asked meanwhile: as many questions as refusals, and those of a calm day.
    assert len(case.hub.seen(where)) <= STORM + 16


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
def test_a_machine_that_slept(hub: FakeHub, base_dir: Path) -> None:
    files = gguf_shards(2, 700_000)
    with running_client(base_dir, asks_nobody=1) as (client, heard):
        offer(hub, files)
        hub.rate_bytes_s = 300_000
        spec = spec_for(hub, sorted(files), make_root(base_dir))
        client.add(spec)
        heard.wait_for_bytes(100_000)
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        # While it slept its connections were forgotten, and its addresses have run out.
        hub.drop_connections()
        hub.signature += 1
        hub.rate_bytes_s = None
        os.kill(client.pid, signal.SIGCONT)
        view = heard.wait_for_state(JobState.READY, JobState.FAILED)
        assert view.failure is None
        assert view.bytes_refetched == 0
    assert_all_there(spec, files)
