"""The oracle's parent over a child that fails on demand: it survives everything a child can do."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from models.errors import OracleError, StoppedError
from models.gguf.header_file import HeaderFile
from models.planner.plan import PlanSettings
from models.runtime.oracle import Oracle

CHILD = Path(__file__).resolve().parents[2] / "helpers" / "problem_oracle.py"
SETTINGS = PlanSettings(n_ctx=512)
HUGE_BYTES = 400 * 10**9

MakeOracle = Callable[..., Oracle]


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def make(tmp_path: Path, work_dir: Path) -> Iterator[MakeOracle]:
    """Build oracles whose child does what it is told."""
    made: list[Oracle] = []

    def build(*steps: str, files: list[HeaderFile] | None = None, **options: object) -> Oracle:
        script = tmp_path / f"script{len(made)}.json"
        script.write_text(json.dumps(steps))
        options.setdefault("command", [sys.executable, "-S", str(CHILD), str(script)])
        headers = files or [HeaderFile("tiny.gguf", HUGE_BYTES, header=b"GGUF")]
        oracle = Oracle(headers, [], work_dir=work_dir, **options)  # type: ignore[arg-type]
        made.append(oracle)
        return oracle

    yield build
    for oracle in made:
        oracle.close()


def children() -> list[psutil.Process]:
    return psutil.Process().children()


# --- what a child can do ------------------------------------------------------------------------


def test_one_child_answers_many_questions(make: MakeOracle) -> None:
    oracle = make("ok", "ok", "ok")
    oracle.account(SETTINGS)
    (first,) = children()
    answers = [oracle.account(SETTINGS)[0].weights_bytes for _ in range(2)]
    assert children() == [first]
    assert answers[1] == answers[0] + 1  # one request each, nothing asked twice


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("abort", "crashed"),
        ("exit", "exit code 3"),
        ("garbage", "not its protocol"),
        ("wrong_shape", "not its protocol"),
        ("hang", "gave no answer in 1 s"),
    ],
)
def test_a_child_that_fails_is_an_error_and_the_next_one_answers(
    make: MakeOracle, step: str, words: str
) -> None:
    oracle = make(step, "ok", timeout_s=1.0 if step == "hang" else 30.0)
    with pytest.raises(OracleError, match=words):
        oracle.account(SETTINGS)
    assert children() == []
    if step != "hang":  # a busy machine may not start a child within a second
        assert oracle.account(SETTINGS)[0].buffer == "CPU"


def test_the_last_words_of_a_crash_are_kept(make: MakeOracle) -> None:
    oracle = make("abort")
    with pytest.raises(OracleError) as caught:
        oracle.account(SETTINGS)
    assert caught.value.hint == "ggml.c:1234: GGML_ASSERT(n > 0) failed"
    assert "GGML_ASSERT" in caught.value.details


def test_a_refusal_keeps_the_child(make: MakeOracle) -> None:
    oracle = make("error", "ok")
    with pytest.raises(OracleError) as caught:
        oracle.account(SETTINGS)
    assert (caught.value.message, caught.value.hint, caught.value.details) == (
        "No.",
        "n_ctx",
        "said",
    )
    (before,) = children()
    oracle.account(SETTINGS)
    assert children() == [before]


def test_a_child_that_cannot_be_started(make: MakeOracle) -> None:
    oracle = make(command=["/nowhere/at/all"])
    with pytest.raises(OracleError, match="cannot be started"):
        oracle.account(SETTINGS)


# --- stopping -----------------------------------------------------------------------------------


def test_a_stopped_question_does_not_answer_the_next_one(make: MakeOracle) -> None:
    oracle = make("ok", "long_silence", "ok")
    first = oracle.account(SETTINGS)[0].weights_bytes
    (child,) = children()
    asked = iter([False, False, True])
    with pytest.raises(StoppedError):
        oracle.account(SETTINGS, stop=lambda: next(asked))
    # The late answer comes just before the next one, with another id.
    assert oracle.account(SETTINGS)[0].weights_bytes == first + 2
    assert children() == [child]


def test_a_stop_before_the_child_is_ready_leaves_none(make: MakeOracle) -> None:
    oracle = make("ok")
    calls: list[int] = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 1

    with pytest.raises(StoppedError):
        oracle.account(SETTINGS, stop=stop)
    # Either way the next question is answered.
    assert oracle.account(SETTINGS)


def test_closing_from_another_thread_ends_a_question(make: MakeOracle) -> None:
    oracle = make("ok", "hang")
    oracle.account(SETTINGS)
    outcome: list[BaseException] = []

    def ask() -> None:
        try:
            oracle.account(SETTINGS)
        except OracleError as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    oracle.close()
    thread.join(30)
    assert not thread.is_alive()
    assert "closed" in str(outcome[0])
    assert children() == []


def test_questions_of_two_threads_wait_for_each_other(make: MakeOracle) -> None:
    oracle = make(*["ok"] * 10)
    answers: list[int] = []

    def ask() -> None:
        answers.extend(oracle.account(SETTINGS)[0].weights_bytes for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(answers)) == 10


def test_after_close_nothing_is_answered(make: MakeOracle) -> None:
    oracle = make("ok", "ok")
    oracle.account(SETTINGS)
    oracle.close()
    oracle.close()
    with pytest.raises(OracleError, match="closed"):
        oracle.account(SETTINGS)


# --- files --------------------------------------------------------------------------------------


def sparse_bytes(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*.gguf"))


def test_headers_become_sparse_files_with_their_shards_names(
    make: MakeOracle, work_dir: Path
) -> None:
    names = [f"big-0000{number}-of-00002.gguf" for number in (1, 2)]
    oracle = make("ok", files=[HeaderFile(name, HUGE_BYTES, header=b"GGUF") for name in names])
    oracle.account(SETTINGS)
    files = sorted(work_dir.rglob("*.gguf"))
    assert [file.name for file in files] == names
    assert [file.stat().st_size for file in files] == [HUGE_BYTES] * 2
    with files[0].open("rb") as file:
        assert file.read(5) == b"GGUF\0"
    assert sparse_bytes(work_dir) < 10**6
    oracle.close()
    assert list(work_dir.iterdir()) == []


def test_a_file_that_is_here_is_linked_beside_the_others(
    make: MakeOracle, work_dir: Path, tmp_path: Path
) -> None:
    here = tmp_path / "library" / "part-00001-of-00002.gguf"
    here.parent.mkdir()
    here.write_bytes(b"GGUF here")
    files = [
        HeaderFile(here.name, 9, path=here),
        HeaderFile("part-00002-of-00002.gguf", 1000, header=b"GGUF"),
    ]
    oracle = make("ok", files=files)
    oracle.account(SETTINGS)
    (linked,) = work_dir.rglob(here.name)
    assert linked.read_bytes() == b"GGUF here"
    oracle.close()
    assert here.exists()
    assert list(work_dir.iterdir()) == []


def test_a_whole_checkpoint_needs_no_files(
    make: MakeOracle, work_dir: Path, tmp_path: Path
) -> None:
    here = tmp_path / "tiny.gguf"
    here.write_bytes(b"GGUF")
    make("ok", files=[HeaderFile("tiny.gguf", 4, path=here)]).account(SETTINGS)
    assert not work_dir.exists()


@pytest.mark.parametrize("name", ["../escape.gguf", "", "..", "a/b.gguf"])
def test_names_that_lead_elsewhere_are_refused(make: MakeOracle, work_dir: Path, name: str) -> None:
    with pytest.raises(OracleError, match="impossible name"):
        make(files=[HeaderFile(name, 10, header=b"GGUF")]).account(SETTINGS)
    assert list(work_dir.rglob("*.gguf")) == []
    assert list(work_dir.iterdir()) == []


def test_leftovers_of_dead_processes_are_removed(make: MakeOracle, work_dir: Path) -> None:
    dead = work_dir / "oracle-4194305-abc"  # above Linux's largest process id
    alive = work_dir / f"oracle-{os.getpid()}-other"
    other = work_dir / "something-else"
    for folder in (dead, alive, other):
        folder.mkdir(parents=True)
        (folder / "big.gguf").write_bytes(b"GGUF")
    make("ok").account(SETTINGS)
    assert not dead.exists()
    assert alive.exists()
    assert other.exists()


def test_a_folder_that_cannot_be_written(make: MakeOracle, work_dir: Path) -> None:
    work_dir.write_text("not a folder")
    with pytest.raises(OracleError, match="cannot be written"):
        make("ok").account(SETTINGS)


def test_no_files_at_all(work_dir: Path) -> None:
    with (
        Oracle([], [], work_dir=work_dir) as oracle,
        pytest.raises(OracleError, match="without files"),
    ):
        oracle.account(SETTINGS)


PARENT = """
import json, sys, threading
from pathlib import Path
import psutil
from models.gguf.header_file import HeaderFile
from models.planner.plan import PlanSettings
from models.runtime.oracle import Oracle
command, work_dir = json.loads(sys.argv[1])
file = HeaderFile("x.gguf", 10, header=b"GGUF")
oracle = Oracle([file], [], command=command, work_dir=Path(work_dir))
oracle.account(PlanSettings(n_ctx=512))
print(psutil.Process().children()[0].pid, flush=True)
threading.Event().wait()
"""


def test_a_parent_that_is_killed_leaves_no_child_and_no_files_for_long(
    make: MakeOracle, tmp_path: Path, work_dir: Path
) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps(["ok"]))
    command = [sys.executable, "-S", str(CHILD), str(script)]
    program = [sys.executable, "-c", PARENT, json.dumps([command, str(work_dir)])]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        child.wait(20)
    assert not child.is_running()
    (left,) = work_dir.iterdir()
    make("ok").account(SETTINGS)
    assert not left.exists()
