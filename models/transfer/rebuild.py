"""Finds begun downloads on the disk by the small files beside them. No Qt here."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from models.transfer.job import JobSpec
from models.transfer.job_book import Job
from models.transfer.job_file import JOB_SUFFIX, is_plain, read_job_file
from models.transfer.part_file import part_path
from models.transfer.record import FOLDER
from models.transfer.remote import RemoteObject
from models.transfer.sidecar import SUFFIX, read_sidecar

_LOG = logging.getLogger(__name__)

# ROOT/owner/name/.fathom; a set may lie one folder deeper.
_DEPTHS = range(4)


def find_begun(roots: Iterable[Path]) -> list[Job]:
    """Return the downloads that were begun below some folders, in no order that means anything.

    What was cancelled is none of them, even where its parts were kept.
    """
    specs: dict[str, JobSpec] = {}
    for path in _found(roots, f"{FOLDER}/*{JOB_SUFFIX}"):
        spec = read_job_file(path)
        if spec is None:
            _LOG.info("%s makes no sense and is passed over", path)
        elif _has_any(spec):
            specs[spec.job_id] = spec
    return [Job(spec) for spec in specs.values()]


def find_lone(roots: Iterable[Path], specs: Iterable[JobSpec]) -> list[JobSpec]:
    """Return what nothing but a file's own sidecar tells of, each as a download of that file.

    What else belonged to it is not known.

    Args:
        roots: the folders that are searched.
        specs: known downloads, whose files are left out.
    """
    found = []
    known = {spec.folder / file.target for spec in specs for file in spec.files}
    for root in roots:
        for path in _found([root], f"*{SUFFIX}"):
            target = path.with_name(path.name.removesuffix(SUFFIX))
            sidecar = read_sidecar(target)
            if sidecar is not None and target not in known:
                known.add(target)
                found.append(_lone(root, target, sidecar.remote))
    return found


def has_begun(roots: Iterable[Path]) -> bool:
    """Whether there is any begun download below some folders."""
    return next(_found(roots, f"{FOLDER}/*{JOB_SUFFIX}"), None) is not None


def _has_any(spec: JobSpec) -> bool:
    """Whether anything of a download is there.

    What was deleted by another program or another Fathom must not come back by itself.
    """
    targets = [spec.folder / file.target for file in spec.files]
    return any(os.path.lexists(path) for target in targets for path in (target, part_path(target)))


def _lone(root: Path, target: Path, remote: RemoteObject) -> JobSpec:
    folder, file = target.parent, replace(remote.file, target=target.name)
    known = PurePosixPath(remote.file.target).parts
    if target.relative_to(root).parts[-len(known) :] == known and is_plain(remote.file.target):
        # As its download had it: a set may lie one folder deeper than its texts.
        folder, file = target.parents[len(known) - 1], remote.file
    # The same file is the same download, however often it is found.
    job_id = hashlib.sha256(f"{remote.commit}/{target}".encode(errors="replace")).hexdigest()[:32]
    return JobSpec(
        job_id=job_id,
        title=target.stem,
        endpoint=remote.endpoint,
        repository=remote.repository,
        commit=remote.commit,
        quant="",
        root=root,
        folder=folder,
        files=(file,),
        is_independent=False,
    )


def _found(roots: Iterable[Path], name: str) -> Iterator[Path]:
    for root in roots:
        for depth in _DEPTHS:
            # A drive may go away, or a folder be closed to us, in the middle of the search.
            try:
                yield from sorted(root.glob(f"{'*/' * depth}{name}"))
            except OSError as error:
                _LOG.info("%s cannot be searched: %s", root, error)
                break
