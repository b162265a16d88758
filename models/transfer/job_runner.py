"""One download being made: its files in their order, in a thread of its own. No Qt here.

It decides nothing about the queue: it says where it stands when asked, and how it ended.
"""

from __future__ import annotations

import abc
import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from models.errors import (
    DiskError,
    FathomError,
    NetworkError,
    OfflineError,
    RemoteChangedError,
    StoppedError,
    TransferError,
    UnsafeNameError,
)
from models.gguf.header import read_header
from models.gguf.shards import ShardName, check_set, parse_shard_name
from models.stopping import Stop, check_stop
from models.transfer.disk import translated
from models.transfer.job import FileState, JobSpec, JobState
from models.transfer.job_book import FileStand
from models.transfer.job_file import job_file_path, remove_job_file, write_job_file
from models.transfer.leftovers import remove_leftovers
from models.transfer.record import FOLDER, record_path
from models.transfer.remote import (
    FileProgress,
    FileSpec,
    Listener,
    Location,
    Locator,
    RemoteObject,
)
from models.transfer.sidecar import sidecar_path
from models.transfer.space import Claim, SpaceLedger

_LOG = logging.getLogger(__name__)
_S = JobState


class Transfer(Protocol):
    """One file on its way; models/transfer/file_transfer.py."""

    def run(self, stop: Stop) -> object:
        """Fetch and verify the file."""

    def discard(self) -> None:
        """Remove what was fetched of it."""


class FileTools(Protocol):
    """Everything that touches one file; the real ones are in models/transfer/file_tools.py."""

    def transfer(
        self,
        remote: RemoteObject,
        target: Path,
        *,
        locator: Locator,
        listen: Listener,
        verify_existing: bool,
        is_independent: bool,
    ) -> Transfer:
        """Return a transfer that was not begun."""

    def is_done(self, remote: RemoteObject, target: Path) -> bool:
        """Whether the verified file lies there, by its record."""

    def bytes_in_place(self, target: Path) -> int:
        """Return what an earlier run left."""

    def remove(self, target: Path) -> None:
        """Remove a finished file and its record."""


@dataclass(frozen=True)
class RunTools:
    """What every download needs."""

    files: FileTools
    locator: Locator
    ledger: SpaceLedger


@dataclass(frozen=True)
class Snapshot:
    """Where a run stands now.

    Attributes:
        state: what the download is doing.
        bytes_fetched: over the line in this run.
    """

    state: JobState
    files: tuple[FileStand, ...]
    bytes_fetched: int = 0
    bytes_refetched: int = 0
    waits_until_s: float | None = None
    why: str = ""


class Run(Protocol):
    """Something that is being done for a download."""

    def begin(self) -> None:
        """Start."""

    def stop(self) -> None:
        """Ask it to end; from any thread, returns at once."""

    def snapshot(self) -> Snapshot | None:
        """Return where it stands, None when there is nothing to show."""

    def join(self, limit_s: float) -> None:
        """Wait for its end."""


OnEnded = Callable[[Run, FathomError | None], None]


