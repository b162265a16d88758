"""The whole program on a tour of its window: nobody else can read what it wrote, nobody was asked.

The umask is 0: whatever is made without a thought is open to everybody, and seen. Where the system
lets us, the network is cut off and every socket is traced, in the window and all its children.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers import window_tour
from helpers.fake_hub import fake_hub
from helpers.fathom_process import FATHOM, TIMEOUT_S
from helpers.tiny_gguf import TinyModel, write_tiny

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions"),
    pytest.mark.model,
]

REPOSITORY = "maker/DeepSeek-Tiny-GGUF"
FILE = "DeepSeek-Tiny-Q8_0.gguf"
OTHERS = 0o077
TRACE = ("strace", "-f", "--seccomp-bpf", "-e", "trace=%network,execve", "-o")
SOCKET = re.compile(r"\b(?:socket|socketpair)\((AF_\w+|0x\w+|\d+)")
# What a process says to itself or to the system's own services.
LOCAL = {"AF_UNIX", "AF_LOCAL"}


@dataclass(frozen=True)
class Tour:
    """What came of it: while it ran, and afterwards."""

    told: list[str]
    open_to_others: list[str]
    files: set[str]
    trace: str


def open_to_others(base_dir: Path) -> list[str]:
    """Return what others may read or write, of what there is right now; checkpoints may be read."""
    found = []
    for path in (base_dir, *base_dir.rglob("*")):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        is_checkpoint = path.suffix == ".gguf" and stat.S_ISREG(mode)
        forbidden = stat.S_IWGRP | stat.S_IWOTH if is_checkpoint else OTHERS
        # Below a folder that nobody else may enter, folders of checkpoints are ordinary ones.
        if "models" in path.relative_to(base_dir).parts[:-1] and stat.S_ISDIR(mode):
            continue
        if mode & forbidden and not stat.S_ISLNK(mode):
            found.append(f"{stat.filemode(mode)} {path.relative_to(base_dir)}")
    return found


def names(base_dir: Path) -> set[str]:
    return {path.name for path in base_dir.rglob("*")}


def works(*command: str) -> bool:
    """Tell whether a tool is there and allowed to do its work."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0


def strange_calls(trace: str) -> list[str]:
    """Return the calls that open a socket to anywhere else, or listen."""
    calls = [line for line in trace.splitlines() if SOCKET.search(line) or " listen(" in line]
    families = [(SOCKET.search(line), line) for line in calls]
    return [line for match, line in families if match is None or match[1] not in LOCAL]


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory, session_cache_dir: Path) -> Tour:
    folder = tmp_path_factory.mktemp("tour")
    base_dir = folder / "base"
    (folder / "elsewhere").mkdir()
    write_tiny(folder / "elsewhere" / f"{window_tour.TINY}.gguf", TinyModel("deepseek2"))
    (base_dir / "config").mkdir(mode=0o700, parents=True)
    base_dir.chmod(0o700)
    settings = base_dir / "config" / "settings.toml"
    settings.write_text(f"[library]\nroots = {json.dumps([str(folder / 'elsewhere')])}\n")
    settings.chmod(0o600)
    trace = folder / "trace.txt"
    cut = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    wrapper = cut if works(*cut) else []
    if works(*TRACE, os.devnull):
        wrapper = [*wrapper, *TRACE, str(trace)]
    # A home of its own (that of one test is not there yet), and no services of the desktop.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DBUS_", "XDG_", "HF_"))}
    env |= {"HOME": str(folder), "XDG_CACHE_HOME": str(session_cache_dir)}
    told, found, files = [], [], set()
    with subprocess.Popen(
        [*wrapper, sys.executable, "-P", window_tour.__file__, str(base_dir)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=0,
        env=env,
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        # While it runs: the store's own log and the header-only files of a dry run are there.
        for line in program.stdout:
            told.append(json.loads(line)["seen"])
            found += open_to_others(base_dir)
            files |= names(base_dir)
        words = program.stderr.read()
    assert (program.returncode, words) == (0, "")
    found += open_to_others(base_dir)
    calls = trace.read_text() if trace.exists() else ""
    return Tour(told, found, files, calls)


def test_what_is_open_is_seen(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "private").touch(0o600)
    assert open_to_others(tmp_path) == []
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o640)
    assert open_to_others(tmp_path) == ["-rw-r----- open"]


def test_a_socket_to_elsewhere_is_seen(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    if not works(*TRACE, os.devnull):
        pytest.skip("strace is missing or not allowed here")
    source = (
        "import socket as s; s.socketpair(); s.socket(s.AF_INET6, s.SOCK_DGRAM); "
        "u = s.socket(s.AF_INET); u.bind(('127.0.0.1', 0)); u.listen()"
    )
    subprocess.run([*TRACE, str(trace), sys.executable, "-c", source], check=True)
    kinds = [
        re.search(r"AF_INET6|AF_INET|listen", line) for line in strange_calls(trace.read_text())
    ]
    assert [kind[0] for kind in kinds if kind] == ["AF_INET6", "AF_INET", "listen"]


def test_a_window_s_files_are_its_owners(tour: Tour) -> None:
    assert tour.told == ["answer", "plan", "end"]
    assert tour.open_to_others == []
    wanted = {
        "settings.toml", "conversations.sqlite3", "conversations.sqlite3-wal", "library.json",
        "checks.json", "measured-loads.jsonl", "fathom.log", "faults.log",
    }  # fmt: skip
    assert wanted <= tour.files


def test_start_chat_plan_and_library_ask_nobody(tour: Tour) -> None:
    assert tour.told == ["answer", "plan", "end"]
    if not tour.trace:
        pytest.skip("strace is missing or not allowed here")
    started = [line for line in tour.trace.splitlines() if "execve(" in line]
    assert any('"engine"' in line for line in started), "the engine child was not traced"
    assert any('"oracle"' in line for line in started), "the planner's child was not traced"
    assert strange_calls(tour.trace) == []


def test_a_download_s_files_are_its_owners_but_the_checkpoint(tmp_path: Path) -> None:
    base_dir = tmp_path / "new" / "base"
    data = write_tiny(tmp_path / FILE, TinyModel("deepseek2")).read_bytes()
    with fake_hub() as hub:
        hub.add(REPOSITORY, FILE, data)
        # Whether a mirror can be compared with Hugging Face is tested with the hub.
        env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HTTPS_PROXY": "http://127.0.0.1:9"}
        for verb in (("plan", f"{REPOSITORY}/{FILE}"), ("pull", REPOSITORY)):
            done = subprocess.run(
                [*FATHOM, *verb, "--basedir", str(base_dir)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                umask=0,
                env=env,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    assert open_to_others(base_dir.parent) == []
    (checkpoint,) = base_dir.rglob(FILE)
    assert stat.S_IMODE(checkpoint.stat().st_mode) == 0o644
    seen = names(base_dir)
    assert {f"{FILE}.json", "fathom.log"} <= seen
    assert any(name.endswith(".entry") for name in seen)
