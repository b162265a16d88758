"""All downloads together: how many, how much is left, how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.transfer.job import ACTIVE, ENDED, JobState, JobView


@dataclass(frozen=True)
class DownloadTotals:
    """The queue in five numbers.

    Attributes:
        unfinished: downloads that have not ended.
        running: of those, how many are being worked on.
        bytes_left: of the unfinished ones.
        eta_s: until all that are running or wait for their turn are there, at the rate of now;
            None when nothing comes.
    """

    unfinished: int = 0
    running: int = 0
    bytes_left: int = 0
    rate_bytes_s: float = 0.0
    eta_s: float | None = None


def download_totals(jobs: Sequence[JobView]) -> DownloadTotals:
    """Return what a status bar and a headline say of a queue."""
    to_do = [job for job in jobs if job.state not in ENDED]
    running = [job for job in to_do if job.state in ACTIVE]
    rate_bytes_s = sum(job.rate_bytes_s for job in running)
    coming = [job for job in to_do if job.state in ACTIVE or job.state is JobState.QUEUED]
    coming_bytes = sum(job.bytes_total - job.bytes_done for job in coming)
    return DownloadTotals(
        unfinished=len(to_do),
        running=len(running),
        bytes_left=sum(job.bytes_total - job.bytes_done for job in to_do),
        rate_bytes_s=rate_bytes_s,
        eta_s=coming_bytes / rate_bytes_s if rate_bytes_s > 0 else None,
    )
