"""One repository of the hub as it is looked at: its files, what each would come to, its card.

Three things are asked for one after the other, each shown as soon as it is there: the list of
files, their plans (a header by range), and the model card.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QObject, Signal

from app.actions.card_text import readable_card
from app.actions.discover_data import DiscoverParts, PageStatus, Phase
from app.tasks import Task, TaskRunner, expected
from models.errors import BadInputError, StoppedError
from models.hub.names import parse_place
from models.stopping import Stop

if TYPE_CHECKING:
    from models.catalog.card import Card
    from models.hub.hub import Hub
    from models.hub.pages import RepositoryPage
    from models.planner.machine import Machine
    from models.planning.judgement import QuantJudgement

T = TypeVar("T")

_log = logging.getLogger(__name__)


class RepositoryLook(QObject):
    """Opens one repository at a time; late answers about another one are dropped."""

    # PageStatus
    changed = Signal(object)

    def __init__(
        self,
        parts: DiscoverParts,
        runner: TaskRunner,
        read_machine: Callable[[], Machine],
        family_of: Callable[[str], Card | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._parts = parts
        self._runner = runner
        self._read_machine = read_machine
        self._family_of = family_of
        self._tasks: list[Task] = []
        self._stop = threading.Event()
        self.status = PageStatus()

    def open(self, repository: str, family: Card | None = None) -> None:
        """Look at a repository; ``family`` is the card it was reached from."""
        self.stop()
        self._stop = threading.Event()
        family = family or self._family_of(repository)
        self._set(PageStatus(Phase.LOADING, repository, family))
        self._run(
            partial(self._page, repository, self._stop.is_set), self._on_page, self._on_failed
        )

    def try_again(self) -> None:
        """Ask once more for the same repository."""
        if self.status.repository:
            self.open(self.status.repository, self.status.family)

    def judge_again(self) -> None:
        """Judge the files once more, for a machine that has changed; what is shown stays."""
        page = self.status.page
        if page is not None and self.status.quants and not self.status.is_judging:
            again = partial(self._judge, page, self._stop.is_set)
            self._run(again, self._on_judged, self._on_not_judged_again)

    def close(self) -> None:
        """Nobody looks any more."""
        self.stop()
        self._set(PageStatus())

    def stop(self) -> None:
        """End what is under way; nobody hears of it any more."""
        self._stop.set()
        for task in self._tasks:
            task.drop()
        self._tasks.clear()

    def _run(
        self, op: Callable[[], T], done: Callable[[T], None], error: Callable[[Exception], None]
    ) -> None:
        self._tasks.append(self._runner.run(op, done=done, error=error, lane="hub"))

    def _page(self, repository: str, stop: Stop) -> RepositoryPage:
        return look_up(self._parts.make_hub(), repository, stop)

    def _on_page(self, page: RepositoryPage) -> None:
        # Imported here: the planner is not needed before somebody looks at files.
        from models.hub.fetching import page_quants
        from models.planning.judgement import QuantJudgement

        quants = tuple(QuantJudgement(files, None) for files in page_quants(page))
        status = replace(self.status, phase=Phase.READY, page=page, quants=quants)
        self._set(replace(status, is_judging=bool(quants)))
        stop = self._stop.is_set
        if quants:
            self._run(partial(self._judge, page, stop), self._on_judged, self._on_not_judged)
        self._run(partial(self._card, page, stop), self._on_card, self._on_no_card)

    def _judge(self, page: RepositoryPage, stop: Stop) -> Sequence[QuantJudgement]:
        return self._parts.judge_page(page, self._read_machine(), stop)

    def _on_judged(self, judged: Sequence[QuantJudgement]) -> None:
        self._set(replace(self.status, quants=tuple(judged), is_judging=False))

    def _on_not_judged(self, error: Exception) -> None:
        error = expected(error)
        quants = tuple(replace(one, reason=error.message) for one in self.status.quants)
        self._set(replace(self.status, quants=quants, is_judging=False))

    def _on_not_judged_again(self, error: Exception) -> None:
        error = expected(error)
        _log.info("Not judged again: %s", error.one_line())

    def _card(self, page: RepositoryPage, stop: Stop) -> str:
        # Taken apart here: a long card takes longer than a frame.
        return readable_card(self._parts.make_hub().card(page, stop=stop))

    def _on_card(self, text: str) -> None:
        self._set(replace(self.status, text=text))

    def _on_no_card(self, error: Exception) -> None:
        error = expected(error)
        # A repository without a card is as good as any; what matters was said by its list.
        _log.info("No model card: %s", error.one_line())
        self._set(replace(self.status, text=""))

    def _on_failed(self, error: Exception) -> None:
        error = expected(error)
        if not isinstance(error, StoppedError):
            self._set(replace(self.status, phase=Phase.FAILED, error=error))

    def _set(self, status: PageStatus) -> None:
        self.status = status
        self.changed.emit(status)


def look_up(hub: Hub, repository: str, stop: Stop) -> RepositoryPage:
    """Return the page of a repository.

    Raises:
        BadInputError: ``repository`` is not the name of one.
        FathomError: as ``Hub.page``.
    """
    place = parse_place(repository)
    if place is None:
        raise BadInputError(
            f'"{repository[:200]}" is not the name of a repository.',
            hint="It looks like owner/name.",
        )
    return hub.page(place, stop=stop)
