"""The engine child's command line and environment."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from models.runtime.command import (
    ENGINE_COMMAND_VARIABLE,
    TOKEN_VARIABLES,
    engine_command,
    engine_environment,
    repair_hint,
)

REPO_ROOT = Path(__file__).resolve().parents[3]


def test_from_a_checkout():
    assert engine_command() == [sys.executable, "-P", "-m", "app", "engine"]
    assert engine_command(Path("add"))[-3:] == ["engine", "--addons", "add"]


def test_frozen(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert engine_command() == [sys.executable, "engine"]


def test_what_repairs_depends_on_how_it_was_installed(monkeypatch):
    assert "make run" in repair_hint()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "make" not in repair_hint()
    assert "Install Fathom again" in repair_hint()


def test_a_test_may_name_another_engine_but_not_to_the_shipped_program(monkeypatch):
    command = ["/opt/py thon", "engine.py", '{"load": "it\'s \\\\ ok"}']
    monkeypatch.setenv(ENGINE_COMMAND_VARIABLE, shlex.join(command))
    assert engine_command() == command
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert engine_command() == [sys.executable, "engine"]


def test_the_environment_is_passed_through(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    env = engine_environment({"GGML_X": "y"})
    assert env["CUDA_VISIBLE_DEVICES"] == "1"
    assert env["GGML_X"] == "y"
    assert env["PYTHONUTF8"] == env["PYTHONUNBUFFERED"] == "1"


def test_no_child_is_given_a_token(monkeypatch):
    """A template that breaks out of its sandbox, or a file out of llama.cpp, finds none."""
    for name in TOKEN_VARIABLES:
        monkeypatch.setenv(name, "hf_secret")
    env = engine_environment({"HF_TOKEN": "hf_secret"})
    assert "hf_secret" not in "".join(env.values())
    code = "import os, sys; sys.exit('hf_secret' in str(os.environ))"
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


def test_a_folder_named_app_is_not_run_instead(tmp_path, monkeypatch):
    """Whoever starts Fathom may stand in a project that has an `app` of its own."""
    monkeypatch.delenv("PYTHONPATH")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("")
    python, *options = engine_command()
    code = "import app, sys; sys.stdout.write(app.__file__)"
    found = subprocess.run(
        [python, *options[: options.index("-m")], "-c", code],
        cwd=tmp_path,
        env=engine_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout) == REPO_ROOT / "app" / "__init__.py"
