"""``fathom serve``: other programs ask a checkpoint, until Ctrl-C. No Qt here."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import signal
import time
from typing import Any

from app.cli.failures import INTERRUPTED, print_error, print_line
from app.cli.planned_load import VerbLoad
from app.cli.run import load_checkpoint
from app.cli.safety import template_to_use
from app.cli.session import EngineConversation, Session
from app.cli.terminal import without_controls
from models.api.desk import RequestNote
from models.api.key import KEY_FILE, load_or_make_key, make_new_key
from models.api.origins import read_origin
from models.api.protocol import ServedModel, ServerOptions, TurnedAway
from models.api.requests import Awaited
from models.api.server import ApiServer, ServerPhase, ServerState
from models.engine_settings import sampling
from models.errors import BadInputError, FathomError, StoppedError
from models.gguf.checkpoint import inspect_checkpoint
from models.library.library import LibraryEntry
from models.runtime.protocol import LoadSettings, Sampling
from models.runtime.supervisor import EngineFailed
from models.runtime.turns import EngineTurns
from models.units import format_duration, format_rate

# After a crash the checkpoint is loaded again, and at most so often.
RELOAD_INTERVAL_S = 60.0

_log = logging.getLogger(__name__)
_ENDED = ("done", "failed", "gone")
_TURNED_AWAY = {
    "host": "A request for another name than this machine's was refused",
    "key": "A request without the right key was refused",
    "content_type": "A question that is not JSON was refused",
    "too_large": "A question that is too large was refused",
    "too_slow": "A client that was too slow was refused",
    "too_many": "Too many clients were connected; one was refused",
}


def serve(options: argparse.Namespace, session: Session) -> int:
    """Serve ``options.model`` until Ctrl-C; return the exit code."""
    if options.print_key or options.new_key:
        return _print_key(options, session)
    opened = _server_options(options, session)
    entry = session.library().resolve(_model_name(options, session))
    inspect_checkpoint(entry.path)
    template = template_to_use(entry, session, options.template)
    with session.open_engine() as engine, engine.ctrl_c_cancels(also=(signal.SIGTERM,)):
        host = _Host(session, engine, entry, json_output=options.json)
        try:
            # First of all: a port that is in use is said before a long load, not after it.
            host.open(opened)
            host.prepare(options.ctx, template)
            host.load()
            host.say_where()
        except StoppedError:
            print_line("Stopped.")
            return INTERRUPTED
        else:
            host.run()
        finally:
            host.close()
    return 0


def _print_key(options: argparse.Namespace, session: Session) -> int:
    session.paths.create()
    make = make_new_key if options.new_key else load_or_make_key
    key = make(session.paths.data_dir)
    print(json.dumps({"key": key}) if options.json else key)
    if options.new_key:
        print_line("Programs need the new key, and a server that is running has to be restarted.")
    return 0


def _model_name(options: argparse.Namespace, session: Session) -> str:
    name: str = options.model or session.settings.get_str("chat.last_checkpoint")
    if not name:
        raise BadInputError("Which checkpoint?", hint='Name one, such as "fathom serve demo".')
    return name


def _server_options(options: argparse.Namespace, session: Session) -> ServerOptions:
    """Return how to serve: the settings, and what was given here.

    Raises:
        ServerAddressError: a web page's address is none.
        ServerKeyError, DiskError: the key cannot be read or made.
    """
    settings = session.settings
    given = [read_origin(text) for text in options.origins]
    session.paths.create()
    return ServerOptions(
        port=settings.get_int("server.port") if options.port is None else options.port,
        key=load_or_make_key(session.paths.data_dir),
        allowed_origins=tuple(
            dict.fromkeys([*settings.get_texts("server.allowed_origins"), *given])
        ),
    )


class _Host:
    """An engine with a checkpoint, the server before it, and what is said of both."""

    def __init__(
        self,
        session: Session,
        engine: EngineConversation,
        entry: LibraryEntry,
        *,
        json_output: bool,
    ) -> None:
        self._session = session
        self._engine = engine
        self._entry = entry
        self._json = json_output
        self._how = LoadSettings()
        self._model: ServedModel | None = None
        self._state = ServerState()
        # In monotonic seconds: when the checkpoint was loaded last, and is to be loaded again.
        self._loaded_s = -math.inf
        self._reload_s = math.inf
        self._server = ApiServer(
            engine.supervisor,
            EngineTurns(),
            served=self._served,
            defaults=self._defaults,
            noted=engine.put,
            on_state=engine.put,
            on_turned_away=engine.put,
        )

    def open(self, options: ServerOptions) -> None:
        """Open the server and wait until it listens; clients are told to come again.

        Raises:
            FathomError: it does not open.
            StoppedError: Ctrl-C came first.
        """
        self._server.start(options)
        while self._state.phase is not ServerPhase.LISTENING:
            self._take_next(math.inf)
            if self._engine.interrupted:
                raise StoppedError

    def prepare(self, n_ctx: int | None, template: str) -> None:
        """Plan how the checkpoint is loaded.

        Raises:
            StoppedError: Ctrl-C came meanwhile.
        """
        how = VerbLoad(self._session, self._engine, self._entry.path, n_ctx=n_ctx)
        self._how = dataclasses.replace(how.settings, template=template)

    def load(self) -> None:
        """Load the checkpoint.

        Raises:
            StoppedError: Ctrl-C came meanwhile.
            FathomError: it cannot be loaded.
        """
        self._loaded_s, self._reload_s = time.monotonic(), math.inf
        entry = self._entry
        loaded = load_checkpoint(self._engine, entry.path, entry.title, self._how, quiet=self._json)
        if loaded is None or self._engine.interrupted:
            # Or Ctrl-C came too late for the load to hear it.
            raise StoppedError
        self._model = ServedModel(entry.name, loaded.settings.n_ctx)

    def say_where(self) -> None:
        """Tell where programs find what."""
        model, key_file = self._model, self._session.paths.data_dir / KEY_FILE
        if model is None:
            return
        if self._json:
            fields = {"url": self._state.url, "port": self._state.port, "key_file": str(key_file)}
            self._print("serving", **fields, **dataclasses.asdict(model))
            return
        context = f"{model.context_tokens:,} tokens of context"
        where = f"{self._state.url} serves {model.name} with {context}"
        print(f"{where}. The key is in {key_file}.", flush=True)

    def run(self) -> None:
        """Tell what happens, and load the checkpoint again after a crash, until Ctrl-C.

        Raises:
            FathomError: the server ended.
        """
        while not self._engine.interrupted:
            self._take_next(self._reload_s - time.monotonic())
            if time.monotonic() >= self._reload_s:
                self._load_again()

    def close(self) -> None:
        """Close the server and cancel its answers."""
        self._server.stop()

    # --- from the server's threads --------------------------------------------------------------

    def _served(self) -> ServedModel | Awaited:
        if self._model is not None and self._engine.supervisor.model is not None:
            return self._model
        # It crashed, or the first load is still to come: nobody has to do anything for it.
        reload_s = self._reload_s
        return Awaited(max(0.0, reload_s - time.monotonic()) if math.isfinite(reload_s) else 0.0)

    def _defaults(self) -> tuple[Sampling, int]:
        settings = self._session.settings
        return sampling(settings), settings.get_int("chat.max_tokens")

    # --- what is told ---------------------------------------------------------------------------

    def _take_next(self, limit_s: float) -> None:
        message = self._engine.next_message(limit_s)
        if isinstance(message, ServerState):
            self._state = message
            if message.error is not None:
                raise message.error
        elif isinstance(message, RequestNote):
            self._say_request(message)
        elif isinstance(message, TurnedAway):
            self._say_turned_away(message)
        elif isinstance(message, EngineFailed):
            self._say_failure(message.error)

    def _say_request(self, note: RequestNote) -> None:
        if self._json:
            self._print("request", **dataclasses.asdict(note) | _rounded(note))
        elif note.state in _ENDED:
            print_line(f"Request {note.id}: {request_words(note)}")

    def _say_turned_away(self, told: TurnedAway) -> None:
        if self._json:
            self._print("turned_away", **dataclasses.asdict(told))
        else:
            print_line(turned_away_words(told))

    def _say_failure(self, error: FathomError) -> None:
        self._reload_s = max(time.monotonic(), self._loaded_s + RELOAD_INTERVAL_S)
        wait_s = self._reload_s - time.monotonic()
        if self._json:
            self._print("engine_failed", error=error.to_json(), retry_after_s=round(wait_s, 1))
            return
        print_error(error, json_output=False)
        when = f"in {format_duration(wait_s)}" if wait_s >= 1 else "now"
        print_line(f"The checkpoint is loaded again {when}; until then, requests are refused.")

    def _load_again(self) -> None:
        try:
            self.load()
            self.say_where()
        except StoppedError:
            # Ctrl-C, which ends the server as it would have without a crash.
            return
        except FathomError as error:
            self._say_failure(error)

    @staticmethod
    def _print(event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}, ensure_ascii=False), flush=True)


def _rounded(note: RequestNote) -> dict[str, float]:
    return {
        "decode_tok_s": round(note.decode_tok_s, 2),
        "elapsed_s": round(note.elapsed_s, 3),
    }


def request_words(note: RequestNote) -> str:
    """Return how a request ended, in one line and without a word of it."""
    if note.state == "failed":
        # It may quote what a program called the model: that must not look like lines of ours.
        return without_controls(" ".join(f"failed: {note.error}".split()))
    parts = [f"{note.completion_tokens} tokens"]
    if note.decode_tok_s:
        parts[0] += f" at {format_rate(note.decode_tok_s)}"
    parts += [f"prompt of {note.prompt_tokens} tokens", format_duration(note.elapsed_s)]
    if note.state == "gone":
        parts.append("the client hung up")
    return ", ".join(parts)


def turned_away_words(told: TurnedAway) -> str:
    """Return who was turned away, in one line."""
    shown = without_controls(told.shown)
    if told.reason == "origin":
        page = f"A web page at {shown}" if shown else "A web page"
        words = f"{page} wanted to use the server and was refused"
    else:
        words = _TURNED_AWAY.get(told.reason, "A request was refused")
        words += f" ({shown})" if shown else ""
    return f"{words}, {told.count} times." if told.count > 1 else f"{words}."
