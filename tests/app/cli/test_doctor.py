"""``fathom doctor``: a healthy installation, broken ones, and what it must not tell."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from app.cli import checks
from app.cli.doctor import Examination, doctor
from app.cli.session import Session
from helpers.engine_harness import PROBLEM_ENGINE
from helpers.fathom_process import fathom, one_object
from models.hardware.readouts import CpuReadout, HardwareSnapshot, RamReadout
from models.paths import user_paths
from models.settings import Settings

NAMES = [
    "Python", "packages", "folders", "disk", "settings", "GPU", "memory", "Qt", "display",
    "llama.cpp", "engine", "add-ons", "demo", "decode",
]  # fmt: skip


@pytest.mark.model
def test_a_healthy_installation(private_home: Path) -> None:
    done = fathom("doctor", "--json")
    data = one_object(done.stdout)
    assert (done.returncode, data["ok"]) == (0, True), data
    assert list(data) == ["version", "platform", "ok", "checks", "demo"]
    assert [check["name"] for check in data["checks"]] == NAMES
    assert {check["status"] for check in data["checks"]} <= {"ok", "warn"}
    assert data["demo"]["completion_tokens"] > 10
    assert data["demo"]["decode_tok_s"] > 0
    assert str(private_home) not in done.stdout


def problem_session(base_dir: Path, script: dict[str, Any]) -> Session:
    paths = user_paths(base_dir)
    command = (sys.executable, str(PROBLEM_ENGINE), json.dumps(script))
    return Session(paths, Settings(paths.settings_file), command)


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        ({"hello": "exit"}, "engine"),
        ({"load": "error"}, "demo"),
        ({"generate": "segv_late"}, "decode"),
        ({}, "decode"),
    ],
)
def test_an_engine_that_fails_is_named_and_ends_in_code_one(
    base_dir: Path,
    capsys: pytest.CaptureFixture[str],
    allow_logs: Any,
    script: dict[str, Any],
    failed: str,
) -> None:
    allow_logs("engine")
    options = argparse.Namespace(json=False)
    assert doctor(options, problem_session(base_dir, script)) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert f"fail  {failed}" in out
    assert out.splitlines()[-1].endswith(f"checks failed: {failed}.")


def test_safe_mode_is_a_warning(base_dir: Path, allow_logs: Any) -> None:
    allow_logs("engine")
    examination = Examination(problem_session(base_dir, {"load": "abort_repacked"}))
    found = {check.name: check for check in examination.run()}
    assert found["demo"].status == "warn"
    assert "safe mode" in found["demo"].text


def test_paths_are_told_without_home_and_user(private_home: Path) -> None:
    user = getpass.getuser()
    text = f"{private_home}/models and /media/{user}/disk, {user}land"
    assert checks.without_names(text) == f"~/models and /media/USER/disk, {user}land"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(base_dir: Path) -> None:
    base_dir.chmod(0o500)
    assert checks.check_folders(user_paths(base_dir)).status == "fail"


def test_a_file_where_a_folder_should_be(base_dir: Path) -> None:
    (base_dir / "data").write_text("x")
    check = checks.check_folders(user_paths(base_dir))
    assert (check.status, "data" in check.text) == ("fail", True)


def test_folders_and_disk_of_a_new_user(base_dir: Path) -> None:
    paths = user_paths(base_dir)
    assert "free for checkpoints" in checks.check_disk(paths).text
    assert checks.check_folders(paths).status == "ok"
    assert paths.models_dir.is_dir()


def test_settings_that_cannot_be_used_are_a_warning(base_dir: Path) -> None:
    paths = user_paths(base_dir)
    paths.create()
    paths.settings_file.write_text("[sampling]\ntemperature = 99\n")
    check = checks.check_settings(Settings(paths.settings_file))
    assert check.status == "warn"
    assert "temperature" in check.text


def test_the_packages_of_this_environment_are_right() -> None:
    check = checks.check_packages()
    assert check.status == "ok", check.text
    assert "PySide6-Essentials" in check.text


@pytest.mark.model
def test_the_librarys_modules_are_listed() -> None:
    check = checks.check_library()
    assert check.status == "ok", check.text
    assert "rpc" in check.text


def test_qt_is_tried_in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    found = checks.check_qt()
    assert [check.name for check in found] == ["Qt", "display"]
    assert found[0].status == "ok"
    assert "offscreen" in found[0].text


@pytest.mark.parametrize(
    ("printed", "status"),
    [("hello\n{'qt'", "fail"), ("", "fail"), ('noise\n{"qt": "6.11", "platform": "x"}', "ok")],
)
def test_what_plugins_print_does_not_end_the_doctor(
    monkeypatch: pytest.MonkeyPatch, printed: str, status: str
) -> None:
    code = f"print({printed!r})"
    monkeypatch.setattr(checks, "program_command", lambda verb: [sys.executable, "-c", code])
    assert checks.check_qt()[0].status == status


def test_a_display_that_does_not_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":4242")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    display = checks.check_qt()[1]
    assert display.status == "fail"
    assert "Qt" in display.text


def test_notes_and_little_memory_are_warnings() -> None:
    ram = RamReadout(2_000_000_000, 1_500_000_000, 500_000_000, "psutil")
    cpu = CpuReadout(None, 1, 1, "CPU", (), "psutil")
    snapshot = HardwareSnapshot((), ram, cpu, taken_at=0.0, notes=("No driver.",))
    gpu, memory = checks.check_machine(snapshot)
    assert (gpu.status, gpu.text) == ("warn", "No driver.")
    assert memory.status == "warn"
