"""A free search of the hub: one at a time, a newer one ends the older."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.actions.discover_data import Phase, SearchStatus
from app.tasks import Task, TaskRunner, expected
from models.errors import StoppedError
from models.hub.pages import SearchHit, SortBy

if TYPE_CHECKING:
    from models.hub.hub import Hub

_LIMIT = 30


class HubSearch(QObject):
    """Holds what the newest search found."""

    # SearchStatus
    changed = Signal(object)

    def __init__(
        self,
        make_hub: Callable[[], Hub],
        runner: TaskRunner,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._make_hub = make_hub
        self._runner = runner
        self._task: Task | None = None
        self._stop = threading.Event()
        self.status = SearchStatus()

    def run(self, words: str, sort: SortBy = SortBy.DOWNLOADS) -> None:
        """Search for words; no words clear what was found."""
        words = " ".join(words.split())
        known = (self.status.words, self.status.sort) == (words, sort)
        if known and self.status.phase in (Phase.LOADING, Phase.READY):
            return
        self.stop()
        if not words:
            self._set(SearchStatus(sort=sort))
            return
        # What is shown stays until there is something newer.
        self._set(SearchStatus(Phase.LOADING, words, sort, self.status.hits))
        self._stop = threading.Event()
        self._task = self._runner.run(
            partial(self._search, words, sort, self._stop),
            done=partial(self._on_found, words, sort),
            error=partial(self._on_failed, words, sort),
            lane="hub",
        )

    def try_again(self) -> None:
        """Search once more for the same."""
        words, sort = self.status.words, self.status.sort
        self.status = SearchStatus()
        self.run(words, sort)

    def stop(self) -> None:
        """End a search; nobody hears of it any more."""
        self._stop.set()
        if self._task is not None:
            self._task.drop()
            self._task = None

    def _search(self, words: str, sort: SortBy, stop: threading.Event) -> tuple[SearchHit, ...]:
        return self._make_hub().search(words, sort=sort, limit=_LIMIT, stop=stop.is_set)

    def _on_found(self, words: str, sort: SortBy, hits: tuple[SearchHit, ...]) -> None:
        self._set(SearchStatus(Phase.READY, words, sort, hits))

    def _on_failed(self, words: str, sort: SortBy, error: Exception) -> None:
        error = expected(error)
        if not isinstance(error, StoppedError):
            self._set(SearchStatus(Phase.FAILED, words, sort, error=error))

    def _set(self, status: SearchStatus) -> None:
        self.status = status
        self.changed.emit(status)
