"""What a row of Downloads says about a job: pure functions from ``JobView`` to strings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication

from app.actions.download_totals import DownloadTotals
from app.views.words import eta_words
from app.widgets.download_row import DownloadFileView, DownloadRowView
from models.transfer.begun import BegunDownload
from models.transfer.job import ENDED, FileState, FileView, JobSpec, JobState, JobView
from models.units import format_byte_rate, format_bytes, split_bytes

# What the one button with words does.
LOAD, RETRY, RESUME, SETTINGS, TERMS, SPACE, TAKE_UP = (
    "load",
    "retry",
    "resume",
    "settings",
    "terms",
    "space",
    "take up",
)

_S = JobState
_PAUSABLE = frozenset(
    {
        _S.QUEUED,
        _S.RESOLVING,
        _S.RESERVING,
        _S.DOWNLOADING,
        _S.VERIFYING,
        _S.REPAIRING,
        _S.WAITING,
    }
)
_TIGHT = frozenset({_S.WAITING, _S.NO_SPACE, _S.NEEDS_TOKEN, _S.NEEDS_LICENCE})
_AT_WORK = frozenset({_S.DOWNLOADING, _S.VERIFYING, _S.REPAIRING, _S.RESERVING, _S.RESOLVING})


def download_row_view(job: JobView, *, now_s: float) -> DownloadRowView:
    """Return what the row of a job shows; ``now_s`` on the clock of ``time.time``."""
    state = job.state
    action, action_text, action_kind = _action(job)
    is_ready = state is _S.READY
    value, unit = split_bytes(round(job.rate_bytes_s))
    has_rate = state in (_S.DOWNLOADING, _S.REPAIRING) and job.rate_bytes_s > 0
    note, note_tone, details = _note(job, now_s)
    return DownloadRowView(
        title=job.spec.title,
        amount=_amount(job),
        state=_state_words(job),
        share=1.0 if is_ready else _share(job.bytes_done, job.bytes_total),
        rate=value if has_rate else "",
        unit=f"{unit}/s" if has_rate else "",
        eta=_eta(job),
        tone=_tone(state),
        bar_token=_bar_token(state),
        note=note,
        note_tone=note_tone,
        note_details=details,
        action=action,
        action_text=action_text,
        action_kind=action_kind,
        can_pause=state in _PAUSABLE,
        can_resume=state is _S.PAUSED,
        can_cancel=state not in ENDED and state is not _S.CANCELLING,
        can_forget=state in ENDED,
        can_move=state not in ENDED,
        files_title=_files_title(job),
        files=tuple(_file_view(file) for file in job.files),
        facts=_facts(job),
    )


def begun_row_view(begun: BegunDownload) -> DownloadRowView:
    """Return what the row of a download shows that was begun elsewhere."""
    spec, total_bytes = begun.spec, begun.spec.size_bytes
    amount = _tr("{0} of {1}").format(format_bytes(begun.bytes_done), format_bytes(total_bytes))
    note = ""
    if begun.is_busy:
        note = _tr("Another Fathom is fetching it.")
    elif begun.lacks_parts:
        # The size of the set is not known before the hub was asked.
        amount = _tr("{0} are here").format(format_bytes(begun.bytes_done))
        note = _tr("A part of a set; the hub is asked for the other parts.")
    return DownloadRowView(
        title=spec.title,
        amount=amount,
        state=_tr("Being fetched") if begun.is_busy else _tr("Not finished"),
        share=0.0 if begun.lacks_parts else _share(begun.bytes_done, total_bytes),
        bar_token="compute",
        note=note,
        action="" if begun.is_busy else TAKE_UP,
        action_text="" if begun.is_busy else _tr("Go on"),
        files_title=_tr("Details"),
        facts=_places(spec),
    )


def totals_words(totals: DownloadTotals) -> str:
    """Return all downloads together in one line; empty when nothing is to be done."""
    if not totals.unfinished:
        return ""
    words = [
        _tr("1 download") if totals.unfinished == 1 else _tr("{0} downloads"),
        _tr("{0} left").format(format_bytes(totals.bytes_left)),
    ]
    words[0] = words[0].format(totals.unfinished)
    if totals.rate_bytes_s > 0:
        words.append(format_byte_rate(totals.rate_bytes_s))
        if totals.eta_s is not None:
            words.append(_tr("about {0}").format(eta_words(totals.eta_s)))
    return "  \N{MIDDLE DOT}  ".join(words)


def kept_words(job: JobView) -> str:
    """Return how much of a job lies on the disk, in words for a menu."""
    return format_bytes(job.bytes_done)


def unfinished_first(jobs: Sequence[JobView]) -> tuple[tuple[JobView, ...], tuple[JobView, ...]]:
    """Return what is to be done in the queue's order, and what has ended, the newest first."""
    ordered = sorted(jobs, key=lambda job: job.position)
    to_do = tuple(job for job in ordered if job.state not in ENDED)
    ended = tuple(job for job in reversed(ordered) if job.state in ENDED)
    return to_do, ended


