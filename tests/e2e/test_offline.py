"""Nothing you write leaves the machine: the main job works without a network and opens no socket.

Unix sockets are not meant: a pair of them inside the process wakes its event loop.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from helpers.fathom_process import FATHOM, TIMEOUT_S

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces and /proc are Linux's"),
    pytest.mark.model,
]

QUESTION = "Say hello."
_POLL_S = 0.02


def run(base_dir: Path, *wrapper: str) -> subprocess.CompletedProcess[str]:
    """Do the main job under another program."""
    return subprocess.run(
        [*wrapper, *FATHOM, "--basedir", str(base_dir), "--demo-question", QUESTION],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


def works(*command: str) -> bool:
    """Tell whether a tool is there and allowed to do its work."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0


def test_the_main_job_without_a_network(base_dir: Path) -> None:
    # Root may; others may in a user namespace of their own, where the system lets them.
    wrapper = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    if not works(*wrapper):
        pytest.skip(f"{' '.join(wrapper)} is not possible here")
    interfaces = subprocess.run(
        [*wrapper, "cat", "/proc/net/route"], capture_output=True, text=True, check=True
    )
    assert len(interfaces.stdout.splitlines()) <= 1, "there is a route: the network is not cut off"
    done = run(base_dir, *wrapper)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tok/s" in done.stdout


def test_no_system_call_opens_a_socket(base_dir: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    wrapper = ["strace", "-f", "--seccomp-bpf", "-e", "trace=socket,connect", "-o", str(trace)]
    if not works(*wrapper):
        pytest.skip("strace is missing or not allowed here")
    done = run(base_dir, *wrapper)
    assert (done.returncode, done.stderr) == (0, "")
    lines = trace.read_text().splitlines()
    assert lines, "nothing was traced"
    calls = [line for line in lines if re.search(r"(socket|connect)\(", line)]
    assert [line for line in calls if not re.search(r"AF_UNIX|AF_LOCAL", line)] == []


def inet_sockets(root: psutil.Process) -> set[str]:
    """Return the internet sockets that a process and its children hold right now."""
    found = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                for socket in process.net_connections(kind="inet"):
                    found.add(f"{process.name()}: {socket}")
    return found


def test_no_process_holds_an_internet_socket(base_dir: Path) -> None:
    """The same without strace: looked at every few milliseconds while it loads and answers."""
    never = threading.Event()
    found: set[str] = set()
    most_processes = 0
    with subprocess.Popen(
        [*FATHOM, "--basedir", str(base_dir), "--demo-question", QUESTION],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as program:
        root = psutil.Process(program.pid)
        while program.poll() is None:
            found |= inet_sockets(root)
            with contextlib.suppress(psutil.NoSuchProcess):
                most_processes = max(most_processes, 1 + len(root.children(recursive=True)))
            never.wait(_POLL_S)
    assert program.returncode == 0
    assert most_processes >= 2, "the engine child was never seen"
    assert found == set()
