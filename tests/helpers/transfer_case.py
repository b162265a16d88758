"""One file on the fake hub, and transfers of it: small blocks and short waits."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from helpers.fake_hub import COMMIT, FakeHub
from models.errors import RemoteChangedError, StoppedError, UnreachableError
from models.network.answers import Asked, error_of_answer
from models.stopping import Stop
from models.transfer.file_transfer import FileTransfer
from models.transfer.limiter import RateLimiter
from models.transfer.patience import Layout, TransferPatience
from models.transfer.record import FileRecord
from models.transfer.remote import FileProgress, FileSpec, Location, RemoteObject
from models.transfer.slots import Slots

REPOSITORY = "deepseek-ai/tiny"
NAME = "tiny-Q4_K_M.gguf"
KIB = 1024
LAYOUT = Layout(block_bytes=256 * KIB, flush_bytes=64 * KIB)
PATIENCE = TransferPatience(
    connect_s=5.0,
    stall_s=5.0,
    first_pause_s=0.02,
    longest_pause_s=0.1,
    lock_s=0.2,
    progress_s=0.01,
)


def content(size_bytes: int, seed: int = 1) -> bytes:
    """Return bytes that are like no others."""
    return random.Random(seed).randbytes(size_bytes)


class HeadLocator:
    """Asks the fake hub where a file is, with nothing but the standard library."""

    def __init__(self) -> None:
        self.asked = 0

    def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
        """Ask once; a location's life is only known to the server."""
        if stop():
            raise StoppedError
        self.asked += 1
        parts = urlsplit(remote.endpoint)
        path = f"/{remote.repository}/resolve/{remote.commit}/{remote.file.path}"
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            with closing(connection):
                connection.request("HEAD", path)
                answer = connection.getresponse()
                headers = {key.lower(): value for key, value in answer.getheaders()}
        except OSError as error:
            raise UnreachableError("The hub cannot be reached.", details=str(error)) from error
        if answer.status not in (200, 302):
            asked = Asked(remote.file.target, parts.netloc)
            raise error_of_answer(answer.status, headers, asked)
        size_bytes = int(headers.get("x-linked-size") or headers["content-length"])
        etag = (headers.get("x-linked-etag") or headers["etag"]).strip('"')
        if size_bytes != remote.file.size_bytes:
            raise RemoteChangedError("The file has another size now.")
        url = headers.get("location") or remote.endpoint + path
        return Location(url, etag, size_bytes)


class Case:
    """A file on a hub, the folder it goes to, and everything that is heard on the way."""

    def __init__(self, hub: FakeHub, folder: Path, data: bytes, *, name: str = NAME) -> None:
        self.hub = hub
        self.data = data
        self.target = folder / "deepseek-ai" / "tiny" / name
        self.heard: list[FileProgress] = []
        self.locator = HeadLocator()
        self.slots = Slots()
        self.limiter = RateLimiter()
        hub.add(REPOSITORY, name, data)
        digest = hashlib.sha256(data).hexdigest()
        self.file = FileSpec(name, name, len(data), f"sha256:{digest}")
        self.remote = RemoteObject(hub.endpoint, REPOSITORY, COMMIT, self.file)

    @property
    def part(self) -> Path:
        """Where the file is until it is complete."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def sidecar(self) -> Path:
        """Where the sidecar is."""
        return self.target.with_name(self.target.name + ".part.json")

    def transfer(self, **options: Any) -> FileTransfer:
        """Return a transfer of the file; ``options`` replace the usual ones."""
        usual = {
            "locator": self.locator,
            "slots": self.slots,
            "limiter": self.limiter,
            "listen": self.heard.append,
            "patience": PATIENCE,
            "layout": LAYOUT,
        }
        return FileTransfer(options.pop("remote", self.remote), self.target, **{**usual, **options})

    def run(self, stop: Stop = lambda: False, **options: Any) -> FileRecord:
        """Fetch the file."""
        return self.transfer(**options).run(stop)

    def assert_done(self) -> None:
        """Assert that the file is there, byte for byte, and nothing else is but its record."""
        assert self.target.read_bytes() == self.data
        names = {path.name for path in self.target.parent.iterdir()}
        assert names == {self.target.name, ".fathom"}
        assert [path.name for path in (self.target.parent / ".fathom").iterdir()] == [
            f"{self.target.name}.json"
        ]


class Running:
    """A transfer in a thread, which can be stopped as the program does it."""

    def __init__(self, case: Case, **options: Any) -> None:
        self.stop = threading.Event()
        self.record: FileRecord | None = None
        self.error: BaseException | None = None
        self._work: Callable[[], FileRecord] = lambda: case.run(self.stop.is_set, **options)
        self._thread = threading.Thread(target=self._run, name="transfer under test")
        self._thread.start()

    def join(self, limit_s: float = 30.0) -> None:
        """Wait for its end."""
        self._thread.join(limit_s)
        assert not self._thread.is_alive(), "the transfer did not end"

    def _run(self) -> None:
        try:
            self.record = self._work()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error
