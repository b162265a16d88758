"""The package for Debian: what it holds and asks for; it installs and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.packaging import deb, linux_files
from app.packaging.contents import linked
from helpers.frozen_program import FrozenProgram
from models.version import VERSION

MOMENT = 1_700_000_000
LIBRARY = re.compile(r"lib.*\.so\.\d+")
# Tells the same as the program's own two verbs that the package asks.
PROGRAM = """\
#!/bin/sh
case $1 in
    sbom) echo '{"components": [{"name": "Part", "version": "3", "licenses": [
        {"license": {"id": "ISC"}}, {"license": {"name": "own words"}}]},
        {"name": "Other", "licenses": [{"expression": "MIT OR ISC"}]}]}' ;;
    *) printf 'usage: fathom\\n\\nRuns models.\\n\\n.dotted -- \\\\ line\\n' ;;
esac
"""


@pytest.fixture(autouse=True)
def tools() -> None:
    for tool in ("dpkg-deb", "dpkg-shlibdeps"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder that is laid out like a frozen program, with one that links the C library."""
    folder = tmp_path / "program"
    licences = folder / "_internal" / "resources" / "licences"
    licences.mkdir(parents=True)
    (licences / "fathom.txt").write_text(
        "MIT License\n\nCopyright (c) 2026 Us\n\nDo as you like.\n"
    )
    (folder / "fathom").write_text(PROGRAM)
    (folder / "fathom").chmod(0o700)
    shutil.copyfile("/bin/true", folder / "_internal" / "true.so")
    (folder / "_internal" / "link.so").symlink_to("true.so")
    return folder


@pytest.fixture(scope="module")
def package(frozen: FrozenProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real program's package, not compressed."""
    out = tmp_path_factory.mktemp("deb")
    return deb.build(frozen.folder, out, moment=MOMENT, compression="none")


def field(package: Path, name: str) -> str:
    """Return a field of the package's description."""
    command = ["dpkg-deb", "--field", package, name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def unpacked(package: Path, folder: Path) -> Path:
    """Unpack a package without installing it."""
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder


def listed(package: Path) -> list[list[str]]:
    """Return rights, owner, size, day, time and name of each file."""
    command = ["dpkg-deb", "--contents", package]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"TZ": "UTC"})
    return [line.split(maxsplit=5) for line in done.stdout.splitlines()]


def names_of(field: str) -> set[str]:
    """Return the packages that a field names, without versions."""
    return {one.split()[0] for one in field.split(", ")}


def test_two_builds_are_the_same_whoever_makes_them(small: Path, tmp_path: Path) -> None:
    first = deb.build(small, tmp_path / "a", moment=MOMENT, compression="gzip")
    for path in small.rglob("*.txt"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    before = os.umask(0o077)
    try:
        second = deb.build(small, tmp_path / "b", moment=MOMENT, compression="gzip")
    finally:
        os.umask(before)
    assert first.read_bytes() == second.read_bytes()
    assert first.name == f"fathom_{VERSION}_amd64.deb"


def test_rights_owners_and_times(small: Path, tmp_path: Path) -> None:
    rows = listed(deb.build(small, tmp_path / "a", moment=MOMENT, compression="none"))
    assert {row[1] for row in rows} == {"root/root"}
    assert {(row[3], row[4]) for row in rows} == {("2023-11-14", "22:13")}
    modes = {row[5]: row[0] for row in rows}
    executable = {name for name, mode in modes.items() if mode == "-rwxr-xr-x"}
    assert executable == {"./usr/lib/fathom/fathom"}
    assert set(modes.values()) == {"-rwxr-xr-x", "-rw-r--r--", "drwxr-xr-x", "lrwxrwxrwx"}
    assert "./usr/bin/fathom -> ../lib/fathom/fathom" in modes
    assert "./usr/lib/fathom/_internal/link.so -> true.so" in modes


def test_documents_say_what_the_program_says(small: Path, tmp_path: Path) -> None:
    package = deb.build(small, tmp_path / "a", moment=MOMENT, compression="none")
    share = unpacked(package, tmp_path / "tree") / "usr" / "share"
    licences = (share / "doc/fathom/copyright").read_text()
    assert "\n  Part 3: ISC, own words\n  Other: MIT OR ISC\n" in licences
    assert (
        "\nCopyright: 2026 Us\nLicense: Expat\n Copyright (c) 2026 Us\n .\n Do as you like.\n"
        in licences
    )
    page = subprocess.run(
        ["gzip", "-dc", share / "man/man1/fathom.1.gz"], capture_output=True, text=True, check=True
    ).stdout
    # What roff would take for a request is text.
    assert page.endswith(".nf\nRuns models.\n\n\\&.dotted \\-\\- \\e line\n.fi\n")
    card = (share / "metainfo/org.fathom.Fathom.metainfo.xml").read_text()
    assert f'<release version="{VERSION}" date="2023-11-14"' in card
    assert "@" not in card


def test_a_folder_without_a_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["deb", str(tmp_path), "--out", str(tmp_path / "out")])
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert deb.main() == 2
    assert "SOURCE_DATE_EPOCH" in capsys.readouterr().err
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert deb.main() == 2
    assert "make package" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_desktops_can_read_their_files(tmp_path: Path) -> None:
    share = tmp_path / "usr" / "share"
    linux_files.write_desktop_files(share, MOMENT)
    checks = {
        "desktop-file-validate": ["share/applications/org.fathom.Fathom.desktop"],
        "xmllint": ["--noout", "share/mime/packages/org.fathom.Fathom.xml"],
        "appstreamcli": ["validate-tree", "--no-net", "."],
    }
    here = [tool for tool in checks if shutil.which(tool)]
    if not here:
        pytest.skip(f"none of {', '.join(checks)} is there")
    for tool in here:
        done = subprocess.run(
            [tool, *checks[tool]], cwd=share.parent, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), (tool, done.stdout, done.stderr)


