"""What is to be fetched, and where its bytes are right now: plain data. No Qt, no files here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from models.stopping import Stop

SHA256, GIT_SHA1 = "sha256", "git-sha1"


@dataclass(frozen=True)
class FileSpec:
    """One file of a repository at one commit, as it is to lie on the disk.

    Attributes:
        path: in the repository, with ``/``.
        target: below the job's folder, with ``/``; checked by Fathom's own rules for names.
        size_bytes: by the hub's list.
        digest: ``sha256:HEX`` of the content (files in LFS or Xet), or ``git-sha1:HEX`` of git's
            blob (small text files). A file without a digest is never fetched.
    """

    path: str
    target: str
    size_bytes: int
    digest: str

    @property
    def digest_kind(self) -> str:
        """``SHA256`` or ``GIT_SHA1``."""
        return self.digest.partition(":")[0]

    @property
    def digest_hex(self) -> str:
        """The digest itself, lower-case."""
        return self.digest.partition(":")[2]


@dataclass(frozen=True)
class RemoteObject:
    """A file and where it is asked for.

    Attributes:
        endpoint: address of the hub or mirror, without a slash at its end.
        repository: ``owner/name``.
        commit: 40 hex digits.
    """

    endpoint: str
    repository: str
    commit: str
    file: FileSpec


@dataclass(frozen=True)
class Location:
    """Where the bytes can be read for a while.

    Attributes:
        url: may be signed; is asked without any token unless ``headers`` has one.
        etag: of the content by the hub's word, without quotes; empty when it gave none.
        size_bytes: by the hub's word.
        expires_s: when ``url`` stops working, on the clock of ``time.time``; None when unknown.
        headers: to be sent with every request to ``url`` and never to where it redirects.
    """

    url: str
    etag: str
    size_bytes: int
    expires_s: float | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Locator(Protocol):
    """Asks the hub where a file is; may be called from several threads."""

    def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:
        """Return where the bytes are now.

        Raises:
            AccessError, RemoteNotFoundError: not for this user, or no longer there.
            RemoteChangedError: size or digest are not those of ``remote``.
            NetworkError: no answer, or none that makes sense.
            StoppedError: ``stop`` said so.
        """


Listener = Callable[["FileProgress"], None]


@dataclass(frozen=True)
class FileProgress:
    """What is known of one file's transfer now.

    Attributes:
        bytes_done: in place, the verified ones of earlier runs included.
        bytes_fetched: came over the line in this run.
        bytes_refetched: of those, what had been here before (after a kill, a damage, a retry).
        hashed_bytes: how far the check of the whole has come.
        is_verifying: nothing is fetched any more, the check goes on.
        is_repairing: blocks that are damaged are fetched again.
        waits_until_s: on the clock of ``time.time``; None when it does not wait.
        why: what it waits for, in words; empty when it does not.
    """

    bytes_done: int
    bytes_fetched: int = 0
    bytes_refetched: int = 0
    hashed_bytes: int = 0
    is_verifying: bool = False
    is_repairing: bool = False
    waits_until_s: float | None = None
    why: str = ""
