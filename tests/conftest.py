"""What every test gets: a private home, no display, and a check that nothing is left behind."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

TESTS_DIR = Path(__file__).resolve().parent
REPO_ROOT = TESTS_DIR.parent

# Test folders are no packages, so helpers are imported as `from helpers.x import y`; the repository
# root comes first so that `models` and `app` are the program's packages and not tests/models.
for folder in (TESTS_DIR, REPO_ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# A run in the background of a shell ignores Ctrl-C, and children would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Half of a child's start is compiling the program, which Python does once unless its surroundings
# forbid it to keep the result, as images for containers like to.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The threads of two engines share the cores with two test processes. As OpenMP has it they would
# spin while they wait for each other, which takes three times what is computed.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Before Qt is loaded by anybody.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from helpers.leaks import LeakCheck  # noqa: E402  (needs the path set above)
from helpers.logcheck import LogCheck  # noqa: E402  (needs the path set above)

# As in the program (app/garbage.py): Python would collect in whatever thread allocates, and a
# QObject must end in its own. Every test with Qt ends with a collection, the others now and then.
gc.disable()
_MUCH_GARBAGE = 50_000

# Properties are tried with the same examples in every run: what fails once fails always.
settings.register_profile("fathom", derandomize=True, database=None)
settings.load_profile("fathom")

_PRIVATE_DIRS = {
    "HOME": ".",
    "USERPROFILE": ".",
    "APPDATA": "AppData/Roaming",
    "LOCALAPPDATA": "AppData/Local",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Refuse names of tests made of zipped bytes, which hold the time.

    The two test processes would collect tests of different names whenever a second begins between
    them, and neither would run any.
    """
    if isinstance(val, bytes) and val.startswith(b"\x1f\x8b"):
        raise pytest.UsageError(f"{argname}: zipped bytes need an id of their own (ids=[...])")
    return None


@pytest.fixture(scope="session")
def session_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache folder of the whole run: fontconfig would otherwise scan every font in each child."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def private_home(
    tmp_path_factory: pytest.TempPathFactory,
    session_cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Point HOME and its relatives into a folder of this test, so that no real data is touched."""
    home = tmp_path_factory.mktemp("home")
    for variable, relative in _PRIVATE_DIRS.items():
        folder = home / relative
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(variable, str(folder))
    runtime_dir = home / "runtime"
    runtime_dir.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_dir))
    monkeypatch.setenv("XDG_CACHE_HOME", str(session_cache_dir))
    for variable in [name for name in os.environ if name.startswith("FATHOM_")]:
        monkeypatch.delenv(variable)
    # Children find the program whatever folder they run in.
    monkeypatch.setenv("PYTHONPATH", str(REPO_ROOT))
    return home


@pytest.fixture(autouse=True)
def allow_logs(private_home: Path) -> Iterator[LogCheck]:
    """Fail the test on a log record of WARNING or above that it did not allow.

    A test that provokes one says so: ``allow_logs("engine .* died")`` (a regular expression
    searched in the message), before or after it happens.
    """
    with LogCheck() as check:
        yield check
    check.assert_clean()


@pytest.fixture(autouse=True)
def no_leaks(allow_logs: LogCheck) -> Iterator[LeakCheck]:
    """Fail the test when a thread or child process that it started outlives it.

    Depends on the other autouse fixture so that the order of teardown is fixed: what a test
    and its own fixtures hold is closed first, then leaks are looked for, then logs.
    """
    check = LeakCheck()
    yield check
    if "PySide6.QtCore" in sys.modules or gc.get_count()[0] > _MUCH_GARBAGE:
        gc.collect()
        # What is left belongs to modules: going over it again after every test takes minutes.
        gc.freeze()
    check.assert_clean()


@pytest.fixture
def base_dir(tmp_path: Path) -> Path:
    """Return an empty folder for ``--basedir``: settings, data, cache and logs of one test."""
    folder = tmp_path / "base"
    folder.mkdir(mode=0o700)
    return folder