def test_a_gguf_file_is_known_by_its_beginning_or_its_name(tmp_path: Path) -> None:
    if shutil.which("update-mime-database") is None or shutil.which("xdg-mime") is None:
        pytest.skip("shared-mime-info or xdg-utils is missing")
    share = tmp_path / "share"
    linux_files.write_desktop_files(share, MOMENT)
    subprocess.run(["update-mime-database", share / "mime"], check=True, capture_output=True)
    assert "application/x-gguf:*.gguf\n" in (share / "mime" / "globs").read_text()
    magic = (share / "mime" / "magic").read_bytes()
    assert b"[50:application/x-gguf]\n>0=\x00\x04GGUF\n" in magic


def test_it_asks_for_what_the_program_links(frozen: FrozenProgram, package: Path) -> None:
    """Every library that is not inside comes from a package that is named."""
    inside = {path.name for path in frozen.folder.rglob("*.so*")}
    elves = [path for path in frozen.folder.rglob("*") if deb.is_elf(path)]
    needed = {name for path in elves for name in linked(str(path))} - inside
    named = names_of(field(package, "Depends")) | names_of(field(package, "Recommends"))
    command = ["dpkg-query", "--search", *(f"*/{name}" for name in sorted(needed))]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    owners = re.findall(r"(?m)^([a-z0-9.+-]+)(?::amd64)?: .*/(.+)$", found)
    assert needed <= {library for _, library in owners}
    for library in needed:
        assert {owner for owner, name in owners if name == library} & named, library
    assert "xkb-data" in named
    # Nothing that lies inside is asked for again.
    assert not named & {"libqt6core6", "libssl3", "libglib2.0-0", "libsqlite3-0", "libgomp1"}


def test_it_installs_runs_and_leaves_nothing(package: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    database = root / "var" / "lib" / "dpkg"
    for folder in ("info", "updates", "triggers"):
        (database / folder).mkdir(parents=True)
    (database / "status").touch()
    (database / "available").touch()
    dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-depends", "--no-triggers"]
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def run(*words: str) -> None:
        done = subprocess.run([*dpkg, *words], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)

    run("--install", str(package))
    assert FrozenProgram(root / "usr" / "bin").output("--version") == f"Fathom {VERSION}\n"
    installed = FrozenProgram(root / "usr" / "lib" / "fathom")
    assert not installed.file.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    run("--verify", "fathom")
    run("--purge", "fathom")
    left = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert [name for name in left if "fathom" in name.lower()] == []
    assert {name.split("/")[0] for name in left} <= {"var", "usr"}
