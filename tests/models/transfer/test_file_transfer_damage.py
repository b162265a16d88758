"""Wrong bytes are found and fetched again, wherever they come from; never taken for right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_hub import FakeHub, Fault, fake_hub
from helpers.transfer_case import KIB, LAYOUT, Case, content
from models.errors import CorruptDownloadError, StoppedError
from models.stopping import Stop
from models.transfer.record import read_record
from models.transfer.sidecar import bytes_in_place, read_sidecar

BLOCK = LAYOUT.block_bytes


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


@pytest.fixture
def case(hub: FakeHub, tmp_path: Path) -> Case:
    return Case(hub, tmp_path, content(12 * BLOCK + 777))


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def leave(case: Case, stop: Stop, **options: Any) -> None:
    """Stop a transfer, one block at a time, when ``stop`` says so."""
    case.slots.set_count(1)
    case.hub.rate_bytes_s = 8_000_000
    with pytest.raises(StoppedError):
        case.run(stop, **options)
    case.hub.rate_bytes_s = None
    case.heard.clear()


@pytest.mark.parametrize("kind", ["corrupt", "garbage_range"])
def test_wrong_bytes_on_the_way_are_found_and_replaced(case: Case, kind: str):
    case.hub.fail("cdn", Fault(kind, after=1000))
    case.run()
    case.assert_done()
    assert any(heard.is_repairing for heard in case.heard)
    # It is among the first window of blocks, and no further ones are fetched to find it.
    assert case.hub.sent_bytes <= len(case.data) + LAYOUT.window_blocks * BLOCK


def test_wrong_bytes_of_an_earlier_run_are_found_too(case: Case):
    case.hub.fail("cdn", Fault("corrupt", after=3))
    leave(case, lambda: bool(case.heard) and case.heard[-1].bytes_done > 2 * BLOCK)
    case.run()
    case.assert_done()
    assert any(heard.is_repairing for heard in case.heard)


def test_a_server_that_always_sends_wrong_bytes_is_told_of(case: Case):
    case.hub.fail("cdn", Fault("corrupt", after=1000), times=None)
    with pytest.raises(CorruptDownloadError, match="not what the hub lists"):
        case.run()
    assert not case.target.exists()
    assert read_record(case.target) is None
    # What was fetched is kept: most of it may be right.
    assert case.part.stat().st_size == len(case.data)
    case.hub.mend()
    case.run()
    case.assert_done()


@pytest.mark.parametrize("block", [0, 7])
def test_damage_of_the_disk_between_two_runs_costs_one_block(case: Case, block: int):
    leave(case, lambda: bool(case.heard) and case.heard[-1].bytes_done > 10 * BLOCK)
    before, left = case.hub.sent_bytes, bytes_in_place(case.target)
    flip(case.part, block * BLOCK + 5)
    case.run()
    case.assert_done()
    assert case.hub.sent_bytes - before <= len(case.data) - left + BLOCK
    assert case.heard[-1].bytes_refetched == BLOCK


def test_a_rotten_block_of_a_finished_file_costs_one_block(case: Case):
    case.run()
    flip(case.target, 7 * BLOCK + 3)
    before = case.hub.sent_bytes
    record = case.run(verify_existing=True)
    case.assert_done()
    assert case.hub.sent_bytes - before == BLOCK
    assert record == read_record(case.target)


def test_a_shortened_file_is_completed(case: Case):
    case.run()
    with case.target.open("r+b") as file:
        file.truncate(9 * BLOCK + 100)
    before = case.hub.sent_bytes
    case.run(verify_existing=True)
    case.assert_done()
    assert case.hub.sent_bytes - before == len(case.data) - 9 * BLOCK


def test_a_repair_that_is_stopped_goes_on_later(case: Case):
    case.run()
    for block in range(12):
        flip(case.target, block * BLOCK)
    case.hub.rate_bytes_s = 1_000_000
    before = case.hub.sent_bytes
    with pytest.raises(StoppedError):
        case.run(lambda: case.hub.sent_bytes - before > 3 * BLOCK, verify_existing=True)
    # A file that is known to be damaged does not have its name.
    assert not case.target.exists()
    case.hub.rate_bytes_s = None
    case.run()
    case.assert_done()


def test_verifying_a_sound_file_fetches_nothing(case: Case):
    case.run()
    before = len(case.hub.requests)
    first = read_record(case.target)
    second = case.run(verify_existing=True)
    assert len(case.hub.requests) == before
    assert first is not None
    assert second.block_digests == first.block_digests
    assert second.verified_s != first.verified_s


def test_damage_of_what_was_written_last_is_seen_at_the_start(case: Case):
    leave(case, lambda: bool(case.heard) and case.heard[-1].bytes_done > 6 * BLOCK)
    sidecar = read_sidecar(case.target)
    assert sidecar is not None
    last = max(index for index, digest in enumerate(sidecar.snapshot.digests) if digest)
    flip(case.part, last * BLOCK + 7 * KIB)
    case.run()
    case.assert_done()
    # Without a second look at the whole.
    assert case.heard[-1].bytes_refetched == BLOCK
    assert not any(heard.is_repairing for heard in case.heard)


def test_a_damaged_beginning_of_a_block_is_not_gone_on_with(case: Case):
    large = replace(LAYOUT, block_bytes=8 * BLOCK)
    leave(case, lambda: bool(case.heard) and case.heard[-1].bytes_done > 2 * BLOCK, layout=large)
    sidecar = read_sidecar(case.target)
    assert sidecar is not None
    ((index, partial),) = sidecar.snapshot.partials.items()
    assert index == 0
    flip(case.part, partial.position // 2)
    case.run()
    case.assert_done()
    # And what had come after the last flush, where the stop was quicker.
    tail_bytes = case.heard[-1].bytes_refetched - partial.position
    assert 0 <= tail_bytes <= large.flush_bytes
    assert not any(heard.is_repairing for heard in case.heard)
