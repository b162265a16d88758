"""The program's entry: help, version, bad arguments, and what it does not import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.__main__ import use_utf8_locale
from helpers.fathom_process import assert_one_clear_line, fathom
from models.version import VERSION

HEAVY = re.compile(r"PySide6|shiboken6|llama_cpp|numpy|jinja2|huggingface_hub")


def imported(*arguments: str) -> list[str]:
    """Modules that the process of ``fathom ARGUMENTS`` itself imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-P", "-m", "app", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return [line.rsplit("|", 1)[1].strip() for line in lines]


def test_version() -> None:
    done = fathom("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Fathom {VERSION}\n", "")


def test_version_imports_nothing_of_the_core_but_the_version() -> None:
    names = imported("--version")
    assert not [name for name in names if HEAVY.match(name)]
    assert [name for name in names if name.startswith("models")] == ["models", "models.version"]


@pytest.mark.parametrize("module", ["argparse", "app.cli.verbs", "app.cli.session"])
def test_ctrl_c_while_it_begins_is_one_line_like_later_on(module: str) -> None:
    """A real signal at a moment that can be named: when a module is looked for."""
    program = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class PressesCtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, PressesCtrlC())
from app.__main__ import main
sys.exit(main(["devices"]))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "fathom: Stopped.\n")


@pytest.mark.model
def test_devices_imports_neither_qt_nor_llama() -> None:
    names = imported("devices", "--json")
    assert "models.runtime.supervisor" in names
    assert not [name for name in names if HEAVY.match(name)]


def test_help_names_every_verb_and_exit_code() -> None:
    done = fathom("--help", env={"COLUMNS": "80"})
    assert done.returncode == 0
    for words in ("run ", "devices", "doctor", "--basedir", "--debug", "--version", "130"):
        assert words in done.stdout
    assert "engine" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are Linux's")
def test_a_window_without_a_display_is_refused_in_one_line() -> None:
    environment = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "QT_QPA_PLATFORM": ""}
    done = fathom(env=environment)
    assert "no display" in assert_one_clear_line(done, code=1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the folders of Linux")
def test_a_log_that_cannot_be_kept_is_told_in_one_line_after_the_work(tmp_path: Path) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("")
    env = {"XDG_STATE_HOME": str(in_the_way)}
    line = assert_one_clear_line(fathom("ls", env=env), code=0)
    assert line.startswith(f"No log is kept: {in_the_way}")
    # What fails tells why, and nothing else.
    line = assert_one_clear_line(fathom("inspect", "nothing.gguf", env=env), code=2)
    assert "nothing.gguf" in line


@pytest.mark.parametrize("verb", ["run", "devices", "doctor"])
def test_help_of_a_verb(verb: str) -> None:
    done = fathom(verb, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--colour"], "--colour"),
        (["fly"], "fly"),
        (["run"], "MODEL"),
        (["run", "demo"], "--prompt"),
        (["run", "demo", "--prompt", "x", "--stop"], "--stop"),
        (["run", "demo", "--prompt", "x", "--ctx", "many"], "--ctx"),
        (["run", "demo", "--prompt", "x", "--ctx", "-1"], "whole number"),
        (["run", "demo", "--prompt", "x", "--ctx", "99999999999"], "16,777,216"),
        (["run", "demo", "--prompt", "x", "--temp", "nan"], "--temp"),
        (["run", "demo", "--prompt", "x", "--temp", "-0.5"], "from 0 to 5"),
        (["run", "demo", "--prompt", "x", "--temp", "inf"], "--temp"),
        (["run", "demo", "--prompt", "x", "--seed", "1.5"], "--seed"),
        (["run", "demo", "--prompt", "x", "--seed", "4294967296"], "--seed"),
        (["run", "demo", "--prompt", "x", "--max-tokens", ""], "--max-tokens"),
        (["devices", "extra"], "extra"),
        (["--screenshot", "x.png", "devices"], "--screenshot"),
        (["--model", "demo", "doctor"], "--model"),
    ],
)
def test_bad_arguments_end_in_one_line_and_code_two(arguments: list[str], words: str) -> None:
    line = assert_one_clear_line(fathom(*arguments), code=2)
    assert words in line


def test_options_before_and_after_the_verb(base_dir: Path) -> None:
    for arguments in (
        ["--basedir", base_dir, "run", "nothing-here", "--prompt", "x"],
        ["run", "nothing-here", "--prompt", "x", "--basedir", base_dir],
    ):
        assert_one_clear_line(fathom(*arguments), code=2)
        log = base_dir / "log" / "fathom.log"
        assert "checkpoint_not_found" in log.read_text()
        log.unlink()


def test_a_qt_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    package = tmp_path / "PySide6"
    package.mkdir()
    words = "libEGL.so.1: cannot open shared object file"
    (package / "__init__.py").write_text(f"raise ImportError({words!r}, name='PySide6.QtGui')\n")
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    done = fathom("--demo-question", "x", env={"PYTHONPATH": path})
    line = assert_one_clear_line(done, code=1)
    assert words in line
    assert "fathom doctor" in line


@pytest.mark.parametrize(
    ("env", "changed"),
    [
        ({}, {"LC_CTYPE": "C.UTF-8"}),
        ({"LANG": "C"}, {"LC_CTYPE": "C.UTF-8"}),
        ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, {"LC_ALL": "C.UTF-8"}),
        ({"LC_ALL": "", "LANG": "de_DE.UTF-8"}, {}),
        ({"LC_CTYPE": "en_US.UTF-8", "LANG": "C"}, {}),
    ],
)
def test_a_shell_without_a_language_speaks_utf8(
    env: dict[str, str], changed: dict[str, str]
) -> None:
    expected = {**env, **changed}
    use_utf8_locale(env)
    assert env == expected
