"""Finds threads and child processes that a test left running."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import psutil

# A generous limit: what ends by itself may take long on a busy machine, and a leak never ends.
GRACE_S = 10.0
_POLL_S = 0.02


class LeakedError(AssertionError):
    """A test left threads or processes behind."""


class LeakCheck:
    """Remembers what runs when it is made; `assert_clean` waits for everything newer to end."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._threads = set(threading.enumerate())
        self._processes = set(_children())

    def assert_clean(self) -> None:
        """Raise `LeakedError` naming what is left; leaked processes are killed."""
        threads = self._wait_for_threads()
        processes = self._wait_for_processes()
        names = [f"thread {thread.name!r}" for thread in threads]
        names += [_describe(process) for process in processes]
        for process in processes:
            _kill(process)
        if names:
            raise LeakedError(f"left running after the test: {', '.join(names)}")

    def _new_threads(self) -> list[threading.Thread]:
        # A dummy stands for a thread that Python did not start (a Qt pool thread that ran Python
        # code); Python cannot tell when it ends.
        return [
            thread
            for thread in threading.enumerate()
            if thread not in self._threads and not isinstance(thread, threading._DummyThread)
        ]

    def _wait_for_threads(self) -> list[threading.Thread]:
        for thread in self._new_threads():
            thread.join(self._grace_s)
        return self._new_threads()

    def _wait_for_processes(self) -> list[psutil.Process]:
        done = threading.Event()
        waited_s = 0.0
        left = self._new_processes()
        while left and waited_s < self._grace_s:
            done.wait(_POLL_S)
            waited_s += _POLL_S
            left = self._new_processes()
        return left

    def _new_processes(self) -> list[psutil.Process]:
        return [process for process in _children() if process not in self._processes]


def _children() -> list[psutil.Process]:
    """Return every descendant; psutil looks at all processes of the machine for that."""
    return psutil.Process().children(recursive=True) if _has_children() else []


def _has_children() -> bool:
    """Tell whether this process has children, ended ones included; True where nobody says."""
    # Linux keeps a list a thread. It is asked twice a test, and psutil's way takes 2 ms.
    lists = list(Path("/proc/self/task").glob("*/children"))
    try:
        return not lists or any(children.read_text("ascii") for children in lists)
    except OSError:  # Of a thread that has just ended.
        return True


def _describe(process: psutil.Process) -> str:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return f"process {process.pid} (ended, but nobody waited for it)"
        return f"process {process.pid} {process.cmdline()}"
    except psutil.Error:
        return f"process {process.pid}"


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()
        process.wait(GRACE_S)
