"""A parent that is killed leaves no child behind, and Ctrl-C in the terminal is the parent's."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parents[3]
PARENT = REPO_ROOT / "tests" / "helpers" / "engine_parent.py"
# docs/protocol.md: the child exits within 2 s of the end of its input; the rest is for the machine.
EXIT_LIMIT_S = 10.0

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux' pidfd")


def wait_for_end(pid_fd):
    """Wait for the end of a process that is nobody's child here; False when it does not come."""
    return bool(select.select([pid_fd], [], [], EXIT_LIMIT_S)[0])


@pytest.mark.parametrize(("load", "doing"), [("ok", "start"), ("slow", "load"), ("ok", "generate")])
def test_a_killed_parent_leaves_no_child(load, doing):
    with subprocess.Popen(
        [sys.executable, str(PARENT), str(REPO_ROOT), load, doing],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid_fd = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert wait_for_end(pid_fd)
    finally:
        os.close(pid_fd)


def test_the_child_is_in_a_session_of_its_own(harness):
    h = harness()
    h.engine.start()
    assert os.getsid(h.engine.pid) == h.engine.pid != os.getsid(0)
    assert os.getpgid(h.engine.pid) != os.getpgid(0)


def test_the_child_gets_no_descriptor_but_its_three(harness):
    h = harness()
    extra_fd = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(extra_fd, True)
    try:
        h.engine.start()
        fds = {int(entry.name) for entry in Path(f"/proc/{h.engine.pid}/fd").iterdir()}
    finally:
        os.close(extra_fd)
    assert fds == {0, 1, 2}
