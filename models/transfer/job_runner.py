"""One download being made: its files in their order, in a thread of its own. No Qt here.

It decides nothing about the queue: it says where it stands when asked, and how it ended.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

from models.errors import (
    DiskError,
    FathomError,
    NetworkError,
    OfflineError,
    RemoteChangedError,
    StoppedError,
    UnsafeNameError,
)
from models.gguf.header import read_header
from models.gguf.shards import ShardName, check_set, parse_shard_name
from models.stopping import Stop, check_stop
from models.transfer.disk import translated
from models.transfer.job import FileState, JobSpec, JobState
from models.transfer.job_book import FileStand
from models.transfer.job_file import is_plain, remove_job_file, small_files, write_job_file
from models.transfer.leftovers import remove_leftovers
from models.transfer.remote import FileProgress, FileSpec, Location, Locator, RemoteObject
from models.transfer.run import OnEnded, RunTools, Snapshot, ThreadedRun, Transfer
from models.transfer.space import Claim

_LOG = logging.getLogger(__name__)
_S = JobState

_NOT_RUNNING = (FileState.VERIFIED, FileState.WAITING, FileState.FAILED)


class JobRun(ThreadedRun):
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
        self._lacks = ""

    def snapshot(self) -> Snapshot:
        """Return where it stands."""
        with self._lock:
            state, files = self._state, tuple(self._files)
            progress, lacks = dict(self._progress), self._lacks
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
            lacks,
        )

    # --- the run's own thread -------------------------------------------------------------------

    def _work(self, stop: Stop) -> None:
        self._check_places()
        wanted = self._look()
        extras = [number for number in wanted if self._spec.is_extra(self._spec.files[number])]
        parts = [number for number in wanted if number not in extras]
        try:
            if parts:
                locator = self._resolve(parts[0], stop)
                self._reserve(wanted)
                write_job_file(self._spec)
                self._enter(_S.DOWNLOADING)
                for number in parts:
                    self._fetch(number, locator, stop)
            self._fetch_extras(extras, stop)
            self._enter(_S.VERIFYING)
            check_stop(stop)
            check_shards(self._spec)
            remove_job_file(self._spec)
            remove_leftovers(small_files(self._spec), before_s=self._began_s)
        finally:
            self._tools.ledger.release(self._spec.job_id)

    def _check_places(self) -> None:
        """Refuse what would write elsewhere than below the root, or to a drive that is not there.

        Raises:
            UnsafeNameError, DiskError: as said.
        """
        spec = self._spec
        inside = spec.folder.is_relative_to(spec.root) and ".." not in spec.folder.parts
        if not inside or not all(is_plain(file.target) for file in spec.files):
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

    def _fetch_extras(self, numbers: list[int], stop: Stop) -> None:
        """Fetch the texts; one that cannot be had is left out, and said to lack.

        Raises:
            StoppedError: ``stop`` said so.
            FathomError: why one cannot be had, where the checkpoint itself is gone, too.
        """
        failures = []
        for number in numbers:
            self._enter(_S.DOWNLOADING)
            try:
                self._fetch(number, self._tools.locator, stop)
            except StoppedError:
                raise
            except FathomError as error:
                if not self._has_parts():
                    raise
                # What came of it would look like a download that somebody still wants.
                with contextlib.suppress(FathomError):
                    self._transfer(number, self._tools.locator).discard()
                self._set(number, FileStand(FileState.FAILED))
                failures.append((self._spec.files[number].target, error))
        if failures:
            names = ", ".join(name for name, _ in failures)
            with self._lock:
                self._lacks = f"Without {names}: {failures[0][1].message}"

    def _has_parts(self) -> bool:
        """Whether the checkpoint itself is still there, as when a drive has not gone away."""
        parts = [file for file in self._spec.files if not self._spec.is_extra(file)]
        return all(
            self._tools.files.is_done(self._remote(file), self._target(file)) for file in parts
        )

    def _transfer(self, number: int, locator: Locator) -> Transfer:
        file = self._spec.files[number]

        def listen(progress: FileProgress) -> None:
            self._heard(number, progress)

        return self._tools.files.transfer(
            self._remote(file),
            self._target(file),
            locator=locator,
            listen=listen,
            verify_existing=self._spec.repairs,
            is_independent=self._spec.is_independent,
            is_extra=self._spec.is_extra(file),
        )

    def _fetch(self, number: int, locator: Locator, stop: Stop) -> None:
        check_stop(stop)
        file = self._spec.files[number]
        transfer = self._transfer(number, locator)
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
    running = [item for number, item in progress.items() if files[number].state not in _NOT_RUNNING]
    if running and all(item.why for item in running):
        return min(running, key=lambda item: item.waits_until_s or 0.0)
    return None
