"""Judges everything in a repository by 64 KB of one of its files. No Qt here."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import MissingShardError
from models.gguf.shape import ModelShape
from models.gguf.sizing import SizingFacts, read_sizing
from models.hub.hub import Hub
from models.hub.names import RepositoryPlace, parse_place
from models.hub.pages import RepositoryPage
from models.hub.quants import QuantFiles, group_quants
from models.planner.machine import Machine
from models.planner.wishes import Wishes
from models.planning.judging import Planner, QuantJudgement, judge_quants
from models.planning.remote_files import open_repository_file
from models.stopping import Stop, never


def quants_on(page: RepositoryPage) -> tuple[QuantFiles, ...]:
    """Return the checkpoints of a repository at the page's commit, the smallest first."""
    place = RepositoryPlace(page.repository, revision=page.commit)
    return group_quants(page.files, text_of=place.text_of("{path}"))


def judge_page(
    page: RepositoryPage,
    machine: Machine,
    wishes: Wishes,
    *,
    hub: Hub,
    planning: Planner,
    stop: Stop = never,
) -> tuple[QuantJudgement, ...]:
    """Judge every checkpoint of a repository, the smallest first; one of them is recommended.

    All are taken for quantizations of one model: only one header is read.

    Raises:
        NetworkError, AccessError, RemoteNotFoundError: that header cannot be read.
        NotGgufError, CorruptGgufError, UnsupportedGgufError: it is none.
        StoppedError: ``stop`` said so.
    """
    quants = quants_on(page)
    if not quants:
        return ()
    facts = facts_of(page, quants, hub=hub, stop=stop)
    return judge_quants(quants, facts, machine, wishes, planning=planning, stop=stop)


def facts_of(
    page: RepositoryPage, quants: Sequence[QuantFiles], *, hub: Hub, stop: Stop = never
) -> ModelShape | SizingFacts:
    """Read what sizes the models of a repository: 64 KB, or a whole header where that is too few.

    Raises:
        FathomError: as ``judge_page``.
    """
    whole = [quant for quant in quants if not quant.missing]
    place = parse_place(whole[0].text) if whole else None
    if place is None:
        raise MissingShardError(
            f"Every checkpoint of {page.repository} lacks files.",
            hint="Perhaps they are still being uploaded; else look for another repository.",
        )
    with hub.open_url(hub.file_url(page.repository, page.commit, place.path), stop=stop) as source:
        sizing = read_sizing(source)
    if sizing.shape is not None:
        return sizing
    return open_repository_file(place, text=whole[0].text, hub=hub, stop=stop).shape
