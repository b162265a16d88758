"""The engine for the window, the command line and the server: start, ask, cancel, stop. No Qt here.

Locking: one condition guards everything (``EngineCore.changed``). Its lock is held for bookkeeping
only, never during a wait for the child and never while the listener runs. Whoever changes
something queues notices under the lock; the reader thread of the child delivers them afterwards,
in that order, without it. (Only when there is no child does the caller deliver.) So the listener
may call anything here that does not wait, and a slow listener slows down the child by way of its
pipe instead of filling the memory. Lock order: ``changed``, then the client's own; the client calls
back with none held.

Concurrency: the callers' threads and the child's reader thread, which is also its watchdog
(models/runtime/client.py). There is no other thread and no timer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from models.errors import EngineBusyError, EngineStartError, PromptTooLongError
from models.runtime.client import EngineClient, OpenPipes
from models.runtime.core import EngineCore
from models.runtime.ladder import Ladder, Rung
from models.runtime.pipes import open_pipes
from models.runtime.protocol import (
    MAX_LINE_BYTES,
    BenchRequest,
    Event,
    GenerateRequest,
    Json,
    LoadSettings,
    ModelInfo,
    encode_line,
    to_json,
)
from models.runtime.request_book import OpenRequest
from models.runtime.states import (
    EngineFailed,
    EngineListener,
    EngineNotice,
    EngineState,
    EventReceived,
    Limits,
    SafeModeRetry,
    StateChanged,
)

__all__ = [
    "EngineFailed",
    "EngineNotice",
    "EngineState",
    "EngineSupervisor",
    "EventReceived",
    "Limits",
    "SafeModeRetry",
    "StateChanged",
]

_LOG = logging.getLogger(__name__)
_S = EngineState

# Windows cannot interrupt a wait with Ctrl-C, only between two waits.
_WAIT_SLICE_S = 0.5
_JOIN_LIMIT_S = 5.0
# What a request's line holds besides its fields: id and op.
_ENVELOPE_BYTES = 1024
_DEFAULT_LIMITS = Limits()

_BUSY = {
    "load": "The engine is loading a checkpoint.",
    "unload": "The engine is unloading a checkpoint.",
    "generate": "The engine is answering.",
    "bench": "The engine is measuring its speed.",
    "streams": "The engine is measuring this machine.",
}


class EngineSupervisor:
    """Keeps one engine child.

    Every method may be called from any thread. Those that wait for the child (``start``, ``load``
    and ``request_devices`` when there is none, ``wait``) must not be called by the listener.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        listener: EngineListener,
        limits: Limits = _DEFAULT_LIMITS,
        env: Mapping[str, str] | None = None,
        pipes: OpenPipes = open_pipes,
    ) -> None:
        """Prepare; no child runs before ``start``, ``load`` or ``request_devices``.

        Args:
            command: the child's command line, see ``engine_command``.
            listener: told everything that happens, in order, usually in the reader thread. It
                must return soon: nothing is read from the child meanwhile.
            limits: how long to wait for what.
            env: variables laid over this process's environment for the child.
            pipes: how to open the child's pipes.
        """
        self._core = EngineCore(command, listener, limits, env, pipes)

    @property
    def state(self) -> EngineState:
        """What the child is doing."""
        return self._core.state

    @property
    def model(self) -> ModelInfo | None:
        """The checkpoint that is loaded."""
        return self._core.model

    @property
    def safe_mode(self) -> bool:
        """Whether a crash made the checkpoint be loaded again without repacked weights."""
        return self._core.safe_mode

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        client = self._core.client
        return client.pid if client else None

    def stderr_tail(self) -> str:
        """Return the last 64 KiB of standard error of the child, or of the last there was."""
        client = self._core.last_client
        return client.stderr_tail() if client else ""

    def start(self) -> None:
        """Start the child unless it runs, and wait until it has said hello.

        Raises:
            EngineStartError: it could not be started, said nothing in time or was stopped.
            EngineVersionError: it speaks another version of the protocol.
            EngineBusyError: the last child is just being stopped.
        """
        core = self._core
        with core.changed:
            attempt = core.starting
            if attempt is None:
                if core.state is _S.STOPPING:
                    raise EngineBusyError("The engine is being stopped.", hint="Try again.")
                if core.client is not None:
                    return
                self._check_crash_limit()
                attempt = core.spawn()
            self._refuse_in_reader()
            limits = core.limits
            limit_s = limits.hello_s + limits.ladder_s() + limits.listener_s
            core.changed.wait_for(lambda: attempt.done, limit_s)
        if core.client is None:
            core.deliver()
        if not attempt.done:
            raise EngineStartError("The engine did not start: the listener does not return.")
        if attempt.error is not None:
            raise attempt.error.with_traceback(None)

    def load(self, path: str, settings: LoadSettings) -> int:
        """Load a checkpoint, starting the child if there is none; what was loaded goes first.

        Returns:
            The request's id; progress and outcome come as events.

        Raises:
            EngineBusyError: another request is being worked on.
            EngineStartError, EngineVersionError: as ``start``.
        """
        self.start()
        core = self._core
        with core.changed:
            self._check_free()
            fields = {"path": path, "settings": to_json(settings)}
            request_id = self._submit("load", fields)
            core.begin_load(fields)
            return request_id

    def generate(self, request: GenerateRequest, *, listener: EngineListener | None = None) -> int:
        """Ask for an answer; returns the request's id, the answer comes as events.

        Args:
            request: what to answer.
            listener: told of this request in place of the supervisor's own listener, by the same
                rules; that one still hears live figures, states, and of a child that fails. It may
                be called before this returns.

        Raises:
            EngineBusyError: no checkpoint is loaded, or another request is being worked on.
            PromptTooLongError: the request does not fit in a line of the protocol.
        """
        return self._submit_on_checkpoint("generate", to_json(request), listener)

    def bench(self, request: BenchRequest) -> int:
        """Measure the loaded checkpoint's speed; returns the request's id, results are events.

        Raises:
            EngineBusyError: no checkpoint is loaded, or another request is being worked on.
        """
        return self._submit_on_checkpoint("bench", to_json(request))

    def measure_streams(self, path: str) -> int:
        """Measure RAM, the disk below ``path`` and the ways to the GPUs; returns the id.

        Raises:
            EngineStartError, EngineVersionError, EngineBusyError: as ``start``.
        """
        self.start()
        with self._core.changed:
            self._check_free()
            return self._submit("streams", {"path": path})

    def _submit_on_checkpoint(
        self, op: str, fields: Json, listener: EngineListener | None = None
    ) -> int:
        core = self._core
        with core.changed:
            self._check_free()
            if core.state is not _S.READY:
                raise EngineBusyError("No checkpoint is loaded.", hint="Load one first.")
            request_id = self._submit(op, fields, listener)
            core.set_state(_S.GENERATING)
            return request_id

    def unload(self) -> int:
        """Give the checkpoint's memory back; returns the request's id.

        Raises:
            EngineBusyError: the engine does not run or works on another request.
        """
        with self._core.changed:
            self._check_free()
            return self._submit("unload", {})

    def request_devices(self, rpc_hosts: Sequence[str] = ()) -> int:
        """Ask for the devices, starting the child if there is none; returns the request's id.

        Args:
            rpc_hosts: endpoints (``host:port``) whose devices are to be listed too.

        Raises:
            EngineStartError, EngineVersionError, EngineBusyError: as ``start``.
        """
        self.start()
        with self._core.changed:
            self._check_running()
            return self._submit("devices", {"rpc_hosts": list(rpc_hosts)} if rpc_hosts else {})

    def ping(self) -> int:
        """Ask for a sign of life, which comes even in the middle of a load or an answer.

        Raises:
            EngineBusyError: the engine does not run.
        """
        with self._core.changed:
            self._check_running()
            return self._submit("ping", {})

    def cancel(self, request_id: int) -> None:
        """Ask for the end of a request and return at once; a finished request is no error.

        It ends with ``cancelled``, or with its own final event if that was faster. When the
        engine does not react in its limit, the child is ended and the request is cancelled too.
        """
        core = self._core
        with core.changed:
            request = core.book.get(request_id)
            if request is not None:
                core.cancel(request)
            if core.client is not None:
                core.client.wake()

    def wait(self, request_id: int, timeout_s: float | None = None) -> Event:
        """Wait for a request's final event and return it; a cancelled request is no error.

        Raises:
            FathomError: what the request failed with, or how the child died.
            TimeoutError: it has not ended within ``timeout_s`` seconds.
            LookupError: no such request, or it ended more than 64 requests ago.
        """
        core = self._core
        limit = None if timeout_s is None else time.monotonic() + timeout_s
        with core.changed:
            while (event := core.book.result(request_id)) is None:
                self._refuse_in_reader()
                left_s = _WAIT_SLICE_S if limit is None else limit - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError(f"request {request_id} has not ended in {timeout_s} s")
                core.changed.wait(min(left_s, _WAIT_SLICE_S))
            return event

    def stop(self) -> None:
        """End the child, politely, then firmly, and wait until it is gone; open requests end.

        May be called in any state, by any thread and more than once. In the listener it returns
        at once and the child ends right after.
        """
        core = self._core
        with core.changed:
            client, last = core.client, core.last_client
            if client is not None:
                # Before hello there is nothing in the child that could be lost.
                first = Rung.CANCEL if core.starting is None else Rung.TERMINATE
                core.end_child(Ladder(first, by_user=True))
                client.wake()
            elif core.state is _S.CRASHED:
                core.set_state(_S.STOPPED)
        if client is None:
            core.deliver()
        if last is None or last.is_current_thread:
            return
        if client is not None:
            self._wait_until_gone(client)
        last.join(_JOIN_LIMIT_S)

    def _wait_until_gone(self, client: EngineClient) -> None:
        core = self._core
        with core.changed:
            limit_s = core.limits.ladder_s() + core.limits.listener_s
            gone = core.changed.wait_for(lambda: core.client is not client, limit_s)
        if not gone:
            # The listener does not return, so the reader thread cannot climb down its ladder.
            _LOG.error("the listener holds up the engine's reader thread; the child is killed")
            client.kill()

    # --- lock held ------------------------------------------------------------------------------

    def _refuse_in_reader(self) -> None:
        client = self._core.client
        if client is not None and client.is_current_thread:
            raise RuntimeError("the listener must not wait: nothing is read meanwhile")

    def _check_running(self) -> None:
        core = self._core
        if core.state is _S.STOPPING:
            raise EngineBusyError("The engine is being stopped.", hint="Try again.")
        if core.client is None or core.starting is not None:
            raise EngineBusyError("The engine is not running.", hint="Load a checkpoint first.")

    def _check_free(self) -> None:
        work = self._core.book.work()
        if work is not None and self._core.state is not _S.STOPPING:
            raise EngineBusyError(_BUSY[work.op], hint="Wait until it has finished, or stop it.")
        self._check_running()

    def _check_crash_limit(self) -> None:
        limits, times = self._core.limits, self._core.crash_times
        if len(times) < limits.crash_limit:
            return
        if time.monotonic() - times[0] < limits.crash_window_s:
            raise EngineStartError(
                f"The engine crashed {len(times)} times in a short time.",
                hint="Wait a minute, or run `fathom doctor` to check the installation.",
                details=self.stderr_tail(),
            )

    def _submit(self, op: str, fields: Json, listener: EngineListener | None = None) -> int:
        if len(encode_line(fields)) > MAX_LINE_BYTES - _ENVELOPE_BYTES:
            raise PromptTooLongError(
                "The conversation is too long for the engine.", hint="Start a new one."
            )
        request = OpenRequest(self._core.book.new_id(), op, fields, listener=listener)
        self._core.send(request)
        return request.id
