"""Set-up: whole runs of it, killed and failed ones, and what they leave."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import bootstrap
from helpers.bootstrap_parts import LINUX, REPO_ROOT, WHEEL_NAME, plan, wheel_files, write_wheel


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout: the real bootstrap.py, empty locks, packages of one line, a ready wheel."""
    folder = tmp_path / "check out"
    (folder / "requirements").mkdir(parents=True)
    shutil.copy(REPO_ROOT / "bootstrap.py", folder)
    for name in (*bootstrap.APP_LOCKS, "build.lock"):
        (folder / "requirements" / name).write_text("# nothing\n")
    shutil.copy(REPO_ROOT / "requirements/engine.lock", folder / "requirements")
    for package in ("app", "models", "PySide6"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    (folder / "PySide6/QtWidgets.py").touch()
    (folder / "app/__main__.py").write_text("import sys\nprint('fathom', *sys.argv[1:])\n")
    return folder


@pytest.fixture
def ready_wheel(tmp_path: Path) -> bootstrap.Build:
    """The wheel of this machine's build, in small, in the cache of this test's user."""
    compiler = bootstrap.find_compiler()
    assert compiler is not None
    build = bootstrap.plan_build(compiler, bootstrap.Backend("cpu"), {})
    built = write_wheel(tmp_path / WHEEL_NAME, wheel_files())
    bootstrap.store_wheel(built, build, bootstrap.cache_dir())
    return build


@pytest.fixture
def run_env(private_home: Path) -> dict[str, str]:
    unwanted = {"PYTHONPATH", "DISPLAY", "WAYLAND_DISPLAY"}
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**env, "FATHOM_BACKEND": "cpu"}


def run_bootstrap(
    checkout: Path, env: dict[str, str], *more: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "bootstrap.py"), *more]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def interrupt_bootstrap(checkout: Path, env: dict[str, str], how: signal.Signals) -> int:
    """Send a signal while .venv is being created; return the exit code."""
    command = [sys.executable, str(checkout / "bootstrap.py")]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("Creating .venv" in line for line in process.stdout)
        process.send_signal(how)
        process.communicate()
        return process.returncode


def is_trusted(checkout: Path) -> bool:
    return (checkout / ".venv" / bootstrap.STAMP_NAME).exists()


@LINUX
def test_set_up_ends_in_a_working_command(
    checkout: Path, ready_wheel: bootstrap.Build, run_env: dict[str, str], tmp_path: Path
) -> None:
    first = run_bootstrap(checkout, run_env)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Set-up finished" in first.stdout
    stamp = json.loads((checkout / ".venv" / bootstrap.STAMP_NAME).read_text())
    assert stamp["wheel"] == ready_wheel.key()

    foreign = tmp_path / "foreign"
    (foreign / "app").mkdir(parents=True)
    (foreign / "app/__main__.py").write_text("print('the wrong app')\n")
    launched = subprocess.run(
        [str(checkout / ".venv/bin/fathom"), "devices", "a b"],
        cwd=foreign,
        env=run_env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert launched.stdout == "fathom devices a b\n"

    second = run_bootstrap(checkout, run_env)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")

    # A changed lock makes everything anew, and an interruption leaves nothing to be trusted.
    (checkout / "requirements/dev.lock").write_text("# something else\n")
    assert interrupt_bootstrap(checkout, run_env, signal.SIGTERM) == 130
    assert not is_trusted(checkout)


@LINUX
def test_a_release_is_made_elsewhere_and_without_the_tests(
    checkout: Path, ready_wheel: bootstrap.Build, run_env: dict[str, str]
) -> None:
    # No installation of it could succeed.
    (checkout / "requirements/dev.lock").write_text("no-such-package==0\n")
    release = checkout / "build/release"
    done = run_bootstrap(checkout, run_env, "--release", str(release))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((release / bootstrap.STAMP_NAME).read_text())["wheel"] == ready_wheel.key()
    assert not (checkout / ".venv").exists()
    again = run_bootstrap(checkout, run_env, "--release", str(release))
    assert (again.returncode, again.stdout) == (0, "")


@LINUX
def test_killed_and_failed_set_ups_are_not_trusted(
    checkout: Path, ready_wheel: bootstrap.Build, run_env: dict[str, str]
) -> None:
    assert interrupt_bootstrap(checkout, run_env, signal.SIGKILL) == -signal.SIGKILL
    assert not is_trusted(checkout)

    broken = checkout / "PySide6/QtWidgets.py"
    broken.write_text("raise ImportError('libEGL.so.1 is missing')\n")
    result = run_bootstrap(checkout, run_env)
    assert result.returncode == 1
    assert "libEGL.so.1 is missing" in result.stderr
    assert not is_trusted(checkout)


@LINUX
def test_only_a_finished_environment_with_the_same_stamp_is_current(tmp_path: Path) -> None:
    stamp = bootstrap.expected_stamp(plan(bootstrap.Compiler("gcc", 13, "gcc 13.3.0")))
    other = bootstrap.expected_stamp(plan(bootstrap.Compiler("gcc", 12, "gcc 12.2.0")))
    assert not bootstrap.is_current(tmp_path, stamp)
    (tmp_path / f"{bootstrap.STAMP_NAME}.unfinished").write_text(json.dumps(stamp))
    assert not bootstrap.is_current(tmp_path, stamp)
    bootstrap.write_stamp(tmp_path, stamp)
    assert bootstrap.is_current(tmp_path, stamp)
    assert not bootstrap.is_current(tmp_path, other)
    (tmp_path / bootstrap.STAMP_NAME).write_text("{")
    assert not bootstrap.is_current(tmp_path, stamp)
