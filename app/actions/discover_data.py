"""What the Discover page shows, as plain data: judgements, a search, a repository. No Qt here."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.hub.pages import SearchHit, SortBy
from models.hub.quants import QuantFiles
from models.transfer.job import ENDED, JobView

if TYPE_CHECKING:
    from models.catalog.card import Card
    from models.catalog.families import Catalog
    from models.errors import FathomError
    from models.hub.hub import Hub
    from models.hub.pages import RepositoryPage
    from models.library.library import LibraryEntry
    from models.planner.machine import Machine
    from models.planning.judgement import Judgement, QuantJudgement
    from models.stopping import Stop


JudgeCard = Callable[["Card", "Machine", "Stop"], "Judgement"]
JudgePage = Callable[["RepositoryPage", "Machine", "Stop"], "Sequence[QuantJudgement]"]


def _never() -> bool:
    return False


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class DiscoverParts:
    """What Discover works with; every callable may take long and is called in a lane.

    Attributes:
        load_catalog: reads the families.
        read_machine: reads this machine as it is now.
        judge_card: plans a family by the catalogue's numbers.
        judge_page: plans every checkpoint of a repository; may read a header from the hub.
        rest: is called when no family is left to be judged; may give back what judges them.
        make_hub: the hub as the settings are now.
        is_offline: whether the user wants nothing to be asked; answers at once.
    """

    load_catalog: Callable[[], Catalog]
    read_machine: Callable[[], Machine]
    judge_card: JudgeCard
    judge_page: JudgePage
    make_hub: Callable[[], Hub]
    is_offline: Callable[[], bool] = _never
    rest: Callable[[], None] = _nothing


class Phase(enum.StrEnum):
    """Where something that takes time stands."""

    NOTHING = "nothing"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class SearchStatus:
    """A search of the hub."""

    phase: Phase = Phase.NOTHING
    words: str = ""
    sort: SortBy = SortBy.DOWNLOADS
    hits: tuple[SearchHit, ...] = ()
    error: FathomError | None = None


@dataclass(frozen=True)
class PageStatus:
    """A repository that is looked at.

    Attributes:
        family: the card it belongs to, None when no card knows it.
        quants: the smallest first; without plans until they are judged.
        is_judging: whether plans are still to come.
        text: the model card as Markdown; None while it is not there yet.
    """

    phase: Phase = Phase.NOTHING
    repository: str = ""
    family: Card | None = None
    page: RepositoryPage | None = None
    quants: tuple[QuantJudgement, ...] = ()
    is_judging: bool = False
    text: str | None = None
    error: FathomError | None = None

    @property
    def recommended(self) -> QuantJudgement | None:
        """The checkpoint to choose."""
        return next((one for one in self.quants if one.is_recommended), None)


@dataclass(frozen=True)
class Holdings:
    """What is on the disk already, and what is on its way."""

    entries: tuple[LibraryEntry, ...] = ()
    jobs: tuple[JobView, ...] = ()

    def entry_of(self, repository: str, quant: QuantFiles) -> LibraryEntry | None:
        """Return the checkpoint of the library that is this one; None when it is not there."""
        for entry in self.entries:
            same = entry.repository.lower() == repository.lower() and not entry.missing
            if same and entry.path.name.lower().startswith(quant.name.lower()):
                return entry
        return None

    def job_of(self, repository: str, quant: QuantFiles) -> JobView | None:
        """Return the download of a checkpoint that has not ended."""
        for job in self.jobs:
            same = job.spec.repository.lower() == repository.lower() and job.state not in ENDED
            if same and any(_stem_is(file.path, quant.name) for file in job.spec.files):
                return job
        return None

    def entry_of_family(self, card: Card) -> LibraryEntry | None:
        """Return a checkpoint of a family that is there; None without one."""
        known = _repositories(card)
        return next((e for e in self.entries if e.repository.lower() in known), None)

    def job_of_family(self, card: Card) -> JobView | None:
        """Return a download of a family that has not ended."""
        known = _repositories(card)
        return next(
            (j for j in self.jobs if j.spec.repository.lower() in known and j.state not in ENDED),
            None,
        )


def _repositories(card: Card) -> frozenset[str]:
    return frozenset(one.repository.lower() for one in card.gguf)


def _stem_is(path: str, name: str) -> bool:
    return path.rpartition("/")[2].lower().startswith(name.lower())
