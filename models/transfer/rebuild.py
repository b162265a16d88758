"""Finds begun downloads on the disk when the queue itself is lost. No Qt here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.transfer.job_book import Job
from models.transfer.job_file import JOB_SUFFIX, read_job_file
from models.transfer.record import FOLDER

_LOG = logging.getLogger(__name__)

# ROOT/owner/name/.fathom; a set may lie one folder deeper.
_PATTERNS = tuple(f"{'*/' * depth}{FOLDER}/*{JOB_SUFFIX}" for depth in range(4))


def find_begun(roots: Iterable[Path]) -> list[Job]:
    """Return the downloads that were begun below some folders, in no order that means anything."""
    specs = {}
    for path in _job_files(roots):
        spec = read_job_file(path)
        if spec is None:
            _LOG.warning("%s makes no sense and is passed over", path)
        else:
            specs[spec.job_id] = spec
    return [Job(spec) for spec in specs.values()]


def has_begun(roots: Iterable[Path]) -> bool:
    """Whether there is any begun download below some folders."""
    return next(_job_files(roots), None) is not None


def _job_files(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        for pattern in _PATTERNS:
            # A drive may go away, or a folder be closed to us, in the middle of the search.
            try:
                yield from sorted(root.glob(pattern))
            except OSError as error:
                _LOG.info("%s cannot be searched: %s", root, error)
                break
