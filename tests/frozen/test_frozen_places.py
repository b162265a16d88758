"""The frozen program in odd places: read-only, by another user, without network, home or AVX2."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from helpers.frozen_program import (
    DEMO_FIGURES,
    OTHER_USER,
    RUN_FIGURES,
    FrozenProgram,
    can_run,
    copy_program,
    snapshot,
)

ASK = ("run", "demo", "--prompt", "Say hello.", "--max-tokens", "8", "--temp", "0")


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


def test_a_home_folder_that_cannot_be_written(stranger: FrozenProgram) -> None:
    home = Path(stranger.env["HOME"])
    os.chown(home, 0, 0)
    home.chmod(0o555)
    line = stranger.refusal("--demo-question", "Say hello.")
    assert "cannot make its folder" in line
    assert "--basedir" in line
    done = stranger.run("doctor", "--json")
    assert done.returncode == 1
    checks = json.loads(done.stdout)["checks"]
    assert [check["name"] for check in checks if check["status"] == "fail"] == ["folders"]
    assert "Traceback" not in done.stderr


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
    """Only the module for any x86-64 is left, as if no other fitted: it loads and answers."""
    copy = copy_program(frozen, tmp_path / "fathom")
    modules = list((copy.inside / "llama_cpp" / "lib").glob("libggml-cpu-*.so"))
    baseline = copy.inside / "llama_cpp" / "lib" / "libggml-cpu-x64.so"
    assert baseline in modules
    for module in modules:
        if module != baseline:
            module.unlink()
    assert copy.output(*ASK, stderr=RUN_FIGURES.pattern).strip()
    # And a processor that is too old even for that reads so in one line.
    baseline.unlink()
    assert "None of llama.cpp's CPU modules runs on this processor." in copy.refusal(*ASK)
    (baseline.parent / "libggml.so.0").unlink()
    assert "The llama.cpp engine cannot be loaded on this machine." in copy.refusal(*ASK)
