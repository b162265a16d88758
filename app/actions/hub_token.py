"""The user's token for the hub: given, looked up, tried, forgotten; never shown again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Signal

from app.tasks import TaskRunner, expected
from models.errors import FathomError, StoppedError
from models.hub.tokens import TokenStore


@dataclass(frozen=True)
class TokenState:
    """What is known of the token.

    Attributes:
        where: ``keyring``, ``session``, ``environment``, or empty for no token.
        problem: why the system's store of passwords was not used; may be empty.
        user: who it belongs to by the hub's word; empty when that was not asked.
        error: what went wrong last; may be empty.
        is_busy: whether a store or the hub is being asked.
    """

    where: str = ""
    problem: str = ""
    user: str = ""
    error: str = ""
    is_busy: bool = False


class HubToken(QObject):
    """Keeps the token in a TokenStore, in the background: a locked store asks the user.

    ``state_changed`` carries a TokenState. ``token_changed`` says that whoever has the old token
    needs the new one (``Downloads.reconfigure``).
    """

    state_changed = Signal(TokenState)
    token_changed = Signal()

    def __init__(
        self,
        *,
        store: TokenStore,
        runner: TaskRunner,
        whoami: Callable[[], str] | None = None,
        parent: QObject | None = None,
    ) -> None:
        """Compose; nothing is asked before ``refresh``.

        Args:
            store: keeps it.
            runner: background work, in the lane ``hub``.
            whoami: asks the hub who the token belongs to, in a background thread; raises as
                ``Hub.whoami``. Without it a token is kept unseen.
            parent: as usual.
        """
        super().__init__(parent)
        self._store = store
        self._runner = runner
        self._whoami = whoami
        self._state = TokenState()

    @property
    def state(self) -> TokenState:
        """What is known of the token now."""
        return self._state

    def refresh(self) -> None:
        """Look whether there is a token, and where."""
        self._set(dataclasses.replace(self._state, is_busy=True))
        self._run(self._look)

    def give(self, token: str) -> None:
        """Keep a token and ask the hub who it belongs to."""
        self._set(dataclasses.replace(self._state, is_busy=True, error="", user=""))
        self._run(partial(self._keep, token), is_new=True)

    def forget(self) -> None:
        """Forget the token."""
        self._set(dataclasses.replace(self._state, is_busy=True, error="", user=""))
        self._run(self._drop, is_new=True)

    def _run(self, op: Callable[[], TokenState], *, is_new: bool = False) -> None:
        self._runner.run(op, done=partial(self._on_state, is_new), error=self._on_error, lane="hub")

    # In a thread of the lane.
    def _look(self) -> TokenState:
        self._store.get()
        return TokenState(self._store.where, self._store.problem, self._state.user)

    def _keep(self, token: str) -> TokenState:
        where = self._store.set(token)
        user, error = "", ""
        if self._whoami is not None:
            try:
                user = self._whoami()
            except FathomError as failure:
                # It is kept all the same: the line may be down, and the reader sees what was said.
                error = failure.one_line()
        return TokenState(where, self._store.problem, user, error)

    def _drop(self) -> TokenState:
        self._store.forget()
        return TokenState(self._store.where)

    def _on_state(self, is_new: bool, state: TokenState) -> None:
        self._set(state)
        if is_new:
            self.token_changed.emit()

    def _on_error(self, error: Exception) -> None:
        error = expected(error)
        words = "" if isinstance(error, StoppedError) else error.one_line()
        self._set(TokenState(self._store.where, self._store.problem, error=words))

    def _set(self, state: TokenState) -> None:
        self._state = state
        self.state_changed.emit(state)
