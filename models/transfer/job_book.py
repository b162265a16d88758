"""One download as its owner keeps it; the only place where a state follows another. No Qt here."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from models.transfer.job import (
    ACTIVE,
    TRANSITIONS,
    FileState,
    FileView,
    JobFailure,
    JobSpec,
    JobState,
    JobView,
)
from models.transfer.progress import Meter

_S = JobState

# A file that may be passed through between two looks at it.
_PASSING = ACTIVE - {_S.PAUSING, _S.CANCELLING}


@dataclass(frozen=True)
class FileStand:
    """Where one file stands.

    Attributes:
        is_ours: this job began it: nothing lay at its place before.
    """

    state: FileState = FileState.WAITING
    bytes_done: int = 0
    is_ours: bool = False


@dataclass
class Job:
    """One download.

    Attributes:
        files: in the order of the spec.
        keeps: what a cancel is to do with what was fetched; None when there was none.
        refetched_before: bytes fetched again by earlier runs.
    """

    spec: JobSpec
    state: JobState = _S.QUEUED
    files: tuple[FileStand, ...] = ()
    why: str = ""
    waits_until_s: float | None = None
    failure: JobFailure | None = None
    keeps: bool | None = None
    bytes_refetched: int = 0
    refetched_before: int = 0
    meter: Meter = field(default_factory=Meter)

    def __post_init__(self) -> None:
        """Give every file a stand."""
        if len(self.files) != len(self.spec.files):
            self.files = tuple(FileStand() for _ in self.spec.files)

    @property
    def job_id(self) -> str:
        """The spec's."""
        return self.spec.job_id

    @property
    def bytes_done(self) -> int:
        """Of all files."""
        return sum(stand.bytes_done for stand in self.files)

    @property
    def is_whole(self) -> bool:
        """Whether every file is verified, or is one that may be missing and could not be had."""
        return all(
            (stand.state is FileState.VERIFIED and stand.bytes_done == file.size_bytes)
            or (stand.state is FileState.FAILED and self.spec.is_extra(file))
            for stand, file in zip(self.files, self.spec.files, strict=True)
        )

    def go(
        self,
        state: JobState,
        *,
        why: str = "",
        waits_until_s: float | None = None,
        failure: JobFailure | None = None,
    ) -> None:
        """Go to a state, through those that lie between and were over too soon to be seen.

        Raises:
            RuntimeError: the state cannot follow, or READY is claimed for files that are not
                verified: a bug.
        """
        for step in self._steps_to(state):
            self._enter(step)
        self.why, self.waits_until_s, self.failure = why, waits_until_s, failure

    def may_go(self, state: JobState) -> bool:
        """Whether a state may follow at once."""
        return state in TRANSITIONS[self.state]

    def show(self, files: tuple[FileStand, ...]) -> None:
        """Take note of where the files stand; what was shown once only goes back for a damage."""
        self.files = tuple(
            _not_less(stand, before) for stand, before in zip(files, self.files, strict=True)
        )

    def view(self, position: int) -> JobView:
        """Return the download for people."""
        files = tuple(
            FileView(file.target, stand.state, stand.bytes_done, file.size_bytes)
            for file, stand in zip(self.spec.files, self.files, strict=True)
        )
        rate_bytes_s = self.meter.rate_bytes_s if self.state in _PASSING else 0.0
        left_bytes = self.spec.size_bytes - self.bytes_done
        return JobView(
            spec=self.spec,
            state=self.state,
            position=position,
            bytes_done=self.bytes_done,
            rate_bytes_s=rate_bytes_s,
            eta_s=left_bytes / rate_bytes_s if rate_bytes_s > 0 and left_bytes else None,
            bytes_refetched=self.refetched_before + self.bytes_refetched,
            waits_until_s=self.waits_until_s,
            why=self.why,
            failure=self.failure,
            files=files,
        )

    def _steps_to(self, state: JobState) -> list[JobState]:
        if state is self.state:
            return []
        paths: deque[list[JobState]] = deque([[]])
        seen = {self.state}
        while paths:
            path = paths.popleft()
            here = path[-1] if path else self.state
            if state in TRANSITIONS[here]:
                return [*path, state]
            if here not in _PASSING:
                # What a person or a start led to is not passed through.
                continue
            for step in sorted(TRANSITIONS[here] & _PASSING - seen):
                seen.add(step)
                paths.append([*path, step])
        raise RuntimeError(f"a download cannot go from {self.state} to {state}")

    def _enter(self, state: JobState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"a download cannot go from {self.state} to {state}")
        if state is _S.READY and not self.is_whole:
            raise RuntimeError("a download with unverified files was called ready")
        self.state = state
        if state is _S.QUEUED:
            self.keeps = None


def _not_less(stand: FileStand, before: FileStand) -> FileStand:
    if stand.state is FileState.REPAIRING or stand.bytes_done >= before.bytes_done:
        return stand
    return replace(stand, bytes_done=before.bytes_done)
