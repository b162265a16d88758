"""How a transfer is cut into pieces, and how long it waits for what. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass, replace

MIB = 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """How one file is cut into pieces.

    Attributes:
        block_bytes: what one request asks for, and what is fetched anew where it is damaged.
        flush_bytes: how much of it, for each block in flight, may be lost when the process is
            killed; what a socket holds comes on top (12 + 4 MiB stay within the promised 16).
        window_blocks: how far ahead of the first missing block others are fetched: the file is
            written nearly in order, which spares some file systems filling it with zeros first.
        allocates: whether the disk space is taken before the first byte; otherwise the file is
            sparse.
    """

    block_bytes: int = 64 * MIB
    flush_bytes: int = 12 * MIB
    window_blocks: int = 8
    allocates: bool = True


@dataclass(frozen=True)
class TransferPatience:
    """How long is waited for what, and how often something is tried.

    Attributes:
        connect_s: for a connection to be made.
        stall_s: without a byte before a connection counts as dead.
        first_pause_s: after the first failure without progress; doubled for each further one.
        longest_pause_s: the longest that it is doubled to.
        longest_retry_after_s: the longest that a server's own "try again in" is followed.
        give_up_s: without a single byte of progress before a transfer ends.
        extra_give_up_s: the same for a text that may be missing: nobody waits a day for a licence
            beside weights that are here.
        refusals: how often in a row a fresh address may be refused before a transfer ends.
        lock_s: how long another transfer of the same file is waited for.
        progress_s: between two reports.
        flush_s: the longest that what was written is not yet noted down.
    """

    connect_s: float = 10.0
    stall_s: float = 15.0
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    longest_retry_after_s: float = 3600.0
    give_up_s: float = 24 * 3600.0
    extra_give_up_s: float = 20.0
    refusals: int = 8
    lock_s: float = 3.0
    progress_s: float = 0.15
    flush_s: float = 5.0

    @property
    def for_extras(self) -> TransferPatience:
        """The same for a file that may be missing."""
        return replace(
            self,
            give_up_s=self.extra_give_up_s,
            longest_retry_after_s=min(self.longest_retry_after_s, self.extra_give_up_s),
        )
