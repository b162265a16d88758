"""What Discover says of families, groups, searches and this machine: data in, words out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.actions.discover_ranking import Group, Purpose, is_sensible
from app.views.forecast_view import forecast_view
from app.views.words import tokens_words
from app.widgets.family_card import FamilyView
from app.widgets.hit_row import HitView
from models.catalog.card import Card, Reasoning
from models.errors import (
    AccessError,
    FathomError,
    LicenceNotAcceptedError,
    LoginNeededError,
    NetworkError,
    OfflineError,
    RemoteNotFoundError,
    TokenInvalidError,
)
from models.hub.pages import Gate, SearchHit
from models.planner.compare import Where
from models.transfer.job import JobState, JobView
from models.units import format_bytes, format_count

if TYPE_CHECKING:
    from app.actions.discover_data import Holdings
    from models.planner.machine import Machine
    from models.planner.plan import Plan
    from models.planning.judgement import Judgement

DOT = "  \N{MIDDLE DOT}  "
_DAY_S = 86400
_MONTH_DAYS = 30.44


def machine_words(machine: Machine) -> str:
    """Return what this machine has, in one line."""
    words = []
    for gpu in machine.gpus:
        kind = _tr("shared memory") if gpu.is_unified else _tr("VRAM")
        words.append(f"{gpu.name}, {format_bytes(gpu.total_bytes)} {kind}")
    if not words:
        words.append(_tr("no GPU that Fathom can use"))
    words.append(_tr("{0} RAM").format(format_bytes(machine.ram.total_bytes)))
    return DOT.join(words)


def group_words(group: Group, machine: Machine | None, *, is_judging: bool) -> tuple[str, str]:
    """Return heading and explanation of a group."""
    has_gpu = machine is not None and bool(machine.gpus)
    many = machine is not None and len(machine.gpus) > 1
    if group is Group.UNJUDGED and is_judging:
        return _tr("Not judged yet"), _tr("Being sized for this machine, one after the other.")
    in_ram = (
        _tr("Too large for the GPU alone or better off without it: the processor does the work.")
        if has_gpu
        else _tr("The processor does the work: this machine has no GPU that Fathom can use.")
    )
    return {
        Group.GPU: (
            _tr("On your GPUs") if many else _tr("On your GPU"),
            _tr("All of it in the GPU's memory: the fastest way to run a model here."),
        ),
        Group.EXPERTS_IN_RAM: (
            _tr("Experts in RAM"),
            _tr("What every word needs is on the GPU, what few words need in RAM."),
        ),
        Group.LAYERS_IN_RAM: (
            _tr("Partly in RAM"),
            _tr("As many layers on the GPU as fit, the others in RAM: slower than on the GPU."),
        ),
        Group.RAM: (_tr("In RAM"), in_ram),
        Group.DISK: (
            _tr("From disk, slowly"),
            _tr("Larger than this machine's memory: parts are read again for every word."),
        ),
        Group.NOWHERE: (
            _tr("Does not fit"),
            _tr("Needs more memory than this machine has, even as the smallest file."),
        ),
        Group.UNJUDGED: (
            _tr("Not judged"),
            _tr("Fathom cannot say how these would run here; each says why."),
        ),
    }[group]


def purpose_words(purpose: Purpose) -> str:
    """Return the label of a family that is shown first."""
    return {
        Purpose.ANSWERS: _tr("Best answers here"),
        Purpose.QUICK: _tr("Quick"),
        Purpose.CODE: _tr("For code"),
    }[purpose]


def place_words(where: Where) -> str:
    """Return where something would live, in a few words."""
    return {
        Where.GPU: _tr("on the GPU"),
        Where.GPU_AND_RAM: _tr("on the GPU and in RAM"),
        Where.RAM: _tr("in RAM"),
        Where.DISK: _tr("from disk"),
        Where.NOWHERE: _tr("does not fit"),
    }[where]


def facts_words(card: Card) -> list[str]:
    """Return parameters, context, whether it thinks, licence and month of release."""
    size = format_count(card.parameters)
    if card.is_moe:
        size = _tr("{0}, {1} active").format(size, format_count(card.active_parameters))
    words = [size, _tr("{0} context").format(tokens_words(card.n_ctx_train))]
    if card.reasoning.kind is Reasoning.ALWAYS:
        words.append(_tr("thinks first"))
    elif card.reasoning.kind is Reasoning.SWITCHABLE:
        words.append(_tr("thinks if you want"))
    return [*words, *(word for word in (card.licence, card.released[:7]) if word)]


def family_view(
    card: Card,
    judged: Judgement | None,
    holdings: Holdings,
    *,
    is_judging: bool,
    is_busy: bool = False,
    label: str = "",
    is_primary: bool = False,
) -> FamilyView:
    """Return what a family's card shows."""
    view = FamilyView(
        card.title, card.purpose, DOT.join(facts_words(card)), label=label, is_busy=is_busy
    )
    view = _with_forecast(view, card, judged, is_judging=is_judging)
    if label and judged is not None and judged.where is not None:
        # The others stand below a heading that says it.
        view = replace(view, file=f"{view.file}{DOT}{place_words(judged.where)}")
    job, entry = holdings.job_of_family(card), holdings.entry_of_family(card)
    if job is not None:
        return replace(view, badge=job_words(job), badge_tone="accent", button=_tr("Details"))
    if entry is not None:
        return replace(view, badge=_tr("In library"), button=_tr("Open"), is_primary=is_primary)
    if is_busy:
        return replace(view, button=_tr("Looking it up"), is_primary=is_primary)
    # Nobody should fetch 700 GB by one click to wait ten seconds for each word.
    if is_sensible(judged) and card.gguf:
        return replace(view, button=_tr("Download"), is_primary=is_primary)
    return replace(view, button=_tr("Details"))


