from __future__ import annotations

import pytest

from app.actions.download_totals import DownloadTotals, download_totals
from app.views.download_words import download_row_view, totals_words
from app.views.words import eta_words
from helpers.download_samples import job_spec, job_view
from models.transfer.job import ENDED, JobFailure, JobState

S = JobState


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_words_and_one_way_out(state: JobState) -> None:
    view = download_row_view(job_view(job_spec(), state, share=0.5), now_s=0.0)
    assert view.state
    assert view.can_pause + view.can_resume <= 1
    assert view.can_cancel + view.can_forget <= 1
    assert view.can_forget == (state in ENDED)
    # Nobody is left without anything to press, but while it is being ended.
    pressable = view.can_pause or view.can_resume or view.can_cancel or view.can_forget
    assert pressable or state is S.CANCELLING
    assert bool(view.action) == bool(view.action_text)


def test_a_failure_says_what_to_do_and_keeps_the_details() -> None:
    failure = JobFailure("x", "It broke.", "Mend it.", "line 1")
    view = download_row_view(job_view(job_spec(), S.FAILED, failure=failure), now_s=0.0)
    assert (view.note, view.note_tone, view.note_details) == (
        "It broke. Mend it.",
        "fail",
        "line 1",
    )
    assert view.action_text == "Try again"


def test_what_waits_for_room_says_that_it_goes_on_by_itself() -> None:
    failure = JobFailure("disk_full", "1 GB is missing.", "Free some room.")
    view = download_row_view(job_view(job_spec(), S.NO_SPACE, failure=failure), now_s=0.0)
    assert view.note == "1 GB is missing. Free some room. It goes on by itself when there is room."


@pytest.mark.parametrize("is_independent", [True, False])
def test_what_a_finished_download_lacks_is_said(is_independent: bool) -> None:
    spec = job_spec(is_independent=is_independent)
    view = download_row_view(job_view(spec, S.READY, why="Without README.md."), now_s=0.0)
    assert view.note.endswith("Without README.md.")
    assert ("mirror" in view.note) != is_independent
    assert view.action_text == "Load"


def test_an_old_failure_is_not_shown_while_it_runs_again() -> None:
    failure = JobFailure("x", "It broke.")
    view = download_row_view(job_view(job_spec(), S.DOWNLOADING, failure=failure), now_s=0.0)
    assert view.note == ""


@pytest.mark.parametrize(
    ("eta_s", "words"),
    [
        (0.2, "1 s"),
        (44.4, "44 s"),
        (59.6, "1 min 0 s"),
        (435.2, "7 min 15 s"),
        (3380.0, "56 min"),
        (7500.0, "2 h 5 min"),
        (200_000.0, "2 d 7 h"),
        (float("inf"), ""),
    ],
)
def test_a_guess_has_no_more_digits_than_it_deserves(eta_s: float, words: str) -> None:
    assert eta_words(eta_s) == words


def test_totals_leave_out_what_ended_and_count_what_rests() -> None:
    spec = job_spec(shard_bytes=1_000_000_000)
    jobs = (
        job_view(spec, S.READY, share=1.0),
        job_view(spec, S.CANCELLED, share=0.5),
        job_view(spec, S.DOWNLOADING, share=0.5, rate_bytes_s=10_000_000),
        job_view(spec, S.QUEUED),
        job_view(spec, S.PAUSED, share=0.9),
    )
    totals = download_totals(jobs)
    assert totals == DownloadTotals(
        unfinished=3, running=1, bytes_left=1_600_000_000, rate_bytes_s=10_000_000, eta_s=150.0
    )
    words = totals_words(totals)
    assert [part.strip() for part in words.split("\N{MIDDLE DOT}")] == [
        "3 downloads",
        "1.60 GB left",
        "10.0 MB/s",
        "about 2 min 30 s",
    ]
    assert totals_words(DownloadTotals()) == ""
    assert totals_words(DownloadTotals(unfinished=1, bytes_left=5)).startswith("1 download ")
