"""``fathom pull``: fetch a checkpoint and check it; stopped or killed, it goes on later. No Qt."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from app.cli.choosing import Choice, choose
from app.cli.failures import INTERRUPTED, print_line
from app.cli.session import Session
from app.cli.terminal import ProgressLine, is_terminal, without_controls
from models.errors import BadInputError, DiskError, FathomError, error_from_json
from models.library.roots import download_root
from models.runtime.command import program_command
from models.transfer.client import TransferClient
from models.transfer.events import JobChanged, TransferDown, TransferEvent
from models.transfer.job import AT_REST, JobSpec, JobState, JobView
from models.units import format_byte_rate, format_bytes, format_duration

# On Windows a wait without a limit cannot be interrupted by Ctrl-C.
_WAIT_S = 0.5
# How long a paused download is given to put away what it has.
_PAUSE_LIMIT_S = 10.0
# Of folders for temporary files; the process id follows.
_PREFIX = "fathom-pull-"
_WORDS = {
    JobState.QUEUED: "Waiting to begin",
    JobState.RESOLVING: "Asking where the files are",
    JobState.RESERVING: "Reserving room on the disk",
    JobState.VERIFYING: "Checking",
    JobState.REPAIRING: "Fetching damaged parts again",
    JobState.PAUSING: "Stopping",
}


def pull(options: argparse.Namespace, session: Session) -> int:
    """Fetch what ``options.repository`` means; return the exit code."""
    choice = choose(options, session, _root(options, session))
    if choice.here is not None and not options.again:
        _tell_here(choice, json_output=options.json)
        return 0
    if not options.json:
        print_line(without_controls(choice.sentence))
    return fetch(choice.spec, options, session)


def _root(options: argparse.Namespace, session: Session) -> Path:
    """Return the folder to fetch into; only Fathom's own is made."""
    if options.to is None:
        session.paths.create()
        return download_root(session.paths, session.settings)
    root = Path(os.path.abspath(options.to.expanduser()))  # noqa: PTH100 - links stay as they are
    if not root.is_dir():
        raise BadInputError(f"There is no folder {root}.", hint="Make it first.")
    return root


def state_json(view: JobView) -> dict[str, Any]:
    """Return a download's state as one line of ``--json`` has it."""
    data: dict[str, Any] = {
        "state": view.state.value,
        "bytes_done": view.bytes_done,
        "bytes_total": view.bytes_total,
        "rate_bytes_s": round(view.rate_bytes_s),
        "eta_s": None if view.eta_s is None else round(view.eta_s, 1),
        "bytes_refetched": view.bytes_refetched,
        "waits_until_s": view.waits_until_s,
        "why": view.why,
        "files": [asdict(file) | {"state": file.state.value} for file in view.files],
    }
    if view.state is JobState.READY:
        data["path"] = str(view.path)
    if view.failure is not None:
        data["error"] = asdict(view.failure)
    return data


def fetch(spec: JobSpec, options: argparse.Namespace, session: Session) -> int:
    """Run one download to its end and show it; return the exit code.

    Raises:
        FathomError: why it rests. Ctrl-C pauses it.
    """
    # The same download is the same job, whichever command began it.
    wanted = f"{spec.folder}\n{spec.commit}\n{spec.files}".encode()
    spec = replace(spec, job_id=hashlib.sha256(wanted).hexdigest()[:32])
    events: queue.SimpleQueue[TransferEvent] = queue.SimpleQueue()
    line = ProgressLine(sys.stderr)
    with _client(session, events) as client:
        client.add(spec)
        try:
            view = _follow(spec.job_id, events, line, json_output=options.json)
        except KeyboardInterrupt:
            _pause(spec.job_id, client, events)
            line.clear()
            print_line("Stopped. The same command goes on where this one was.")
            return INTERRUPTED
        finally:
            line.clear()
    if view.state is JobState.READY:
        if not options.json:
            if view.why:
                print_line(without_controls(view.why))
            print(without_controls(str(view.path)))
        return 0
    raise _failure_of(view)