class _Threaded(abc.ABC):
    """A thread that can be asked to stop and says how it ended."""

    def __init__(self, name: str, on_ended: Callable[[FathomError | None], None]) -> None:
        self._stop = threading.Event()
        self._on_ended = on_ended
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def begin(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end."""
        self._stop.set()

    def join(self, limit_s: float) -> None:
        """Wait for its end."""
        self._thread.join(limit_s)

    def _guarded(self) -> None:
        error: FathomError | None = None
        try:
            self._work(self._stop.is_set)
        except FathomError as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001  The thread's end: a bug ends one download only.
            error = TransferError(
                "The download met an error in Fathom's own code.",
                hint="Please report it with the details.",
                details="".join(traceback.format_exception(bug)),
            )
        self._on_ended(error)

    @abc.abstractmethod
    def _work(self, stop: Stop) -> None:
        """Do what the thread is for."""


class JobRun(_Threaded):
    """Makes a download."""

    def __init__(
        self, spec: JobSpec, files: tuple[FileStand, ...], tools: RunTools, on_ended: OnEnded
    ) -> None:
        super().__init__("download", lambda error: on_ended(self, error))
        self._spec = spec
        self._tools = tools
        self._began_s = time.time()
        self._lock = threading.Lock()
        self._state = _S.RESOLVING
        self._files = list(files)
        self._progress: dict[int, FileProgress] = {}

    def snapshot(self) -> Snapshot:
        """Return where it stands."""
        with self._lock:
            state, files = self._state, tuple(self._files)
            progress = dict(self._progress)
        waiting = _waiting(progress, files) if state is _S.DOWNLOADING else None
        if waiting is not None:
            state = _S.WAITING
        elif state is _S.DOWNLOADING:
            state = _state_of(files)
        return Snapshot(
            state,
            files,
            sum(item.bytes_fetched for item in progress.values()),
            sum(item.bytes_refetched for item in progress.values()),
            waiting.waits_until_s if waiting else None,
            waiting.why if waiting else "",
        )

    # --- the run's own thread -------------------------------------------------------------------

    def _work(self, stop: Stop) -> None:
        self._check_places()
        wanted = self._look()
        try:
            if wanted:
                locator = self._resolve(wanted[0], stop)
                self._reserve(wanted)
                write_job_file(self._spec)
                self._enter(_S.DOWNLOADING)
                for number in wanted:
                    self._fetch(number, locator, stop)
            self._enter(_S.VERIFYING)
            check_stop(stop)
            check_shards(self._spec)
            remove_job_file(self._spec)
            remove_leftovers(_small_files(self._spec), before_s=self._began_s)
        finally:
            self._tools.ledger.release(self._spec.job_id)

    def _check_places(self) -> None:
        """Refuse what would write elsewhere than below the root, or to a drive that is not there.

        Raises:
            UnsafeNameError, DiskError: as said.
        """
        spec = self._spec
        inside = spec.folder.is_relative_to(spec.root) and ".." not in spec.folder.parts
        if not inside or not all(_is_plain(file.target) for file in spec.files):
            raise UnsafeNameError("The download's files would lie outside its folder.")
        if not spec.root.is_dir():
            raise DiskError(
                f"The folder {spec.root} is not there.",
                hint="Connect its drive, or choose another folder for downloads.",
            )
        if self._was_begun() and not spec.folder.is_dir():
            # The empty folder that a drive leaves where it was is no place to begin anew.
            raise DiskError(
                f"The folder {spec.folder} is gone, and with it what was fetched.",
                hint="Connect its drive. If it was deleted, cancel the download and begin it anew.",
            )

    def _was_begun(self) -> bool:
        """Whether an earlier run left something, and not all of it."""
        states = {stand.state for stand in self._files}
        return any(stand.bytes_done for stand in self._files) and states != {FileState.VERIFIED}

    def _look(self) -> list[int]:
        """Return which files are not there yet, and take note of what is there of them."""
        wanted = []
        for number, file in enumerate(self._spec.files):
            target = self._target(file)
            if not self._spec.repairs and self._tools.files.is_done(self._remote(file), target):
                stand = FileStand(FileState.VERIFIED, file.size_bytes)
            else:
                wanted.append(number)
                done = min(self._tools.files.bytes_in_place(target), file.size_bytes)
                is_ours = self._files[number].is_ours or not target.exists()
                stand = FileStand(FileState.WAITING, done, is_ours)
            self._set(number, replace(stand, is_ours=stand.is_ours or self._files[number].is_ours))
        return wanted

    def _resolve(self, number: int, stop: Stop) -> Locator:
        """Ask the hub for the first file: a gate shows before any room is taken.

        A network that does not answer is left to the transfer, which knows how to wait.
        """
        locator = OnceAsked(self._tools.locator)
        locator.ask(self._remote(self._spec.files[number]), stop)
        return locator

    def _reserve(self, wanted: list[int]) -> None:
        self._enter(_S.RESERVING)
        files = [self._spec.files[number] for number in wanted]
        claims = [Claim(self._target(file), file.size_bytes) for file in files]
        self._tools.ledger.hold(self._spec.job_id, self._spec.folder, claims)
        for folder in {self._target(file).parent for file in files}:
            with translated(folder):
                folder.mkdir(parents=True, exist_ok=True)

    def _fetch(self, number: int, locator: Locator, stop: Stop) -> None:
        check_stop(stop)
        file = self._spec.files[number]

        def listen(progress: FileProgress) -> None:
            self._heard(number, progress)

        transfer = self._tools.files.transfer(
            self._remote(file),
            self._target(file),
            locator=locator,
            listen=listen,
            verify_existing=self._spec.repairs,
            is_independent=self._spec.is_independent,
        )
        self._set(number, replace(self._files[number], state=FileState.DOWNLOADING))
        try:
            transfer.run(stop)
        except StoppedError:
            self._set(number, replace(self._files[number], state=FileState.WAITING))
            raise
        except FathomError:
            self._set(number, replace(self._files[number], state=FileState.FAILED))
            raise
        done = replace(self._files[number], state=FileState.VERIFIED, bytes_done=file.size_bytes)
        self._set(number, done)

    def _heard(self, number: int, progress: FileProgress) -> None:
        if progress.is_repairing:
            state = FileState.REPAIRING
        elif progress.is_verifying:
            state = FileState.VERIFYING
        else:
            state = FileState.DOWNLOADING
        size_bytes = self._spec.files[number].size_bytes
        with self._lock:
            self._progress[number] = progress
            self._files[number] = replace(
                self._files[number], state=state, bytes_done=min(progress.bytes_done, size_bytes)
            )

    def _enter(self, state: JobState) -> None:
        with self._lock:
            self._state = state

    def _set(self, number: int, stand: FileStand) -> None:
        with self._lock:
            self._files[number] = stand

    def _remote(self, file: FileSpec) -> RemoteObject:
        return RemoteObject(self._spec.endpoint, self._spec.repository, self._spec.commit, file)

    def _target(self, file: FileSpec) -> Path:
        return self._spec.folder / file.target


class DiscardRun(_Threaded):
    """Removes what a cancelled download fetched, or only its file where that is kept."""

    def __init__(
        self,
        spec: JobSpec,
        files: tuple[FileStand, ...],
        tools: RunTools,
        on_ended: OnEnded,
        *,
        keeps: bool,
    ) -> None:
        super().__init__("discard", lambda error: on_ended(self, error))
        self._spec = spec
        self._files = files
        self._tools = tools
        self._keeps = keeps
        self._began_s = time.time()

    def snapshot(self) -> None:
        """Return nothing: there is nothing to show."""
        return

    def _work(self, stop: Stop) -> None:  # noqa: ARG002 - too short to be stopped
        spec = self._spec
        for file, stand in zip(spec.files, self._files, strict=True):
            target = spec.folder / file.target
            # What is being repaired was there before.
            if self._keeps or spec.repairs or not _is_plain(file.target):
                continue
            remote = RemoteObject(spec.endpoint, spec.repository, spec.commit, file)
            self._tools.files.transfer(
                remote,
                target,
                locator=self._tools.locator,
                listen=lambda _: None,
                verify_existing=False,
                is_independent=spec.is_independent,
            ).discard()
            if stand.is_ours:
                self._tools.files.remove(target)
        remove_job_file(spec)
        remove_leftovers(_small_files(spec), before_s=self._began_s)
        if not self._keeps:
            _remove_empty(spec)


class OnceAsked:
    """A locator that answers the first question from what was asked a moment ago."""

    def __init__(self, locator: Locator) -> None:
        self._locator = locator
        self._lock = threading.Lock()
        self._known: tuple[RemoteObject, Location | NetworkError] | None = None

    def ask(self, remote: RemoteObject, stop: Stop) -> None:
        """Ask now; raises what ``Locator.locate`` does, but a failing network is the answer."""
        try:
            self._known = (remote, self._locator.locate(remote, stop=stop))
        except (OfflineError, RemoteChangedError):
            raise
        except NetworkError as error:
            self._known = (remote, error)

    def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
        """Return where the bytes are now; raises as ``Locator.locate``."""
        with self._lock:
            known, self._known = self._known, None
        if known is None or known[0] != remote:
            return self._locator.locate(remote, stop=stop)
        if isinstance(known[1], NetworkError):
            raise known[1]
        return known[1]


def check_shards(spec: JobSpec) -> None:
    """Check that the parts of a set belong together, by their own headers.

    Raises:
        CorruptGgufError, NotGgufError: they do not, or are no GGUF files.
    """
    sets: dict[tuple[str, int], list[tuple[ShardName, Path]]] = {}
    for file in spec.files:
        path = spec.folder / file.target
        name = parse_shard_name(path.name)
        if name is not None and name.count > 1:
            key = (str(path.parent / name.stem), name.count)
            sets.setdefault(key, []).append((name, path))
    for parts in sets.values():
        parts.sort(key=lambda part: part[0].number)
        check_set([read_header(path) for _, path in parts])


def _small_files(spec: JobSpec) -> list[Path]:
    """Return the small files that a download writes beside its large ones."""
    targets = [spec.folder / file.target for file in spec.files]
    found = [job_file_path(spec)]
    for target in targets:
        found += [sidecar_path(target), record_path(target)]
    return found


def _is_plain(target: str) -> bool:
    path = Path(target)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _state_of(files: tuple[FileStand, ...]) -> JobState:
    states = {stand.state for stand in files}
    if FileState.REPAIRING in states:
        return _S.REPAIRING
    if FileState.VERIFYING in states and FileState.DOWNLOADING not in states:
        return _S.VERIFYING
    return _S.DOWNLOADING


def _waiting(
    progress: dict[int, FileProgress], files: tuple[FileStand, ...]
) -> FileProgress | None:
    """Return what the download waits for, when everything that is being fetched waits."""
    running = [
        item
        for number, item in progress.items()
        if files[number].state not in (FileState.VERIFIED, FileState.WAITING)
    ]
    if running and all(item.why for item in running):
        return min(running, key=lambda item: item.waits_until_s or 0.0)
    return None


def _remove_empty(spec: JobSpec) -> None:
    """Remove the folders that the download leaves empty, up to the root."""
    folders = {(spec.folder / file.target).parent for file in spec.files}
    folders |= {folder / FOLDER for folder in folders}
    folders |= {spec.folder, spec.folder.parent}
    inside = [folder for folder in folders if spec.root in folder.parents]
    for folder in sorted(inside, key=lambda path: len(path.parts), reverse=True):
        # Not empty, or not there.
        with contextlib.suppress(OSError):
            folder.rmdir()
