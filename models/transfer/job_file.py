"""A begun download as a small file beside its parts, so that the queue can be lost. No Qt here.

It lies in the folder of records, ``FOLDER/.fathom/JOB_ID.job.json``, from before the first byte
until the download is ready or cancelled.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.transfer.disk import translated, write_whole
from models.transfer.job import JobSpec
from models.transfer.protocol import spec_from_json, spec_to_json
from models.transfer.record import FOLDER, record_path
from models.transfer.sidecar import sidecar_path
from models.transfer.small_json import read_small_json

JOB_SUFFIX = ".job.json"

_VERSION = 1
_LIMIT_BYTES = 4 * 1024 * 1024


def job_file_path(spec: JobSpec) -> Path:
    """Return where a download's file lies."""
    return spec.folder / FOLDER / f"{spec.job_id}{JOB_SUFFIX}"


def write_job_file(spec: JobSpec) -> None:
    """Write a download's file, whole or not at all.

    Raises:
        DiskFullError, DiskError: it cannot be written.
    """
    data = {"version": _VERSION, "spec": spec_to_json(spec)}
    path = job_file_path(spec)
    with translated(path):
        # Whatever the umask is, nobody else decides what was verified.
        path.parent.mkdir(mode=0o755, exist_ok=True)
    write_whole(path, json.dumps(data).encode())


def remove_job_file(spec: JobSpec) -> None:
    """Remove a download's file; one that is not there is no error.

    Raises:
        DiskError: it cannot be removed.
    """
    path = job_file_path(spec)
    with translated(path):
        path.unlink(missing_ok=True)


def read_job_file(path: Path) -> JobSpec | None:
    """Return the download that a file speaks of, None when it makes no sense.

    The folder is where the file lies now: drives may be mounted elsewhere than they were.
    """
    spec = read_small_json(path, _parsed, limit_bytes=_LIMIT_BYTES)
    folder = path.parent.parent
    if spec is None or job_file_path(spec).name != path.name:
        return None
    return spec if spec.folder == folder else replace(spec, folder=folder, root=_root_of(folder))


def _parsed(data: Any) -> JobSpec:
    if int(data.get("version", 0)) > _VERSION:
        raise ValueError("another version")
    return spec_from_json(data.get("spec"))


def small_files(spec: JobSpec) -> list[Path]:
    """Return the small files that a download writes beside its large ones."""
    found = [job_file_path(spec)]
    for file in spec.files:
        target = spec.folder / file.target
        found += [sidecar_path(target), record_path(target)]
    return found


def is_plain(target: str) -> bool:
    """Whether a file's name cannot lead out of its download's folder."""
    path = Path(target)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _root_of(folder: Path) -> Path:
    # ROOT/owner/name
    return folder.parent.parent
