"""The installer for Windows at work: installing, upgrading, removing, under wine.

Needs NSIS, and ``FATHOM_WINE``: the command that runs a program for Windows (``wine``; 10.0 was
tried). The program that is installed is a small one, made here by NSIS, that stays open.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.packaging.windows.installer import find_makensis, make_installer, native_target
from models.version import VERSION

_WINE = shlex.split(os.environ.get("FATHOM_WINE", ""))
pytestmark = pytest.mark.skipif(
    not _WINE or not shutil.which("makensis"), reason="FATHOM_WINE is not set, or no NSIS"
)
NEWER = "9.0.0"
FOLDER = r"C:\Ünser Büro & 模型\Fathom"
# Stays open until it is ended, as a window would.
_PROGRAM = """
Unicode true
{target}
SilentInstall silent
RequestExecutionLevel user
OutFile "{out}"
Section
  Sleep 120000
SectionEnd
"""


def _to_the_end(argument: str) -> list[str]:
    # NSIS takes the rest of the line as it stands, and quotes would be part of the name: nothing
    # that is handed on may hold a space.
    return argument.split(" ")


@dataclass(frozen=True)
class Windows:
    """A folder that plays Windows, for one user."""

    prefix: Path

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a program of Windows."""
        env = {**os.environ, "WINEPREFIX": str(self.prefix), "WINEDEBUG": "-all"}
        # Wine would put our entries into the menus of whoever runs the tests.
        env["WINEDLLOVERRIDES"] = "winemenubuilder.exe,mscoree,mshtml="
        command = [*_WINE, program, *arguments]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def install(self, installer: Path, folder: str) -> int:
        """Install silently into ``folder`` and return the installer's exit code."""
        return self.run(str(installer), "/S", *_to_the_end(f"/D={folder}"))

    def uninstall(self, folder: str, *arguments: str) -> None:
        """Remove what is installed in ``folder``, silently."""
        # With _?= the uninstaller runs where it is, instead of as a copy that nobody could wait
        # for; it cannot remove itself then.
        program = rf"{folder}\uninstall.exe"
        assert self.run(program, "/S", *arguments, *_to_the_end(f"_?={folder}")) == 0
        self.path(program).unlink(missing_ok=True)
        if not any(self.path(folder).iterdir()):
            self.path(folder).rmdir()

    def run(self, program: str, *arguments: str) -> int:
        """Run a program of Windows to its end and return its exit code."""
        process = self.start(program, *arguments)
        process.communicate(timeout=120)
        return process.returncode

    def path(self, path: str) -> Path:
        """Return where a file of drive C lies in truth."""
        return self.prefix / "drive_c" / path.removeprefix("C:\\").replace("\\", "/")

    def registry(self) -> dict[str, str]:
        """Return every value that has to do with Fathom or .gguf, by key and name."""
        process = self.start("reg", "query", r"HKCU\Software", "/s")
        output, _ = process.communicate(timeout=120)
        text = output.decode("cp1252", "replace")
        found = {}
        for block in re.split(r"\r?\n(?=HKEY_)", text.lstrip()):
            key, *values = block.splitlines()
            for line in values:
                parts = re.split(r" {4}", line.strip("\r").removeprefix(" " * 4), maxsplit=2)
                if len(parts) == 3 and re.search("fathom|gguf", key + parts[0], re.IGNORECASE):
                    found[f"{key}|{parts[0]}"] = parts[2]
        return found

    def own_files(self) -> set[str]:
        """Return every file and folder outside Windows' own that a program of ours could leave."""
        roots = [
            self.prefix / "drive_c" / name for name in ("users", "ProgramData", "Program Files")
        ]
        roots += (self.prefix / "drive_c").glob("Ünser*")
        found = {str(path) for root in roots for path in root.rglob("*")}
        return {path for path in found if "/Temp/" not in path}


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Windows]:
    """A fresh Windows for the tests of this module."""
    system = Windows(tmp_path_factory.mktemp("windows") / "prefix")
    assert system.run("wineboot", "--init") == 0
    yield system
    system.run("wineboot", "--shutdown")


def _program(folder: Path, files: Sequence[str]) -> Path:
    folder.mkdir()
    script = folder.with_suffix(".nsi")
    target = f"Target {native_target()}" if native_target() else ""
    text = _PROGRAM.format(out=folder / "fathom.exe", target=target)
    script.write_text(text, encoding="utf-8")
    command = [find_makensis(os.environ), "-V1", "-INPUTCHARSET", "UTF8", str(script)]
    subprocess.run(command, check=True)
    shutil.copy(folder / "fathom.exe", folder / "fathom-cli.exe")
    for name in files:
        path = folder / "_internal" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{folder.name}: {name}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installer of this version."""
    folder = tmp_path_factory.mktemp("old")
    program = _program(folder / "old", ["a.dll", "only old/ä $1.txt", "both.txt"])
    return make_installer(program, folder)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installer of a later one, with other files."""
    folder = tmp_path_factory.mktemp("new")
    program = _program(folder / "new", ["b.dll", "only new/x.txt", "both.txt"])
    return make_installer(program, folder, version=NEWER)


