"""Random events never lead to a wrong READY, and every state survives the end of the child."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import (
    AccessError,
    CorruptDownloadError,
    DiskFullError,
    DownloadBusyError,
    FathomError,
    LicenceNotAcceptedError,
    LoginNeededError,
    OfflineError,
    StoppedError,
    TokenInvalidError,
)
from models.transfer.desk import Desk, resting_state
from models.transfer.job import ACTIVE, AT_REST, TRANSITIONS, FileState, JobSpec, JobState
from models.transfer.job_book import FileStand, Job
from models.transfer.job_rows import jobs_of
from models.transfer.protocol import GoneLine, JobLine, QueueLine, TransferLine
from models.transfer.queue_store import StoredJob
from models.transfer.remote import FileSpec
from models.transfer.run import Snapshot

SIZE_BYTES = 100
ENDS: tuple[FathomError | None, ...] = (
    None,
    StoppedError(),
    LoginNeededError("x"),
    LicenceNotAcceptedError("x"),
    DiskFullError("x"),
    CorruptDownloadError("x"),
    DownloadBusyError("x"),
    OfflineError("x"),
)


def spec_of(number: int, *, files: int = 2) -> JobSpec:
    root = Path("/root")
    return JobSpec(
        job_id=f"{number:032x}",
        title="t",
        endpoint="http://hub",
        repository="o/n",
        commit="c" * 40,
        quant="",
        root=root,
        folder=root / "o" / "n",
        files=tuple(
            FileSpec(f"{i}.gguf", f"{i}.gguf", SIZE_BYTES, "sha256:00") for i in range(files)
        ),
    )


class ScriptedRun:
    """A run that stands where a test says, and ends when a test says."""

    def __init__(self, spec: JobSpec, files: tuple[FileStand, ...], *, shows: bool) -> None:
        self.spec = spec
        self.stand = Snapshot(JobState.RESOLVING, files) if shows else None
        self.is_stopped = False

    def begin(self) -> None:
        pass

    def stop(self) -> None:
        self.is_stopped = True

    def snapshot(self) -> Snapshot | None:
        return self.stand

    def join(self, limit_s: float) -> None:
        pass


class Scene:
    """A desk whose runs are played by the test, and what its parent and its file know."""

    def __init__(self) -> None:
        self.runs: list[ScriptedRun] = []
        self.looks: list[ScriptedRun] = []
        self.rows: dict[str, StoredJob] = {}
        self.seen: dict[str, JobLine] = {}
        self.verified: dict[str, bool] = {}
        self.desk = self._new_desk()
        self.desk.open(())

    def _new_desk(self) -> Desk:
        return Desk(self, self._emit, self._keep)

    def restart(self) -> None:
        """Let the child be killed and another one begin."""
        self.runs.clear()
        self.looks.clear()
        self.seen.clear()
        self.desk = self._new_desk()
        self.desk.open(jobs_of(sorted(self.rows.values(), key=lambda row: row.position)))

    # --- as a launcher

    def job(self, spec: JobSpec, files: tuple[FileStand, ...]) -> ScriptedRun:
        run = ScriptedRun(spec, files, shows=True)
        self.runs.append(run)
        return run

    def discard(self, spec: JobSpec, files: tuple[FileStand, ...], *, keeps: bool) -> ScriptedRun:
        run = ScriptedRun(spec, files, shows=False)
        self.runs.append(run)
        return run

    def room(self, spec: JobSpec) -> ScriptedRun:
        look = ScriptedRun(spec, (), shows=False)
        self.looks.append(look)
        return look

    # --- as parent and file

    def _keep(self, rows: dict[str, StoredJob], ids: tuple[int, ...]) -> None:
        self.rows = rows

    def _emit(self, line: TransferLine) -> None:
        if isinstance(line, QueueLine):
            self.seen = {job.job_id: job for job in line.jobs}
        elif isinstance(line, GoneLine):
            del self.seen[line.job_id]
        elif isinstance(line, JobLine):
            before = self.seen.get(line.job_id)
            assert before is not None or line.spec is not None
            self.seen[line.job_id] = line
        for job in self.seen.values():
            if job.state is JobState.READY:
                assert all(file.state is FileState.VERIFIED for file in job.files)
                assert all(file.bytes_done == SIZE_BYTES for file in job.files)


file_stands = st.builds(
    FileStand,
    state=st.sampled_from(FileState),
    bytes_done=st.integers(0, SIZE_BYTES),
    is_ours=st.booleans(),
)
# What a run can say of itself, and things that it cannot.
snapshots = st.builds(
    Snapshot,
    state=st.sampled_from(
        [
            JobState.RESOLVING,
            JobState.RESERVING,
            JobState.DOWNLOADING,
            JobState.WAITING,
            JobState.VERIFYING,
            JobState.REPAIRING,
        ]
    ),
    files=st.tuples(file_stands, file_stands),
    bytes_fetched=st.integers(0, 500),
    why=st.sampled_from(["", "x"]),
)
events = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 3)),
    st.tuples(st.just("pause"), st.integers(0, 3)),
    st.tuples(st.just("resume"), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("move"), st.integers(0, 3), st.integers(-1, 5)),
    st.tuples(st.just("forget"), st.integers(0, 3)),
    st.tuples(st.just("offline"), st.booleans()),
    st.tuples(st.just("token")),
    st.tuples(st.just("stand"), st.integers(0, 3), snapshots),
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(ENDS)),
    st.tuples(st.just("whole end"), st.integers(0, 3)),
    st.tuples(st.just("look"), st.integers(0, 1), st.sampled_from([None, DiskFullError("y")])),
    st.tuples(st.just("tick"), st.floats(0, 100)),
    st.tuples(st.just("kill")),
)


def play(scene: Scene, event: tuple) -> None:
    """Let one thing happen; requests about what is not there are refused."""
    kind, *rest = event
    desk = scene.desk
    job_id = f"{rest[0]:032x}" if rest and isinstance(rest[0], int) else ""
    if kind == "kill":
        scene.restart()
    elif kind == "tick":
        # Long after whatever is to be tried again.
        desk.tick(time.monotonic() + 1e6 + rest[0])
    elif kind == "add":
        desk.add(spec_of(rest[0]))
    elif kind == "offline":
        desk.set_offline(rest[0])
    elif kind == "token":
        desk.retry_refused()
    elif kind in ("stand", "end", "whole end", "look"):
        play_run(scene, kind, rest)
    else:
        try:
            if kind == "cancel":
                desk.cancel(job_id, keep=rest[1])
            elif kind == "move":
                desk.move(job_id, rest[1])
            else:
                getattr(desk, kind)(job_id)
        except FathomError:
            pass


def play_run(scene: Scene, kind: str, rest: list) -> None:
    if kind == "look":
        if rest[0] < len(scene.looks):
            scene.desk.ended(scene.looks.pop(rest[0]), rest[1])
        return
    if rest[0] >= len(scene.runs):
        return
    run = scene.runs[rest[0]]
    if kind == "stand":
        if run.stand is not None:
            run.stand = rest[1]
        return
    if kind == "whole end" and run.stand is not None:
        whole = FileStand(FileState.VERIFIED, SIZE_BYTES, is_ours=True)
        run.stand = dataclasses.replace(run.stand, files=(whole, whole))
    error = rest[1] if kind == "end" else None
    is_whole = run.stand is None or all(
        file.state is FileState.VERIFIED and file.bytes_done == SIZE_BYTES
        for file in run.stand.files
    )
    if error is None and not is_whole:
        # A run that says it is done and is not would be a bug: it must not pass unnoticed.
        error = StoppedError()
    scene.runs.remove(run)
    scene.desk.ended(run, error)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(events, max_size=60))
def test_random_events_never_make_an_unverified_download_ready(script: list[tuple]) -> None:
    scene = Scene()
    for event in script:
        play(scene, event)
        before = {job_id: row.state for job_id, row in scene.rows.items()}
        assert set(before) == set(scene.seen)
        assert {job_id: job.state.value for job_id, job in scene.seen.items()} == before
        assert sorted(job.position for job in scene.seen.values()) == list(range(len(before)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(events, max_size=40))
def test_every_state_survives_the_end_of_the_child(script: list[tuple]) -> None:
    scene = Scene()
    for event in script:
        play(scene, event)
    before = {job_id: JobState(row.state) for job_id, row in scene.rows.items()}
    scene.restart()
    for job_id, state in before.items():
        after = scene.seen[job_id].state
        if state in (JobState.PAUSED, JobState.PAUSING):
            assert after is JobState.PAUSED
        elif state in (JobState.FAILED, JobState.READY, JobState.CANCELLED, JobState.CANCELLING):
            assert after is state
        else:
            assert after in (JobState.QUEUED, JobState.RESOLVING)


def test_a_run_that_claims_too_much_is_a_bug_that_shows() -> None:
    scene = Scene()
    scene.desk.add(spec_of(1))
    with pytest.raises(RuntimeError, match="unverified"):
        scene.desk.ended(scene.runs[0], None)


def test_every_step_of_a_download_is_one_of_the_table() -> None:
    for state in JobState:
        for wanted in JobState:
            job = Job(spec_of(1), state)
            whole = FileStand(FileState.VERIFIED, SIZE_BYTES)
            job.files = (whole, whole)
            steps: list[JobState] = []
            enter = job._enter

            def noted(step: JobState, steps: list = steps, enter=enter) -> None:
                steps.append(step)
                enter(step)

            job._enter = noted  # type: ignore[method-assign]
            try:
                job.go(wanted)
            except RuntimeError:
                assert job.state is state
                assert wanted not in TRANSITIONS[state]
            else:
                assert job.state is wanted
                # Nothing is passed through that a person or a start would have to lead out of.
                assert all(step in ACTIVE for step in steps[:-1])


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (LoginNeededError("x"), JobState.NEEDS_TOKEN),
        (TokenInvalidError("x"), JobState.NEEDS_TOKEN),
        (LicenceNotAcceptedError("x"), JobState.NEEDS_LICENCE),
        (AccessError("x"), JobState.FAILED),
        (DiskFullError("x"), JobState.NO_SPACE),
        (CorruptDownloadError("x"), JobState.FAILED),
    ],
)
def test_where_errors_lead_to(error: FathomError, state: JobState) -> None:
    assert resting_state(error) is state
    assert state in AT_REST


def test_one_download_at_a_time_and_another_while_it_waits() -> None:
    scene = Scene()
    for number in range(4):
        scene.desk.add(spec_of(number))
    assert [job.state for job in scene.seen.values()].count(JobState.RESOLVING) == 1
    first = scene.runs[0]
    first.stand = Snapshot(JobState.WAITING, (FileStand(), FileStand()), why="The hub is away.")
    scene.desk.tick(1.0)
    assert scene.seen[first.spec.job_id].why == "The hub is away."
    assert [run.spec.job_id for run in scene.runs] == [f"{n:032x}" for n in (0, 1)]


def test_bytes_go_back_only_for_a_damage() -> None:
    scene = Scene()
    scene.desk.add(spec_of(1, files=1))
    run = scene.runs[0]

    def shown(state: FileState, bytes_done: int) -> int:
        run.stand = Snapshot(JobState.DOWNLOADING, (FileStand(state, bytes_done),))
        scene.desk.tick(0.0)
        return scene.seen[run.spec.job_id].bytes_done

    assert shown(FileState.DOWNLOADING, 60) == 60
    assert shown(FileState.DOWNLOADING, 40) == 60
    assert shown(FileState.REPAIRING, 40) == 40
    assert shown(FileState.REPAIRING, 70) == 70


def test_between_two_files_nobody_else_gets_the_line() -> None:
    scene = Scene()
    scene.desk.add(spec_of(1))
    scene.desk.add(spec_of(2))
    run = scene.runs[0]
    checked = FileStand(FileState.VERIFYING, SIZE_BYTES)
    run.stand = Snapshot(JobState.VERIFYING, (checked, FileStand()))
    scene.desk.tick(1.0)
    assert len(scene.runs) == 1
    run.stand = Snapshot(JobState.VERIFYING, (checked, checked))
    scene.desk.tick(2.0)
    assert len(scene.runs) == 2


def rest_for_room(scene: Scene, *, bytes_done: int = 0) -> None:
    """Let the only run end for want of room."""
    run = scene.runs.pop()
    run.stand = Snapshot(JobState.DOWNLOADING, (FileStand(FileState.DOWNLOADING, bytes_done),))
    scene.desk.ended(run, DiskFullError("1 GB is missing."))
    assert scene.seen[run.spec.job_id].state is JobState.NO_SPACE


def next_look(scene: Scene) -> tuple[float, ScriptedRun]:
    """Let the time of the next look come; return how far off it was, and the look."""
    at_s = scene.desk.next_s
    assert at_s is not None
    off_s = at_s - time.monotonic()
    scene.desk.tick(at_s - 0.001)
    assert scene.looks == []
    scene.desk.tick(at_s)
    return off_s, scene.looks.pop()


def test_a_download_without_room_goes_on_when_there_is_some() -> None:
    scene = Scene()
    scene.desk.add(spec_of(1, files=1))
    rest_for_room(scene)
    assert not scene.desk.is_running
    _, look = next_look(scene)
    scene.desk.ended(look, DiskFullError("half a GB is missing."))
    assert scene.seen[look.spec.job_id].state is JobState.NO_SPACE
    assert scene.seen[look.spec.job_id].why == "half a GB is missing."
    _, look = next_look(scene)
    scene.desk.ended(look, None)
    assert scene.seen[look.spec.job_id].state is JobState.RESOLVING
    assert scene.desk.next_s is None


def test_room_that_does_not_last_is_looked_for_ever_more_calmly() -> None:
    scene = Scene()
    scene.desk.add(spec_of(1, files=1))
    pauses_s = []
    for bytes_done in (10, 10, 10, 20):
        rest_for_room(scene, bytes_done=bytes_done)
        off_s, look = next_look(scene)
        pauses_s.append(off_s)
        scene.desk.ended(look, None)
    # Without progress it doubles; what got further begins anew.
    assert pauses_s == pytest.approx([10, 20, 40, 10], abs=1)


@pytest.mark.parametrize("wish", ["pause", "cancel"])
def test_what_a_person_wants_is_not_undone_by_room(wish: str) -> None:
    scene = Scene()
    scene.desk.add(spec_of(1, files=1))
    rest_for_room(scene)
    _, look = next_look(scene)
    play(scene, (wish, 1, True))
    scene.desk.ended(look, None)
    wanted = {"pause": JobState.PAUSED, "cancel": JobState.CANCELLING}[wish]
    assert scene.seen[look.spec.job_id].state is wanted
    scene.desk.tick(time.monotonic() + 1e6)
    assert scene.looks == []
    assert scene.desk.next_s is None


def test_there_is_one_look_at_a_time() -> None:
    scene = Scene()
    scene.desk.add(spec_of(1, files=1))
    rest_for_room(scene)
    for hours in range(1, 4):
        scene.desk.tick(time.monotonic() + hours * 3600)
    assert len(scene.looks) == 1
