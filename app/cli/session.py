"""What every verb needs: folders, settings, library, and an engine child to talk to. No Qt here."""

from __future__ import annotations

import logging
import os
import queue
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from models.errors import EngineUnresponsiveError
from models.hub.hub import Hub
from models.library.library import Library
from models.paths import Paths
from models.planning.opening import is_elsewhere
from models.runtime.command import engine_command
from models.runtime.protocol import ErrorEvent, Event, Log
from models.runtime.request_book import error_from_event
from models.runtime.supervisor import (
    EngineFailed,
    EngineNotice,
    EngineSupervisor,
    EventReceived,
    SafeModeRetry,
    StateChanged,
)
from models.settings import Settings
from models.transfer.events import TransferSettings
from models.transfer_settings import hub_of_settings, library_of_user, transfer_settings

_log = logging.getLogger(__name__)
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}
# On Windows a wait without a limit cannot be interrupted by Ctrl-C.
_WAIT_S = 0.5


@dataclass(frozen=True)
class Session:
    """The user's folders and settings; ``engine`` is the child's command where it is another."""

    paths: Paths
    settings: Settings
    engine: tuple[str, ...] = ()

    def library(self) -> Library:
        """Return the checkpoints of this user, the demo included."""
        return library_of_user(self.paths, self.settings, os.environ)

    def token(self) -> str:
        """Return the user's token for the hub, empty without one; the system may ask for it."""
        from models.hub.tokens import TokenStore

        return TokenStore(os.environ).get()

    def hub(self, *, text: str = "") -> Hub:
        """Return the hub of this user; nothing is asked yet.

        Args:
            text: what is to be looked up there. Only for what cannot be on this machine the
                system's store of passwords is opened, which may ask the user.

        Raises:
            BadInputError: the mirror's address is none.
        """
        return hub_of_settings(
            self.settings,
            os.environ,
            cache_dir=self.paths.cache_dir,
            token=self.token() if is_elsewhere(text) else "",
        )

    def transfer_settings(self) -> TransferSettings:
        """Return how downloads are made.

        Raises:
            BadInputError: the mirror's address is none.
        """
        return transfer_settings(self.paths, self.settings, os.environ, token=self.token())

    def open_engine(self) -> EngineConversation:
        """Return an engine child to talk to; it starts with the first request."""
        return EngineConversation(self.engine or engine_command(self.paths.addons_dir))


@dataclass(frozen=True)
class _Interrupt:
    """Ctrl-C was pressed."""


@dataclass(frozen=True)
class _Put:
    """Something of the verb's own, between the engine's notices."""

    message: object


class EngineConversation:
    """One engine child that a verb asks one thing at a time; use it as a context manager.

    Attributes:
        retried: whether the engine crashed and was started again in safe mode.
        interrupted: whether Ctrl-C was pressed.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.retried = False
        self.interrupted = False
        self._notices: queue.SimpleQueue[EngineNotice | _Interrupt | _Put] = queue.SimpleQueue()
        self._set_aside: deque[object] = deque()
        self.supervisor = EngineSupervisor(command, listener=self._notices.put)

    def follow(self, request_id: int, *, limit_s: float | None = None) -> Iterator[Event]:
        """Yield the events of a request up to its final one, which is never an error.

        The first Ctrl-C cancels the request; its ``Cancelled`` is then the final event. So it is
        with every later request: the one before may have ended just before Ctrl-C could cancel it.

        Raises:
            FathomError: the request failed, the engine died, or ``limit_s`` passed.
        """
        if self.interrupted:
            self.supervisor.cancel(request_id)
        end = None if limit_s is None else time.monotonic() + limit_s
        while True:
            if end is not None and time.monotonic() > end:
                raise EngineUnresponsiveError(
                    f"The engine has not answered within {limit_s:.0f} s."
                )
            try:
                notice = self._notices.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            event = self._take(notice, request_id)
            if event is not None:
                yield event
                if event.is_final:
                    return

    def last(self, request_id: int, *, limit_s: float | None = None) -> Event:
        """Wait for a request's final event."""
        *_, final = self.follow(request_id, limit_s=limit_s)
        return final

    def put(self, message: object) -> None:
        """Queue something for ``next_message``; from any thread."""
        self._notices.put(_Put(message))

    def next_message(self, limit_s: float) -> object | None:
        """Wait for a notice of the engine or for what was ``put``, while no request is followed.

        Returns:
            None after ``limit_s`` seconds without one, and after Ctrl-C.
        """
        if self._set_aside:
            return self._set_aside.popleft()
        try:
            notice = self._notices.get(timeout=min(max(limit_s, 0.0), _WAIT_S))
        except queue.Empty:
            return None
        if isinstance(notice, _Interrupt):
            self.interrupted = True
            return None
        return notice.message if isinstance(notice, _Put) else notice

    @contextmanager
    def ctrl_c_cancels(self, *, also: Sequence[signal.Signals] = ()) -> Iterator[None]:
        """Let the first Ctrl-C cancel the request that is followed, and the second end all.

        Args:
            also: signals that do the same.
        """

        def on_interrupt(_number: int, _frame: FrameType | None) -> None:
            for number in before:
                signal.signal(number, signal.default_int_handler)
            # SimpleQueue.put may be called from a signal handler.
            self._notices.put(_Interrupt())

        before = {number: signal.getsignal(number) for number in (signal.SIGINT, *also)}
        for number in before:
            signal.signal(number, on_interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, notice: EngineNotice | _Interrupt | _Put, request_id: int) -> Event | None:
        """Note what a notice says; return the event when it belongs to the request."""
        if isinstance(notice, _Put):
            self._set_aside.append(notice.message)
        elif isinstance(notice, _Interrupt):
            self.interrupted = True
            self.supervisor.cancel(request_id)
        elif isinstance(notice, StateChanged):
            _log.debug("engine: %s", notice.state.value)
        elif isinstance(notice, SafeModeRetry):
            self.retried = True
        elif isinstance(notice, EngineFailed) and notice.request_id in (None, request_id):
            raise notice.error
        elif isinstance(notice, EventReceived):
            self._note(notice.event)
            if notice.event.request_id == request_id:
                return notice.event
        return None

    def _note(self, event: Event) -> None:
        if isinstance(event.body, ErrorEvent):
            raise error_from_event(event.body)
        if isinstance(event.body, Log):
            _log.log(_LEVELS.get(event.body.level, logging.DEBUG), "engine: %s", event.body.text)

    def __enter__(self) -> EngineConversation:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.supervisor.stop()
