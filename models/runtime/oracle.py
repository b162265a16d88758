"""Asks llama.cpp what a plan would allocate, on this machine or any other. No Qt here.

A child does the work (models/runtime/oracle_worker.py): llama.cpp ends the process for some
checkpoints and settings, and it must not be this one. The child is started by the first question,
answers many, and is replaced when it died, hung or talked nonsense.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from models.errors import FathomError, OracleError, StoppedError
from models.gguf.header_file import HeaderFile
from models.planner.machine import Gpu
from models.planner.plan import BufferBytes, PlanSettings
from models.runtime.command import program_command
from models.runtime.header_files import CheckpointFiles
from models.runtime.oracle_protocol import OpenOracle, OracleAnswer, OracleOpened, PhantomSpec
from models.runtime.piped_child import PipedChild
from models.stopping import POLL_S, Stop, never

_T = TypeVar("_T")


class Oracle:
    """llama.cpp's own account of plans for one checkpoint on one machine.

    Questions are answered one at a time; any thread may ask, and any thread may ``close``.

    Args:
        files: the checkpoint's files in order of their shards; headers suffice.
        gpus: the machine's GPUs in llama.cpp's order; this machine's own are never used.
        cpu_features: of the machine's processor, in ggml's words; None: this one's.
        command: the child's command line, None: this program's own.
        timeout_s: for one question, the start of a child included.
        work_dir: where headers are put as sparse files while the oracle is open.
    """

    def __init__(
        self,
        files: Sequence[HeaderFile],
        gpus: Sequence[Gpu],
        *,
        cpu_features: Sequence[str] | None = None,
        command: Sequence[str] | None = None,
        timeout_s: float = 30.0,
        work_dir: Path,
    ) -> None:
        self._files = tuple(files)
        self._gpus = tuple(map(_spec, gpus))
        self._cpu_features = None if cpu_features is None else tuple(cpu_features)
        self._command = list(command or program_command("oracle"))
        self._timeout_s = timeout_s
        self._work_dir = work_dir
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._checkpoint: CheckpointFiles | None = None
        self._child: PipedChild | None = None
        self._opened: OracleOpened | None = None
        self._last: OracleAnswer | None = None

    @property
    def cpu_matches(self) -> bool | None:
        """Whether weights are repacked as on the described processor, None before an answer.

        False: this processor cannot run the CPU module that would be chosen there, so figures of
        plans with ``use_extra_bufts`` are approximate.
        """
        return self._opened.cpu_matches if self._opened else None

    @property
    def approximate_devices(self) -> tuple[str, ...]:
        """GPUs whose compute buffers are not exact, because their backend reorders the graph."""
        return self._opened.approximate_devices if self._opened else ()

    @property
    def last_answer(self) -> OracleAnswer | None:
        """The last answer with its times, None before the first."""
        return self._last

    def account(self, settings: PlanSettings, *, stop: Stop = never) -> tuple[BufferBytes, ...]:
        """Return what every buffer type would hold, exactly.

        Weights that a mapped file keeps in its own pages are counted as ``CPU``.

        Args:
            settings: the plan's.
            stop: asked some times a second; the answer is dropped when it returns True.

        Raises:
            OracleError: llama.cpp refuses the checkpoint or the settings, died or hung; its words
                are in ``details``. The next question starts afresh.
            StoppedError: ``stop`` said so.
        """
        check = partial(self._check, time.monotonic() + self._timeout_s, stop)
        while not self._lock.acquire(timeout=POLL_S):
            check()
        try:
            child = self._running_child(check)
            self._last = self._ask(child, "account", {"settings": settings}, OracleAnswer, check)
        finally:
            self._lock.release()
        return self._last.buffers

    def _check(self, deadline: float, stop: Stop) -> None:
        if stop():
            raise StoppedError
        if self._closing.is_set():
            raise OracleError("The dry run was closed.")
        if time.monotonic() > deadline:
            raise OracleError(f"llama.cpp's dry run gave no answer in {self._timeout_s:g} s.")

    # --- lock held ------------------------------------------------------------------------------

    def _running_child(self, check: Callable[[], None]) -> PipedChild:
        check()
        if self._child is not None:
            return self._child
        if self._checkpoint is None:
            self._checkpoint = CheckpointFiles(self._files, self._work_dir)
        child = self._child = PipedChild(
            self._command, name="llama.cpp's dry run", error=OracleError
        )
        request = OpenOracle(str(self._checkpoint.first_path), self._gpus, self._cpu_features)
        self._opened = self._ask(child, "open", request, OracleOpened, check)
        return child

    def _ask(
        self, child: PipedChild, op: str, request: Any, answer: type[_T], check: Callable[[], None]
    ) -> _T:
        """Send a request and return its answer; a child that fails is ended."""
        is_opening = op == "open"
        try:
            found = child.ask(op, request, answer, check)
        except StoppedError:
            # The child finishes what it does; its late answer is dropped by its id. One that has
            # not opened yet is not worth keeping.
            if is_opening:
                self._end_child()
            raise
        except BaseException:
            self._end_child()
            raise
        if not isinstance(found, FathomError):
            return found
        if is_opening:
            self._end_child()
        raise OracleError(found.message, hint=found.hint, details=found.details) from found

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """End the child and remove what was written; a question that runs fails. Safe twice."""
        self._closing.set()
        with self._lock:
            self._end_child()
            if self._checkpoint is not None:
                self._checkpoint.close()
                self._checkpoint = None

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _spec(gpu: Gpu) -> PhantomSpec:
    return PhantomSpec(
        name=gpu.device,
        description=gpu.name,
        kind=gpu.kind.value,
        total_bytes=gpu.total_bytes,
        free_bytes=gpu.free_bytes,
        is_unified=gpu.is_unified,
        remote=gpu.remote,
    )
