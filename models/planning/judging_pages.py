"""Judges everything in a repository by 64 KB of one of its files. No Qt here."""

from __future__ import annotations

from collections.abc import Sequence

from models.catalog.card import Card
from models.errors import AccessError, MissingShardError, NetworkError
from models.gguf.described_shape import bare_shape
from models.gguf.shape import ModelShape
from models.gguf.sizing import SizingFacts, read_sizing
from models.hub.fetching import page_quants
from models.hub.hub import Hub
from models.hub.names import RepositoryPlace
from models.hub.pages import RepositoryPage
from models.hub.quants import QuantFiles
from models.planner.machine import Machine
from models.planner.wishes import Wishes
from models.planning.judgement import QuantJudgement
from models.planning.judging import Planner, judge_quants
from models.planning.remote_files import open_repository_file
from models.stopping import Stop, never


def judge_page(
    page: RepositoryPage,
    machine: Machine,
    wishes: Wishes,
    *,
    hub: Hub,
    planning: Planner,
    card: Card | None = None,
    stop: Stop = never,
) -> tuple[QuantJudgement, ...]:
    """Judge every checkpoint of a repository, the smallest first; one of them is recommended.

    All are taken for quantizations of one model: only one header is read.

    Args:
        card: the family it belongs to, whose numbers serve where the header cannot be read (a
            gated repository, no network).

    Raises:
        NetworkError, AccessError, RemoteNotFoundError: that header cannot be read, and no card
            says what would be in it.
        NotGgufError, CorruptGgufError, UnsupportedGgufError: it is none.
        StoppedError: ``stop`` said so.
    """
    quants = page_quants(page)
    if not quants:
        return ()
    facts = known_facts(page, quants, hub=hub, card=card, stop=stop)
    return judge_quants(quants, facts, machine, wishes, planning=planning, stop=stop)


def known_facts(
    page: RepositoryPage,
    quants: Sequence[QuantFiles],
    *,
    hub: Hub,
    card: Card | None = None,
    stop: Stop = never,
) -> ModelShape | SizingFacts:
    """Return what sizes the models of a repository: by a header, or else by the family's card.

    Raises:
        FathomError: as ``judge_page``.
    """
    try:
        return facts_of(page, quants, hub=hub, stop=stop)
    except (AccessError, NetworkError):
        if card is None or not (card.runs and card.hyperparameters):
            raise
        return bare_shape(card.architecture, card.hyperparameters, card.title)


def facts_of(
    page: RepositoryPage, quants: Sequence[QuantFiles], *, hub: Hub, stop: Stop = never
) -> ModelShape | SizingFacts:
    """Read what sizes the models of a repository: 64 KB, or a whole header where that is too few.

    Raises:
        FathomError: as ``judge_page``.
    """
    first = next((quant for quant in quants if not quant.missing), None)
    if first is None:
        raise MissingShardError(
            f"Every checkpoint of {page.repository} lacks files.",
            hint="Perhaps they are still being uploaded; else look for another repository.",
        )
    with hub.open_url(hub.file_url(page.repository, page.commit, first.path), stop=stop) as source:
        sizing = read_sizing(source)
    if sizing.shape is not None:
        return sizing
    place = RepositoryPlace(page.repository, first.path, page.commit)
    return open_repository_file(place, text=first.text, hub=hub, stop=stop).shape
