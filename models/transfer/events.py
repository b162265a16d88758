"""What the owner of the transfer child tells it, and what it hears from it: plain data. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from models.errors import FathomError
from models.transfer.job import JobView


@dataclass(frozen=True)
class TransferSettings:
    """How downloads are made; may change at any time.

    Attributes:
        limit_bytes_s: of all downloads together; 0 means no limit.
        connections: how many blocks are fetched at the same time, 1 to 8.
        token: who asks; lives in memory only and is in no text of this object.
        token_endpoint: the only hub that is shown the token, without a slash at its end.
        is_offline: nothing is sent at all; downloads wait in the queue.
        roots: folders that are searched for begun downloads when the queue itself is lost.
    """

    limit_bytes_s: float = 0.0
    connections: int = 4
    token: str | None = field(default=None, repr=False)
    token_endpoint: str = ""
    is_offline: bool = False
    roots: tuple[Path, ...] = ()


@dataclass(frozen=True)
class JobChanged:
    """A download is new or stands differently now."""

    view: JobView


@dataclass(frozen=True)
class JobGone:
    """A download has left the list."""

    job_id: str


@dataclass(frozen=True)
class QueueReplaced:
    """The whole list, in its order: at the start of the child and after every restart."""

    views: tuple[JobView, ...]


@dataclass(frozen=True)
class TransferDown:
    """The child ended although nobody wanted that; unless ``is_final`` it is started again."""

    error: FathomError
    is_final: bool


@dataclass(frozen=True)
class TransferTrouble:
    """The queue cannot be written down: downloads go on, but would be forgotten at the end.

    ``error`` is None when it can be written again.
    """

    error: FathomError | None


TransferEvent = JobChanged | JobGone | QueueReplaced | TransferDown | TransferTrouble
