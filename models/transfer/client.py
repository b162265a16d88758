"""The parent's side of the transfer child: keeps it running, tells it, hears it. No Qt here.

Nothing here waits for the child but ``stop``. A request is kept until the child says that it is
written down, and given to the next child when this one dies before that; all requests may come
twice without harm. Locking is as in models/runtime/supervisor.py: the lock is held for bookkeeping
only, and the listener runs without it, in the reader thread.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Condition

from models.errors import EngineProtocolError, FathomError, TransferError
from models.runtime.client import ChildClient, ChildEnd
from models.runtime.command import engine_environment
from models.runtime.ladder import Ladder, Rung
from models.runtime.protocol import Json, encode_line
from models.runtime.states import Limits
from models.transfer.events import (
    JobChanged,
    JobGone,
    QueueReplaced,
    TransferDown,
    TransferEvent,
    TransferSettings,
    TransferTrouble,
)
from models.transfer.job import ENDED, JobSpec, JobState, JobView
from models.transfer.protocol import (
    TRANSFER_PROTOCOL_VERSION,
    AcceptedLine,
    GoneLine,
    HelloLine,
    JobLine,
    QueueLine,
    RefusedLine,
    TransferLine,
    TroubleLine,
    line_from_bytes,
    path_text,
    settings_to_json,
    spec_to_json,
    view_of_line,
)
from models.transfer.queue_store import QUEUE_FILE, holds_any
from models.transfer.rebuild import has_begun

__all__ = ["TransferClient", "has_unfinished"]

_LOG = logging.getLogger(__name__)

# So many ends within so many seconds, and the child is not started again by itself.
_DEATH_LIMIT = 4
_DEATH_WINDOW_S = 60.0
_HELLO_LIMIT_S = 30.0
_STOP_LIMIT_S = 5.0
_HIDDEN = "[token]"


class TransferClient:
    """One transfer child at a time, and the downloads it has.

    Every method may be called from any thread, and all but ``stop`` return at once.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        data_dir: Path,
        listener: Callable[[TransferEvent], None],
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; no child runs before ``start`` or a request.

        Args:
            command: the child's command line, ``program_command("transfer")``.
            data_dir: where the queue is kept.
            listener: told everything that happens, in order, in the reader thread. It must
                return soon: nothing is read from the child meanwhile.
            env: variables laid over this process's environment for the child.
        """
        self._command = list(command)
        self._data_dir = data_dir
        self._listener = listener
        self._env = dict(env or {})
        self._lock = Condition()  # guards everything below
        self._child: ChildClient[TransferLine] | None = None
        self._last_child: ChildClient[TransferLine] | None = None
        self._hello_deadline: float | None = None
        self._is_wanted = False
        self._is_stopped = False
        self._limits = Limits()
        self._ladder: Ladder | None = None
        self._deaths: deque[float] = deque(maxlen=_DEATH_LIMIT)
        self._settings = TransferSettings()
        self._views: dict[str, JobView] = {}
        self._next_id = 1
        self._unanswered: dict[int, Json] = {}
        self._events: deque[TransferEvent] = deque()
        self._is_delivering = False

    # --- what the owner calls -------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        child = self._child
        return child.pid if child else None

    def configure(self, settings: TransferSettings) -> None:
        """Say how downloads are to be made; a child that is started later gets it too."""
        with self._lock:
            self._settings = settings
            self._send({"op": "configure", "settings": settings_to_json(settings)})

    def start(self) -> None:
        """Start the child unless it runs; it goes on with what the queue holds."""
        with self._lock:
            self._is_stopped = False
            self._deaths.clear()
            self._begin()
        self._deliver()

    def stop(self, timeout_s: float = _STOP_LIMIT_S) -> None:
        """End the child, politely and then firmly; downloads go on at the next ``start``.

        Requests that come after it wait for that, too.
        """
        with self._lock:
            self._is_wanted, self._is_stopped = False, True
            child = self._last_child
            if self._ladder is not None:
                self._ladder.by_user = True
            elif self._child is not None:
                # A third for each of: politely, SIGTERM, SIGKILL.
                step_s = max(timeout_s, 0.0) / 3
                self._limits = Limits(
                    stop_shutdown_s=step_s, stop_terminate_s=step_s, stop_kill_s=step_s
                )
                self._ladder = Ladder(Rung.SHUTDOWN, by_user=True)
                self._child.wake()
        if child is None or child.is_current_thread:
            return
        if not child.join(timeout_s + self._limits.listener_s):
            _LOG.warning("the transfer child's reader thread does not end")

    def add(self, spec: JobSpec) -> None:
        """Put a download at the end of the queue; one that is there already is left alone."""
        self._request({"op": "add", "spec": spec_to_json(spec)})

    def pause(self, job_id: str) -> None:
        """Stop a download and keep what there is."""
        self._request({"op": "pause", "job_id": job_id})

    def resume(self, job_id: str) -> None:
        """Go on with a download that rests, for whatever reason, or repeat one that ended."""
        self._request({"op": "resume", "job_id": job_id})

    def cancel(self, job_id: str, *, keep: bool) -> None:
        """End a download; without ``keep``, what it fetched is deleted."""
        self._request({"op": "cancel", "job_id": job_id, "keep": keep})

    def move(self, job_id: str, position: int) -> None:
        """Put a download to another place of the queue, counted from 0."""
        self._request({"op": "move", "job_id": job_id, "position": position})

    def forget(self, job_id: str) -> None:
        """Take a download that ended or failed off the list; its files stay."""
        self._request({"op": "forget", "job_id": job_id})

    def jobs(self) -> tuple[JobView, ...]:
        """Return what is known of all downloads, in the order of the queue."""
        with self._lock:
            return tuple(sorted(self._views.values(), key=lambda view: view.position))

    # --- the reader thread's calls --------------------------------------------------------------

    def on_event(self, event: TransferLine) -> None:
        """Take an event of the child."""
        with self._lock:
            if self._hello_deadline is not None:
                self._take_hello(event)
            else:
                self._take(event)
        self._deliver()

    def on_broken(self, error: EngineProtocolError) -> None:
        """End a child that does not speak the protocol."""
        with self._lock:
            if self._ladder is None:
                _LOG.warning("the transfer child broke the protocol: %s", error.message)
                self._ladder = Ladder(Rung.TERMINATE, reason=error)

    def on_pass(self, now: float) -> None:
        """Do what is due."""
        with self._lock:
            late = self._hello_deadline is not None and now >= self._hello_deadline
            if late and self._ladder is None:
                error = TransferError(f"It did not start within {_HELLO_LIMIT_S:g} s.")
                self._ladder = Ladder(Rung.TERMINATE, reason=error)
            if self._ladder is not None:
                self._step(self._ladder.climb(now, self._limits, works=False))

    def next_deadline(self) -> float | None:
        """Return when something is due."""
        with self._lock:
            return self._ladder.deadline if self._ladder else self._hello_deadline

    def on_ended(self, end: ChildEnd) -> None:
        """Start the next child, or say that there will be none."""
        with self._lock:
            child, self._child = self._child, None
            ladder, self._ladder = self._ladder, None
            self._hello_deadline = None
            if ladder is not None and ladder.by_user:
                if self._is_wanted:  # started again meanwhile
                    self._begin()
            elif self._is_wanted:
                words = self._without_token(child.stderr_tail() if child else "")
                self._died(_death_of(end, ladder, words), can_start=not end.start_failure)
            self._lock.notify_all()
        self._deliver()

    # --- its parts, lock held -------------------------------------------------------------------

    def _begin(self) -> None:
        self._is_wanted = True
        if self._child is not None:
            # One that is just being ended: the next is started when it is gone.
            return
        # Without tokens: the child gets one by ``configure`` or not at all.
        env = engine_environment(self._env)
        self._child = self._last_child = ChildClient(
            self._command, env=env, owner=self, decode=line_from_bytes, subject="transfer"
        )
        self._hello_deadline = time.monotonic() + _HELLO_LIMIT_S
        try:
            self._child.begin()
        except RuntimeError as error:  # the system has no thread left
            self._child, self._hello_deadline = None, None
            self._died(_cannot_start(str(error)), can_start=False)

    def _died(self, error: TransferError, *, can_start: bool) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        often = len(self._deaths) == _DEATH_LIMIT and now - self._deaths[0] < _DEATH_WINDOW_S
        is_final = often or not can_start or not self._is_wanted
        _LOG.warning("%s\n%s", error.one_line(), error.details)
        self._events.append(TransferDown(error, is_final))
        if is_final:
            self._is_wanted = False
        else:
            self._begin()

    def _step(self, rung: Rung | None) -> None:
        child = self._child
        if rung is None or child is None:
            return
        if rung is Rung.SHUTDOWN:
            child.send(encode_line({"id": self._new_id(), "op": "shutdown"}))
        elif rung is Rung.TERMINATE:
            child.terminate()
        elif rung is Rung.KILL:
            child.kill()
        else:
            _LOG.warning("the transfer child %s could not be ended", child.pid)
            child.abandon()

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _request(self, request: Json) -> None:
        with self._lock:
            request = {"id": self._new_id(), **request}
            self._unanswered[request["id"]] = request
            if self._is_wanted and self._child is not None:
                self._send(request)
            elif not self._is_stopped:
                self._begin()
        self._deliver()

    def _send(self, request: Json) -> None:
        """Send now, or leave it to ``_take_hello``."""
        if self._child is not None and self._hello_deadline is None and self._ladder is None:
            self._child.send(encode_line({"id": self._new_id(), **request}))

    def _take_hello(self, event: TransferLine) -> None:
        if isinstance(event, RefusedLine):
            raise EngineProtocolError(event.message, hint=event.hint, details=event.details)
        if not isinstance(event, HelloLine):
            raise EngineProtocolError("The transfer child's first event was not hello.")
        if event.protocol != TRANSFER_PROTOCOL_VERSION:
            raise EngineProtocolError(
                f"The transfer child speaks protocol {event.protocol}, "
                f"this Fathom speaks {TRANSFER_PROTOCOL_VERSION}.",
                hint="Two versions of Fathom are mixed. Install it again.",
            )
        self._hello_deadline = None
        settings = settings_to_json(self._settings)
        self._send({"op": "configure", "settings": settings})
        self._send({"op": "open", "data_dir": path_text(self._data_dir)})

    def _take(self, event: TransferLine) -> None:
        if isinstance(event, JobLine):
            self._take_view(event)
        elif isinstance(event, QueueLine):
            self._take_queue(event)
        elif isinstance(event, GoneLine):
            if self._views.pop(event.job_id, None) is not None:
                self._events.append(JobGone(event.job_id))
        elif isinstance(event, AcceptedLine):
            self._unanswered.pop(event.id, None)
        elif isinstance(event, RefusedLine):
            self._unanswered.pop(event.id or 0, None)
            _LOG.info("the transfer child refused a request: %s", event.message)
        elif isinstance(event, TroubleLine):
            self._events.append(TransferTrouble(event.error()))

    def _take_view(self, line: JobLine) -> None:
        known = self._views.get(line.job_id)
        view = view_of_line(line, known.spec if known else None)
        self._views[view.job_id] = view
        self._events.append(JobChanged(view))

    def _take_queue(self, line: QueueLine) -> None:
        before = self._views
        self._views = {job.job_id: view_of_line(job, None) for job in line.jobs}
        self._events.append(QueueReplaced(tuple(self._views.values())))
        # Unwritten in a full disk, say: what the child before this one had is given to it again.
        for view in before.values():
            if view.job_id not in self._views and view.state not in ENDED:
                self._send({"op": "add", "spec": spec_to_json(view.spec)})
                if view.state is JobState.PAUSED:
                    self._send({"op": "pause", "job_id": view.job_id})
        for request in self._unanswered.values():
            self._send(request)

    def _without_token(self, text: str) -> str:
        token = self._settings.token
        return text.replace(token, _HIDDEN) if token else text

    def _deliver(self) -> None:
        """Call the listener with what is queued, in order, one thread at a time; no lock held."""
        while True:
            with self._lock:
                if self._is_delivering or not self._events:
                    return
                self._is_delivering = True
                event = self._events.popleft()
            try:
                self._listener(event)
            except Exception:  # noqa: BLE001
                # A bug in the listener must not leave the child without its watchdog.
                _LOG.exception("the listener of downloads failed on %s", type(event).__name__)
            finally:
                with self._lock:
                    self._is_delivering = False


def has_unfinished(data_dir: Path) -> bool:
    """Whether there is anything to go on with, or to be told of, at a start; needs no child."""
    queue_file = data_dir / QUEUE_FILE
    if queue_file.exists():
        return holds_any(queue_file, tuple(sorted(ENDED)))
    # The queue was lost; Fathom's own folder tells of what was begun in it.
    return has_begun([data_dir / "models"])


def _cannot_start(details: str) -> TransferError:
    return TransferError(
        "Downloads cannot be started.",
        hint="Run `fathom doctor` to check the installation.",
        details=details,
    )


def _death_of(end: ChildEnd, ladder: Ladder | None, words: str) -> TransferError:
    """Put the end of the child into words."""
    if end.start_failure:
        return _cannot_start(end.start_failure)
    reason: FathomError | None = ladder.reason if ladder else None
    status = end.returncode
    how = f"exit status {status}" if status is None or status >= 0 else f"signal {-status}"
    said = reason.message if reason else how
    return TransferError(
        f"The process that makes the downloads ended unexpectedly ({said.rstrip('.')}).",
        hint="What was fetched is kept.",
        details="\n".join(filter(None, [reason.details if reason else "", words])),
    )
