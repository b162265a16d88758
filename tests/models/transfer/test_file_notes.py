"""Sidecars, records, and reading files again: whatever lies there is not believed blindly."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.errors import DiskError, DiskFullError, StoppedError
from models.transfer.blocks import Partial, Snapshot
from models.transfer.disk import disk_failure, write_whole
from models.transfer.record import FileRecord, forget_record, read_record, record_path, write_record
from models.transfer.remote import FileSpec, RemoteObject
from models.transfer.sidecar import (
    Sidecar,
    bytes_in_place,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from models.transfer.verifying import verify_file

D1, D2 = "11" * 16, "22" * 16
REMOTE = RemoteObject(
    "https://hub", "a/b", "0" * 40, FileSpec("x/y.gguf", "y.gguf", 250, f"sha256:{'0' * 64}")
)
SIDECAR = Sidecar(REMOTE, 100, Snapshot((D1, "", ""), {1: Partial(40, D2)}), {"job": "é"})


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "y.gguf"


def record_of(data: bytes, block_bytes: int = 100) -> FileRecord:
    digests = tuple(
        hashlib.sha256(data[first : first + block_bytes]).hexdigest()[:32]
        for first in range(0, len(data), block_bytes)
    )
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return FileRecord(
        "", "", "", "y.gguf", len(data), digest, block_bytes, digests, 12.5, is_independent=True
    )


def test_a_sidecar_comes_back_as_it_was(target: Path):
    write_sidecar(target, SIDECAR)
    assert read_sidecar(target) == SIDECAR
    assert sidecar_path(target).stat().st_mode & 0o777 == 0o600
    assert SIDECAR.bytes_in_place == 140


def test_without_its_part_a_sidecar_counts_for_nothing(target: Path):
    write_sidecar(target, SIDECAR)
    assert bytes_in_place(target) == 0
    target.with_name("y.gguf.part").write_bytes(b"")
    assert bytes_in_place(target) == 140
    sidecar_path(target).unlink()
    assert bytes_in_place(target) == 0


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another format": lambda data: data.update(format=2),
    "no blocks": lambda data: data.pop("blocks"),
    "too few blocks": lambda data: data.update(blocks=D1),
    "no digest": lambda data: data.update(blocks="zz" * 48),
    "block of no size": lambda data: data.update(block_bytes=0),
    "negative size": lambda data: data.update(size_bytes=-1),
    "endless size": lambda data: data.update(size_bytes=10**30),
    "a part of nothing": lambda data: data.update(partial={"7": [1, D2]}),
    "a part before the start": lambda data: data.update(partial={"-1": [1, D2]}),
    "a part that is too long": lambda data: data.update(partial={"2": [51, D2]}),
    "a part of what is complete": lambda data: data.update(partial={"0": [10, D2]}),
    "notes that are none": lambda data: data.update(notes=5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_sidecar_that_contradicts_itself_is_none(target: Path, name: str):
    write_sidecar(target, SIDECAR)
    data = json.loads(sidecar_path(target).read_bytes())
    CHANGES[name](data)
    sidecar_path(target).write_text(json.dumps(data))
    assert read_sidecar(target) is None


def test_no_garbage_gets_through(target: Path):
    chance = random.Random(11)
    write_sidecar(target, SIDECAR)
    write_record(target, record_of(bytes(250)))
    for path, read in ((sidecar_path(target), read_sidecar), (record_path(target), read_record)):
        good = path.read_bytes()
        for _ in range(300):
            bad = bytearray(good)
            for _ in range(chance.randint(1, 4)):
                bad[chance.randrange(len(bad))] = chance.randrange(256)
            path.write_bytes(bad[: chance.randint(0, len(bad))] if chance.random() < 0.3 else bad)
            read(target)
        path.write_text("[" * 100_000)
        assert read(target) is None
        path.write_text('"text"')
        assert read(target) is None


def test_a_record_comes_back_as_it_was(target: Path):
    record = replace(record_of(bytes(250)), modified_ns=123, verified_s=None)
    write_record(target, record)
    assert read_record(target) == record
    assert record_path(target) == target.parent / ".fathom" / "y.gguf.json"
    forget_record(target)
    forget_record(target)
    assert read_record(target) is None


def test_a_record_may_have_no_blocks(target: Path):
    record = replace(record_of(bytes(250)), block_bytes=0, block_digests=())
    write_record(target, record)
    assert read_record(target) == record


def test_a_record_whose_blocks_do_not_fit_is_none(target: Path):
    write_record(target, replace(record_of(bytes(250)), block_digests=(D1,)))
    assert read_record(target) is None


NO_RECORDS = {
    "an unknown digest": {"digest": "md5:" + "0" * 32},
    "an end of time": {"verified_s": float("inf")},
    "before all time": {"verified_s": -1.0},
    "no number": {"verified_s": float("nan")},
}


@pytest.mark.parametrize("changes", NO_RECORDS.values(), ids=NO_RECORDS)
def test_a_record_that_nothing_can_be_done_with_is_none(target: Path, changes: dict[str, Any]):
    write_record(target, replace(record_of(bytes(250)), **changes))
    assert read_record(target) is None


def test_a_number_beyond_all_numbers_is_damage(target: Path):
    write_sidecar(target, SIDECAR)
    write_record(target, record_of(bytes(250)))
    for path, read in ((sidecar_path(target), read_sidecar), (record_path(target), read_record)):
        data = json.loads(path.read_text())
        path.write_text(json.dumps(data | {"block_bytes": float("inf")}))
        assert read(target) is None


def test_a_folder_that_has_vanished_is_not_made_anew(target: Path):
    lost = target.parent / "drive" / target.name
    with pytest.raises(DiskError):
        write_sidecar(lost, SIDECAR)
    with pytest.raises(DiskError):
        write_record(lost, record_of(bytes(250)))
    assert not lost.parent.exists()


def test_what_cannot_be_written_leaves_the_old_one(target: Path):
    write_whole(target, b"old")
    target.with_name("folder").mkdir()
    with pytest.raises(DiskError):
        write_whole(target.with_name("folder"), b"new")
    assert target.read_bytes() == b"old"
    assert {path.name for path in target.parent.iterdir()} == {"y.gguf", "folder"}


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, DiskFullError, "no room"),
        (errno.EDQUOT, DiskFullError, "no room"),
        (errno.EROFS, DiskError, "only be read"),
        (errno.EACCES, DiskError, "may not write"),
        (errno.EIO, DiskError, "fails"),
        (errno.ENOENT, DiskError, "not there"),
        (errno.ELOOP, DiskError, "link"),
        (errno.EFBIG, DiskError, "as large as"),
        (errno.EBUSY, DiskError, "cannot be used"),
    ],
)
def test_what_the_disk_refuses_is_said(number: int, kind: type, words: str, target: Path):
    error = disk_failure(OSError(number, os.strerror(number)), target, needed_bytes=10**15)
    assert type(error) is kind
    assert words in error.message
    assert os.strerror(number) in error.details
    if isinstance(error, DiskFullError):
        assert error.missing_bytes > 10**14


def test_only_a_large_file_is_too_large_for_fat32(target: Path):
    too_big = OSError(errno.EFBIG, "File too large")
    assert "exFAT" in disk_failure(too_big, target, needed_bytes=2**32).hint
    assert "exFAT" not in disk_failure(too_big, target, needed_bytes=2**32 - 1).hint


def test_a_sound_file_is_found_sound(target: Path):
    data = random.Random(1).randbytes(250)
    target.write_bytes(data)
    heard: list[int] = []
    found = verify_file(target, record_of(data), listen=heard.append)
    assert found.is_good
    assert found.damaged_blocks == ()
    assert (found.size_bytes, heard[-1]) == (250, 250)
    assert found.block_digests == record_of(data).block_digests


@pytest.mark.parametrize(
    ("offset", "block"), [(0, 0), (99, 0), (100, 1), (199, 1), (200, 2), (249, 2)]
)
def test_a_flipped_byte_is_found_in_its_block(target: Path, offset: int, block: int):
    data = bytearray(random.Random(1).randbytes(250))
    record = record_of(bytes(data))
    data[offset] ^= 1
    target.write_bytes(data)
    found = verify_file(target, record)
    assert not found.is_good
    assert found.damaged_blocks == (block,)


@pytest.mark.parametrize(("size", "damaged"), [(0, (0, 1, 2)), (120, (1, 2)), (200, (2,))])
def test_a_shortened_file_lacks_its_last_blocks(target: Path, size: int, damaged: tuple[int, ...]):
    data = random.Random(1).randbytes(250)
    target.write_bytes(data[:size])
    found = verify_file(target, record_of(data))
    assert not found.is_good
    assert found.damaged_blocks == damaged


def test_a_longer_file_is_another_one(target: Path):
    data = random.Random(1).randbytes(200)
    target.write_bytes(data + b"!")
    found = verify_file(target, record_of(data))
    assert not found.is_good
    assert found.damaged_blocks == ()


def test_without_a_record_there_is_nothing_to_contradict(target: Path):
    target.write_bytes(b"whatever")
    found = verify_file(target, None)
    assert found.is_good
    assert found.digest_hex == hashlib.sha256(b"whatever").hexdigest()
    assert len(found.block_digests) == 1


def test_git_names_are_compared_too(target: Path):
    target.write_bytes(b"MIT\n")
    git = hashlib.sha1(b"blob 4\0MIT\n", usedforsecurity=False).hexdigest()
    record = replace(record_of(b"MIT\n"), digest=f"git-sha1:{git}")
    assert verify_file(target, record).is_good
    assert not verify_file(target, replace(record, digest="git-sha1:" + "0" * 40)).is_good


def test_verifying_can_be_stopped_and_says_what_is_not_there(target: Path):
    target.write_bytes(b"x")
    with pytest.raises(StoppedError):
        verify_file(target, None, stop=lambda: True)
    with pytest.raises(DiskError, match="not there"):
        verify_file(target.with_name("gone"), None)
    with pytest.raises(DiskError, match="no plain file"):
        verify_file(target.parent, None)
