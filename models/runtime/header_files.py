"""Checkpoint files for llama.cpp where only headers are here: sparse files. No Qt here.

llama.cpp's dry run reads metadata and tensor infos and compares offsets with the size of the file;
what lies behind the header is never read. So a file with the right start and the right length is
enough, and a sparse one takes a few MB on disk. Linux and macOS (APFS) keep a file sparse that is
made longer; on Windows the file is marked sparse first. A file system without sparse files (FAT,
exFAT) is refused instead of being filled.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from models.errors import OracleError
from models.gguf.header_file import HeaderFile
from models.private_files import make_private_folder, open_private

_PREFIX = "oracle-"
# What a sparse file may take on disk beside its header.
_SLACK_BYTES = 16 * 2**20
# winioctl.h
_FSCTL_SET_SPARSE = 0x900C4


class CheckpointFiles:
    """Paths of a checkpoint's files for a dry run; ``close`` removes what was made.

    Args:
        files: in order of their shards.
        work_dir: where to put headers; made when it is missing.

    Raises:
        OracleError: the files cannot be written.
    """

    def __init__(self, files: Sequence[HeaderFile], work_dir: Path) -> None:
        if not files:
            raise OracleError("A checkpoint without files cannot be examined.")
        self._folder: Path | None = None
        if all(file.path is not None for file in files) and files[0].path is not None:
            self.first_path = files[0].path
            return
        try:
            self._folder = _new_folder(work_dir)
            paths = [_put(file, self._folder) for file in files]
        except OSError as error:
            self.close()
            raise OracleError(
                "The checkpoint's header cannot be written to disk.",
                hint="Make room in the cache folder, or choose another one.",
                details=str(error),
            ) from error
        except BaseException:
            self.close()
            raise
        self.first_path = paths[0]

    def close(self) -> None:
        """Remove what was made; safe to call twice."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _new_folder(work_dir: Path) -> Path:
    make_private_folder(work_dir)
    _remove_leftovers(work_dir)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=work_dir))


def _remove_leftovers(work_dir: Path) -> None:
    """Remove the folders of processes that are no more."""
    for folder in work_dir.glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _put(file: HeaderFile, folder: Path) -> Path:
    if Path(file.name).name != file.name or file.name in ("", ".", ".."):
        raise OracleError("A file of the checkpoint has an impossible name.", details=file.name)
    target = folder / file.name
    if file.path is not None:
        _link(file.path.resolve(), target)
    else:
        _write_sparse(file, target)
    return target


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:
        # Windows lets ordinary users make hard links only.
        os.link(source, target)


def _write_sparse(file: HeaderFile, target: Path) -> None:
    with open(target, "xb", opener=open_private) as out:
        out.write(file.header)
        out.flush()
        if not _makes_sparse_files(out.fileno(), len(file.header)):
            raise OracleError(
                "The cache folder's disk cannot hold sparse files.",
                hint="Choose a cache folder on another disk.",
                details=str(target),
            )
        out.truncate(max(file.size_bytes, len(file.header)))


def _makes_sparse_files(fd: int, header_bytes: int) -> bool:
    """Try with a hole of some MB, or on Windows ask, before hundreds of GB are asked for."""
    if sys.platform == "win32":
        return _mark_sparse(fd)
    os.ftruncate(fd, header_bytes + 2 * _SLACK_BYTES)
    return os.fstat(fd).st_blocks * 512 < header_bytes + _SLACK_BYTES


def _mark_sparse(fd: int) -> bool:
    """Tell Windows that holes of this file take no room; return whether its disk can do that."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        control = ctypes.WinDLL("kernel32").DeviceIoControl
        control.argtypes = [
            *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32),
            *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p),
        ]
        returned = ctypes.c_uint32()
        handle = msvcrt.get_osfhandle(fd)
        length = ctypes.byref(returned)
        return bool(control(handle, _FSCTL_SET_SPARSE, None, 0, None, 0, length, None))
    return False