def _with_forecast(
    view: FamilyView, card: Card, judged: Judgement | None, *, is_judging: bool
) -> FamilyView:
    if judged is None:
        words = _tr("Sizing") if is_judging else _tr("Not judged")
        return replace(view, words=words, file="")
    file = judged.quant
    if judged.size_bytes:
        file = f"{judged.quant}{DOT}{format_bytes(judged.size_bytes)}"
    if judged.plan is None:
        reason = judged.reason or _tr("Not judged yet.")
        words = _tr("Not judged") if card.runs else _tr("Cannot run yet")
        return replace(view, words=words, file=reason, tooltip=reason)
    shown = forecast_view(judged.plan)
    if not judged.plan.fits:
        missing = missing_words(judged.plan)
        words = _tr("{0} too much").format(missing) if missing else _tr("Does not fit")
        return replace(
            view, words=words, tone="fail", tooltip=shown.tooltip, file=_tr("from {0}").format(file)
        )
    return replace(
        view,
        fill=shown.fill,
        rate=shown.rate,
        unit=shown.unit,
        tone=shown.tone,
        file=file,
        tooltip=shown.tooltip,
    )


def missing_words(plan: Plan) -> str:
    """Return how much memory a plan lacks; empty when that is not known."""
    from models.planner.compare import verdict

    # verdict() says "does not fit, 12.3 GB too much".
    words = verdict(plan).partition(", ")[2].removesuffix(" too much")
    return "" if words.startswith("0 ") else words


def job_words(job: JobView) -> str:
    """Return where a download stands, in short."""
    if job.state is JobState.QUEUED:
        return _tr("Waits to be downloaded")
    if job.state in (JobState.PAUSED, JobState.PAUSING):
        return _tr("Paused")
    if job.state in (JobState.FAILED, JobState.NO_SPACE):
        return _tr("Download stopped")
    if job.state in (JobState.NEEDS_TOKEN, JobState.NEEDS_LICENCE):
        return _tr("Needs access")
    if job.state is JobState.VERIFYING:
        return _tr("Being checked")
    share = job.bytes_done / job.bytes_total if job.bytes_total else 0.0
    return _tr("Downloading {0} %").format(int(share * 100))


def hit_view(hit: SearchHit, family: Card | None, now_s: float | None = None) -> HitView:
    """Return what a row of a search shows."""
    facts = [hit.publisher]
    if hit.parameters:
        facts.append(_tr("{0} parameters").format(format_count(hit.parameters)))
    if hit.architecture:
        facts.append(hit.architecture)
    if hit.n_ctx_train:
        facts.append(_tr("{0} context").format(tokens_words(hit.n_ctx_train)))
    if hit.updated_s is not None:
        facts.append(_tr("updated {0}").format(ago_words(hit.updated_s, now_s)))
    if hit.gate is not Gate.OPEN:
        facts.append(_tr("asks for a login"))
    return HitView(
        name=hit.repository.partition("/")[2],
        publisher=hit.publisher,
        facts=DOT.join(facts),
        downloads=format_count(hit.downloads) if hit.downloads else "",
        badge="" if family is None or _is_in_name(family, hit) else family.title,
        is_locked=hit.gate is not Gate.OPEN,
        tooltip=_tr("{0} downloads in 30 days").format(f"{hit.downloads:,}")
        if hit.downloads
        else "",
    )


def _is_in_name(family: Card, hit: SearchHit) -> bool:
    return family.title.lower() in hit.repository.lower()


def ago_words(when_s: float, now_s: float | None = None) -> str:
    """Return how long ago something was, roughly."""
    days = max(((time.time() if now_s is None else now_s) - when_s) / _DAY_S, 0)
    if days < 1:
        return _tr("today")
    if days < 2:
        return _tr("yesterday")
    if days < _MONTH_DAYS:
        return _tr("{0} days ago").format(int(days))
    months = int(days / _MONTH_DAYS)
    if months < 12:
        return _tr("{0} months ago").format(months) if months > 1 else _tr("a month ago")
    years = months // 12
    return _tr("{0} years ago").format(years) if years > 1 else _tr("a year ago")


def error_icon(error: FathomError) -> str:
    """Return the picture that goes with a failure."""
    if isinstance(error, AccessError):
        return "lock"
    if isinstance(error, (OfflineError, NetworkError)):
        return "cloud-off"
    return "search" if isinstance(error, RemoteNotFoundError) else "circle-alert"


def error_remedy(error: FathomError) -> tuple[str, str]:
    """Return what can be done about a failure: ``settings``, ``terms`` or ``again``, and a verb."""
    if isinstance(error, LicenceNotAcceptedError):
        return "terms", _tr("Open its page")
    if isinstance(error, (LoginNeededError, TokenInvalidError)):
        return "settings", _tr("Open settings")
    if isinstance(error, OfflineError):
        return "settings", _tr("Open settings")
    return "again", _tr("Try again")


def _tr(text: str) -> str:
    return QCoreApplication.translate("Discover", text)
