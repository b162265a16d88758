"""Moving a checkpoint to another folder of the library. No Qt here.

On one drive files are renamed. Between drives they are copied, the copies are read again from
their drive and compared, and only when all of them are sound do they get their names and do the
old ones go. Until then the checkpoint is whole where it was, whatever happens.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import ChecksumError, DiskError, DiskFullError, LibraryError
from models.library.entry import LibraryEntry
from models.library.ownership import (
    check_file,
    check_own,
    companions,
    remove_empty_folders,
    unfinished,
)
from models.library.volumes import Volumes
from models.stopping import Stop, check_stop, never
from models.transfer.disk import translated
from models.transfer.patience import Layout
from models.transfer.record import (
    FOLDER,
    FileRecord,
    read_record,
    record_path,
    write_record,
)
from models.transfer.verifying import verify_file
from models.units import format_bytes
from models.whole_files import sync_folder

# Room that is left on a drive, as downloads leave it.
RESERVE_BYTES, RESERVE_SHARE = 2 * 1024**3, 0.01

_STAGED = ".moving"
_STEP_BYTES = 4 * 1024**2
_SYNC_BYTES = 128 * 1024**2
_SHA256 = "sha256"

Listen = Callable[[int], None]


@dataclass(frozen=True)
class MovedFile:
    """A file that moves; ``size_bytes`` as it was when that was planned."""

    source: Path
    target: Path
    size_bytes: int


@dataclass(frozen=True)
class MovePlan:
    """What is going to happen.

    Attributes:
        root: the folder of the library that it goes to.
        files: the checkpoint's in their order, then texts that were fetched with it.
        bound: the folder of the library that it is below now.
        size_bytes: of all files.
        work_bytes: what ``move`` counts up to: all files are read twice, or nothing is.
        is_rename: whether nothing has to be copied.
    """

    entry: LibraryEntry
    root: Path
    files: tuple[MovedFile, ...]
    bound: Path
    size_bytes: int
    work_bytes: int
    is_rename: bool


def plan_move(
    entry: LibraryEntry,
    root: Path,
    *,
    volumes: Volumes | None = None,
    reserve_bytes: int = RESERVE_BYTES,
) -> MovePlan:
    """Return what moving a checkpoint would do; nothing is changed.

    Below ``root`` it lies as it lies now below its own one (``owner/name/...``).

    Args:
        root: another folder of the library; it must be there.
        reserve_bytes: room that has to be left on the drive.

    Raises:
        LibraryError: it is not the user's to move, is being downloaded, is there already.
        DiskFullError: there is no room; ``missing_bytes`` says how much lacks.
        DiskError: the folder is not there, cannot be written, or cannot hold files as long.
    """
    bound = check_own(entry)
    if unfinished(entry):
        raise LibraryError(
            f"{entry.name} is not complete: a download of it has not finished.",
            hint="Let the download finish first, or cancel it.",
        )
    _check_root(root)
    paths = (*entry.paths, *companions(entry, bound))
    files = tuple(
        MovedFile(path, root / path.relative_to(bound), check_file(path, bound).st_size)
        for path in paths
    )
    _check_targets(files, root)
    size_bytes = sum(file.size_bytes for file in files)
    volumes = volumes or Volumes()
    is_rename = _is_one_drive(entry.path, root, volumes)
    if not is_rename:
        _check_room(files, root, volumes, reserve_bytes)
    return MovePlan(
        entry,
        root,
        files,
        bound,
        size_bytes,
        work_bytes=0 if is_rename else 2 * size_bytes,
        is_rename=is_rename,
    )


def move(plan: MovePlan, *, listen: Listen = lambda _: None, stop: Stop = never) -> LibraryEntry:
    """Do what was planned; return the checkpoint where it is then.

    Args:
        listen: hears how many of ``plan.work_bytes`` are done.

    Raises:
        ChecksumError: a file is not what it was when it was fetched, or a copy is not what was
            read; nothing has changed.
        LibraryError: something else lies there than when it was planned.
        DiskFullError, DiskError: a drive refuses; the checkpoint is whole where it was, or (the
            message says so) the old files could not be removed after it was copied.
        StoppedError: ``stop`` said so; nothing has changed.
    """
    for file in plan.files:
        if check_file(file.source, plan.bound).st_size != file.size_bytes:
            raise LibraryError(
                f"{file.source.name} has changed since this was planned.",
                hint="Look at the library again.",
            )
    _check_targets(plan.files, plan.root)
    check_stop(stop)
    if plan.is_rename:
        _rename_all(plan)
    else:
        _copy_all(plan, listen, stop)
    remove_empty_folders(
        {folder for file in plan.files for folder in _folders_of(file.source)}, plan.bound
    )
    count = len(plan.entry.paths)
    targets = tuple(file.target for file in plan.files[:count])
    return replace(plan.entry, path=targets[0], files=targets, root=plan.root)


# --- planning -------------------------------------------------------------------------------------


def _check_root(root: Path) -> None:
    if not root.is_dir():
        raise DiskError(f"{root} is not there.", hint="Connect its drive, or choose another.")
    if not os.access(root, os.W_OK | os.X_OK):
        raise DiskError(f"Fathom may not write to {root}.", hint="Check the permissions there.")


def _check_targets(files: Sequence[MovedFile], root: Path) -> None:
    real_root = os.path.realpath(root)
    for file in files:
        if os.path.lexists(file.target):
            if file.target.exists() and file.target.samefile(file.source):
                raise LibraryError(f"{file.source.name} is there already.")
            raise LibraryError(
                f"There is a file called {file.target.name} already in {file.target.parent}.",
                hint="Move or delete that one first.",
            )
        # A link in the new folder must not lead the files out of the library.
        folder = os.path.realpath(file.target.parent)
        expected = os.path.normpath(
            os.path.join(real_root, file.target.parent.relative_to(root))  # noqa: PTH118
        )
        if folder != expected:
            raise LibraryError(f"{file.target.parent} leads out of {root} by a link.")


def _is_one_drive(path: Path, root: Path, volumes: Volumes) -> bool:
    # Renaming across mounts fails, even across those of one drive.
    same = path.stat().st_dev == root.stat().st_dev
    return same and volumes.mount_of(path) == volumes.mount_of(root)


def _check_room(
    files: Sequence[MovedFile], root: Path, volumes: Volumes, reserve_bytes: int
) -> None:
    mount = volumes.mount_of(root)
    limit_bytes = mount.file_limit_bytes if mount else None
    longest = max(files, key=lambda file: file.size_bytes)
    if limit_bytes is not None and longest.size_bytes > limit_bytes:
        raise DiskError(
            f"The drive of {root} cannot hold a file as large as {longest.source.name}.",
            hint="Choose a drive with another file system (exFAT, NTFS, ext4, APFS).",
        )
    with translated(root):
        disk = shutil.disk_usage(root)
    margin_bytes = max(reserve_bytes, int(disk.total * RESERVE_SHARE)) if reserve_bytes else 0
    missing_bytes = sum(file.size_bytes for file in files) + margin_bytes - disk.free
    if missing_bytes > 0:
        raise DiskFullError(
            f"There is not enough room in {root}: {format_bytes(missing_bytes)} are missing.",
            hint="Free some room there, or choose another folder.",
            missing_bytes=missing_bytes,
        )


# --- on one drive ---------------------------------------------------------------------------------


def _rename_all(plan: MovePlan) -> None:
    """Rename all files and their records; when one cannot be, those before it go back."""
    pairs = [
        (source, target)
        for file in plan.files
        for source, target in (
            (file.source, file.target),
            (record_path(file.source), record_path(file.target)),
        )
        if source.exists()
    ]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in pairs:
            with translated(source):
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
            done.append((source, target))
    except DiskError:
        for source, target in reversed(done):
            with contextlib.suppress(OSError):
                target.rename(source)
        raise
    _sync_folders(plan)


# --- between drives -------------------------------------------------------------------------------


def _copy_all(plan: MovePlan, listen: Listen, stop: Stop) -> None:
    staged: list[Path] = []
    records: list[FileRecord] = []
    made: set[Path] = set()
    done_bytes = 0
    try:
        for file in plan.files:
            made |= _make_folders(file.target.parent / FOLDER, plan.root)
            stage = file.target.parent / FOLDER / (file.target.name + _STAGED)
            staged.append(stage)
            records.append(_copy_verified(file, stage, _after(done_bytes, listen), stop))
            done_bytes += 2 * file.size_bytes
        check_stop(stop)
        _publish(plan, staged, records)
    except BaseException:
        for stage in staged:
            with contextlib.suppress(OSError):
                stage.unlink(missing_ok=True)
        remove_empty_folders(made, plan.root)
        raise
    _remove_sources(plan)
    remove_empty_folders({stage.parent for stage in staged}, plan.root)


def _copy_verified(file: MovedFile, stage: Path, listen: Listen, stop: Stop) -> FileRecord:
    """Copy a file and read the copy again; return the record of the copy."""
    known = read_record(file.source)
    digest_hex = _copy(file, stage, listen, stop)
    copied = FileRecord("", "", "", "", file.size_bytes, f"{_SHA256}:{digest_hex}",
                        Layout().block_bytes, (), None, is_independent=False)  # fmt: skip
    seen = verify_file(stage, copied, stop=stop, listen=_after(file.size_bytes, listen))
    if not seen.is_good:
        raise ChecksumError(
            f"The copy of {file.source.name} is not what was read.",
            hint="The drive or the memory may be faulty. The checkpoint is where it was.",
        )
    if known is None:
        return replace(
            copied, block_digests=seen.block_digests, modified_ns=stage.stat().st_mtime_ns
        )
    is_sha = known.digest.startswith(f"{_SHA256}:")
    is_same = not is_sha or known.digest == copied.digest
    if known.block_digests and known.block_bytes == seen.block_bytes:
        is_same = is_same and known.block_digests == seen.block_digests
    if known.size_bytes != file.size_bytes or not is_same:
        raise ChecksumError(
            f"{file.source.name} is damaged: it is not what it was when it was fetched.",
            hint="Verify and repair it first. It is where it was.",
        )
    return replace(known, modified_ns=stage.stat().st_mtime_ns)


def _copy(file: MovedFile, stage: Path, listen: Listen, stop: Stop) -> str:
    """Copy a file to a new one and make sure that it is on its drive; return its SHA-256 (hex)."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_STEP_BYTES))
    with translated(file.source, reads=True):
        source = file.source.open("rb", buffering=0)
    with source, translated(stage, needed_bytes=file.size_bytes):
        stage.unlink(missing_ok=True)
        with stage.open("xb", buffering=0) as copy:
            done_bytes = unsynced_bytes = 0
            while count := source.readinto(buffer):
                check_stop(stop)
                digest.update(buffer[:count])
                _write(copy.fileno(), buffer[:count])
                done_bytes += count
                unsynced_bytes += count
                if unsynced_bytes >= _SYNC_BYTES:
                    # Else the last one takes minutes, in which nothing can be stopped.
                    os.fsync(copy.fileno())
                    unsynced_bytes = 0
                listen(done_bytes)
            os.fsync(copy.fileno())
    times = file.source.stat()
    with contextlib.suppress(OSError):
        os.utime(stage, ns=(times.st_atime_ns, times.st_mtime_ns))
    return digest.hexdigest()


