from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from models.errors import (
    NetworkError,
    NetworkTooSlowError,
    RateLimitedError,
    ServerError,
    StoppedError,
    UnreachableError,
    UntrustedServerError,
)
from models.network.calls import Line, call_stoppably
from models.network.patience import Attempts, Patience
from models.stopping import never, pause

FAR_S = 60.0


class OneConnection:
    """A connected pair of sockets whose reading end a call reports to its line."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()

    def get_extra_info(self, name: str) -> Any:
        return self.near if name == "socket" else None

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture
def connection() -> Any:
    pair = OneConnection()
    yield pair
    pair.close()


def call(work: Any, *, line: Line | None = None, stop: Any = never, limit_s: float = FAR_S) -> Any:
    deadline = time.monotonic() + limit_s
    return call_stoppably(
        work, line=line or Line(), stop=stop, deadline=deadline, too_slow="Too slow."
    )


def _received(near: socket.socket) -> bytes:
    try:
        return near.recv(1)
    except BrokenPipeError:
        # Windows (WSAESHUTDOWN) says it with an error, where others see the stream's end.
        return b""


def test_what_a_call_returns_or_raises_reaches_the_caller():
    assert call(lambda: 7) == 7
    with pytest.raises(KeyError, match="no"):
        call(lambda: {}["no"])


def test_a_stop_wakes_a_read_that_nobody_answers(connection):
    line, reading = Line(), threading.Event()
    ends: list[bytes] = []

    def read() -> None:
        line.trace("connection.connect_tcp.complete", {"return_value": connection})
        reading.set()
        ends.append(_received(connection.near))

    with pytest.raises(StoppedError):
        call(read, line=line, stop=reading.is_set)
    # The thread has ended, by its socket and not by the grace it was given.
    assert ends == [b""]


def test_a_connection_made_after_the_stop_is_shut_down_too(connection):
    line = Line()
    line.cut()
    line.trace("connection.start_tls.complete", {"return_value": connection})
    assert _received(connection.near) == b""


def test_a_call_that_cannot_be_woken_is_left_behind():
    release = threading.Event()
    try:
        with pytest.raises(StoppedError):
            call(release.wait, stop=lambda: threading.active_count() > 1)
    finally:
        release.set()


def test_a_deadline_ends_a_call(connection):
    line = Line()

    def read() -> None:
        line.trace("connection.connect_tcp.complete", {"return_value": connection})
        connection.near.recv(1)

    with pytest.raises(NetworkTooSlowError, match=r"Too slow\."):
        call(read, line=line, limit_s=0.0)


def test_nothing_is_begun_after_a_stop():
    begun: list[int] = []
    with pytest.raises(StoppedError):
        call(lambda: begun.append(1), stop=lambda: True)
    assert begun == []


def test_a_pause_ends_with_a_stop():
    asked = iter([False, False, True])
    with pytest.raises(StoppedError):
        pause(FAR_S, lambda: next(asked))


def quick(**limits: Any) -> Patience:
    return Patience(first_pause_s=0.0, **limits)


def test_attempts_end_with_the_last_error():
    attempts = Attempts(quick(attempts=3), 0, never)
    attempts.failed(NetworkError("one"))
    attempts.failed(NetworkError("two"))
    with pytest.raises(NetworkError, match="three"):
        attempts.failed(NetworkError("three"))


def test_progress_makes_the_count_start_anew():
    attempts = Attempts(quick(attempts=2), 0, never)
    for _ in range(5):
        attempts.failed(NetworkError("broke"))
        attempts.got_on()
    attempts.failed(NetworkError("broke"))
    with pytest.raises(NetworkError):
        attempts.failed(NetworkError("broke"))


def test_a_wait_that_the_server_asks_for_is_followed_and_not_counted_as_slowness():
    attempts = Attempts(quick(attempts=4, longest_pause_s=5.0), 0, never)
    before = attempts.deadline
    attempts.failed(RateLimitedError("busy", retry_after_s=0.01))
    assert attempts.deadline == pytest.approx(before + 0.01)


def test_what_hardly_changes_is_not_tried_over_and_over():
    attempts = Attempts(quick(attempts=9), 0, never)
    attempts.failed(UnreachableError("nobody there"))
    with pytest.raises(UnreachableError):
        attempts.failed(UnreachableError("nobody there"))
    with pytest.raises(UntrustedServerError):
        Attempts(quick(attempts=9), 0, never).failed(UntrustedServerError("who are you"))


def test_a_wait_that_is_too_long_is_told_at_once():
    attempts = Attempts(quick(longest_pause_s=5.0), 0, never)
    with pytest.raises(RateLimitedError):
        attempts.failed(RateLimitedError("busy", retry_after_s=300.0))


def test_a_stop_ends_the_wait_between_attempts():
    attempts = Attempts(Patience(first_pause_s=FAR_S, longest_pause_s=FAR_S), 0, lambda: True)
    with pytest.raises(StoppedError):
        attempts.failed(ServerError("busy"))


def test_what_may_take_long_depends_on_its_size():
    patience = Patience(grace_s=10.0, least_rate_bytes_s=1000.0)
    small, large = Attempts(patience, 0, never), Attempts(patience, 50_000, never)
    assert large.deadline - small.deadline == pytest.approx(50.0, abs=5.0)
