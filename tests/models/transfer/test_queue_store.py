"""The file of the queue: kept, shared, damaged, newer, full."""

from __future__ import annotations

import json
import queue
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from helpers.logcheck import LogCheck
from models.errors import DiskError, DownloadBusyError, StoreCorruptError, StoreVersionError
from models.transfer.job import ENDED, JobState
from models.transfer.job_book import Job
from models.transfer.job_rows import jobs_of, row_of
from models.transfer.queue_keeper import KeeperNotice, Kept, Opened, QueueKeeper, Trouble
from models.transfer.queue_store import QueueStore, StoredJob, holds_any

ENDED_NAMES = tuple(ENDED)


def row(number: int, state: str = "queued") -> StoredJob:
    return StoredJob(f"{number:032x}", number, state, "{}", "{}")


def rows(*numbers: int) -> dict[str, StoredJob]:
    return {row(number).job_id: row(number) for number in numbers}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "downloads.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[QueueStore]:
    store = QueueStore(path, busy_s=0.1)
    yield store
    store.close()


def test_what_was_written_is_read_by_the_next(store: QueueStore, path: Path) -> None:
    assert store.open() == ()
    store.write(rows(1, 2, 3))
    store.write(rows(1, 3))
    store.close()
    again = QueueStore(path)
    assert again.open() == (row(1), row(3))
    again.close()
    assert path.stat().st_mode & 0o077 == 0


def test_only_one_holds_it(store: QueueStore, path: Path) -> None:
    store.open()
    store.write(rows(1))
    other = QueueStore(path, busy_s=0.1)
    with pytest.raises(DownloadBusyError):
        other.open()
    assert holds_any(path, ENDED_NAMES)  # cannot be said: assumed
    store.close()
    assert other.open(adopts=False) == (row(1),)
    other.write(rows(2))  # what it did not adopt stays
    other.close()
    assert store.open() == (row(1), row(2))


def test_a_newer_one_is_left_alone(store: QueueStore, path: Path) -> None:
    store.open()
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreVersionError):
        store.open()
    assert path.read_bytes() == before


def test_a_damaged_one_is_set_aside(store: QueueStore, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all, and long enough to be looked at" * 100)
    with pytest.raises(StoreCorruptError):
        store.open()
    aside = store.set_aside()
    assert aside is not None
    assert aside.exists()
    assert store.open() == ()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError):
        QueueStore(tmp_path / "file" / "queue.sqlite3").open()


@pytest.mark.parametrize(("state", "expected"), [("paused", True), ("ready", False)])
def test_whether_anything_is_unfinished(store: QueueStore, state: str, expected: bool) -> None:
    store.open()
    store.write({"a": StoredJob("a", 0, state, "{}", "{}")})
    store.close()
    assert holds_any(store.path, ENDED_NAMES) is expected


def test_a_row_that_makes_no_sense_is_left_out(allow_logs: LogCheck) -> None:
    allow_logs("cannot be read")
    from helpers.fake_hub import COMMIT
    from models.transfer.job import JobSpec
    from models.transfer.remote import FileSpec

    file = FileSpec("a.gguf", "a.gguf", 10, "sha256:00")
    root = Path("/r")
    spec = JobSpec("a" * 32, "t", "http://h", "o/n", COMMIT, "", root, root / "o/n", (file,))
    good = row_of(Job(spec, JobState.PAUSED), 0)
    odd = [
        StoredJob("b", 1, "paused", "{}", "{}"),
        StoredJob("c", 2, "paused", good.spec, "[]"),
        StoredJob("d", 3, "dancing", good.spec, good.stand),
        StoredJob("e", 4, "paused", "not json", good.stand),
        StoredJob("f", 5, "paused", json.dumps(json.loads(good.spec) | {"files": []}), good.stand),
    ]
    assert [job.spec for job in jobs_of([*odd, good])] == [spec]


class Inbox:
    """What a keeper told."""

    def __init__(self) -> None:
        self._notices: queue.SimpleQueue[KeeperNotice] = queue.SimpleQueue()
        self.tell = self._notices.put

    def next(self) -> KeeperNotice:
        return self._notices.get(timeout=20)


def test_the_keeper_answers_when_it_is_written_and_not_before(path: Path) -> None:
    inbox = Inbox()
    # A folder in the place of the file: it cannot be opened until that is gone.
    path.mkdir(parents=True)
    keeper = QueueKeeper(path, (), inbox.tell, retry_s=0.02)
    keeper.begin()
    opened = inbox.next()
    assert isinstance(opened, Opened)
    assert isinstance(opened.trouble, DiskError)
    keeper.keep(rows(1), (7,))
    keeper.keep(rows(1, 2), (8,))
    path.rmdir()
    assert inbox.next() == Trouble(None)
    assert inbox.next() == Kept((7, 8))
    keeper.close(5.0)
    store = QueueStore(path)
    assert store.open() == (row(1), row(2))
    store.close()