def _state_words(job: JobView) -> str:
    words = {
        _S.QUEUED: _tr("Waits for its turn"),
        _S.RESOLVING: _tr("Asking the hub"),
        _S.NEEDS_TOKEN: _tr("Needs a token"),
        _S.NEEDS_LICENCE: _tr("Needs your consent"),
        _S.NO_SPACE: _tr("No room on the disk"),
        _S.RESERVING: _tr("Making room"),
        # The rate says it.
        _S.DOWNLOADING: "" if job.rate_bytes_s > 0 else _tr("Downloading"),
        _S.VERIFYING: _tr("Checking every byte"),
        _S.REPAIRING: _tr("Mending"),
        _S.WAITING: _tr("Waiting"),
        _S.PAUSING: _tr("Pausing"),
        _S.PAUSED: _tr("Paused"),
        _S.CANCELLING: _tr("Cancelling"),
        _S.CANCELLED: _tr("Cancelled"),
        _S.FAILED: _tr("Failed"),
        _S.READY: _tr("Ready, checked"),
    }
    return words[job.state]


def _tone(state: JobState) -> str:
    if state is _S.FAILED:
        return "fail"
    if state is _S.READY:
        return "good"
    return "tight" if state in _TIGHT else "quiet"


def _bar_token(state: JobState) -> str:
    if state is _S.FAILED:
        return "fail"
    if state is _S.READY:
        return "good"
    if state in _TIGHT:
        return "tight"
    return "accent" if state in _AT_WORK else "compute"


def _amount(job: JobView) -> str:
    total = format_bytes(job.bytes_total)
    if job.state is _S.READY:
        return total
    return _tr("{0} of {1}").format(format_bytes(job.bytes_done), total)


def _eta(job: JobView) -> str:
    if job.eta_s is None or job.state not in (_S.DOWNLOADING, _S.VERIFYING, _S.REPAIRING):
        return ""
    return eta_words(job.eta_s)


def _note(job: JobView, now_s: float) -> tuple[str, str, str]:
    """Return a sentence, its tone, and what a bug report needs."""
    failure = job.failure
    if failure is not None and job.state not in (*ENDED, *_PAUSABLE):
        text = f"{failure.message} {failure.hint}".strip()
        if job.state is _S.NO_SPACE:
            text += " " + _tr("It goes on by itself when there is room.")
        return text, "fail" if job.state is _S.FAILED else "quiet", failure.details
    if job.state is _S.WAITING and job.waits_until_s is not None:
        left_s = max(math.ceil(job.waits_until_s - now_s), 0)
        again = _tr("Tries again in {0}.").format(eta_words(left_s)) if left_s else ""
        return f"{job.why} {again or _tr('Tries again now.')}".strip(), "quiet", ""
    if job.state is _S.CANCELLED:
        kept = _tr("{0} are kept on the disk.").format(kept_words(job)) if job.bytes_done else ""
        return kept, "quiet", ""
    if job.state is _S.READY:
        words = _tr("It is as the mirror has it. Whether Hugging Face has the same is not known.")
        if job.spec.is_independent:
            return job.why, "quiet", ""
        return f"{words} {job.why}".strip(), "tight", ""
    return job.why, "quiet", ""


def _action(job: JobView) -> tuple[str, str, str]:
    """Return the one button with words: what it does, its text, its kind."""
    return {
        _S.READY: (LOAD, _tr("Load"), "primary"),
        _S.FAILED: (RETRY, _tr("Try again"), ""),
        _S.CANCELLED: (RESUME, _tr("Take up again"), ""),
        _S.NO_SPACE: (SPACE, _tr("Free space"), ""),
        _S.NEEDS_TOKEN: (SETTINGS, _tr("Open settings"), ""),
        _S.NEEDS_LICENCE: (TERMS, _tr("Open its page"), ""),
    }.get(job.state, ("", "", ""))


def _files_title(job: JobView) -> str:
    count = len(job.spec.files)
    if count == 1:
        return _tr("Details")
    done = sum(1 for file in job.files if file.state is FileState.VERIFIED)
    if job.state is _S.READY or not job.files:
        return _tr("{0} files").format(count)
    return _tr("{0} files, {1} checked").format(count, done)


def _file_view(file: FileView) -> DownloadFileView:
    words = {
        FileState.WAITING: format_bytes(file.bytes_total),
        FileState.VERIFYING: _tr("Checking"),
        FileState.REPAIRING: _tr("Mending"),
        FileState.VERIFIED: _tr("{0}, checked").format(format_bytes(file.bytes_total)),
        FileState.FAILED: _tr("Not fetched"),
    }
    amount = _tr("{0} of {1}").format(format_bytes(file.bytes_done), format_bytes(file.bytes_total))
    is_begun = file.state is FileState.DOWNLOADING or (
        file.state is FileState.WAITING and file.bytes_done > 0
    )
    tones = {FileState.VERIFIED: "good", FileState.FAILED: "fail"}
    return DownloadFileView(
        name=file.target,
        words=amount if is_begun else words[file.state],
        share=_share(file.bytes_done, file.bytes_total),
        tone=tones.get(file.state, "quiet"),
    )


def _facts(job: JobView) -> tuple[tuple[str, str], ...]:
    spec = job.spec
    refetched = format_bytes(job.bytes_refetched) if job.bytes_refetched else ""
    pairs = (
        (_tr("Fetched twice"), refetched),
        (_tr("Digests"), "" if spec.is_independent else _tr("From the mirror itself")),
    )
    return (*_places(spec), *(pair for pair in pairs if pair[1]))


def _places(spec: JobSpec) -> tuple[tuple[str, str], ...]:
    return (
        (_tr("From"), f"{spec.endpoint}/{spec.repository}"),
        (_tr("Version"), spec.commit[:12]),
        (_tr("Folder"), str(spec.folder)),
    )


def _share(done: int, total: int) -> float:
    return done / total if total else 0.0


def _tr(text: str) -> str:
    return QCoreApplication.translate("Downloads", text)
