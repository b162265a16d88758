"""The server for other programs: on and off, who may ask, what was asked and what was refused.

The server itself waits for nobody here: it is opened and closed in a lane of its own. What it is
opened with (port, key, allowed pages) it keeps; a change opens it anew, as soon as nobody is being
answered.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot

from app.actions.load_model import LoadModel, ModelStatus
from app.bridges.server import ServerBridge
from app.bridges.settings import SettingsBridge
from app.itemmodels.served_requests import ServedRequest
from app.messages import Action, Messages
from app.tasks import TaskRunner, expected
from models.api.key import load_or_make_key, make_new_key
from models.api.protocol import ServedModel, ServerOptions, TurnedAway, other_port
from models.api.requests import RequestNote
from models.api.server import ApiServer, ServerPhase, ServerState
from models.engine_settings import sampling
from models.errors import FathomError, ServerAddressError
from models.runtime.protocol import Sampling
from models.runtime.supervisor import EngineSupervisor
from models.runtime.turns import EngineTurns

MOST_REQUESTS = 50
# So many that what was asked stays in sight below them.
MOST_REFUSALS = 8
_OPENED_WITH = ("server.port", "server.allowed_origins")


@dataclass(frozen=True)
class ServerStatus:
    """How the server stands.

    Attributes:
        is_on: what the user wants.
        url: what programs are told; empty unless they can ask.
        model: what answers; None while nothing is loaded.
        is_loading: something is on its way that will answer.
        model_error: why nothing answers; None where it was not loaded at all.
        answering: how many requests wait or are being answered.
        waiting: how many of them wait.
        needs_restart: a change takes effect when nobody is being answered any more.
    """

    phase: ServerPhase = ServerPhase.STOPPED
    is_on: bool = False
    url: str = ""
    error: FathomError | None = None
    model: ServedModel | None = None
    is_loading: bool = False
    model_error: FathomError | None = None
    answering: int = 0
    waiting: int = 0
    needs_restart: bool = False


@dataclass(frozen=True)
class Refused:
    """Somebody who was turned away.

    Attributes:
        reason, shown: as of ``TurnedAway``.
        page: the address of the web page it was, as it can be allowed; empty when it was none.
        at: the last time, in this machine's time.
    """

    reason: str
    shown: str
    count: int
    at: datetime.datetime
    page: str = ""


@dataclass(frozen=True)
class KeyState:
    """The key that programs have to show; empty until it is read."""

    key: str = field(default="", repr=False)
    error: FathomError | None = None


class Serving(QObject):
    """Opens and closes the server. Main thread only; nothing here waits."""

    status_changed = Signal(ServerStatus)
    requests_changed = Signal(tuple)  # tuple[ServedRequest, ...], the newest first
    refusals_changed = Signal(tuple)  # tuple[Refused, ...], the newest first
    key_changed = Signal(KeyState)

    def __init__(
        self,
        *,
        engine: EngineSupervisor,
        turns: EngineTurns,
        loader: LoadModel,
        settings: SettingsBridge,
        key_folder: Path,
        runner: TaskRunner,
        messages: Messages,
        parent: QObject | None = None,
    ) -> None:
        """Prepare; nothing is opened before ``switch``.

        Args:
            engine: who answers.
            turns: shared with the chat.
            loader: what it loads is served.
            settings: ``server.*``, and the sampling of questions that name none.
            key_folder: where the key lies.
            runner: has the lanes.
            messages: told when the server fails by itself.
        """
        super().__init__(parent)
        self._loader = loader
        self._settings = settings
        self._key_folder = key_folder
        self._runner = runner
        self._messages = messages
        self._is_on = False
        self._is_closed = False
        self._needs_restart = False
        self._state = ServerState()
        self._error: FathomError | None = None
        # Of a server that failed by itself, as long as it has not been started again.
        self._notice_id: int | None = None
        self._key = KeyState()
        # Read by the server's threads, written here only.
        self._model: ServedModel | None = None
        self._told_model: tuple[object, ...] = ()
        self._requests: dict[int, ServedRequest] = {}
        self._refusals: tuple[Refused, ...] = ()
        self.bridge = ServerBridge(self)
        self._server = ApiServer(
            engine,
            turns,
            served=self._served,
            defaults=self._defaults,
            noted=self.bridge.on_note,
            on_state=self.bridge.on_state,
            on_turned_away=self.bridge.on_turned_away,
        )
        self._connect(loader, settings)
        self._on_model(loader.status)

    def _connect(self, loader: LoadModel, settings: SettingsBridge) -> None:
        self.bridge.state_changed.connect(self._on_state)
        self.bridge.noted.connect(self._on_noted)
        self.bridge.turned_away.connect(self._on_turned_away)
        loader.about_to_load.connect(self._on_about_to_load)
        loader.status_changed.connect(self._on_model)
        settings.changed.connect(self._on_setting)

    # --- how it stands --------------------------------------------------------------------------

    @property
    def status(self) -> ServerStatus:
        """How the server stands."""
        phase, error = self._state.phase, self._error or self._state.error
        if not self._is_on:
            phase, error = ServerPhase.STOPPED, None
        elif error is not None:
            phase = ServerPhase.FAILED
        elif phase is ServerPhase.STOPPED:
            # On its way: the lane has it.
            phase = ServerPhase.STARTING
        is_open = phase is ServerPhase.LISTENING
        return ServerStatus(
            phase=phase,
            is_on=self._is_on,
            url=self._state.url if is_open else "",
            error=error,
            model=self._model,
            is_loading=self._loader.status.is_loading,
            model_error=self._loader.status.error if self._model is None else None,
            answering=sum(one.is_open for one in self._requests.values()),
            waiting=sum(one.note.state == "waiting" for one in self._requests.values()),
            needs_restart=self._needs_restart and is_open,
        )

    @property
    def key(self) -> KeyState:
        """The key, as far as it is known."""
        return self._key

    @property
    def port(self) -> int:
        """The port that the server is opened on, or will be; 0: any that is free."""
        return self._settings.settings.get_int("server.port")

    @property
    def allowed(self) -> tuple[str, ...]:
        """The web pages that may ask."""
        return self._settings.settings.get_texts("server.allowed_origins")

    @property
    def requests(self) -> tuple[ServedRequest, ...]:
        """The last requests, the newest first."""
        return tuple(sorted(self._requests.values(), key=lambda one: -one.note.id))

    @property
    def refusals(self) -> tuple[Refused, ...]:
        """Who was turned away lately, the newest first."""
        return self._refusals

    # --- what the user does ---------------------------------------------------------------------

    def switch(self, on: bool) -> None:
        """Open the server, or close it; who is being answered is cut off."""
        if on == self._is_on or self._is_closed:
            return
        self._is_on = on
        if on:
            self.start_again()
        else:
            self._needs_restart = False
            self._withdraw_notice()
            self._in_lane(self._server.stop, self._ignore, self._on_lost)
            self._tell()

    @Slot()
    def start_again(self) -> None:
        """Open the server anew, with what is wanted now."""
        if self._is_closed or not self._is_on:
            return
        self._error = None
        self._needs_restart = False
        self._withdraw_notice()
        self._state = ServerState(ServerPhase.STARTING)
        self._in_lane(partial(self._open, self._options()), self._on_key, self._on_not_opened)
        self._tell()

    def read_key(self) -> None:
        """Find out the key; made when there is none."""
        if not self._key.key:
            read = partial(load_or_make_key, self._key_folder)
            self._in_lane(read, self._on_key, self._on_no_key)

    def make_new_key(self) -> None:
        """Replace the key. The old one counts no more from now on, also not for who is asking."""
        make = partial(make_new_key, self._key_folder)
        self._in_lane(make, self._on_new_key, self._on_lost)

    def allow(self, text: str) -> str:
        """Let a web page ask; return its address as browsers send it.

        Raises:
            ServerAddressError: it is no address of one page.
        """
        from models.api.origins import read_origin

        page = read_origin(text)
        if page in self.allowed:
            raise ServerAddressError(f"{page} is allowed already.")
        self._settings.set("server.allowed_origins", (*self.allowed, page))
        self._set_refusals(tuple(one for one in self._refusals if one.page != page))
        return page

    def disallow(self, page: str) -> None:
        """Refuse a web page again."""
        rest = tuple(one for one in self.allowed if one != page)
        self._settings.set("server.allowed_origins", rest)

    def set_port(self, port: int) -> None:
        """Open the server on another port from now on."""
        self._settings.set("server.port", port)

    @Slot()
    def try_other_port(self) -> None:
        """Go to the port beside the one that cannot be had."""
        self.set_port(other_port(self.port))

    @Slot()
    def load_model_again(self) -> None:
        """Load what answered before it failed."""
        self._loader.retry()

    def forget_refusals(self) -> None:
        """Show no longer who was turned away."""
        self._set_refusals(())

    def close(self) -> None:
        """Open nothing any more; ``stop_server`` ends what is open."""
        self._is_closed = True

    def stop_server(self) -> None:
        """End the server for good, and wait for that; in any thread, safe twice."""
        self._server.close()

    # --- in the lane ----------------------------------------------------------------------------

    def _in_lane(
        self,
        operation: Callable[[], object],
        done: Callable[..., None],
        error: Callable[[Exception], None],
    ) -> None:
        self._runner.run(operation, done=done, error=error, lane="server")

    def _open(self, options: ServerOptions) -> str:
        try:
            key = load_or_make_key(self._key_folder)
        except FathomError:
            # One that was opened with another key must not stay.
            self._server.stop()
            raise
        self._server.start(dataclasses.replace(options, key=key))
        return key

    def _options(self) -> ServerOptions:
        return ServerOptions(port=self.port, key="", allowed_origins=self.allowed)

    # --- for the server's threads ---------------------------------------------------------------

    def _served(self) -> ServedModel | None:
        return self._model

    def _defaults(self) -> tuple[Sampling, int]:
        settings = self._settings.settings
        return sampling(settings), settings.get_int("chat.max_tokens")

    # --- what comes of it -----------------------------------------------------------------------

    def _on_key(self, key: str) -> None:
        if key != self._key.key or self._key.error is not None:
            self._key = KeyState(key)
            self.key_changed.emit(self._key)

    def _on_new_key(self, key: str) -> None:
        self._on_key(key)
        self.start_again()

    def _on_no_key(self, error: Exception) -> None:
        self._key = KeyState(error=expected(error))
        self.key_changed.emit(self._key)

    def _on_not_opened(self, error: Exception) -> None:
        """Without a key nothing is opened."""
        self._on_no_key(error)
        self._error = self._key.error
        self._tell()

    def _on_lost(self, error: Exception) -> None:
        self._messages.error(expected(error))

    def _ignore(self, _result: object) -> None:
        """Take a result that says nothing."""

    @Slot(ServerState)
    def _on_state(self, state: ServerState) -> None:
        was_open = self._state.phase is ServerPhase.LISTENING
        self._state = state
        self._tell()
        if state.error is not None and was_open and self._is_on and not self._is_closed:
            again = Action(self.tr("Start again"), self.start_again)
            self._notice_id = self._messages.error(state.error, again)

    def _withdraw_notice(self) -> None:
        notice_id, self._notice_id = self._notice_id, None
        if notice_id is not None:
            self._messages.withdraw(notice_id)

    @Slot(tuple)
    def _on_noted(self, notes: tuple[RequestNote, ...]) -> None:
        now = datetime.datetime.now().astimezone()
        for note in notes:
            known = self._requests.get(note.id)
            self._requests[note.id] = ServedRequest(note, known.at if known else now)
        ended = [number for number, one in sorted(self._requests.items()) if not one.is_open]
        for number in ended[: max(len(self._requests) - MOST_REQUESTS, 0)]:
            del self._requests[number]
        self.requests_changed.emit(self.requests)
        status = self.status
        if status.needs_restart and not status.answering:
            self.start_again()
        else:
            self._tell()

    @Slot(tuple)
    def _on_turned_away(self, refusals: tuple[TurnedAway, ...]) -> None:
        now = datetime.datetime.now().astimezone()
        known = {(one.reason, one.shown): one for one in reversed(self._refusals)}
        for refusal in refusals:
            key = (refusal.reason, refusal.shown)
            before = known.pop(key, None)
            count = refusal.count + (before.count if before else 0)
            known[key] = Refused(*key, count, now, _page_of(refusal))
        self._set_refusals(tuple(reversed(known.values()))[:MOST_REFUSALS])

    def _set_refusals(self, refusals: tuple[Refused, ...]) -> None:
        if refusals != self._refusals:
            self._refusals = refusals
            self.refusals_changed.emit(refusals)

    # --- what it depends on ---------------------------------------------------------------------

    @Slot()
    def _on_about_to_load(self) -> None:
        # In this order: what is asked from now on finds nothing to answer it.
        self._model = None
        self._runner.run(
            self._server.stop_current, done=self._ignore, error=self._on_lost, lane="control"
        )
        self._tell()

    @Slot(ModelStatus)
    def _on_model(self, status: ModelStatus) -> None:
        model = None
        if status.is_ready and status.entry is not None and status.loaded is not None:
            model = ServedModel(status.entry.name, status.loaded.settings.n_ctx)
        told = (model, status.is_loading, status.error)
        if told != self._told_model:
            self._model, self._told_model = model, told
            self._tell()

    @Slot(str, object)
    def _on_setting(self, key: str, _value: object) -> None:
        if key not in _OPENED_WITH or not self._is_on:
            return
        if self.status.answering:
            self._needs_restart = True
            self._tell()
        else:
            self.start_again()

    def _tell(self) -> None:
        self.status_changed.emit(self.status)


def _page_of(refusal: TurnedAway) -> str:
    from models.api.origins import read_origin

    if refusal.reason != "origin":
        return ""
    try:
        return read_origin(refusal.shown)
    except ServerAddressError:
        return ""
