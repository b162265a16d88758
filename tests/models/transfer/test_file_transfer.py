from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.fake_hub import FakeHub, fake_hub
from helpers.transfer_case import KIB, LAYOUT, NAME, PATIENCE, Case, Running, content
from models.errors import (
    DiskError,
    DownloadBusyError,
    RemoteChangedError,
    StoppedError,
    UnsafeNameError,
)
from models.hub.hub import Hub
from models.stopping import never
from models.transfer.file_transfer import bytes_in_place
from models.transfer.patience import Layout
from models.transfer.record import read_record
from models.transfer.remote import FileSpec
from models.transfer.sidecar import read_sidecar

BLOCK = LAYOUT.block_bytes


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


@pytest.fixture
def case(hub: FakeHub, tmp_path: Path) -> Case:
    return Case(hub, tmp_path, content(10 * BLOCK + 12345))


def leave_half(case: Case, **options: object) -> int:
    """Stop a transfer in the middle; return how many bytes it left."""
    case.hub.rate_bytes_s = 8_000_000
    with pytest.raises(StoppedError):
        case.run(lambda: case.hub.sent_bytes > len(case.data) // 2, **options)
    case.hub.rate_bytes_s = None
    case.hub.drop_connections()
    return bytes_in_place(case.target)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_files_of_every_size_arrive_byte_for_byte(hub: FakeHub, tmp_path: Path, size: int):
    case = Case(hub, tmp_path, content(size))
    record = case.run()
    case.assert_done()
    assert record == read_record(case.target)
    assert record.verified_s is not None
    assert len(record.block_digests) == -(-size // BLOCK)


def test_the_record_says_what_it_was_and_where_it_came_from(case: Case):
    record = case.run(is_independent=False)
    assert record.digest == f"sha256:{hashlib.sha256(case.data).hexdigest()}"
    assert (record.repository, record.commit) == (case.remote.repository, case.remote.commit)
    assert (record.path, record.size_bytes) == (NAME, len(case.data))
    assert not record.is_independent
    first = hashlib.sha256(case.data[:BLOCK]).digest()[:16].hex()
    assert record.block_digests[0] == first
    assert (case.target.parent / ".fathom" / f"{NAME}.json").stat().st_mode & 0o777 == 0o600


def test_the_hub_of_the_program_finds_the_bytes(case: Case):
    case.run(locator=Hub(case.hub.endpoint))
    case.assert_done()


def test_a_small_text_is_checked_by_the_name_that_git_gives_it(hub: FakeHub, tmp_path: Path):
    case = Case(hub, tmp_path, b"MIT License\n", name="LICENSE")
    blob = b"blob %d\0" % len(case.data) + case.data
    git = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
    file = replace(case.file, digest=f"git-sha1:{git}")
    case.run(remote=replace(case.remote, file=file))
    case.assert_done()


def test_a_file_that_nothing_can_check_is_not_fetched(case: Case):
    for digest in ("", "md5:00"):
        with pytest.raises(UnsafeNameError, match="digest"):
            case.run(remote=replace(case.remote, file=replace(case.file, digest=digest)))
    assert not case.hub.requests


@pytest.mark.parametrize("target", ["../tiny.gguf", "other.gguf", "a\\b.gguf", ""])
def test_a_name_that_does_not_fit_its_place_is_refused(case: Case, target: str):
    with pytest.raises(UnsafeNameError, match="no place"):
        case.run(remote=replace(case.remote, file=replace(case.file, target=target)))
    assert not case.hub.requests


def test_a_verified_file_costs_no_request(case: Case):
    record = case.run()
    before = len(case.hub.requests)
    assert case.run() == record
    assert len(case.hub.requests) == before
    assert case.heard[-1].bytes_done == len(case.data)


def test_a_file_that_was_touched_since_is_read_again(case: Case):
    case.run()
    damaged = bytearray(case.data)
    damaged[3 * BLOCK] ^= 1
    case.target.write_bytes(damaged)
    before = case.hub.sent_bytes
    case.run()
    case.assert_done()
    assert case.hub.sent_bytes - before <= BLOCK


def test_the_right_file_without_a_record_is_taken_over(case: Case):
    case.target.parent.mkdir(parents=True)
    case.target.write_bytes(case.data)
    record = case.run()
    assert record.block_digests
    assert not case.hub.requests
    case.assert_done()


def test_an_older_file_stays_until_the_new_one_is_verified(case: Case):
    old = content(2 * BLOCK, seed=9)
    case.target.parent.mkdir(parents=True)
    case.target.write_bytes(old)
    leave_half(case)
    assert case.target.read_bytes() == old
    case.run()
    case.assert_done()


def test_what_is_heard_grows_and_ends_at_the_size(case: Case):
    case.hub.rate_bytes_s = 4_000_000
    case.run()
    done = [progress.bytes_done for progress in case.heard]
    assert done == sorted(done)
    assert len(set(done)) > 2
    last = case.heard[-1]
    assert (last.bytes_done, last.bytes_fetched, last.bytes_refetched) == (
        len(case.data),
        len(case.data),
        0,
    )
    assert last.hashed_bytes == len(case.data)


def test_after_a_stop_nothing_is_fetched_twice(case: Case):
    left = leave_half(case)
    assert left >= len(case.data) // 3
    before = case.hub.sent_bytes
    case.run()
    case.assert_done()
    assert case.heard[-1].bytes_refetched == 0
    assert case.hub.sent_bytes - before == len(case.data) - left


def test_the_sidecar_alone_tells_what_was_wanted(case: Case):
    leave_half(case, notes={"job": "0123", "title": "Größe"})
    sidecar = read_sidecar(case.target)
    assert sidecar is not None
    assert sidecar.remote == case.remote
    assert sidecar.notes == {"job": "0123", "title": "Größe"}
    assert not case.target.exists()


def test_blocks_of_another_size_are_gone_on_with(case: Case):
    left = leave_half(case)
    before = case.hub.sent_bytes
    case.run(layout=Layout(block_bytes=3 * BLOCK))
    case.assert_done()
    assert case.hub.sent_bytes - before == len(case.data) - left


def test_what_belongs_to_another_content_is_not_mixed_in(case: Case):
    leave_half(case)
    other = content(len(case.data), seed=5)
    commit = case.hub.replace(case.remote.repository, NAME, other)
    digest = f"sha256:{hashlib.sha256(other).hexdigest()}"
    file = FileSpec(NAME, NAME, len(other), digest)
    case.run(remote=replace(case.remote, commit=commit, file=file))
    assert case.target.read_bytes() == other


@pytest.mark.parametrize("damage", ["gone", "not json", "another size", "no blocks"])
def test_without_a_sound_sidecar_all_is_fetched_anew(case: Case, damage: str):
    leave_half(case)
    text = case.sidecar.read_text()
    if damage == "gone":
        case.sidecar.unlink()
    elif damage == "not json":
        case.sidecar.write_text(text[:100])
    elif damage == "another size":
        case.sidecar.write_text(text.replace('"block_bytes": 2', '"block_bytes": 9'))
    else:
        case.sidecar.write_text(text.replace('"blocks"', '"blogs"'))
    assert bytes_in_place(case.target) == 0
    case.run()
    case.assert_done()


def test_a_shortened_part_is_fetched_anew(case: Case):
    leave_half(case)
    with case.part.open("r+b") as file:
        file.truncate(BLOCK)
    case.run()
    case.assert_done()


def test_discarding_leaves_nothing_but_finished_files(case: Case):
    leave_half(case)
    case.transfer().discard()
    assert list(case.target.parent.iterdir()) == []
    case.transfer().discard()
    case.run()
    case.transfer().discard()
    case.assert_done()


def test_two_transfers_of_one_file_do_not_meet(case: Case):
    case.hub.rate_bytes_s = 100_000
    running = Running(case)
    case.hub.wait_for_bytes(1)
    try:
        with pytest.raises(DownloadBusyError):
            case.run()
        with pytest.raises(DownloadBusyError):
            case.transfer().discard()
    finally:
        running.stop.set()
        running.join()
    assert isinstance(running.error, StoppedError)


def test_who_waited_for_another_transfer_takes_its_file(case: Case):
    case.hub.rate_bytes_s = 1_000_000
    running = Running(case)
    case.hub.wait_for_bytes(1)
    sent = []
    record = case.run(patience=replace(PATIENCE, lock_s=30.0))
    sent.append(case.hub.sent_bytes)
    running.join()
    assert running.record is not None
    assert record.block_digests == running.record.block_digests
    assert sent == [len(case.data)]
    case.assert_done()


def test_links_are_not_written_through(case: Case, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    case.target.parent.mkdir(parents=True)
    case.part.symlink_to(victim)
    with pytest.raises(DiskError, match="link"):
        case.run()
    case.part.unlink()
    case.sidecar.symlink_to(victim)
    case.run()
    assert victim.read_text() == "mine"
    case.assert_done()


def test_a_folder_in_the_way_is_said(case: Case):
    case.target.mkdir(parents=True)
    with pytest.raises(DiskError, match="is a folder"):
        case.run()


def test_a_folder_that_cannot_be_made_is_said(case: Case):
    case.target.parent.parent.mkdir(parents=True)
    case.target.parent.write_text("a file where the folder should be")
    with pytest.raises(DiskError):
        case.run()


def test_a_lost_cause_keeps_no_space(case: Case):
    del case.hub.files[case.remote.repository, NAME]
    case.hub.add(case.remote.repository, NAME, b"shorter")
    with pytest.raises(RemoteChangedError):
        case.run()
    assert list(case.target.parent.iterdir()) == []


def test_blocks_in_flight_are_bounded_over_all_files(hub: FakeHub, tmp_path: Path):
    hub.rate_bytes_s = 2_000_000
    cases = [Case(hub, tmp_path, content(4 * BLOCK, n), name=f"{n}.gguf") for n in range(3)]
    for other in cases:
        other.slots = cases[0].slots
    cases[0].slots.set_count(2)
    running = [Running(each) for each in cases]
    for each in running:
        each.join()
    assert hub.most_at_once <= 2
    assert [each.error for each in running] == [None] * 3


def test_the_limit_of_bandwidth_is_shared(case: Case):
    moments: list[int] = []
    case.limiter.set_limit(20 * KIB)
    stop = threading.Event()

    def listen(progress: object) -> None:
        moments.append(case.hub.sent_bytes)
        if len(moments) > 5:
            stop.set()

    with pytest.raises(StoppedError):
        case.run(stop.is_set, listen=listen)
    # The rest of the first pieces waits in sockets; nothing near the whole file was written.
    assert bytes_in_place(case.target) <= 2 * 256 * KIB + 4 * 64 * KIB


def test_a_stop_before_the_start_does_nothing(case: Case):
    with pytest.raises(StoppedError):
        case.run(lambda: True)
    assert not case.target.parent.exists()
    assert never() is False
