"""What a download needs of the block transfer and its records. No Qt here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.transfer.disk import translated
from models.transfer.file_transfer import FileTransfer
from models.transfer.limiter import RateLimiter
from models.transfer.patience import TransferPatience
from models.transfer.record import forget_record, read_record
from models.transfer.remote import Listener, Locator, RemoteObject
from models.transfer.sidecar import bytes_in_place
from models.transfer.slots import Slots


class BlockTools:
    """Makes transfers that share the line.

    Args:
        slots: blocks in flight, of all files together.
        limiter: bytes a second, of all files together.
        patience: how long is waited for what.
        options: more arguments of every ``FileTransfer`` (layout).
    """

    def __init__(
        self,
        slots: Slots,
        limiter: RateLimiter,
        *,
        patience: TransferPatience | None = None,
        **options: Any,
    ) -> None:
        self._slots = slots
        self._limiter = limiter
        self._patience = patience or TransferPatience()
        self._options = options

    def transfer(
        self,
        remote: RemoteObject,
        target: Path,
        *,
        locator: Locator,
        listen: Listener,
        verify_existing: bool,
        is_independent: bool,
        is_extra: bool = False,
    ) -> FileTransfer:
        """Return a transfer that was not begun; ``is_extra``: it is not worth a long wait."""
        return FileTransfer(
            remote,
            target,
            locator=locator,
            slots=self._slots,
            limiter=self._limiter,
            listen=listen,
            verify_existing=verify_existing,
            is_independent=is_independent,
            patience=self._patience.for_extras if is_extra else self._patience,
            **self._options,
        )

    def is_done(self, remote: RemoteObject, target: Path) -> bool:
        """Whether the verified file lies there, by its record."""
        record = read_record(target)
        if record is None or record.verified_s is None or record.digest != remote.file.digest:
            return False
        try:
            status = target.stat()
        except OSError:
            return False
        is_untouched = record.modified_ns in (0, status.st_mtime_ns)
        return status.st_size == record.size_bytes == remote.file.size_bytes and is_untouched

    def bytes_in_place(self, target: Path) -> int:
        """Return what an earlier run left."""
        return bytes_in_place(target)

    def remove(self, target: Path) -> None:
        """Remove a finished file and its record.

        Raises:
            DiskError: it cannot be removed.
        """
        with translated(target):
            target.unlink(missing_ok=True)
        forget_record(target)
