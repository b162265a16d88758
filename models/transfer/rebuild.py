"""Finds begun downloads on the disk when the queue itself is lost. No Qt here."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from models.transfer.job import JobSpec, JobState
from models.transfer.job_book import Job
from models.transfer.job_file import JOB_SUFFIX, read_job_file
from models.transfer.part_file import part_path
from models.transfer.record import FOLDER
from models.transfer.remote import RemoteObject
from models.transfer.sidecar import SUFFIX, read_sidecar

_LOG = logging.getLogger(__name__)

# ROOT/owner/name/.fathom; a set may lie one folder deeper.
_DEPTHS = range(4)


def find_begun(roots: Iterable[Path]) -> list[Job]:
    """Return the downloads that were begun below some folders, in no order that means anything.

    What nothing but a file's own sidecar tells of becomes a download of that file, which rests:
    what else belonged to it is not known.
    """
    roots = tuple(roots)
    specs: dict[str, JobSpec] = {}
    for path in _found(roots, f"{FOLDER}/*{JOB_SUFFIX}"):
        spec = read_job_file(path)
        if spec is None:
            _LOG.warning("%s makes no sense and is passed over", path)
        elif _has_any(spec):
            specs[spec.job_id] = spec
    jobs = [Job(spec) for spec in specs.values()]
    known = {spec.folder / file.target for spec in specs.values() for file in spec.files}
    for root in roots:
        for path in _found([root], f"*{SUFFIX}"):
            target = path.with_name(path.name.removesuffix(SUFFIX))
            sidecar = read_sidecar(target)
            if sidecar is not None and target not in known:
                known.add(target)
                jobs.append(_lone(root, target, sidecar.remote))
    return jobs


def has_begun(roots: Iterable[Path]) -> bool:
    """Whether there is any begun download below some folders."""
    names = (f"{FOLDER}/*{JOB_SUFFIX}", f"*{SUFFIX}")
    return any(next(_found(roots, name), None) is not None for name in names)


def _has_any(spec: JobSpec) -> bool:
    """Whether anything of a download is there.

    What was deleted by another program or another Fathom must not come back by itself.
    """
    targets = [spec.folder / file.target for file in spec.files]
    return any(os.path.lexists(path) for target in targets for path in (target, part_path(target)))


def _lone(root: Path, target: Path, remote: RemoteObject) -> Job:
    file = replace(remote.file, target=target.name)
    # The same file is the same download, however often it is found.
    job_id = hashlib.sha256(f"{remote.commit}/{target}".encode(errors="replace")).hexdigest()[:32]
    spec = JobSpec(
        job_id=job_id,
        title=target.stem,
        endpoint=remote.endpoint,
        repository=remote.repository,
        commit=remote.commit,
        quant="",
        root=root,
        folder=target.parent,
        files=(file,),
        is_independent=False,
    )
    return Job(spec, JobState.PAUSED)


def _found(roots: Iterable[Path], name: str) -> Iterator[Path]:
    for root in roots:
        for depth in _DEPTHS:
            # A drive may go away, or a folder be closed to us, in the middle of the search.
            try:
                yield from sorted(root.glob(f"{'*/' * depth}{name}"))
            except OSError as error:
                _LOG.info("%s cannot be searched: %s", root, error)
                break
