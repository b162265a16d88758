"""A file of 465 GB, of which nobody has to have the space or the patience."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.fake_hub import COMMIT, SparseContent, fake_hub
from helpers.transfer_case import KIB, NAME, PATIENCE, REPOSITORY, Case
from models.errors import DiskError, DiskFullError, StoppedError
from models.hub.hub import Hub
from models.transfer.file_transfer import bytes_in_place
from models.transfer.patience import Layout
from models.transfer.remote import FileSpec, RemoteObject
from models.transfer.sidecar import read_sidecar

SIZE = 465 * 10**9


def test_a_file_that_no_server_sends_whole_comes_in_parts(tmp_path: Path):
    with fake_hub() as hub:
        huge = SparseContent(SIZE)
        case = Case(hub, tmp_path, b"")
        hub.add(REPOSITORY, NAME, huge)
        hub.whole_limit_bytes = 50 * 10**9
        file = FileSpec(NAME, NAME, SIZE, f"sha256:{huge.sha256}")
        remote = RemoteObject(hub.endpoint, REPOSITORY, COMMIT, file)
        layout = Layout(flush_bytes=256 * KIB, allocates=False)
        with pytest.raises(StoppedError):
            case.run(
                lambda: bool(case.heard) and case.heard[-1].bytes_done > 3_000_000,
                remote=remote,
                layout=layout,
                locator=Hub(hub.endpoint),
                patience=replace(PATIENCE, flush_s=0.05),
            )
        assert case.part.stat().st_size == SIZE
        assert bytes_in_place(case.target) >= 3_000_000
        sidecar = read_sidecar(case.target)
        assert sidecar is not None
        with case.part.open("rb") as part:
            for index, partial in sidecar.snapshot.partials.items():
                first = index * layout.block_bytes
                part.seek(first)
                size_bytes = min(partial.position, 256 * KIB)
                assert part.read(size_bytes) == huge.part(first, first + size_bytes - 1)
        assert all(seen.range for seen in hub.seen("cdn"))
        assert max(_length(seen.range) for seen in hub.seen("cdn")) <= layout.block_bytes


def test_a_size_that_no_disk_has_room_for_is_told_at_once(tmp_path: Path):
    # Before anything that grows with the size: it is only the hub's word.
    with fake_hub() as hub:
        case = Case(hub, tmp_path, b"")
        file = replace(case.file, size_bytes=10**16)
        with pytest.raises(DiskFullError, match="no room") as caught:
            case.run(remote=replace(case.remote, file=file))
        assert caught.value.missing_bytes > 10**15
        assert not hub.requests
        assert list(case.target.parent.iterdir()) == []


def test_a_file_too_large_for_its_drive_is_told_at_once(tmp_path: Path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with fake_hub() as hub:
        case = Case(hub, tmp_path, bytes(3_000_000))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            with pytest.raises(DiskError, match="cannot hold a file as large"):
                case.run()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not hub.requests
        assert list(case.target.parent.iterdir()) == []
        case.run()
        case.assert_done()


def _length(given: str | None) -> int:
    assert given is not None
    first, last = given.removeprefix("bytes=").split("-")
    return int(last) + 1 - int(first)
