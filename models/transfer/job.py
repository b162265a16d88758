"""Downloads as people see them: what is wanted, where it stands, which steps are legal. No Qt."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from models.transfer.remote import FileSpec


class JobState(enum.StrEnum):
    """Where a download stands."""

    QUEUED = "queued"
    RESOLVING = "resolving"
    NEEDS_TOKEN = "needs_token"
    NEEDS_LICENCE = "needs_licence"
    NO_SPACE = "no_space"
    RESERVING = "reserving"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    REPAIRING = "repairing"
    WAITING = "waiting"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"
    READY = "ready"


_S = JobState

# Only a person (or a start of the program, or room on the disk) leads out of these.
AT_REST = frozenset(
    {
        _S.NEEDS_TOKEN,
        _S.NEEDS_LICENCE,
        _S.NO_SPACE,
        _S.PAUSED,
        _S.CANCELLED,
        _S.FAILED,
        _S.READY,
    }
)
ENDED = frozenset({_S.CANCELLED, _S.READY})
ACTIVE = frozenset(set(_S) - AT_REST - {_S.QUEUED})

_INTERRUPTS = frozenset({_S.PAUSING, _S.CANCELLING, _S.FAILED, _S.QUEUED})
_REFUSALS = frozenset({_S.NEEDS_TOKEN, _S.NEEDS_LICENCE, _S.NO_SPACE})

# What may follow what. QUEUED may follow every active state: the child was killed in it.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _S.QUEUED: frozenset({_S.RESOLVING, _S.PAUSED, _S.CANCELLING, _S.FAILED}),
    _S.RESOLVING: _INTERRUPTS | _REFUSALS | {_S.RESERVING, _S.WAITING},
    _S.RESERVING: _INTERRUPTS | _REFUSALS | {_S.DOWNLOADING},
    _S.DOWNLOADING: _INTERRUPTS | _REFUSALS | {_S.WAITING, _S.VERIFYING, _S.REPAIRING},
    _S.WAITING: _INTERRUPTS | _REFUSALS | {_S.RESOLVING, _S.DOWNLOADING, _S.REPAIRING},
    _S.VERIFYING: _INTERRUPTS | _REFUSALS | {_S.REPAIRING, _S.READY, _S.DOWNLOADING},
    _S.REPAIRING: _INTERRUPTS | _REFUSALS | {_S.VERIFYING, _S.WAITING, _S.DOWNLOADING},
    _S.PAUSING: frozenset({_S.PAUSED, _S.CANCELLING, _S.FAILED, _S.QUEUED, _S.READY}),
    _S.CANCELLING: frozenset({_S.CANCELLED, _S.FAILED}),
    _S.NEEDS_TOKEN: frozenset({_S.QUEUED, _S.CANCELLING, _S.PAUSED}),
    _S.NEEDS_LICENCE: frozenset({_S.QUEUED, _S.CANCELLING, _S.PAUSED}),
    _S.NO_SPACE: frozenset({_S.QUEUED, _S.CANCELLING, _S.PAUSED}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.CANCELLING}),
    _S.FAILED: frozenset({_S.QUEUED, _S.CANCELLING}),
    # A finished checkpoint may be repaired later: it becomes a job again.
    _S.READY: frozenset({_S.QUEUED}),
    # Cancelled with what was fetched kept: it may be taken up again.
    _S.CANCELLED: frozenset({_S.QUEUED}),
}


class FileState(enum.StrEnum):
    """Where one file of a download stands."""

    WAITING = "waiting"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    REPAIRING = "repairing"
    VERIFIED = "verified"
    FAILED = "failed"


@dataclass(frozen=True)
class JobSpec:
    """What is wanted: all files of one checkpoint at one commit, as one.

    Attributes:
        job_id: 32 hex digits, unique for ever.
        title: what people call it, such as "DeepSeek-R1-Distill-Qwen-7B Q4_K_M".
        endpoint: where it is asked for; without a slash at its end.
        repository: ``owner/name``.
        commit: 40 hex digits.
        quant: as the files' names have it; may be empty.
        folder: ``ROOT/owner/name``; every file lies at ``folder / file.target``.
        root: the library root it belongs to.
        files: the shards in their order, then small texts (licence, model card) if any.
        is_independent: whether the digests come from somebody else than who sends the bytes; with
            a mirror they usually do not.
        repairs: whether files that are there already are checked and mended.
    """

    job_id: str
    title: str
    endpoint: str
    repository: str
    commit: str
    quant: str
    root: Path
    folder: Path
    files: tuple[FileSpec, ...]
    is_independent: bool = True
    repairs: bool = False

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    def is_extra(self, file: FileSpec) -> bool:
        """Whether the checkpoint is whole without a file: a licence or a card beside its parts."""
        return not _is_part(file) and any(_is_part(other) for other in self.files)


def _is_part(file: FileSpec) -> bool:
    return file.target.lower().endswith(".gguf")


@dataclass(frozen=True)
class JobFailure:
    """Why a job rests: an error of ``models.errors`` taken apart."""

    code: str
    message: str
    hint: str = ""
    details: str = ""


@dataclass(frozen=True)
class FileView:
    """One file of a download, for people."""

    target: str
    state: FileState
    bytes_done: int
    bytes_total: int


@dataclass(frozen=True)
class JobView:
    """One download, for people: sent at most ten and at least four times a second while it runs.

    Attributes:
        position: in the queue, from 0 on.
        bytes_done: of all files; never goes back but after a damage was found.
        rate_bytes_s: over the last seconds; 0 when nothing comes.
        eta_s: None when unknown.
        bytes_refetched: fetched more than once, since the job began.
        waits_until_s: on the clock of ``time.time``; None when it waits for nothing timed.
        why: what it waits for, why it rests, or what a READY one lacks; a sentence or empty.
        path: the first checkpoint file when READY.
    """

    spec: JobSpec
    state: JobState
    position: int = 0
    bytes_done: int = 0
    rate_bytes_s: float = 0.0
    eta_s: float | None = None
    bytes_refetched: int = 0
    waits_until_s: float | None = None
    why: str = ""
    failure: JobFailure | None = None
    files: tuple[FileView, ...] = field(default=())

    @property
    def job_id(self) -> str:
        """The spec's."""
        return self.spec.job_id

    @property
    def bytes_total(self) -> int:
        """Of all files."""
        return self.spec.size_bytes

    @property
    def path(self) -> Path:
        """Where the first file lies, or will."""
        return self.spec.folder / self.spec.files[0].target
