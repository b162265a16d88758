"""Downloads as rows of the queue's file and back; what a restart makes of each state. No Qt."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from models.errors import EngineProtocolError
from models.runtime.protocol import to_json
from models.runtime.wire import build
from models.transfer.job import ACTIVE, JobFailure, JobState
from models.transfer.job_book import FileStand, Job
from models.transfer.protocol import spec_from_json, spec_to_json
from models.transfer.queue_store import StoredJob

_S = JobState
_LOG = logging.getLogger(__name__)

# What was going on, and what is worth another try: perhaps the reason is gone.
_GOES_ON = (ACTIVE - {_S.PAUSING, _S.CANCELLING}) | {
    _S.NO_SPACE,
    _S.NEEDS_TOKEN,
    _S.NEEDS_LICENCE,
}


def row_of(job: Job, position: int) -> StoredJob:
    """Return the row that a download is remembered by."""
    stand = {
        "files": to_json(job.files),
        "why": job.why,
        "failure": to_json(job.failure),
        "keeps": job.keeps,
        "bytes_refetched": job.refetched_before + job.bytes_refetched,
    }
    return StoredJob(
        job.job_id, position, job.state.value, json.dumps(spec_to_json(job.spec)), json.dumps(stand)
    )


def jobs_of(rows: Iterable[StoredJob]) -> list[Job]:
    """Return the downloads of a queue's file as they are after a start; odd rows are left out."""
    jobs = []
    for row in rows:
        try:
            jobs.append(_job_of(row))
        except (EngineProtocolError, ValueError) as error:
            _LOG.warning("a download in the list cannot be read: %s", error)
    return jobs


def _job_of(row: StoredJob) -> Job:
    stand = json.loads(row.stand)
    if not isinstance(stand, dict):
        raise EngineProtocolError("The stand is no object.")
    spec = spec_from_json(json.loads(row.spec))
    failure = stand.get("failure")
    files = tuple(build(FileStand, item, strict=False) for item in stand.get("files") or ())
    job = Job(
        spec,
        JobState(row.state),
        files,
        why=str(stand.get("why") or ""),
        failure=build(JobFailure, failure, strict=False) if failure else None,
        keeps=stand.get("keeps"),
        refetched_before=int(stand.get("bytes_refetched") or 0),
    )
    _settle(job)
    return job


def _settle(job: Job) -> None:
    """Let a download go on from where the last child left it."""
    if job.state is _S.PAUSING:
        job.go(_S.PAUSED)
    elif job.state in _GOES_ON or (job.state is _S.READY and not job.is_whole):
        job.go(_S.QUEUED)
