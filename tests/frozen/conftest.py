"""The frozen program under test; without one these tests are skipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from helpers.frozen_program import (
    MARK,
    OTHER_USER,
    FrozenProgram,
    can_run,
    copy_program,
    left_running,
    make_read_only,
    make_writable,
)
from helpers.leaks import GRACE_S

# Read before the variables of the user are hidden from the tests.
_FOLDER = os.environ.get("FATHOM_FROZEN", "")
# Spaces, quotes, what a shell would replace, letters beyond ASCII.
_ODD_NAME = "Ünser Büro & 模型 'q' %20 $HOME"


@pytest.fixture(autouse=True)
def linux_only() -> None:
    """Skip elsewhere: the tests look at /proc and use Linux's tools."""
    if sys.platform != "linux":
        pytest.skip("written for Linux")


@pytest.fixture(autouse=True)
def nothing_left_running(linux_only: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test when a process that it started, or a child of one, outlives it."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    yield
    _, alive = psutil.wait_procs(left_running(mark), timeout=GRACE_S)
    told = []
    for process in alive:
        with contextlib.suppress(psutil.Error):
            told.append(" ".join(process.cmdline()))
            process.kill()
    assert told == [], "left running"


@pytest.fixture(scope="session")
def frozen() -> FrozenProgram:
    """The program in the folder that FATHOM_FROZEN names: fresh, or installed."""
    if not _FOLDER:
        pytest.skip("tests the frozen program: run 'make package' and 'make test-package'")
    program = FrozenProgram(Path(_FOLDER).resolve())
    assert program.file.is_file(), f"no frozen program in {_FOLDER}: run 'make package' first"
    return program


@pytest.fixture(scope="session")
def public_dir() -> Iterator[Path]:
    """A folder that every user may enter (those of pytest are the owner's alone)."""
    folder = Path(tempfile.mkdtemp(prefix="fathom-frozen-"))
    folder.chmod(0o755)
    yield folder
    make_writable(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def installed(frozen: FrozenProgram, public_dir: Path) -> FrozenProgram:
    """A copy that nobody may change, in a folder with an odd name."""
    copy = copy_program(frozen, public_dir / _ODD_NAME / "fathom")
    make_read_only(copy.folder)
    return copy


@pytest.fixture
def stranger(installed: FrozenProgram, public_dir: Path, tmp_path: Path) -> FrozenProgram:
    """That copy, run by a user without name and with an empty home folder."""
    ids = (f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups")
    wrapper = ("setpriv", *ids)
    if not can_run(wrapper):
        pytest.skip("setpriv is missing, or not allowed here (root may)")
    home = public_dir / tmp_path.name
    home.mkdir()
    os.chown(home, OTHER_USER, OTHER_USER)
    env = {name: str(home / name) for name in os.environ if name.startswith("XDG_")}
    return FrozenProgram(installed.folder, wrapper, {**env, "HOME": str(home)})
