"""The frozen program in odd places: read-only, by another user, without network, home or AVX2."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.frozen_program import (
    DEMO_FIGURES,
    OTHER_USER,
    RUN_FIGURES,
    FrozenProgram,
    can_run,
    changed_program,
    snapshot,
)

ASK = ("run", "demo", "--prompt", "Say hello.", "--max-tokens", "8", "--temp", "0")
# Below the program's own folder.
MODULES = "llama_cpp/lib"
NO_DEMO: dict[str, bytes | None] = {"resources/demo/*.gguf": None}


def test_another_user_an_odd_path_and_nothing_to_write_to(stranger: FrozenProgram) -> None:
    before = snapshot(stranger.folder)
    assert not any(mode & 0o222 for _, _, mode in before.values() if not stat.S_ISLNK(mode))
    output = stranger.output("--demo-question", "Say hello.")
    assert DEMO_FIGURES.search(output), output
    assert stranger.output("doctor").endswith("\nEverything that is needed works.\n")
    assert snapshot(stranger.folder) == before
    # All that it wrote is in the user's own folders, for the user alone.
    home = Path(stranger.env["HOME"])
    written = [path for path in home.rglob("*") if path.is_file() and "fathom" in path.parts]
    assert {path.name for path in written} >= {"conversations.sqlite3", "fathom.log"}
    for path in written:
        assert path.stat().st_uid == OTHER_USER
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.fixture
def locked_out(stranger: FrozenProgram) -> FrozenProgram:
    """That user, whose home folder is somebody else's."""
    home = Path(stranger.env["HOME"])
    os.chown(home, 0, 0)
    home.chmod(0o555)
    return stranger


def test_a_home_folder_that_cannot_be_written(locked_out: FrozenProgram) -> None:
    """What must write there says so in one line; all else works, and one line tells of the log."""
    line = locked_out.refusal("--demo-question", "Say hello.")
    assert "cannot make its folder" in line
    assert "--basedir" in line
    assert "cannot make its folder" in locked_out.refusal("pull", "r1-distill-qwen-1.5b")
    note = r"fathom: No log is kept: .+ cannot be written \(Permission denied\)\.\n"
    assert locked_out.output("ls", stderr=note)
    done = locked_out.run("doctor", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    checks = json.loads(done.stdout)["checks"]
    assert [check["name"] for check in checks if check["status"] == "fail"] == ["folders"]


def test_no_home_folder_at_all(stranger: FrozenProgram) -> None:
    homeless = FrozenProgram(
        stranger.folder,
        (
            *stranger.wrapper[:1],
            "--reuid=54321",
            *stranger.wrapper[2:],
            "env",
            "-u",
            "HOME",
            *(f"--unset={name}" for name in stranger.env),
        ),
    )
    assert "--basedir" in homeless.refusal("run", "demo", "--prompt", "Hi")


def test_without_a_network(frozen: FrozenProgram) -> None:
    # Root may; others may in a user namespace of their own, where the system lets them.
    wrapper = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-r", "-n")
    if not can_run(wrapper):
        pytest.skip(f"{' '.join(wrapper)} is not possible here")
    cut_off = FrozenProgram(frozen.folder, wrapper)
    assert DEMO_FIGURES.search(cut_off.output("--demo-question", "Say hello."))
    assert cut_off.output(*ASK, stderr=RUN_FIGURES.pattern).strip()


def test_a_processor_without_avx(frozen: FrozenProgram, tmp_path: Path) -> None:
    """Only the module for any x86-64 is left, as if no other fitted: it loads and answers.

    What such a processor does with the whole program is benchmarks/old_processors.py.
    """
    modules = {path.name for path in (frozen.inside / MODULES).glob("libggml-cpu-*.so")}
    others = modules - {"libggml-cpu-x64.so"}
    assert len(others) == len(modules) - 1
    gone: dict[str, bytes | None] = {f"{MODULES}/{name}": None for name in sorted(others)}
    old = changed_program(frozen, tmp_path / "old", gone)
    assert old.output(*ASK, stderr=RUN_FIGURES.pattern).strip()
    # And a processor that is too old even for that reads so in one line.
    none = changed_program(old, tmp_path / "none", {f"{MODULES}/libggml-cpu-x64.so": None})
    assert "None of llama.cpp's CPU modules runs on this processor." in none.refusal(*ASK)
    broken = changed_program(none, tmp_path / "broken", {f"{MODULES}/libggml.so.0": None})
    assert "The llama.cpp engine cannot be loaded on this machine." in broken.refusal(*ASK)


@pytest.fixture
def penryn(frozen: FrozenProgram, tmp_path: Path) -> FrozenProgram:
    """The program where the system says that the processor is one of 2008."""
    told = tmp_path / "cpuinfo"
    flags = "fpu sse sse2 ht pni ssse3 cx16 sse4_1 lahf_lm"
    told.write_text(f"processor\t: 0\nflags\t\t: {flags}\n", encoding="ascii")
    script = 'mount --bind "$0" /proc/cpuinfo && exec "$@"'
    wrapper = ("unshare", "-m", "sh", "-c", script, str(told))
    if not can_run(wrapper):
        pytest.skip("unshare -m is not possible here (root may)")
    return replace(frozen, wrapper=wrapper)


def test_a_processor_too_old_for_qt(penryn: FrozenProgram, tmp_path: Path) -> None:
    """Qt would end the process without a word on many: the window says why it does not come."""
    no_platform = "PySide6/Qt/plugins/platforms/libqoffscreen.so"
    fails = changed_program(penryn, tmp_path / "fathom", {no_platform: None, **NO_DEMO})
    words = "too old for Fathom's window: it lacks SSE4.2 and POPCNT."
    assert words in fails.refusal("--demo-question", "Say hello.")
    done = fails.run("doctor", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert words in checks["Qt"]["text"]
    assert checks["engine"]["status"] == "ok"


def test_a_qt_that_runs_is_not_refused(penryn: FrozenProgram, tmp_path: Path) -> None:
    """Whatever the system says of the processor: Qt is tried out, and the window comes."""
    runs = changed_program(penryn, tmp_path / "fathom", NO_DEMO)
    line = runs.refusal("--demo-question", "Say hello.")
    assert line.startswith("This Fathom came without the demo checkpoint.")


def test_a_build_without_the_demo(frozen: FrozenProgram, tmp_path: Path) -> None:
    """As ``make package ARGS=--without-demo`` makes it: what to do instead is said."""
    smaller = changed_program(frozen, tmp_path / "fathom", NO_DEMO)
    line = smaller.refusal(*ASK, code=2)
    assert line.startswith("This Fathom came without the demo checkpoint.")
    assert "fathom pull" in line
    report = json.loads(smaller.output("doctor", "--json"))
    assert report["ok"]
    found = {check["name"]: check for check in report["checks"]}
    assert found["engine"]["status"] == "ok"
    assert found["demo"]["status"] == "warn"
    assert "decode" not in found
