"""The installer for Windows: what goes in, what would come out, and that NSIS makes it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
from pathlib import Path, PurePosixPath

import pytest

from app.packaging.windows.installer import (
    LONGEST_PATH,
    SCRIPT,
    files_of,
    find_makensis,
    listing,
    make_installer,
)
from models.errors import InstallationError
from models.version import VERSION

with_nsis = pytest.mark.skipif(not shutil.which("makensis"), reason="NSIS is not installed")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder as PyInstaller makes it on Windows, with names that NSIS could misread."""
    folder = tmp_path / "Büro 1" / "fathom"
    names = ("fathom.exe", "fathom-cli.exe", "_internal/a.dll", "_internal/Qt ü/$INSTDIR;b'.txt")
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    return folder


def test_every_file_is_installed_and_removed_and_nothing_else(program: Path) -> None:
    files = files_of(program)
    text = listing(program, files)
    install, remove = text.split("!macroend")[:2]
    assert len(files) == 4
    assert install.count("\nFile ") == remove.count("\nDelete ") == len(files)
    assert 'File "/oname=$$INSTDIR;b\'.txt"' in install
    assert 'Delete "$INSTDIR\\_internal\\Qt ü\\$$INSTDIR;b\'.txt"' in remove
    # Folders go when they are empty, the inner ones first; what others put there stays.
    folders = re.findall(r"^RMDir (.*)$", remove, re.MULTILINE)
    assert folders == ['"$INSTDIR\\_internal\\Qt ü"', '"$INSTDIR\\_internal"']
    assert "/r" not in remove


def test_no_folder_is_removed_with_whatever_is_in_it() -> None:
    commands = [line.strip() for line in SCRIPT.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in commands if re.match(r"RMDir\s+/r", line, re.IGNORECASE)]


def test_what_is_no_program_for_windows_is_refused(program: Path) -> None:
    (program / "fathom.exe").rename(program / "fathom")
    with pytest.raises(InstallationError, match=r"holds no fathom\.exe"):
        files_of(program)


def test_a_path_too_long_for_windows_is_refused(program: Path) -> None:
    name = "_internal/" + "x" * (LONGEST_PATH - len("_internal/"))
    (program / name).touch()
    assert PurePosixPath(name) in files_of(program)
    (program / f"{name}y").touch()
    with pytest.raises(InstallationError, match=r"too long for Windows: _internal/x+y"):
        files_of(program)


def test_a_folder_that_an_upgrade_would_leave_behind_is_refused(program: Path) -> None:
    (program / "addons").mkdir()
    (program / "addons/left.dll").touch()
    with pytest.raises(InstallationError, match="addons"):
        files_of(program)


def test_without_nsis_it_says_what_to_install() -> None:
    with pytest.raises(InstallationError) as caught:
        find_makensis({"PATH": os.devnull})
    assert "apt-get install nsis" in caught.value.hint


def _resource_version(installer: bytes) -> tuple[int, ...]:
    # VS_FIXEDFILEINFO: signature, structure version, then the file's version in two words each.
    at = installer.index(struct.pack("<I", 0xFEEF04BD))
    high, low = struct.unpack_from("<II", installer, at + 8)
    return high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF


@with_nsis
def test_nsis_makes_the_same_installer_twice(program: Path, tmp_path: Path) -> None:
    first = make_installer(program, tmp_path / "1")
    copy = shutil.copytree(program, tmp_path / "elsewhere")
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    second = make_installer(copy, tmp_path / "2")
    assert first.name == second.name == f"fathom-{VERSION}-windows-x86_64.exe"
    content = first.read_bytes()
    assert content.startswith(b"MZ")
    assert _resource_version(content)[:3] == tuple(int(part) for part in VERSION.split("."))
    assert hashlib.sha256(content).digest() == hashlib.sha256(second.read_bytes()).digest()


@with_nsis
def test_installer_and_uninstaller_are_signed_by_the_given_command(
    program: Path, tmp_path: Path
) -> None:
    sign = tmp_path / "sign"
    sign.write_text(f'#!/bin/sh\nhead -c 2 "$1" >> "{tmp_path}/signed"\n', encoding="utf-8")
    sign.chmod(0o755)
    make_installer(program, tmp_path / "out", sign=str(sign))
    # The uninstaller, which is inside the installer, and the installer.
    assert (tmp_path / "signed").read_bytes() == b"MZMZ"


@with_nsis
def test_what_nsis_says_is_in_the_error(program: Path, tmp_path: Path) -> None:
    with pytest.raises(InstallationError) as caught:
        make_installer(program, tmp_path, version="1.x")
    assert "invalid VIFileVersion" in caught.value.details
