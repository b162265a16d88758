"""Set-up: wheels, the cache they lie in, commands and their progress."""

from __future__ import annotations

import shutil
import sys
import threading
import zipfile
from pathlib import Path

import pytest

import bootstrap
from helpers.bootstrap_parts import (
    AMX_MODULE,
    DIST_INFO,
    REPO_ROOT,
    WHEEL_NAME,
    plan,
    wheel_files,
    write_wheel,
)


def test_repacked_wheel_has_one_copy_and_a_right_record(tmp_path: Path) -> None:
    files = wheel_files()
    source = write_wheel(tmp_path / "source.whl", files)
    target = tmp_path / "target.whl"
    bootstrap.repack_wheel(source, target, (AMX_MODULE,))
    assert bootstrap.wheel_problem(target) is None
    with zipfile.ZipFile(target) as wheel:
        names = set(wheel.namelist())
        assert wheel.testzip() is None
    assert names == {name for name in files if name.startswith(("llama_cpp", DIST_INFO))} - {
        AMX_MODULE
    } | {f"{DIST_INFO}/RECORD"}


def test_repack_refuses_a_wheel_without_what_it_must_drop(tmp_path: Path) -> None:
    files = wheel_files()
    del files[AMX_MODULE]
    source = write_wheel(tmp_path / "source.whl", files)
    with pytest.raises(bootstrap.BootstrapError, match="sapphirerapids"):
        bootstrap.repack_wheel(source, tmp_path / "target.whl", (AMX_MODULE,))


def test_damage_to_a_wheel_is_seen(tmp_path: Path) -> None:
    whole = write_wheel(tmp_path / "whole.whl", wheel_files())
    cut = tmp_path / "cut.whl"
    cut.write_bytes(whole.read_bytes()[:-40])
    assert bootstrap.wheel_problem(cut) is not None
    flipped = tmp_path / "flipped.whl"
    flipped.write_bytes(whole.read_bytes().replace(b"fast", b"slow"))
    assert bootstrap.wheel_problem(flipped) is not None
    more = tmp_path / "more.whl"
    shutil.copy(whole, more)
    with zipfile.ZipFile(more, "a") as wheel:
        wheel.writestr("llama_cpp/extra.py", "")
    assert bootstrap.wheel_problem(more) == "RECORD names other files than there are"
    assert bootstrap.wheel_problem(tmp_path / "absent.whl") is not None


@pytest.mark.parametrize(
    ("dropped", "words"), [("libllama", "no llama library"), ("ggml-cpu", "no CPU backend")]
)
def test_wheel_without_an_engine_is_refused(tmp_path: Path, dropped: str, words: str) -> None:
    files = {name: data for name, data in wheel_files().items() if dropped not in name}
    problem = bootstrap.wheel_problem(write_wheel(tmp_path / "w.whl", files))
    assert problem is not None
    assert words in problem


def test_damaged_wheel_in_the_cache_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = plan(bootstrap.Compiler("gcc", 13, "gcc 13.3.0"))
    built = write_wheel(tmp_path / WHEEL_NAME, wheel_files())
    wheel = bootstrap.store_wheel(built, build, tmp_path / "cache")
    assert bootstrap.ensure_wheel(build, tmp_path / "cache", tmp_path / "log") == wheel
    wheel.write_bytes(b"PK")
    assert bootstrap.cached_wheel(build, tmp_path / "cache") is None
    assert not wheel.exists()
    assert "damaged" in capsys.readouterr().out


def test_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if sys.platform == "linux":
        env = {"XDG_CACHE_HOME": str(tmp_path)}
        assert bootstrap.cache_dir(env) == tmp_path / "fathom/wheels"
    assert REPO_ROOT not in bootstrap.cache_dir({}).parents


# --- commands ------------------------------------------------------------------------------------


def test_progress_of_a_build_is_read_from_ninja(capsys: pytest.CaptureFixture[str]) -> None:
    progress = bootstrap.Progress("Building")
    progress.line("  [12/390] /usr/bin/c++ -O3 -c x.cpp")
    progress.line("in between [99/100]")
    progress.report()
    progress.report(force=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Building ..."
    assert lines[1].split() == ["0:00", "Building", "[12/390]"]
    assert len(lines) == 2


def test_failed_command_shows_its_last_lines(tmp_path: Path) -> None:
    program = "print('first'); print('last words'); raise SystemExit(3)"
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.run_logged("Trying", [sys.executable, "-c", program], tmp_path / "log")
    assert "exit code 3" in str(caught.value)
    assert "last words" in str(caught.value)
    assert str(tmp_path / "log") in str(caught.value)
    assert "first" in (tmp_path / "log").read_text()


def test_lack_of_memory_is_explained(tmp_path: Path) -> None:
    program = "print('c++: fatal error: Killed signal terminated program'); raise SystemExit(1)"
    with pytest.raises(bootstrap.BootstrapError, match="CMAKE_BUILD_PARALLEL_LEVEL=1"):
        bootstrap.run_logged("Trying", [sys.executable, "-c", program], tmp_path / "log")


def test_second_holder_of_the_lock_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock_file = tmp_path / "lock"
    entered = threading.Event()

    def wait_for_it() -> None:
        with bootstrap.exclusive(lock_file, "Waiting"):
            entered.set()

    with bootstrap.exclusive(lock_file, "Waiting"):
        other = threading.Thread(target=wait_for_it)
        other.start()
        assert not entered.wait(0.5)
    assert entered.wait(10)
    other.join()
    assert "Waiting ..." in capsys.readouterr().out
