"""No library of the program is looked for in the builder's folders."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.packaging import contents
from app.packaging.run_paths import drop_foreign, is_foreign, run_paths
from helpers.frozen_program import FrozenProgram

BUILDERS = "/home/builder/lib"


def library(folder: Path, *flags: str) -> Path:
    """Compile a library that names folders, as ``flags`` tell the linker."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("needs a compiler")
    source = folder / "x.c"
    source.write_text("int answer(void) { return 42; }\n")
    file = folder / "x.so"
    subprocess.run(["cc", "-shared", "-fPIC", *flags, "-o", file, source], check=True)
    return file


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_a_builders_folder_is_dropped_and_the_rest_stays(tmp_path: Path, tags: str) -> None:
    file = library(tmp_path, f"-Wl,{tags},-rpath,{BUILDERS}", "-lm")
    assert run_paths(file.read_bytes()) == [BUILDERS]
    linked, size_bytes = contents.linked(str(file)), file.stat().st_size
    drop_foreign(file)
    assert run_paths(file.read_bytes()) == []
    assert (
        BUILDERS
        not in subprocess.run(
            ["readelf", "-dW", file], capture_output=True, text=True, check=True
        ).stdout
    )
    assert contents.linked(str(file)) == linked
    assert file.stat().st_size == size_bytes
    assert ctypes.CDLL(str(file)).answer() == 42


def test_a_librarys_own_folder_stays(tmp_path: Path) -> None:
    file = library(tmp_path, "-Wl,-rpath,$ORIGIN/../lib:${ORIGIN}")
    before = file.read_bytes()
    drop_foreign(file)
    assert file.read_bytes() == before
    assert run_paths(before) == ["$ORIGIN/../lib", "${ORIGIN}"]


def test_what_is_foreign() -> None:
    assert [is_foreign(f) for f in ("$ORIGIN", "$ORIGIN/x", "/x", "", "lib", "$LIB")] == [
        False, False, True, True, True, True,
    ]  # fmt: skip
    assert run_paths(b"#!/bin/sh\n") == []


def test_extension_modules_are_freed_of_them(tmp_path: Path) -> None:
    file = library(tmp_path, f"-Wl,-rpath,{BUILDERS}")
    row = ("python3.11/lib-dynload/x.so", str(file), "EXTENSION")
    ((_, copy, _),) = contents.stripped([row], tmp_path / "out")
    assert run_paths(Path(copy).read_bytes()) == []
    assert run_paths(file.read_bytes()) == [BUILDERS]


def test_no_file_of_the_program_names_a_foreign_folder(frozen: FrozenProgram) -> None:
    files = [p for p in frozen.folder.rglob("*") if p.is_file() and not p.is_symlink()]
    named = {
        (path.name, folder)
        for path in files
        if path.suffix != ".gguf"
        for folder in run_paths(path.read_bytes())
        if is_foreign(folder)
    }
    assert named == set()