@contextmanager
def _client(session: Session, events: queue.SimpleQueue[TransferEvent]) -> Iterator[TransferClient]:
    """A transfer child with a queue of its own: the window's downloads are the window's."""
    data_dir = _queue_folder()
    client = TransferClient(program_command("transfer"), data_dir=data_dir, listener=events.put)
    try:
        # No roots: what else was begun there is somebody else's.
        client.configure(replace(session.transfer_settings(), roots=()))
        client.start()
        yield client
    finally:
        client.stop()
        shutil.rmtree(data_dir, ignore_errors=True)


def _queue_folder() -> Path:
    """Make a folder for this run's queue; remove those of runs that were killed.

    Raises:
        DiskError: there is no place for one.
    """
    import psutil

    try:
        for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
            pid = left.name.removeprefix(_PREFIX).partition("-")[0]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    except OSError as error:
        raise DiskError(
            "There is no folder for temporary files.",
            hint="Free some room, or set TMPDIR.",
            details=str(error),
        ) from error


def _follow(
    job_id: str,
    events: queue.SimpleQueue[TransferEvent],
    line: ProgressLine,
    *,
    json_output: bool,
) -> JobView:
    """Show what happens to a job until it rests; what it waits for by itself is waited for."""
    while True:
        view = _next_view(job_id, events)
        if json_output:
            print(json.dumps(state_json(view), ensure_ascii=False), flush=True)
        else:
            line.show(without_controls(_progress_words(view)))
        if view.state in AT_REST:
            return view


def _next_view(job_id: str, events: queue.SimpleQueue[TransferEvent]) -> JobView:
    while True:
        try:
            event = events.get(timeout=_WAIT_S)
        except queue.Empty:
            continue
        if isinstance(event, TransferDown) and event.is_final:
            raise event.error
        if isinstance(event, JobChanged) and event.view.job_id == job_id:
            return event.view


def _pause(job_id: str, client: TransferClient, events: queue.SimpleQueue[TransferEvent]) -> None:
    client.pause(job_id)
    end = time.monotonic() + _PAUSE_LIMIT_S
    while time.monotonic() < end:
        try:
            event = events.get(timeout=_WAIT_S)
        except queue.Empty:
            continue
        if isinstance(event, TransferDown):
            return
        if isinstance(event, JobChanged) and event.view.state in AT_REST:
            return


def _progress_words(view: JobView) -> str:
    done, total = format_bytes(view.bytes_done), format_bytes(view.bytes_total)
    if view.state is JobState.DOWNLOADING:
        eta = "" if view.eta_s is None else f", {format_duration(view.eta_s)} left"
        return f"{done} of {total}, {format_byte_rate(view.rate_bytes_s)}{eta}"
    if view.state is JobState.WAITING:
        left_s = max((view.waits_until_s or 0.0) - time.time(), 0.0)
        when = f", next attempt in {format_duration(round(left_s))}" if left_s >= 1 else ""
        return f"{done} of {total}. {view.why}{when}"
    why = f". {view.why}" if view.why else ""
    return f"{_WORDS.get(view.state, view.state.value)} ({done} of {total}){why}"


def _failure_of(view: JobView) -> FathomError:
    if view.failure is not None:
        return error_from_json(asdict(view.failure))
    return error_from_json({"code": "transfer", "message": view.why or "The download ended."})


def _tell_here(choice: Choice, *, json_output: bool) -> None:
    assert choice.here is not None
    if json_output:
        size = choice.spec.size_bytes
        data = {"state": "ready", "bytes_done": size, "bytes_total": size, "rate_bytes_s": 0}
        data |= {"eta_s": 0, "bytes_refetched": 0, "path": str(choice.here.path), "was_here": True}
        print(json.dumps(data, ensure_ascii=False))
        return
    if is_terminal(sys.stderr):
        print_line(f'It is here already, as "{choice.here.name}"; --again fetches it all the same.')
    print(without_controls(str(choice.here.path)))
