"""The transfer child: reads requests, makes downloads, writes events. No Qt here.

The main thread owns the queue and waits for nothing but its inbox. The reader takes requests and
stops a download at once when one says so; the keeper writes the queue down; every download has a
thread of its own. docs/transfer.md has the protocol.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from models.errors import EngineProtocolError, FathomError
from models.runtime.child_lines import exit_soon, parse_request, read_lines, write_all
from models.runtime.child_setup import open_standard_streams, take_protocol_fd
from models.runtime.protocol import Json, Request, encode_line
from models.transfer.desk import Desk
from models.transfer.discard_run import DiscardRun
from models.transfer.events import TransferSettings
from models.transfer.hubs import HubLocator
from models.transfer.job import JobSpec
from models.transfer.job_book import FileStand
from models.transfer.job_runner import JobRun
from models.transfer.limiter import RateLimiter
from models.transfer.protocol import (
    TRANSFER_PROTOCOL_VERSION,
    AcceptedLine,
    ByeLine,
    HelloLine,
    RefusedLine,
    TransferLine,
    TroubleLine,
    line_to_json,
    path_from_text,
    settings_from_json,
    spec_from_json,
)
from models.transfer.queue_keeper import KeeperNotice, Kept, Opened, QueueKeeper
from models.transfer.queue_store import QUEUE_FILE, StoredJob
from models.transfer.remote import Locator
from models.transfer.room_run import RoomRun
from models.transfer.room_watch import FIRST_PAUSE_S
from models.transfer.run import FileTools, Run, RunTools
from models.transfer.slots import Slots
from models.transfer.space import SpaceLedger
from models.version import VERSION

# Between two looks at the downloads: six to seven a second.
_TICK_S = 0.15
_STOP_RUNS_S = 1.0
_CLOSE_QUEUE_S = 0.7
# What hangs in a dead drive by then is left.
_EXIT_GRACE_S = 2.0
_HIDDEN = "[token]"


@dataclass(frozen=True)
class _Ended:
    run: Run
    error: FathomError | None


@dataclass(frozen=True)
class _Malformed:
    request_id: int | None
    error: EngineProtocolError


@dataclass(frozen=True)
class _Over:
    """The parent is gone, or wants the end."""


_Mail = _Ended | Request | _Malformed | _Over | KeeperNotice
MakeFileTools = Callable[[Slots, RateLimiter], FileTools]


class SettableLocator(Locator, Protocol):
    """A locator that is told of settings."""

    def configure(self, settings: TransferSettings) -> None:
        """Ask with other settings from now on."""


class LineWriter:
    """Writes whole events to the protocol's own descriptor, without the token."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._token = ""

    def hide(self, token: str | None) -> None:
        """Keep a token out of everything that is written from now on."""
        self._token = token or ""

    def send(self, line: TransferLine) -> None:
        """Write one event; a parent that is gone is noticed by the reader, not here."""
        data = encode_line(line_to_json(line))
        if self._token and self._token.encode() in data:
            data = data.replace(self._token.encode(), _HIDDEN.encode())
        with contextlib.suppress(BrokenPipeError):
            write_all(self._fd, data)


class Launcher:
    """Makes runs whose ends come into the inbox."""

    def __init__(self, tools: RunTools, inbox: queue.SimpleQueue[_Mail]) -> None:
        self._tools = tools
        self._inbox = inbox

    def job(self, spec: JobSpec, files: tuple[FileStand, ...]) -> Run:
        """Return a run that fetches a download."""
        return JobRun(spec, files, self._tools, self._ended)

    def discard(self, spec: JobSpec, files: tuple[FileStand, ...], *, keeps: bool) -> Run:
        """Return a run that takes a cancelled download away."""
        return DiscardRun(spec, files, self._tools, self._ended, keeps=keeps)

    def room(self, spec: JobSpec) -> Run:
        """Return a run that looks whether there is room for a download."""
        return RoomRun(spec, self._tools, self._ended)

    def _ended(self, run: Run, error: FathomError | None) -> None:
        self._inbox.put(_Ended(run, error))


