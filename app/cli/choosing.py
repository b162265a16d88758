"""Which checkpoint ``fathom pull`` fetches: named, or the best for this machine. No Qt here."""

from __future__ import annotations

import argparse
import difflib
import sys
from dataclasses import dataclass
from pathlib import Path

from app.cli.planning import make_planning
from app.cli.session import Session
from app.cli.terminal import ProgressLine, without_controls
from models.catalog.loader import load_catalog
from models.errors import BadInputError, RemoteNotFoundError
from models.hub.fetching import find_quant, job_spec, page_quants, second_opinion
from models.hub.hub import Hub
from models.hub.names import RepositoryPlace, parse_place
from models.hub.pages import RepositoryPage
from models.hub.quants import QuantFiles
from models.library.library import LibraryEntry
from models.planner.compare import verdict
from models.planner.wishes import Wishes
from models.planning.judgement import QuantJudgement
from models.planning.judging_pages import judge_page
from models.transfer.job import JobSpec
from models.units import format_bytes, format_rate

_WEB = ("https://", "http://")


@dataclass(frozen=True)
class Choice:
    """What is to be fetched.

    Attributes:
        spec: the download.
        here: the same checkpoint where it is on this machine already.
        sentence: what will be fetched and why, for people.
    """

    spec: JobSpec
    here: LibraryEntry | None
    sentence: str


def choose(options: argparse.Namespace, session: Session, root: Path) -> Choice:
    """Find what ``options`` ask for.

    Raises:
        BadInputError: there is no such repository, quantization or file.
        AccessError, NetworkError: the hub does not say.
    """
    hub = session.hub(text=f"/{options.repository}")
    line = ProgressLine(sys.stderr)
    place = _place(options.repository, hub)
    try:
        if not options.json:
            line.show(f"Asking {hub.host} for {without_controls(place.repository)}")
        page = hub.page(place)
        _check_has_checkpoints(page, hub)
        wanted = options.file or place.path or options.quant
        if wanted:
            quant, why = find_quant(page, wanted), ""
        else:
            if not options.json:
                line.show("Looking which one is best on this machine")
            quant, why = _best(page, hub, session)
        spec = job_spec(page, quant, root=root, endpoint_official=second_opinion(page))
        parts = [file for file in spec.files if file.target.lower().endswith(".gguf")]
        here = session.library().find_by_digest(
            [file.digest for file in parts], [file.size_bytes for file in parts]
        )
    finally:
        line.clear()
    return Choice(spec, here, _sentence(page, quant, spec, why))


def _place(text: str, hub: Hub) -> RepositoryPlace:
    """Return the repository that a person means.

    Raises:
        BadInputError: none that could be.
    """
    if text.lower().startswith(_WEB):
        place = hub.place_of(text)
        if place is None:
            raise BadInputError(
                f"{text[:200]} is not a repository of {hub.host}.",
                hint=f"It should look like {hub.endpoint}/owner/name.",
            )
        return place
    place = parse_place(text)
    return place if place is not None else RepositoryPlace(_well_known(text))


def _well_known(text: str) -> str:
    """Return the best known GGUF repository of a family of the catalogue."""
    catalog = load_catalog()
    names = {card.card_id: card for card in catalog.cards}
    names |= {card.title.lower(): card for card in catalog.cards}
    wanted = text.strip().lower().removeprefix("deepseek-ai/")
    card = names.get(wanted) or names.get(f"deepseek-{wanted}")
    if card is None:
        ids = [card.card_id for card in catalog.cards]
        close = difflib.get_close_matches(wanted.removeprefix("deepseek-"), ids, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(close)}?" if close else "fathom search finds some."
        raise BadInputError(
            f'"{text[:200]}" is neither owner/name nor a family of the catalogue.', hint=hint
        )
    if not card.gguf:
        raise BadInputError(
            f"The catalogue knows no repository of GGUF files for {card.title}.",
            hint=f'"fathom search {card.title}" may find one.',
        )
    return card.gguf[0].repository


def _check_has_checkpoints(page: RepositoryPage, hub: Hub) -> None:
    if page_quants(page):
        return
    card = load_catalog().of_repository(page.repository)
    known = [one.repository for one in card.gguf] if card else []
    hint = f'"fathom search {page.repository.partition("/")[2]}" may find some.'
    if known:
        hint = f"GGUF files of it are in {' and '.join(known[:2])}."
    raise RemoteNotFoundError(
        f"There is no GGUF file in {page.repository} ({hub.host}).", hint=hint
    )


def _best(page: RepositoryPage, hub: Hub, session: Session) -> tuple[QuantFiles, str]:
    """Return the checkpoint to choose on this machine, and what it would be like."""
    planning = make_planning(session, text=page.repository)
    judged = judge_page(page, planning.machine(), Wishes(), hub=hub, planning=planning)
    best = next((one for one in judged if one.is_recommended), None)
    if best is None or best.plan is None:
        raise BadInputError(
            f"No file of {page.repository} runs at a sensible speed on this machine.",
            hint=f"Choose one with --quant: {_names(judged)}.",
        )
    rate = format_rate(best.plan.speed.decode.mid)
    return best.files, f"{verdict(best.plan)}, about {rate}"


def _names(judged: tuple[QuantJudgement, ...]) -> str:
    names = dict.fromkeys(one.files.quant or one.files.name for one in judged)
    return ", ".join(list(names)[:8])


def _sentence(page: RepositoryPage, quant: QuantFiles, spec: JobSpec, why: str) -> str:
    files = f"{quant.shards} files, " if quant.shards > 1 else ""
    name = quant.quant or quant.name
    text = f"{page.repository} {name} ({files}{format_bytes(spec.size_bytes)})"
    trust = "" if spec.is_independent else " The mirror's own digests are all there is to check by."
    return f"Fetching {text}{f': {why}' if why else ''}.{trust}"
