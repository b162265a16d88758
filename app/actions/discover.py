"""What could be run here: the families of the catalogue, sized for this machine one by one.

Everything slow runs in lanes: the machine and the families in ``judge``, the hub in ``hub``. The
order in which families are judged is the order in which they are shown, so that what is on the
screen already seldom moves.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.actions.discover_data import (
    DiscoverParts,
    Holdings,
)
from app.actions.discover_page import RepositoryLook, look_up
from app.actions.discover_ranking import Pick, picks, quality
from app.actions.discover_search import HubSearch
from app.tasks import TaskRunner, expected
from models.errors import FathomError, StoppedError

if TYPE_CHECKING:
    from models.catalog.card import Card
    from models.catalog.families import Catalog
    from models.hub.pages import RepositoryPage
    from models.library.library import LibraryEntry
    from models.planner.machine import Machine
    from models.planning.judgement import Judgement, QuantJudgement
    from models.transfer.job import JobView

# Judgements come several a second; what is shown changes at most this often.
_TELL_EVERY_MS = 200

# A whole catalogue is not judged anew for what a browser takes and gives back.
_MUCH_ROOM = 0.05

_log = logging.getLogger(__name__)


class Discover(QObject):
    """Knows the families and what the planner says of them; opens repositories, searches the hub.

    Attributes:
        search: a search of the hub.
        look: the repository that is looked at.
    """

    families_changed = Signal()
    # Some families were judged since the last time.
    judged_changed = Signal()
    holdings_changed = Signal()
    # A RepositoryPage and the QuantFiles to fetch from it.
    download_ready = Signal(object, object)
    # The Card that cannot be fetched just so: its page says why.
    page_needed = Signal(object)
    # A card's id: whether it is being looked up has changed.
    fetching_changed = Signal(str)

    def __init__(
        self, parts: DiscoverParts, runner: TaskRunner, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._parts = parts
        self._runner = runner
        self._stop = threading.Event()
        self._families: Catalog | None = None
        self._machine: Machine | None = None
        # The machine that is being judged for, and what is said of it: shown when it is whole.
        self._new_machine: Machine | None = None
        self._new: dict[str, Judgement] = {}
        self._is_watched = self._is_looking = False
        self._judged: dict[str, Judgement] = {}
        self._waiting: deque[Card] = deque()
        self._is_started = False
        self._is_judging = False
        self._fetching: set[str] = set()
        self.error: FathomError | None = None
        self.holdings = Holdings()
        self.search = HubSearch(parts.make_hub, runner, self)
        self.look = RepositoryLook(parts, runner, self._read_machine, self.family_of, self)
        self._tell = QTimer(self, interval=_TELL_EVERY_MS, singleShot=True)
        self._tell.timeout.connect(self.judged_changed)

    # --- what is known --------------------------------------------------------------------------

    @property
    def cards(self) -> tuple[Card, ...]:
        """All families; none until the catalogue was read."""
        return tuple(self._families.cards) if self._families else ()

    @property
    def machine(self) -> Machine | None:
        """The machine that was judged for."""
        return self._machine

    @property
    def is_offline(self) -> bool:
        """Whether the user wants the hub not to be asked."""
        return self._parts.is_offline()

    @property
    def judged(self) -> dict[str, Judgement]:
        """What is known so far, by card id."""
        return self._judged

    @property
    def is_judging(self) -> bool:
        """Whether more is to come."""
        return self._is_judging

    @property
    def picks(self) -> tuple[Pick, ...]:
        """The families to begin with; none before all were judged."""
        return () if self._is_judging else picks(self.cards, self._judged)

    def family_of(self, repository: str) -> Card | None:
        """Return the family that a repository belongs to."""
        return self._families.of_repository(repository) if self._families else None

    def is_fetching(self, card: Card) -> bool:
        """Whether a family is being looked up to be downloaded."""
        return card.card_id in self._fetching

    # --- families -------------------------------------------------------------------------------

    def start(self) -> None:
        """Read catalogue and machine and judge; only the first call does something."""
        if self._is_started:
            return
        self._is_started = self._is_judging = True
        self._runner.run(
            self._parts.load_catalog, done=self._on_catalog, error=self._on_failure, lane="judge"
        )

    def try_again(self) -> None:
        """Begin anew after a failure, or because the machine is another one now."""
        if self._is_judging:
            return
        self.error = None
        self._is_started = False
        self._judged.clear()
        self.families_changed.emit()
        self.start()

    def set_watched(self, watched: bool) -> None:
        """Take whether somebody looks; begins, or looks whether the machine has changed."""
        self._is_watched = watched
        if watched and not self._is_started:
            self.start()
        elif watched:
            self.look_again()

    @Slot()
    def look_again(self) -> None:
        """Judge anew when the machine has changed much; what is shown stays until then.

        Nothing is done while nobody looks: the next look begins with it.
        """
        is_busy = self._is_judging or self._is_looking or bool(self._waiting)
        if is_busy or not self._is_watched or self._machine is None:
            return
        self._is_looking = True
        self._runner.run(
            self._parts.read_machine,
            done=self._on_machine_again,
            error=self._on_no_machine,
            lane="judge",
        )

    def stop(self) -> None:
        """End what is under way; for the end of the program."""
        self._stop.set()
        self._waiting.clear()
        self._tell.stop()
        self.search.stop()
        self.look.stop()

    def _on_catalog(self, families: Catalog) -> None:
        self._families = families
        self.families_changed.emit()
        self._runner.run(
            self._parts.read_machine, done=self._on_machine, error=self._on_failure, lane="judge"
        )

    def _on_machine(self, machine: Machine) -> None:
        self._machine = machine
        self.families_changed.emit()
        self._waiting = deque(sorted(self.cards, key=quality, reverse=True))
        self._judge_next()

    def _on_machine_again(self, machine: Machine) -> None:
        from models.planning.desk import like

        self._is_looking = False
        if self._machine is None or like(self._machine, machine, room=_MUCH_ROOM):
            return
        _log.info("The machine has changed: every family is judged anew.")
        self._new_machine, self._new = machine, {}
        self._waiting = deque(sorted(self.cards, key=quality, reverse=True))
        self._judge_next()

    def _on_no_machine(self, error: Exception) -> None:
        self._is_looking = False
        error = expected(error)
        # The engine is busy, say. What was known is shown on; the next look asks again.
        _log.info("The machine was not read again: %s", error.one_line())

    def _show_new(self) -> None:
        """Show what was judged for the changed machine, all of it at once."""
        self._machine, self._new_machine = self._new_machine, None
        self._judged, self._new = {**self._judged, **self._new}, {}
        self.judged_changed.emit()
        self.look.judge_again()

    def _judge_next(self) -> None:
        machine = self._new_machine or self._machine
        if not self._waiting or machine is None:
            self._runner.run(
                self._parts.rest, done=self._on_rest, error=self._on_no_rest, lane="judge"
            )
            if self._new_machine is not None:
                self._show_new()
                return
            self._is_judging = False
            self._tell.stop()
            self.judged_changed.emit()
            return
        card = self._waiting.popleft()
        self._runner.run(
            partial(self._parts.judge_card, card, machine, self._stop.is_set),
            done=self._on_judged,
            error=partial(self._on_not_judged, card),
            lane="judge",
        )

    def _on_rest(self, _result: None) -> None:
        """Nothing is to be done."""

    def _on_no_rest(self, error: Exception) -> None:
        raise error

    def _on_judged(self, judged: Judgement) -> None:
        if self._new_machine is not None:
            self._new[judged.card_id] = judged
            self._judge_next()
            return
        self._judged[judged.card_id] = judged
        if not self._tell.isActive():
            self._tell.start()
        self._judge_next()

    def _on_not_judged(self, card: Card, error: Exception) -> None:
        error = expected(error)
        if isinstance(error, StoppedError):
            return
        _log.info("%s is not judged: %s", card.card_id, error.one_line())
        self._judge_next()

    def _on_failure(self, error: Exception) -> None:
        error = expected(error)
        self._is_judging = False
        if not isinstance(error, StoppedError):
            self.error = error
        self.families_changed.emit()

    def _read_machine(self) -> Machine:
        return self._machine or self._parts.read_machine()

    # --- from a family to a download ------------------------------------------------------------

    def fetch(self, card: Card) -> None:
        """Look a family's files up and say which one to download; in doubt its page is shown."""
        if card.card_id in self._fetching:
            return
        if not card.gguf:
            self.page_needed.emit(card)
            return
        self._fetching.add(card.card_id)
        self.fetching_changed.emit(card.card_id)
        self._runner.run(
            partial(self._look_up, card.gguf[0].repository),
            done=partial(self._on_looked_up, card),
            error=partial(self._on_not_looked_up, card),
            lane="hub",
        )

    def _look_up(self, repository: str) -> tuple[RepositoryPage, QuantJudgement | None]:
        hub = self._parts.make_hub()
        page = look_up(hub, repository, self._stop.is_set)
        judged = self._parts.judge_page(page, self._read_machine(), self._stop.is_set)
        return page, next((one for one in judged if one.is_recommended), None)

    def _on_looked_up(
        self, card: Card, found: tuple[RepositoryPage, QuantJudgement | None]
    ) -> None:
        self._end_fetching(card)
        page, best = found
        fits = best is not None and best.plan is not None and best.plan.fits
        if best is None or not fits or not page.is_readable or best.files.missing:
            self.page_needed.emit(card)
        else:
            self.download_ready.emit(page, best.files)

    def _on_not_looked_up(self, card: Card, error: Exception) -> None:
        error = expected(error)
        self._end_fetching(card)
        if not isinstance(error, StoppedError):
            # The page asks again, and shows what is wrong where there is room for it.
            self.page_needed.emit(card)

    def _end_fetching(self, card: Card) -> None:
        self._fetching.discard(card.card_id)
        self.fetching_changed.emit(card.card_id)

    # --- what is here already -------------------------------------------------------------------

    @Slot(tuple)
    def set_entries(self, entries: tuple[LibraryEntry, ...]) -> None:
        """Take what the library holds."""
        self._hold(Holdings(tuple(entries), self.holdings.jobs))

    @Slot(tuple)
    def set_jobs(self, jobs: tuple[JobView, ...]) -> None:
        """Take the downloads as they are now."""
        self._hold(Holdings(self.holdings.entries, tuple(jobs)))

    def _hold(self, holdings: Holdings) -> None:
        if holdings != self.holdings:
            self.holdings = holdings
            self.holdings_changed.emit()
