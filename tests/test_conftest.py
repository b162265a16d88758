"""The checks every test runs under, checked."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helpers.leaks import LeakCheck, LeakedError
from helpers.logcheck import LogCheck, UnexpectedLogError

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def test_home_is_private(private_home: Path, base_dir: Path) -> None:
    assert Path.home() == private_home
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        assert Path(os.environ[variable]).is_relative_to(private_home)
    assert not list(base_dir.iterdir())


def test_program_can_be_imported_by_children(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import app, models; print(models.__file__)"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(result.stdout.strip()).parent.name == "models"


def test_running_thread_is_a_leak() -> None:
    release = threading.Event()
    check = LeakCheck(grace_s=0.05)
    thread = threading.Thread(target=release.wait, name="forgotten")
    thread.start()
    with pytest.raises(LeakedError, match="forgotten"):
        check.assert_clean()
    release.set()
    thread.join()
    check.assert_clean()


def test_thread_that_ends_soon_is_no_leak() -> None:
    check = LeakCheck()
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    ender = threading.Timer(0.1, release.set)
    ender.start()
    check.assert_clean()
    assert not thread.is_alive()


def test_running_child_is_a_leak_and_is_killed() -> None:
    check = LeakCheck(grace_s=0.05)
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as child:
        with pytest.raises(LeakedError, match=str(child.pid)):
            check.assert_clean()
        child.wait()


def test_child_nobody_waited_for_is_a_leak() -> None:
    check = LeakCheck(grace_s=0.05)
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    child.stdout.close()
    with pytest.raises(LeakedError, match="process"):
        check.assert_clean()
    child.wait()


def test_unexpected_log_record_fails() -> None:
    logger = logging.getLogger("models.test")
    with LogCheck() as check:
        check.emit(
            logger.makeRecord("models.test", logging.WARNING, "", 0, "disk is full", (), None)
        )
    with pytest.raises(UnexpectedLogError, match="disk is full"):
        check.assert_clean()
    check("disk is")
    check.assert_clean()


def test_allowed_log_record_passes(allow_logs: LogCheck) -> None:
    allow_logs("the engine .* died")
    logging.getLogger("models.test").error("the engine %s died", 7)
    assert len(allow_logs.records) == 1
    assert allow_logs.unexpected() == []


def test_children_can_be_interrupted() -> None:
    command = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "default_int_handler" in result.stdout


def test_children_keep_what_they_compiled() -> None:
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
