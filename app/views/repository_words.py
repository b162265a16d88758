"""What a repository's page says: data in, words out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.actions.discover_data import Holdings, PageStatus
from app.views.discover_words import DOT, ago_words, facts_words, job_words, missing_words
from app.views.forecast_view import forecast_view
from app.views.words import eta_words
from app.widgets.quant_row import QuantView
from models.hub.pages import Gate
from models.hub.quants import QuantFiles, cut_checkpoints, files_of_quant
from models.planner.compare import COMFORTABLE_TOK_S, Where, where_of
from models.planning.judgement import QuantJudgement
from models.units import format_bytes, format_count, split_bytes

if TYPE_CHECKING:
    from models.catalog.card import Card
    from models.hub.pages import RepositoryPage
    from models.planner.plan import Plan

# A word every second; slower than that one does not wait for it.
PATIENT_TOK_S = 1.3
# About 300 words.
_ANSWER_TOKENS = 400
_NAMED_FILES = 3
_BITS = re.compile(r"(?:I?Q|MXFP|NVFP|BF|FP?)([0-9]+)", re.IGNORECASE)


def title_words(status: PageStatus) -> str:
    """Return the page's title: the family, or else the repository's own name."""
    if status.family is not None:
        return status.family.title
    return status.repository.partition("/")[2]


def page_facts(status: PageStatus, now_s: float | None = None) -> str:
    """Return licence, downloads, likes and age in one line; empty while they are not known."""
    page, family = status.page, status.family
    if page is None:
        return ""
    # The family's is said with its other facts.
    is_known = family is not None and page.licence.lower() == family.licence.lower()
    words = ["" if is_known else page.licence]
    if page.downloads:
        words.append(_tr("{0} downloads a month").format(format_count(page.downloads)))
    if page.likes:
        words.append(_tr("{0} likes").format(format_count(page.likes)))
    if page.updated_s is not None:
        words.append(_tr("updated {0}").format(ago_words(page.updated_s, now_s)))
    return DOT.join(word for word in words if word)


def family_words(status: PageStatus) -> tuple[str, str, tuple[str, ...]]:
    """Return what a family is for, its facts in one line, and what one should know."""
    if status.family is None:
        return "", "", ()
    card = status.family
    return card.purpose, DOT.join(facts_words(card)), card.caveats


def gate_words(page: RepositoryPage) -> str:
    """Return what has to be done before files can be fetched; empty when nothing has."""
    if page.is_readable:
        return ""
    if page.access_note:
        # The hub was asked, and it depends on who asks.
        return page.access_note
    if page.gate is Gate.MANUAL:
        return _tr(
            "Its publisher lets users in one by one. Ask for access on its page, then give Fathom "
            "a token of your account in the settings."
        )
    if page.gate is Gate.AUTOMATIC:
        return _tr(
            "Its publisher wants its terms accepted first. Accept them on its page, then give "
            "Fathom a token of your account in the settings."
        )
    return _tr("These files are only given to users who are logged in: give a token in settings.")


def warning_words(page: RepositoryPage) -> str:
    """Return which files the hub's own scanners warn of; empty where they warn of none."""
    if not page.flagged:
        return ""
    names = ", ".join(path.rpartition("/")[2] for path in page.flagged[:_NAMED_FILES])
    more = len(page.flagged) - _NAMED_FILES
    if more > 0:
        names = _tr("{0} and {1} more").format(names, more)
    return _tr("The hub's own scanners warn of files in this repository: {0}.").format(names)


def is_flagged(page: RepositoryPage, quant: QuantFiles) -> bool:
    """Whether the hub's scanners warn of one of a checkpoint's files."""
    return any(file.path in page.flagged for file in files_of_quant(quant, page.files))


def store_words(page: RepositoryPage) -> str:
    """Return that the hub was not asked now; empty when it was."""
    if not page.is_from_store:
        return ""
    return _tr(
        "The hub cannot be asked now. This is what it said when this page was last opened; "
        "a download waits until there is a line again."
    )


def cut_words(page: RepositoryPage) -> str:
    """Return which checkpoints lie there in pieces that cannot be used; empty for none."""
    return "\n".join(
        _tr(
            "{0} ({1}) is left out: its publisher cut it into {2} pieces, which have to be joined "
            "by hand before anything can load them."
        ).format(cut.quant or cut.name, format_bytes(cut.size_bytes), len(cut.paths))
        for cut in cut_checkpoints(page.files)
    )


def unchecked_words(card: Card) -> str:
    """Return which facts of a family could not be checked; empty when all were."""
    names = {
        "licence": _tr("licence"),
        "released": _tr("day of release"),
        "parameters": _tr("parameters"),
        "n_ctx_train": _tr("context"),
        "quants": _tr("sizes of files"),
        "gguf": _tr("repositories"),
        "sampling": _tr("recommended sampling"),
        "prompt_format": _tr("prompt format"),
    }
    found = dict.fromkeys(names.get(text.partition(":")[0], "") for text in card.unchecked)
    words = [word for word in found if word]
    return _tr("Not checked: {0}").format(", ".join(words)) if words else ""


