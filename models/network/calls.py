"""Blocking network calls that can be left at any moment. No Qt here.

A blocked read is not woken by closing its response or client in another thread; shutting its
socket down wakes it in milliseconds, also under TLS. Looking up a name cannot be woken at all.
So a call runs in a thread of its own: a stop shuts the sockets down, and a thread that still
does not end is left to its own timeout.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from models.errors import NetworkTooSlowError, StoppedError
from models.stopping import POLL_S, Stop, check_stop

_T = TypeVar("_T")

_THREAD_NAME = "network"
# How long a call whose sockets were shut down is given to end before it is left alone.
_CUT_GRACE_S = 0.2
_CONNECTED_EVENTS = (".connect_tcp.complete", ".start_tls.complete")


class Line:
    """The sockets that a call uses, so that another thread can shut them down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of new connections; this is the ``trace`` extension of an HTTP request."""
        if event.endswith(_CONNECTED_EVENTS):
            connection = info["return_value"].get_extra_info("socket")
            with self._lock:
                # Those that were closed meanwhile are of no use any more.
                self._sockets = [known for known in self._sockets if known.fileno() >= 0]
                self._sockets.append(connection)
                is_cut = self._is_cut
            if is_cut:
                _shut_down(connection)

    def cut(self) -> None:
        """Shut down every connection there is, and every one that is still made."""
        with self._lock:
            self._is_cut = True
            sockets = list(self._sockets)
        for connection in sockets:
            _shut_down(connection)


class CallThread(threading.Thread, Generic[_T]):
    """Runs one call and keeps what comes of it; ``line`` has its sockets."""

    def __init__(self, call: Callable[[], _T], line: Line) -> None:
        # A daemon: a name that cannot be looked up must not keep the program from ending.
        super().__init__(name=_THREAD_NAME, daemon=True)
        self.line = line
        self.done = threading.Event()
        self._call = call
        self._result: _T
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call."""
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
        finally:
            self.done.set()

    def outcome(self) -> _T:
        """Return what the call returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


def call_stoppably(
    call: Callable[[], _T], *, line: Line, stop: Stop, deadline: float, too_slow: str
) -> _T:
    """Make a blocking call and wait for it no longer than wanted.

    Args:
        call: runs in another thread; its requests report their connections to ``line``.
        line: is cut when the call is left, and cannot be used again then.
        stop: asked about every ``POLL_S`` seconds.
        deadline: on the clock of ``time.monotonic``.
        too_slow: the message of the error for a call that is not done by then.

    Raises:
        StoppedError: ``stop`` said so.
        NetworkTooSlowError: the deadline has passed.
    """
    check_stop(stop)
    thread = CallThread(call, line)
    thread.start()
    try:
        while not thread.done.wait(POLL_S):
            check_stop(stop)
            if time.monotonic() > deadline:
                raise NetworkTooSlowError(too_slow, hint="Check the connection, or try later.")
    finally:
        # Also when Ctrl-C ends the wait.
        if not thread.done.is_set():
            line.cut()
            thread.done.wait(_CUT_GRACE_S)
    thread.join()
    if stop():
        raise StoppedError
    return thread.outcome()


def _shut_down(connection: socket.socket) -> None:
    # It may have been closed meanwhile.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