class Worker:
    """Runs until it is told to stop or its parent is gone."""

    def __init__(
        self,
        requests: BinaryIO,
        writer: LineWriter,
        *,
        make_file_tools: MakeFileTools,
        ledger: SpaceLedger | None = None,
        locator: SettableLocator | None = None,
        room_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._requests = requests
        self._writer = writer
        self._inbox: queue.SimpleQueue[_Mail] = queue.SimpleQueue()
        self._slots = Slots()
        self._limiter = RateLimiter()
        self._locator = locator or HubLocator()
        self._settings = TransferSettings()
        files = make_file_tools(self._slots, self._limiter)
        tools = RunTools(files, self._locator, ledger or SpaceLedger())
        launcher = Launcher(tools, self._inbox)
        self._desk = Desk(launcher, writer.send, self._keep, room_pause_s=room_pause_s)
        self._keeper: QueueKeeper | None = None
        self._is_open = False
        self._early: list[Request] = []
        self._next_tick_s = 0.0

    def run(self) -> None:
        """Work until the end."""
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while True:
            mail = self._next_mail()
            if isinstance(mail, _Over):
                break
            if mail is not None:
                self._take(mail)
            now_s = time.monotonic()
            if now_s >= self._next_tick_s:
                self._next_tick_s = now_s + _TICK_S
                self._desk.tick(now_s)
        self._desk.close(_STOP_RUNS_S)
        if self._keeper is not None:
            self._keeper.close(_CLOSE_QUEUE_S)
        self._writer.send(ByeLine())

    def _next_mail(self) -> _Mail | None:
        # A queue in which nothing moves wakes nobody.
        at_s = self._next_tick_s if self._desk.is_running else self._desk.next_s
        timeout_s = None if at_s is None else max(0.0, at_s - time.monotonic())
        try:
            return self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _take(self, mail: _Mail) -> None:
        if isinstance(mail, _Ended):
            self._desk.ended(mail.run, mail.error)
        elif isinstance(mail, Request):
            self._answer(mail)
        elif isinstance(mail, Kept):
            for request_id in mail.request_ids:
                self._writer.send(AcceptedLine(request_id))
        elif isinstance(mail, Opened):
            self._opened(mail)
        elif isinstance(mail, _Malformed):
            self._refuse(mail.request_id, mail.error)
        elif not isinstance(mail, _Over):
            self._say_trouble(mail.error)

    def _opened(self, opened: Opened) -> None:
        self._is_open = True
        self._desk.open(opened.jobs)
        if opened.trouble is not None:
            self._say_trouble(opened.trouble)
        early, self._early = self._early, []
        for asked in early:
            self._answer(asked)

    def _answer(self, asked: Request) -> None:
        if not self._is_open and asked.op not in ("configure", "open"):
            self._early.append(asked)
            return
        try:
            self._do(asked.op, asked.fields)
        except FathomError as error:
            self._refuse(asked.id, error)
        else:
            if self._is_open:
                self._desk.written((asked.id,))

    def _do(self, op: str, fields: Json) -> None:
        job_id = str(fields.get("job_id", ""))
        desk = self._desk
        actions: dict[str, Callable[[], None]] = {
            "configure": lambda: self._configure(settings_from_json(fields.get("settings"))),
            "open": lambda: self._open(str(fields.get("data_dir", ""))),
            "add": lambda: desk.add(spec_from_json(fields.get("spec"))),
            "pause": lambda: desk.pause(job_id),
            "resume": lambda: desk.resume(job_id),
            "cancel": lambda: desk.cancel(job_id, keep=fields.get("keep") is not False),
            "move": lambda: desk.move(job_id, _integer(fields.get("position"))),
            "forget": lambda: desk.forget(job_id),
        }
        if op not in actions:
            raise EngineProtocolError(f"There is no request named {op!r}.")
        actions[op]()

    def _open(self, data_dir: str) -> None:
        if self._keeper is None:
            path = path_from_text(data_dir) / QUEUE_FILE
            self._keeper = QueueKeeper(path, self._settings.roots, self._inbox.put)
            self._keeper.begin()

    def _configure(self, settings: TransferSettings) -> None:
        before, self._settings = self._settings, settings
        self._writer.hide(settings.token)
        self._limiter.set_limit(settings.limit_bytes_s)
        self._slots.set_count(settings.connections)
        self._locator.configure(settings)
        self._desk.set_offline(settings.is_offline)
        if settings.token != before.token:
            self._desk.retry_refused()

    def _keep(self, rows: dict[str, StoredJob], request_ids: tuple[int, ...]) -> None:
        if self._keeper is not None:
            self._keeper.keep(rows, request_ids)

    def _refuse(self, request_id: int | None, error: FathomError) -> None:
        self._writer.send(
            RefusedLine(request_id, error.code, error.message, error.hint, error.details)
        )

    def _say_trouble(self, error: FathomError | None) -> None:
        line = TroubleLine("")
        if error is not None:
            line = TroubleLine(error.code, error.message, error.hint, error.details)
        self._writer.send(line)

    # --- the reader thread ----------------------------------------------------------------------

    def _read(self) -> None:
        for line in read_lines(self._requests):
            try:
                asked = parse_request(line)
            except EngineProtocolError as error:
                self._inbox.put(_Malformed(None, error))
                continue
            if asked.op == "shutdown":
                break
            self._inbox.put(asked)
            if asked.op in ("pause", "cancel"):
                # Before the main thread gets to it: it may be writing to a parent that is busy.
                run = self._desk.run_of(str(asked.fields.get("job_id")))
                if run is not None:
                    run.stop()
        self._inbox.put(_Over())
        # A drive that does not answer must not keep the process alive.
        exit_soon(_EXIT_GRACE_S)


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise EngineProtocolError("A position must be a number.")
    return value


def main(
    make_file_tools: MakeFileTools | None = None,
    *,
    ledger: SpaceLedger | None = None,
    locator: SettableLocator | None = None,
    room_pause_s: float = FIRST_PAUSE_S,
) -> int:
    """Run the transfer child on standard input and output; return its exit status.

    Args:
        make_file_tools: what transfers files; tests cut them smaller.
        ledger: who keeps room on the disks; tests keep less.
        locator: who knows where files are; tests ask nobody.
        room_pause_s: between two looks at a full disk; tests look more often.
    """
    open_standard_streams()
    writer = LineWriter(take_protocol_fd())
    writer.send(HelloLine(TRANSFER_PROTOCOL_VERSION, VERSION, os.getpid()))
    status = 1
    try:
        if make_file_tools is None:
            from models.transfer.file_tools import BlockTools

            make_file_tools = BlockTools
        requests = os.fdopen(0, "rb", closefd=False)
        worker = Worker(
            requests,
            writer,
            make_file_tools=make_file_tools,
            ledger=ledger,
            locator=locator,
            room_pause_s=room_pause_s,
        )
        worker.run()
        status = 0
    except BaseException:  # noqa: BLE001  The process boundary: the parent keeps what is printed.
        traceback.print_exc()
    # The reader still waits for standard input, and a dead drive may hold other threads.
    sys.stderr.flush()
    os._exit(status)
