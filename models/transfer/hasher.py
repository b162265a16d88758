"""Digests: of whole files as the hub names them, and of blocks as Fathom keeps them. No Qt here."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Protocol

from models.errors import StoppedError, UnsafeNameError
from models.stopping import Stop, check_stop
from models.transfer.blocks import BlockMap
from models.transfer.patience import MIB
from models.transfer.remote import GIT_SHA1, SHA256

READ_BYTES = MIB


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""

    def hexdigest(self) -> str:
        """Return it in hex."""


def file_digest(kind: str, size_bytes: int) -> Digest:
    """Return an empty digest of a whole file.

    Args:
        kind: ``SHA256``, or ``GIT_SHA1`` of git's blob (its header holds the size:
            https://git-scm.com/book/en/v2/Git-Internals-Git-Objects).
        size_bytes: of the file.

    Raises:
        UnsafeNameError: the hub names no digest, or one that is not known.
    """
    if kind == SHA256:
        return hashlib.sha256()
    if kind == GIT_SHA1:
        digest = hashlib.sha1(usedforsecurity=False)
        digest.update(b"blob %d\0" % size_bytes)
        return digest
    raise UnsafeNameError(
        "The hub does not say by which digest the file can be checked.",
        hint="A file that cannot be checked is not fetched.",
        details=f"digest {kind!r}",
    )


def hash_range(
    read: Callable[[int, int], bytes], first: int, size_bytes: int, digest: Digest, stop: Stop
) -> int:
    """Feed a part of a file into a digest; return how many bytes there were.

    Raises:
        StoppedError: ``stop`` said so.
        DiskError: as ``read`` does.
    """
    done = 0
    while done < size_bytes:
        check_stop(stop)
        data = read(first + done, min(READ_BYTES, size_bytes - done))
        if not data:
            break
        digest.update(data)
        done += len(data)
    return done


class FrontierHasher(threading.Thread):
    """Hashes a file from its start on, as far as its blocks are there; ``join`` ends the wait.

    Args:
        read: returns so many bytes from an offset on.
        blocks: which are there.
        digest: an empty one.
        stop: ends it.
        wake: is called once when it has ended, however.

    Attributes:
        hashed_bytes: how far it has come.
        error: what ended it, None when it came to the end.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        blocks: BlockMap,
        digest: Digest,
        stop: Stop,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(name="transfer hash", daemon=True)
        self.hashed_bytes = 0
        self.error: BaseException | None = None
        self._read = read
        self._blocks = blocks
        self._digest = digest
        self._stop_asked = stop
        self._wake = wake

    @property
    def digest_hex(self) -> str:
        """The digest, once it has come to the end."""
        return self._digest.hexdigest()

    def run(self) -> None:
        """Hash block after block."""
        try:
            for block in self._blocks.all:
                self._blocks.wait_done(block, self._stop_asked)
                self._hash(block.first, block.size_bytes)
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for the digest
            self.error = error
        finally:
            self._wake()

    def _hash(self, first: int, size_bytes: int) -> None:
        done = 0
        while done < size_bytes:
            if self._stop_asked():
                raise StoppedError
            data = self._read(first + done, min(READ_BYTES, size_bytes - done))
            if not data:
                # Somebody shortened it; the digest will not be the right one.
                return
            self._digest.update(data)
            done += len(data)
            self.hashed_bytes += len(data)
