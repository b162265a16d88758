"""The whole program in a process of its own, to be watched and killed from outside."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil

from helpers.fathom_process import FATHOM
from models.runtime.command import ENGINE_COMMAND_VARIABLE

WAIT_S = 60.0
_POLL_S = 0.005

T = TypeVar("T")


def engine_variable(engine: Path, script: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment that makes the program use an engine of the tests."""
    # -S: site packages are not needed, and the start is most of what these tests take.
    command = [sys.executable, "-S", str(engine), json.dumps(script)]
    return {ENGINE_COMMAND_VARIABLE: shlex.join(command)}


def wait_until(condition: Callable[[], T | None], what: str, limit_s: float = WAIT_S) -> T:
    """Wait for something that nobody signals; return what ``condition`` found."""
    never = threading.Event()
    deadline_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not within {limit_s} s: {what}"
        never.wait(_POLL_S)
    return found


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, whether or not somebody has asked for its status."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class WholeProgram:
    """``fathom ARGUMENTS`` without a display, the leader of a process group of its own."""

    def __init__(self, *arguments: str | Path, env: Mapping[str, str], log_file: Path) -> None:
        with log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*FATHOM, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
                start_new_session=True,
            )
        self._log_file = log_file

    def __enter__(self) -> WholeProgram:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.kill()
        self.process.wait(WAIT_S)

    def kill(self) -> None:
        """SIGKILL for the process group; the engine child is in another one."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def check_runs(self) -> None:
        """Fail with the program's last words when it has ended."""
        if self.process.poll() is not None:
            words = self._log_file.read_text(encoding="utf-8", errors="replace")
            raise AssertionError(f"ended with {self.process.returncode}: {words[-2000:]}")


@dataclass(frozen=True)
class _Round:
    at_s: float
    late_s: float
    sync_s: float


class StallProbe:
    """Measures what the machine itself adds to every wait: late wake-ups and slow syncs.

    A thread that does nothing but sleep 20 ms and sync a few bytes in the folder under test.
    """

    _SLEEP_S = 0.02

    def __init__(self, folder: Path) -> None:
        self._file = folder / "probe"
        self._rounds: list[_Round] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-probe")

    def __enter__(self) -> StallProbe:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ends.set()
        self._thread.join()

    def worst_s(self, begin_s: float, end_s: float) -> float:
        """Return the worst late wake-up plus the worst sync in a stretch of time."""
        rounds = [r for r in list(self._rounds) if begin_s <= r.at_s <= end_s]
        assert rounds, "the probe itself did not get a turn"
        return max(r.late_s for r in rounds) + max(r.sync_s for r in rounds)

    def _run(self) -> None:
        with self._file.open("wb", buffering=0) as file:
            began_s = time.monotonic()
            while not self._ends.wait(self._SLEEP_S):
                woken_s = time.monotonic()
                file.write(b"x")
                os.fsync(file.fileno())
                synced_s = time.monotonic()
                late_s = woken_s - began_s - self._SLEEP_S
                self._rounds.append(_Round(synced_s, late_s, synced_s - woken_s))
                began_s = synced_s
