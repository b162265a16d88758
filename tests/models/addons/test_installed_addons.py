"""Which add-ons there are, and which nobody should load: open to others, links, damaged."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from helpers.addon_samples import MODULE, close, put_folder
from models.addons.installed import Addon, find_addons, host_here, program_addons
from models.addons.manifest import MANIFEST_NAME

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes say nothing on Windows")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / MODULE
    path.write_bytes(b"a module")
    return path


@pytest.fixture
def folder(tmp_path: Path, module: Path) -> Path:
    put_folder(tmp_path / "addons", module)
    return tmp_path / "addons"


def only(folder: Path) -> Addon:
    (found,) = find_addons(folder, host_here())
    return found


def test_one_that_was_put_there_by_hand_is_found(folder: Path) -> None:
    found = only(folder)
    assert (found.name, found.title, found.problem) == ("cuda", "CUDA, for NVIDIA GPUs", "")
    assert not found.comes_with_program


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert find_addons(tmp_path / "none", host_here()) == ()
    assert find_addons(None, host_here()) == ()
    assert program_addons() is None


def test_those_of_the_program_come_first(folder: Path, tmp_path: Path, module: Path) -> None:
    put_folder(tmp_path / "program", module, name="vulkan")
    found = find_addons(folder, host_here(), program_folder=tmp_path / "program")
    assert [(one.name, one.comes_with_program, one.problem) for one in found] == [
        ("vulkan", True, ""),
        ("cuda", False, ""),
    ]


@posix
def test_a_pipe_in_the_place_of_its_manifest_keeps_nobody(folder: Path) -> None:
    manifest = folder / "cuda" / MANIFEST_NAME
    manifest.unlink()
    os.mkfifo(manifest, 0o600)
    assert "no plain file" in only(folder).problem


@posix
@pytest.mark.parametrize("place", [".", "cuda", f"cuda/{MODULE}", f"cuda/{MANIFEST_NAME}"])
@pytest.mark.parametrize("bit", [0o020, 0o002])
def test_where_others_may_write_nothing_is_loaded(folder: Path, place: str, bit: int) -> None:
    path = folder / place
    path.chmod(path.stat().st_mode | bit)
    problem = only(folder).problem
    assert "Others may write" in problem
    assert "chmod" in problem


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("place", [".", "cuda", f"cuda/{MODULE}", f"cuda/{MANIFEST_NAME}"])
def test_what_belongs_to_another_user_is_not_loaded(folder: Path, place: str) -> None:
    os.chown(folder / place, 12345, -1)
    assert "belongs to another user" in only(folder).problem


@posix
@pytest.mark.parametrize("place", ["cuda", f"cuda/{MODULE}", f"cuda/{MANIFEST_NAME}"])
def test_a_link_is_not_followed(folder: Path, tmp_path: Path, place: str) -> None:
    path = folder / place
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "is a link" in only(folder).problem


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (MODULE, None, "is missing"),
        (MODULE, b"another module", "not what it was"),
        (MANIFEST_NAME, None, "cannot be read"),
        (MANIFEST_NAME, b"{}", "not an add-on"),
    ],
)
def test_what_is_damaged_says_so(folder: Path, name: str, data: bytes | None, words: str) -> None:
    path = folder / "cuda" / name
    path.unlink()
    if data is not None:
        path.write_bytes(data)
        close(folder)
    assert words in only(folder).problem


def test_a_folder_in_a_file_s_place_says_so(folder: Path) -> None:
    (folder / "cuda" / MODULE).unlink()
    (folder / "cuda" / MODULE).mkdir(mode=0o755)
    close(folder)
    assert "not what it was" in only(folder).problem


def test_a_folder_has_its_add_on_s_name(folder: Path) -> None:
    shutil.move(folder / "cuda", folder / "rocm")
    assert only(folder).problem == "Its folder has to be called cuda."
