"""Room on the disks: promised, filled from outside, gone from the start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.fake_hub import fake_hub
from helpers.small_disk import fill, small_disk
from helpers.transfers import (
    assert_all_there,
    gguf_shards,
    make_root,
    offer,
    running_client,
    spec_for,
)
from models.errors import DiskFullError
from models.transfer.events import QueueReplaced, TransferTrouble
from models.transfer.job import JobState
from models.transfer.space import Claim, SpaceLedger

MIB = 1024 * 1024


@pytest.fixture(name="small_disk")
def six_mib(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB."""
    with small_disk(tmp_path / "small disk", 6 * MIB) as folder:
        yield folder


def test_room_is_promised_once(tmp_path: Path) -> None:
    free_bytes = shutil.disk_usage(tmp_path).free
    share = [Claim(tmp_path / f"{n}.gguf", free_bytes // 3) for n in range(3)]
    ledger = SpaceLedger(reserve_bytes=free_bytes // 10, reserve_share=0.0)
    ledger.hold("a", tmp_path, share[:1])
    ledger.hold("b", tmp_path / "not" / "there yet", share[1:2])
    ledger.hold("b", tmp_path, share[1:2])  # again: in the place of the first
    with pytest.raises(DiskFullError) as caught:
        ledger.hold("c", tmp_path, share[2:])
    # Three thirds and a tenth are wanted, of what is free.
    assert caught.value.missing_bytes == pytest.approx(free_bytes // 10, rel=0.2)
    with pytest.raises(DiskFullError):
        ledger.look("c", tmp_path, share[2:])
    ledger.release("a")
    ledger.look("c", tmp_path, share[2:])
    ledger.look("d", tmp_path, share[:1])  # a look promises nothing
    ledger.look("b", tmp_path, share[1:2])  # and takes no promise back
    ledger.hold("c", tmp_path, share[2:])
    with pytest.raises(DiskFullError):
        ledger.hold("a", tmp_path, share[:1])


def test_what_is_on_the_disk_already_is_not_promised_again(tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    claim = Claim(target, 3 * MIB)
    assert claim.open_bytes() == 3 * MIB
    part = tmp_path / "model.gguf.part"
    part.write_bytes(b"x" * MIB)
    assert claim.open_bytes() == pytest.approx(2 * MIB, abs=64 * 1024)
    part.unlink()
    target.write_bytes(b"x" * 3 * MIB)
    assert claim.open_bytes() == 0


def test_a_download_that_needs_no_room_is_never_refused(tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    target.write_bytes(b"x" * MIB)
    SpaceLedger(reserve_bytes=2**60).hold("a", tmp_path, [Claim(target, MIB)])


def test_too_little_room_is_known_before_the_first_byte(base_dir: Path) -> None:
    files = gguf_shards(2, 100_000)
    reserve_bytes = shutil.disk_usage(base_dir).total
    with (
        fake_hub() as hub,
        running_client(base_dir, asks_nobody=1, reserve_bytes=reserve_bytes) as (client, heard),
    ):
        offer(hub, files)
        client.add(spec_for(hub, sorted(files), make_root(base_dir)))
        view = heard.wait_for_state(JobState.NO_SPACE)
        assert view.failure is not None
        assert "missing" in view.why
        assert hub.sent_bytes == 0


def test_a_disk_that_somebody_else_fills_rests_the_download_until_there_is_room(
    base_dir: Path, small_disk: Path
) -> None:
    files = gguf_shards(2, 2 * MIB)
    root = make_root(small_disk)
    with (
        fake_hub() as hub,
        running_client(base_dir, asks_nobody=1, room_ms=100) as (
            client,
            heard,
        ),
    ):
        offer(hub, files)
        hub.rate_bytes_s = 1_000_000
        spec = spec_for(hub, sorted(files), root)
        client.add(spec)
        heard.wait_for_bytes(100_000)
        fill(small_disk / "other")
        view = heard.wait_for_state(JobState.NO_SPACE, JobState.FAILED, JobState.READY)
        assert view.state is JobState.NO_SPACE
        assert view.failure is not None
        assert view.failure.hint
        # Nobody has to say so.
        (small_disk / "other").unlink()
        heard.wait_for_state(JobState.READY)
    assert_all_there(spec, files)


def test_nothing_free_at_the_start(base_dir: Path, small_disk: Path) -> None:
    files = gguf_shards(2, 200_000)
    fill(small_disk / "other")
    with fake_hub() as hub, running_client(small_disk, asks_nobody=1) as (client, heard):
        offer(hub, files)
        heard.wait_for(lambda event: isinstance(event, QueueReplaced))
        trouble = heard.wait_for(lambda event: isinstance(event, TransferTrouble))
        assert isinstance(trouble, TransferTrouble)
        assert trouble.error is not None
        # The other drive has room: a download to there is made all the same.
        spec = spec_for(hub, sorted(files), make_root(base_dir))
        client.add(spec)
        heard.wait_for_state(JobState.READY)
        (small_disk / "other").unlink()
        # Written down as soon as there is room.
        heard.wait_for(lambda event: event == TransferTrouble(None))
    assert_all_there(spec, files)
    with running_client(small_disk, asks_nobody=1) as (client, heard):
        replaced = heard.wait_for(lambda event: isinstance(event, QueueReplaced))
        assert isinstance(replaced, QueueReplaced)
        assert [view.state for view in replaced.views] == [JobState.READY]
