"""Fathom without installing: the archive, and the parts of an AppImage that are ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from app.packaging import portable
from helpers.frozen_program import FrozenProgram
from models.version import VERSION

MOMENT = 1_700_000_000
NAME = f"fathom-{VERSION}"
# Stands for AppImage's own program, which is not made here: what is behind it is looked at.
BEGINNING = b"\x7fELF\x02\x01\x01\x00AI\x02" + bytes(1_000)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder that is laid out like a frozen program and tells where it lies."""
    folder = tmp_path / "program"
    (folder / "_internal").mkdir(parents=True)
    (folder / "fathom").write_text('#!/bin/sh\nreadlink -f "$0"\n')
    (folder / "fathom").chmod(0o711)
    (folder / "_internal" / "part.txt").write_text("part\n")
    (folder / "_internal" / "link").symlink_to("part.txt")
    return folder


def test_the_archive_is_the_same_whoever_makes_it(small: Path, tmp_path: Path) -> None:
    first = portable.archive(small, tmp_path / "a", moment=MOMENT)
    os.utime(small / "_internal" / "part.txt", (1, 1))
    before = os.umask(0o077)
    try:
        second = portable.archive(small, tmp_path / "b", moment=MOMENT)
    finally:
        os.umask(before)
    assert first.name == f"{NAME}-linux-x86_64.tar.gz"
    assert first.read_bytes() == second.read_bytes()


def test_the_archive_is_unpacked_into_one_folder_and_runs(small: Path, tmp_path: Path) -> None:
    file = portable.archive(small, tmp_path, moment=MOMENT)
    with tarfile.open(file) as tar:
        members = tar.getmembers()
        assert {member.name.split("/")[0] for member in members} == {NAME}
        assert {(m.uid, m.gid, m.uname, m.mtime) for m in members} == {(0, 0, "root", MOMENT)}
        tar.extractall(tmp_path / "here", filter="data")
    folder = tmp_path / "here" / NAME
    told = subprocess.run([folder / "fathom"], capture_output=True, text=True, check=True).stdout
    assert told == f"{folder / 'fathom'}\n"
    assert (folder / "_internal" / "link").read_text() == "part\n"
    executable = [p.name for p in folder.rglob("*") if p.is_file() and os.access(p, os.X_OK)]
    assert executable == ["fathom"]
    # What the text tells to copy is there.
    assert "cp -r share/. ~/.local/share/" in (folder / "README.txt").read_text()
    for place in ("applications/org.fathom.Fathom.desktop", "mime/packages/org.fathom.Fathom.xml"):
        assert (folder / "share" / place).is_file()


def test_an_appdir_starts_from_its_top(small: Path, tmp_path: Path) -> None:
    tree = tmp_path / "AppDir"
    portable.lay_out_appdir(small, tree, MOMENT)
    done = subprocess.run([tree / "AppRun"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tree / 'usr/lib/fathom/fathom'}\n"
    assert (tree / "org.fathom.Fathom.desktop").read_text().startswith("[Desktop Entry]\n")
    for icon in ("org.fathom.Fathom.png", ".DirIcon"):
        assert (tree / icon).read_bytes().startswith(b"\x89PNG")
    links = [path for path in tree.rglob("*") if path.is_symlink()]
    assert all(path.resolve(strict=True).is_relative_to(tree) for path in links)


@pytest.mark.skipif(shutil.which("mksquashfs") is None, reason="squashfs-tools are missing")
def test_one_file_holds_the_appdir_behind_its_beginning(small: Path, tmp_path: Path) -> None:
    files = [
        portable.one_file(small, tmp_path / name, BEGINNING, moment=MOMENT) for name in ("a", "b")
    ]
    content = files[0].read_bytes()
    assert content == files[1].read_bytes()
    assert content.startswith(BEGINNING)
    assert files[0].stat().st_mode & 0o777 == 0o755
    out = tmp_path / "unpacked"
    offset = str(len(BEGINNING))
    command = ["unsquashfs", "-quiet", "-no-progress", "-offset", offset, "-dest", out, files[0]]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run([out / "AppRun"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{out / 'usr/lib/fathom/fathom'}\n"
    assert (out / "AppRun").lstat().st_mtime == MOMENT


def test_another_runtime_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = tmp_path / "runtime"
    runtime.write_bytes(BEGINNING)
    with pytest.raises(ValueError, match="is not the runtime"):
        portable.appimage(small, tmp_path / "out", runtime, moment=MOMENT)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(MOMENT))
    monkeypatch.setattr(sys, "argv", ["portable", str(tmp_path), "--out", str(tmp_path / "out")])
    assert portable.main() == 2
    assert "make package" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_real_program_runs_from_an_appdir(frozen: FrozenProgram, tmp_path: Path) -> None:
    tree = tmp_path / "AppDir"
    portable.lay_out_appdir(frozen.folder, tree, MOMENT)
    done = subprocess.run(
        [tree / "AppRun", "--version"],
        env=FrozenProgram(frozen.folder).environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"Fathom {VERSION}\n", "")