def row_name(judged: QuantJudgement, *, is_alone: bool) -> str:
    """Return what tells a checkpoint from the others of its repository."""
    quant = judged.files
    return quant.quant if quant.quant and is_alone else quant.name


def quant_view(
    judged: QuantJudgement,
    holdings: Holdings,
    page: RepositoryPage,
    *,
    is_judging: bool,
    is_alone: bool,
) -> QuantView:
    """Return what a checkpoint's row shows; ``is_alone``: no other has the same quantization."""
    quant = judged.files
    size, unit = split_bytes(quant.size_bytes)
    note, tone = _note(judged, holdings, page)
    view = QuantView(
        row_name(judged, is_alone=is_alone),
        size,
        unit,
        badge=_tr("Best here") if judged.is_recommended else "",
        note=note,
        note_tone=tone,
        is_usable=not quant.missing,
    )
    if judged.plan is None:
        words = _tr("Sizing") if is_judging else _tr("Not judged")
        return replace(view, words=words, tooltip="" if is_judging else judged.reason)
    shown = forecast_view(judged.plan)
    return replace(
        view,
        fill=shown.fill if judged.plan.fits else None,
        rate=shown.rate,
        unit=shown.unit,
        words=shown.words,
        tone=shown.tone,
        tooltip=shown.tooltip,
    )


def _note(judged: QuantJudgement, holdings: Holdings, page: RepositoryPage) -> tuple[str, str]:
    quant, repository = judged.files, page.repository
    job = holdings.job_of(repository, quant)
    if job is not None:
        return job_words(job), "accent"
    if holdings.entry_of(repository, quant) is not None:
        return _tr("In library"), "good"
    if quant.missing:
        return _tr("{0} of {1} parts are missing").format(quant.missing, quant.shards), "fail"
    if is_flagged(page, quant):
        return _tr("The hub warns of it"), "fail"
    shards = _tr("{0} files").format(quant.shards) if quant.shards > 1 else ""
    return DOT.join(word for word in (short_quality_words(quant), shards) if word), "quiet"


def verdict_words(judged: QuantJudgement, *, is_judging: bool, is_open: bool = True) -> str:
    """Return what running a checkpoint here would be like, and what its quantization costs."""
    if judged.plan is None:
        if not is_open:
            # Why is said by what has to be done first.
            return quality_words(judged)
        if is_judging:
            return _tr("Being sized for this machine.")
        return judged.reason or _tr("Not judged yet.")
    return " ".join(part for part in (_run_words(judged.plan), quality_words(judged)) if part)


def _run_words(plan: Plan) -> str:
    where = where_of(plan)
    if where is Where.NOWHERE:
        missing = missing_words(plan)
        if missing:
            return _tr("Does not fit this machine: {0} too much.").format(missing)
        return _tr("Does not fit this machine.")
    place = {
        Where.GPU: _tr("Runs on the GPU"),
        Where.GPU_AND_RAM: _tr("Runs on the GPU and from RAM"),
        Where.RAM: _tr("Runs from RAM"),
        Where.DISK: _tr("Runs, with parts read from the disk for every word"),
    }[where]
    rate = plan.speed.decode.mid
    if rate >= COMFORTABLE_TOK_S:
        return _tr("{0}, faster than one reads.").format(place)
    if rate < PATIENT_TOK_S:
        wait = eta_words(_ANSWER_TOKENS / rate) if rate > 0 else ""
        return _tr("{0}: an answer of 300 words would take about {1}.").format(place, wait)
    return _tr("{0}, slower than one reads.").format(place)


def is_patient_work(judged: QuantJudgement) -> bool:
    """Whether one would wait for every word of it."""
    plan = judged.plan
    return plan is not None and plan.fits and plan.speed.decode.mid < PATIENT_TOK_S


def short_quality_words(quant: QuantFiles) -> str:
    """Return what a quantization costs in quality in two or three words; may be empty."""
    bits = _bits(quant)
    if not bits:
        return ""
    if bits >= 8:
        return _tr("like the original")
    if bits >= 5:
        return _tr("hardly any loss")
    if bits == 4:
        return _tr("usual choice")
    return _tr("noticeable loss") if bits == 3 else _tr("great loss")


def _bits(quant: QuantFiles) -> int:
    found = _BITS.search(quant.quant)
    return int(found[1]) if found else 0


def quality_words(judged: QuantJudgement) -> str:
    """Return what a quantization costs in quality, by its bits; empty when it has no name."""
    bits = _bits(judged.files)
    if not bits:
        return ""
    if bits >= 8:
        return _tr("As good as the original.")
    if bits >= 5:
        return _tr("Hardly any worse than the original.")
    if bits == 4:
        return _tr("The usual compromise of size and quality.")
    if bits == 3:
        return _tr("Noticeably worse than the original.")
    return _tr("Much worse than the original; for models that would not fit otherwise.")


def button_words(judged: QuantJudgement) -> str:
    """Return what the one button says."""
    return _tr("Download {0}").format(format_bytes(judged.files.size_bytes))


def _tr(text: str) -> str:
    return QCoreApplication.translate("Repository", text)
