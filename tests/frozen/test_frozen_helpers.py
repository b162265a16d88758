"""What the tests of the frozen program stand on: copies that leave the original alone; leaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.frozen_program import MARK, FrozenProgram, changed_program, left_running


@pytest.fixture
def original(tmp_path: Path) -> FrozenProgram:
    """A folder that is laid out like a frozen program."""
    inside = tmp_path / "original" / "_internal"
    inside.mkdir(parents=True)
    for name in ("keys.json", "libx.so", "liby.so"):
        (inside / name).write_bytes(b"as it was")
    (inside / "link.so").symlink_to("libx.so")
    return FrozenProgram(inside.parent, wrapper=("env",))


def test_a_changed_copy_leaves_the_original_alone(original: FrozenProgram, tmp_path: Path) -> None:
    changes = {"keys.json": b"changed", "lib*.so": None}
    copy = changed_program(original, tmp_path / "copy", changes)
    assert copy.wrapper == original.wrapper
    assert (copy.inside / "keys.json").read_bytes() == b"changed"
    assert sorted(path.name for path in copy.inside.iterdir()) == ["keys.json", "link.so"]
    assert (copy.inside / "link.so").is_symlink()
    for name in ("keys.json", "libx.so", "liby.so"):
        assert (original.inside / name).read_bytes() == b"as it was"


def test_a_change_that_fits_nothing_is_a_mistake(original: FrozenProgram, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="gone"):
        changed_program(original, tmp_path / "copy", {"gone*": None})


def test_a_child_that_stays_is_found_by_its_mark() -> None:
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, MARK: "here"},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert [process.pid for process in left_running("here")] == [child.pid]
        assert left_running("elsewhere") == []
        child.communicate()
        assert left_running("here") == []
