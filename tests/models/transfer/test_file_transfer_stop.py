"""A stop is felt in every state: nothing here waits for one of the time limits, which are long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.fake_hub import CERTIFICATE, FakeHub, Fault, fake_hub
from helpers.transfer_case import LAYOUT, PATIENCE, Case, Running, content
from models.errors import StoppedError
from models.hub.hub import Hub
from models.transfer.file_transfer import bytes_in_place

BLOCK = LAYOUT.block_bytes
# Whoever waits for one of these fails the test; a stop takes a tenth of a second.
LONG_S = 100.0
SOON_S = 8.0
LONG = replace(
    PATIENCE,
    connect_s=SOON_S,
    stall_s=LONG_S,
    first_pause_s=LONG_S,
    longest_pause_s=LONG_S,
    flush_s=LONG_S,
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


@pytest.fixture
def case(hub: FakeHub, tmp_path: Path) -> Case:
    return Case(hub, tmp_path, content(6 * BLOCK))


def stop_and_join(running: Running) -> None:
    running.stop.set()
    running.join(SOON_S)
    assert isinstance(running.error, StoppedError)


@pytest.mark.parametrize(
    "fault",
    [Fault("stall", after=70_000), Fault("slow", rate_bytes_s=100_000), Fault("drip", after=1)],
    ids=["stalled", "slow", "dripping"],
)
def test_while_bytes_come_slowly_or_not_at_all(case: Case, fault: Fault):
    case.hub.fail("cdn", fault, times=None)
    running = Running(case, patience=LONG)
    case.hub.wait_for(lambda: len(case.hub.seen("cdn")) >= 4 and case.hub.sent_bytes > 0)
    stop_and_join(running)


@pytest.mark.parametrize("where", ["cdn", "api"])
def test_while_nobody_answers(case: Case, where: str):
    case.hub.fail("hub" if where == "api" else "cdn", Fault("silent"), times=None)
    running = Running(case, patience=LONG, locator=Hub(case.hub.endpoint))
    case.hub.wait_for_requests(1 if where == "api" else 2)
    stop_and_join(running)


def test_while_it_waits_to_try_again(case: Case):
    case.hub.fail("cdn", Fault("reset"), times=None)
    running = Running(case, patience=LONG)
    case.hub.wait_for(lambda: bool(case.hub.seen("cdn")))
    stop_and_join(running)


def test_while_the_limit_of_bandwidth_holds_it_back(case: Case):
    case.limiter.set_limit(1)
    running = Running(case, patience=LONG)
    case.hub.wait_for_bytes(4 * 65536)
    stop_and_join(running)


def test_while_all_slots_are_taken(case: Case):
    others = object()
    case.slots.set_count(1)
    assert case.slots.try_take(others, lambda: None)
    running = Running(case, patience=LONG)
    stop_and_join(running)
    assert not case.hub.requests
    # Who has stopped wants none any more.
    case.slots.give_back(others)
    assert case.slots.try_take(others, lambda: None)


def test_while_another_transfer_has_the_file(case: Case):
    case.hub.fail("cdn", Fault("stall", after=10), times=None)
    first = Running(case, patience=LONG)
    case.hub.wait_for_bytes(10)
    second = Running(case, patience=replace(LONG, lock_s=LONG_S))
    stop_and_join(second)
    stop_and_join(first)


def test_under_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE[0])
    with fake_hub(CERTIFICATE) as secure:
        case = Case(secure, tmp_path, content(6 * BLOCK))
        locator = Hub(secure.endpoint)
        secure.fail("cdn", Fault("stall", after=70_000), times=None)
        running = Running(case, patience=LONG, locator=locator)
        secure.wait_for_bytes(4 * 70_000)
        stop_and_join(running)
        secure.mend()
        case.run(locator=locator)
        case.assert_done()


def test_what_came_before_a_stop_is_noted_down(case: Case):
    case.hub.fail("cdn", Fault("stall", after=70_000), times=None)
    running = Running(case, patience=LONG)
    case.hub.wait_for_bytes(4 * 70_000)
    stop_and_join(running)
    assert bytes_in_place(case.target) >= case.heard[-1].bytes_done
    case.hub.mend()
    before = case.hub.sent_bytes
    left = bytes_in_place(case.target)
    case.run()
    case.assert_done()
    assert case.hub.sent_bytes - before == len(case.data) - left
