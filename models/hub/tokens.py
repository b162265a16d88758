"""Who asks the hub: the user's token, in the system's store of passwords or nowhere. No Qt here.

A token is never written into a file of ours. Where the system has no store of passwords, or it
cannot be used, a token is kept for this run only, and ``where`` and ``problem`` say so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from models.errors import BadInputError, KeyringError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_T = TypeVar("_T")

SERVICE = "fathom"
USER = "huggingface"
ENVIRONMENT_NAME = "HF_TOKEN"
# Where a token is kept; empty for no token.
KEYRING, SESSION, ENVIRONMENT, NOWHERE = "keyring", "session", "environment", ""

# A locked store asks the user for a password: time enough to type it.
_PATIENCE_S = 60.0
_MAX_TOKEN = 500
# Stores that keep passwords readable, or keep nothing.
_REFUSED = ("keyrings.alt", "keyring.backends.null", "keyring.backends.fail")

_log = logging.getLogger(__name__)


class TokenStore:
    """The user's token for the hub; every method may be called from any thread, and may block.

    Args:
        environ: ``HF_TOKEN`` there is used when the user gave Fathom none.
        find_backend: returns the system's store of passwords, None where there is none to be used.
        patience_s: how long the store may take, which may ask the user for a password.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        find_backend: Callable[[], KeyringBackend | None] | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._in_environment = environ.get(ENVIRONMENT_NAME, "").strip()
        self._find_backend = find_backend or find_keyring
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._known: str | None = None
        self._where = NOWHERE
        self._problem = ""

    @property
    def where(self) -> str:
        """Where the token is kept, as of the last call: one of the four constants above."""
        return self._where

    @property
    def problem(self) -> str:
        """Why the system's store of passwords was not used, one sentence; empty when it was."""
        return self._problem

    def get(self) -> str:
        """Return the token, empty when there is none; the store is asked once in a run."""
        with self._lock:
            if self._known is None:
                kept = self._asked(lambda backend: backend.get_password(SERVICE, USER) or "") or ""
                self._known, self._where = kept.strip(), KEYRING if kept.strip() else NOWHERE
            if not self._known and self._in_environment:
                self._where = ENVIRONMENT
                return self._in_environment
            return self._known

    def set(self, token: str) -> str:
        """Keep a token and return where: ``KEYRING``, or ``SESSION`` where that is not possible.

        Raises:
            BadInputError: it cannot be a token.
        """
        token = checked_token(token)

        def keep(backend: KeyringBackend) -> bool:
            backend.set_password(SERVICE, USER, token)
            # Some stores take anything and keep nothing.
            return backend.get_password(SERVICE, USER) == token

        with self._lock:
            is_kept = self._asked(keep)
            if is_kept is False:
                self._problem = "The system's store of passwords did not keep the token."
            self._known, self._where = token, KEYRING if is_kept else SESSION
            return self._where

    def forget(self) -> None:
        """Forget the token; one in the environment stays there and is used again.

        Raises:
            KeyringError: the system's store still has it.
        """

        def drop(backend: KeyringBackend) -> bool:
            if backend.get_password(SERVICE, USER) is not None:
                backend.delete_password(SERVICE, USER)
            return True

        with self._lock:
            was_kept = self._where == KEYRING
            is_dropped = self._asked(drop)
            self._known = ""
            self._where = ENVIRONMENT if self._in_environment else NOWHERE
            if was_kept and not is_dropped:
                raise KeyringError(
                    "The token is still in the system's store of passwords.",
                    hint=f'Remove the entry "{SERVICE}" there by hand.',
                    details=self._problem,
                )

    def _asked(self, question: Callable[[KeyringBackend], _T]) -> _T | None:
        """Ask the store, None and ``problem`` when it cannot be used."""
        call = _Call(lambda: self._ask_once(question))
        call.start()
        if not call.done.wait(self._patience_s):
            self._problem = "The system's store of passwords does not answer; perhaps it is locked."
            return None
        outcome = call.outcome()
        if isinstance(outcome, KeyringError):
            self._problem = outcome.message
            _log.info("%s %s", outcome.message, outcome.details)
            return None
        self._problem = ""
        return outcome

    def _ask_once(self, question: Callable[[KeyringBackend], _T]) -> _T | KeyringError:
        try:
            backend = self._find_backend()
            if backend is None:
                return KeyringError("This system has no store of passwords that can be used.")
            return question(backend)
        except Exception as error:  # noqa: BLE001 - backends raise whatever their systems do
            # Never its text: some backends quote what they were given.
            return KeyringError(
                "The system's store of passwords cannot be used.", details=type(error).__name__
            )


class _Call(threading.Thread, Generic[_T]):
    """One call of the store, which may wait for a person; left alone when that takes too long."""

    def __init__(self, call: Callable[[], _T]) -> None:
        super().__init__(name="keyring", daemon=True)
        self.done = threading.Event()
        self._call = call
        self._result: _T

    def run(self) -> None:
        """Make the call, which raises nothing."""
        self._result = self._call()
        self.done.set()

    def outcome(self) -> _T:
        """Return what came of it."""
        self.join()
        return self._result


def checked_token(text: str) -> str:
    """Return a token without what was copied along with it.

    Raises:
        BadInputError: it cannot be a token.
    """
    token = text.strip().removeprefix("Bearer ").strip()
    is_plain = token.isascii() and token.isprintable() and " " not in token
    if not token or not is_plain or len(token) > _MAX_TOKEN:
        raise BadInputError(
            "That is not a token.",
            hint="It looks like hf_ and some thirty letters and digits; make one that may read at "
            "https://huggingface.co/settings/tokens.",
        )
    return token


def find_keyring() -> KeyringBackend | None:
    """Return the system's store of passwords, None when there is none that keeps them safe."""
    import keyring
    from keyring.backends.chainer import ChainerBackend

    backend = keyring.get_keyring()
    candidates = list(backend.backends) if isinstance(backend, ChainerBackend) else [backend]
    return next((found for found in candidates if _is_safe(found)), None)


def _is_safe(backend: KeyringBackend) -> bool:
    return not any(kind.__module__.startswith(_REFUSED) for kind in type(backend).__mro__)
