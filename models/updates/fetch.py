"""Fetches the file of a release into a folder of the user's, and checks it. No Qt here.

That is where it ends: nothing is opened, unpacked, made executable or run.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from models.errors import UpdateError
from models.stopping import Stop, never
from models.transfer.file_transfer import FileTransfer
from models.transfer.limiter import RateLimiter
from models.transfer.patience import TransferPatience
from models.transfer.record import record_path
from models.transfer.remote import SHA256, FileSpec, Listener, Location, RemoteObject
from models.transfer.slots import Slots
from models.transfer.verifying import verify_file
from models.updates.manifest import ReleaseFile

_CONNECTIONS = 2
# Somebody waits for it; what has come is kept for another try.
_PATIENCE = TransferPatience(give_up_s=60.0, refusals=3)


class _AtOneAddress:
    """A locator for what has an address of its own."""

    def __init__(self, file: ReleaseFile) -> None:
        self._location = Location(file.url, "", file.size_bytes)

    def locate(self, remote: RemoteObject, *, stop: Stop) -> Location:  # noqa: ARG002
        """Return the address."""
        return self._location


def fetch_release(
    file: ReleaseFile,
    folder: Path,
    *,
    listen: Listener = lambda _: None,
    stop: Stop = never,
    patience: TransferPatience = _PATIENCE,
    limit_bytes_s: float = 0.0,
) -> Path:
    """Return where a release's file lies, verified; one that is there already is only checked.

    Only a file of a manifest whose signature was good may be given. What was fetched before a stop
    or a failure is gone on with.

    Raises:
        UpdateError: another file of that name is there.
        CorruptDownloadError: what the server sends is not what was signed.
        NetworkError, AccessError, RemoteNotFoundError, RemoteChangedError: it cannot be fetched.
        DiskError, DiskFullError, DownloadBusyError: it cannot be written.
        StoppedError: ``stop`` said so.
    """
    target = folder / file.name
    if target.exists() or target.is_symlink():
        _check_there(target, file, stop)
        return target
    remote = RemoteObject(
        "", "", "", FileSpec(file.name, file.name, file.size_bytes, f"{SHA256}:{file.sha256}")
    )
    FileTransfer(
        remote,
        target,
        locator=_AtOneAddress(file),
        slots=Slots(_CONNECTIONS),
        limiter=RateLimiter(limit_bytes_s),
        listen=listen,
        patience=patience,
    ).run(stop)
    _forget_record(target)
    return target


def _check_there(target: Path, file: ReleaseFile, stop: Stop) -> None:
    is_same = (
        not target.is_symlink()
        and target.is_file()
        and target.stat().st_size == file.size_bytes
        and verify_file(target, None, stop=stop).digest_hex == file.sha256
    )
    if not is_same:
        raise UpdateError(
            f"There is another file called {target.name} in {target.parent}.",
            hint="Move it away, and try again.",
        )


def _forget_record(target: Path) -> None:
    """Remove the library's note: a folder of downloads is none of its own."""
    record = record_path(target)
    with contextlib.suppress(OSError):
        record.unlink()
        # Not if something else lies in it.
        record.parent.rmdir()