def _write(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _publish(plan: MovePlan, staged: Sequence[Path], records: Sequence[FileRecord]) -> None:
    """Give the copies their names; when one cannot get it, none has it."""
    named: list[Path] = []
    try:
        for file, stage, record in zip(plan.files, staged, records, strict=True):
            if read_record(file.source) is not None:
                write_record(file.target, record)
            with translated(file.target):
                stage.rename(file.target)
            named.append(file.target)
        _sync_folders(plan)
    except BaseException:
        for file in plan.files:
            with contextlib.suppress(OSError):
                record_path(file.target).unlink(missing_ok=True)
        for target in named:
            with contextlib.suppress(OSError):
                target.unlink()
        raise


def _remove_sources(plan: MovePlan) -> None:
    left: list[str] = []
    for file in plan.files:
        for path in (file.source, record_path(file.source)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                left.append(f"{path}: {error.strerror or error}")
    if left:
        raise DiskError(
            f"{plan.entry.name} was copied to {plan.root}, but its old files cannot be removed.",
            hint="It is in both places now; delete the old files by hand.",
            details="\n".join(left),
        )


def _after(start_bytes: int, listen: Listen) -> Listen:
    return lambda count: listen(start_bytes + count)


def _make_folders(folder: Path, root: Path) -> set[Path]:
    """Make a folder; return those that were not there before."""
    missing = {place for place in (folder, *folder.parents) if not place.exists()}
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return {place for place in missing if place.is_relative_to(root)}


def _sync_folders(plan: MovePlan) -> None:
    for folder in {file.target.parent for file in plan.files}:
        with translated(folder):
            sync_folder(folder)


def _folders_of(path: Path) -> tuple[Path, Path]:
    return path.parent / FOLDER, path.parent