def _tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_install_upgrade_and_remove_leave_nothing_but_the_user_s(
    windows: Windows, old: Path, new: Path
) -> None:
    files, values = windows.own_files(), windows.registry()

    assert windows.install(old, FOLDER) == 0
    folder = windows.path(FOLDER)
    programs = ["fathom-cli.exe", "fathom.exe", "uninstall.exe"]
    internal = ["_internal/a.dll", "_internal/both.txt", "_internal/only old/ä $1.txt"]
    assert _tree(folder) == sorted([*internal, *programs])
    shown = windows.registry()
    uninstall = next(key for key in shown if key.endswith(r"\Uninstall\Fathom|DisplayVersion"))
    assert shown[uninstall] == VERSION
    size = int(shown[uninstall.replace("DisplayVersion", "EstimatedSize")], 16)
    assert 100 < size < 1000, "KB of two small programs"
    command = next(
        key for key in shown if key.endswith(r"Fathom.gguf\shell\open\command|(Default)")
    )
    assert shown[command].endswith(r'\fathom.exe" "%1"')
    assert [path for path in windows.own_files() if path.endswith("/Fathom.lnk")]

    # An upgrade goes where the old version is, and takes its files away, not those of others.
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    assert windows.run(str(new), "/S") == 0
    internal = ["_internal/b.dll", "_internal/both.txt", "_internal/only new/x.txt"]
    assert _tree(folder) == sorted([*internal, *programs, "mine.txt"])
    assert (folder / "_internal/both.txt").read_text(encoding="utf-8") == "new: both.txt"
    assert windows.registry()[uninstall] == NEWER

    # An older one does not replace it unasked.
    assert windows.run(str(old), "/S") == 6
    assert windows.registry()[uninstall] == NEWER

    data = next((windows.prefix / "drive_c/users").glob("*/AppData/Local")) / "Fathom/Data"
    data.mkdir(parents=True)
    (data / "conversations.sqlite3").touch()
    windows.uninstall(FOLDER)
    assert (folder / "mine.txt").is_file()
    assert (data / "conversations.sqlite3").is_file()
    shutil.rmtree(folder.parent)
    shutil.rmtree(data.parent)
    assert windows.registry() == values
    assert {path for path in windows.own_files() - files if not path.endswith("/Temp")} == set()


def test_an_association_of_others_stays(windows: Windows, old: Path) -> None:
    key = r"HKCU\Software\Classes\.gguf"
    assert windows.run("reg", "add", key, "/ve", "/d", "Other.gguf", "/f") == 0
    before = windows.registry()
    assert windows.install(old, FOLDER) == 0
    shown = windows.registry()
    assert [shown[name] for name in shown if name.endswith(r"\.gguf|(Default)")] == ["Other.gguf"]
    assert [name for name in shown if name.endswith(r"\.gguf\OpenWithProgids|Fathom.gguf")]
    windows.uninstall(FOLDER)
    assert windows.registry() == before
    assert windows.run("reg", "delete", key, "/f") == 0


def test_data_goes_when_that_is_asked_for(windows: Windows, old: Path) -> None:
    assert windows.install(old, FOLDER) == 0
    local = next((windows.prefix / "drive_c/users").glob("*/AppData/Local"))
    roaming = local.with_name("Roaming")
    for folder in (local / "Fathom/Data/models/ä", roaming / "Fathom"):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    windows.uninstall(FOLDER, "/DELETEDATA")
    assert not (local / "Fathom").exists()
    assert not (roaming / "Fathom").exists()
    assert local.is_dir()


def test_a_program_that_runs_is_not_replaced(windows: Windows, old: Path, new: Path) -> None:
    assert windows.install(old, FOLDER) == 0
    folder = windows.path(FOLDER)
    before = {name: (folder / name).read_bytes() for name in _tree(folder)}
    running = windows.start(FOLDER + r"\fathom.exe")
    try:
        _wait_until_open(windows)
        assert windows.run(str(new), "/S") == 3
        assert {name: (folder / name).read_bytes() for name in _tree(folder)} == before
    finally:
        windows.run("taskkill", "/f", "/im", "fathom.exe")
        running.communicate(timeout=60)
    assert windows.run(str(new), "/S") == 0
    windows.uninstall(FOLDER)


def _wait_until_open(windows: Windows) -> None:
    for _ in range(20):
        process = windows.start("tasklist")
        output, _ = process.communicate(timeout=60)
        if b"fathom.exe" in output:
            return
    pytest.fail("the program did not start")


def test_an_upgrade_that_fails_leaves_the_old_version_as_it_was(
    windows: Windows, old: Path, new: Path
) -> None:
    assert windows.install(old, FOLDER) == 0
    folder = windows.path(FOLDER)
    # The last of the files cannot be written: a folder has its name.
    uninstaller = (folder / "uninstall.exe").read_bytes()
    (folder / "uninstall.exe").unlink()
    (folder / "uninstall.exe").mkdir()
    before = {name: (folder / name).read_bytes() for name in _tree(folder)}
    values = windows.registry()
    assert windows.run(str(new), "/S") == 2
    assert {name: (folder / name).read_bytes() for name in _tree(folder)} == before
    assert windows.registry() == values
    (folder / "uninstall.exe").rmdir()
    (folder / "uninstall.exe").write_bytes(uninstaller)
    windows.uninstall(FOLDER)


def test_another_folder_is_a_move(windows: Windows, old: Path, new: Path) -> None:
    other = r"C:\Ünser anderes Büro"
    assert windows.install(old, FOLDER) == 0
    assert windows.install(new, other) == 0
    assert not windows.path(FOLDER).exists()
    shown = windows.registry()
    assert NEWER in [shown[key] for key in shown if key.endswith(r"\Fathom|DisplayVersion")]
    assert [path for path in windows.own_files() if path.endswith("/Fathom.lnk")]
    windows.uninstall(other)


def test_a_folder_with_other_things_in_it_gets_a_folder(windows: Windows, old: Path) -> None:
    theirs = windows.path(r"C:\Ünser Haus")
    (theirs / "_internal").mkdir(parents=True)
    (theirs / "_internal/theirs.txt").touch()
    assert windows.install(old, r"C:\Ünser Haus") == 0
    assert (theirs / "Fathom/fathom.exe").is_file()
    windows.uninstall(r"C:\Ünser Haus\Fathom")
    assert (theirs / "_internal/theirs.txt").is_file()
