"""Downloads of real children from the fake hub: specs, a listener that can be waited for."""

from __future__ import annotations

import hashlib
import random
import struct
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from helpers import raw_gguf
from helpers.fake_hub import COMMIT, FakeHub
from helpers.fake_hub_content import git_sha1, is_lfs
from helpers.small_transfers import child_command
from models.transfer.client import TransferClient
from models.transfer.events import JobChanged, QueueReplaced, TransferEvent, TransferSettings
from models.transfer.job import JobSpec, JobState, JobView
from models.transfer.remote import FileSpec

REPOSITORY = "maker/Model-GGUF"
LIMIT_S = 60.0
_E = TypeVar("_E")


class Heard:
    """Everything a client told, and a way to wait for some of it."""

    def __init__(self) -> None:
        self.events: list[TransferEvent] = []
        self._arrived = threading.Condition()

    def __call__(self, event: TransferEvent) -> None:
        with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()

    def wait_for(
        self, wanted: Callable[[TransferEvent], bool], limit_s: float = LIMIT_S, *, since: int = 0
    ) -> TransferEvent:
        """Wait for an event, the first ``since`` left out."""
        with self._arrived:
            found: list[TransferEvent] = []

            def look() -> bool:
                found[:] = [event for event in self.events[since:] if wanted(event)]
                return bool(found)

            assert self._arrived.wait_for(look, limit_s), f"not among {self.states()}"
            return found[0]

    def wait_for_state(self, *states: JobState, since: int = 0, job_id: str = "") -> JobView:
        """Wait until a download is in one of these states, and return it."""

        def is_wanted(event: TransferEvent) -> bool:
            return any(
                view.state in states and job_id in ("", view.job_id) for view in views_of(event)
            )

        event = self.wait_for(is_wanted, since=since)
        return next(
            view for view in views_of(event) if view.state in states and job_id in ("", view.job_id)
        )

    def wait_for_bytes(self, count: int, *, since: int = 0) -> JobView:
        """Wait until a download has so many bytes."""
        event = self.wait_for(
            lambda event: any(view.bytes_done >= count for view in views_of(event)), since=since
        )
        return views_of(event)[0]

    def of(self, kind: type[_E]) -> list[_E]:
        """Return all events of a kind."""
        with self._arrived:
            return [event for event in self.events if isinstance(event, kind)]

    def views(self) -> list[JobView]:
        """Return every view that was told, in order."""
        return [view for event in list(self.events) for view in views_of(event)]

    def states(self) -> list[str]:
        """Return the states that were told, repetitions left out."""
        states = [view.state.value for view in self.views()]
        return [s for i, s in enumerate(states) if i == 0 or states[i - 1] != s]


def views_of(event: TransferEvent) -> tuple[JobView, ...]:
    """Return the downloads that an event tells of."""
    if isinstance(event, JobChanged):
        return (event.view,)
    return event.views if isinstance(event, QueueReplaced) else ()


def make_root(base_dir: Path) -> Path:
    """Return an empty library root."""
    root = base_dir / "models"
    root.mkdir(parents=True, exist_ok=True)
    return root


def gguf_shards(
    count: int, tensor_bytes: int, *, seed: int = 1, stem: str = "Model-Q4_K_M", tensors: int = 0
) -> dict[str, bytes]:
    """Return a set of GGUF files that belong together, by their names; ``tensors`` may lie."""
    rng = random.Random(seed)
    files = {}
    for number in range(count):
        entries = (
            raw_gguf.string_entry("general.architecture", "llama"),
            raw_gguf.entry("split.no", 2, struct.pack("<H", number)),
            raw_gguf.entry("split.count", 2, struct.pack("<H", count)),
            raw_gguf.entry("split.tensors.count", 5, struct.pack("<i", tensors or count)),
        )
        info = raw_gguf.tensor(f"blk.{number}.weight", (tensor_bytes // 4,))
        header = raw_gguf.gguf_bytes(*entries, tensors=(info,))
        name = f"{stem}-{number + 1:05d}-of-{count:05d}.gguf"
        files[name] = header + rng.randbytes(tensor_bytes // 4 * 4)
    return files


def offer(hub: FakeHub, files: dict[str, bytes], repository: str = REPOSITORY) -> None:
    """Put files on a hub."""
    for name, data in files.items():
        hub.add(repository, name, data)


def spec_for(
    hub: FakeHub,
    names: Sequence[str],
    root: Path,
    *,
    repository: str = REPOSITORY,
    **changes: Any,
) -> JobSpec:
    """Return the download of some files of a repository."""
    files = []
    for name in names:
        content = hub.files[repository, name]
        digest = f"sha256:{content.sha256}"
        if not is_lfs(name, content):
            digest = f"git-sha1:{git_sha1(content)}"
        files.append(FileSpec(name, name, content.size_bytes, digest))
    values: dict[str, Any] = {
        "job_id": uuid.uuid4().hex,
        "title": "Model Q4_K_M",
        "endpoint": hub.endpoint,
        "repository": repository,
        "commit": COMMIT,
        "quant": "Q4_K_M",
        "root": root,
        "folder": root / repository,
        "files": tuple(files),
    }
    return JobSpec(**(values | changes))


@contextmanager
def running_client(
    base_dir: Path,
    *,
    settings: TransferSettings | None = None,
    env: dict[str, str] | None = None,
    command: Sequence[str] | None = None,
    heard: Heard | None = None,
    **child: Any,
) -> Iterator[tuple[TransferClient, Heard]]:
    """Run a client with a child for the length of a ``with`` block."""
    heard = heard or Heard()
    client = TransferClient(
        command or child_command(**child), data_dir=base_dir, listener=heard, env=env
    )
    client.configure(settings or TransferSettings(roots=(base_dir / "models",)))
    client.start()
    try:
        yield client, heard
    finally:
        client.stop()


def assert_all_there(spec: JobSpec, files: dict[str, bytes]) -> None:
    """Check every byte, and that nothing else was left behind."""
    for name, data in files.items():
        path = spec.folder / name
        assert path.stat().st_size == len(data)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(data).digest()
    names = {path.name for path in spec.folder.rglob("*") if path.is_file()}
    assert names == set(files) | {f"{name}.json" for name in files}
