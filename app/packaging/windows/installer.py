"""Make the installer for Windows out of a frozen program, with NSIS. No Qt here.

    python -m app.packaging.windows.installer dist/fathom --out dist

NSIS runs on Linux too (``apt-get install nsis``): the folder may have been frozen elsewhere. The
same folder gives the same file, byte for byte: the list of files is sorted, and no time is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from app.packaging import icons
from models.errors import InstallationError
from models.version import VERSION

SCRIPT = Path(__file__).with_name("fathom.nsi")
# Windows' old limit of a path is 260 characters. What is left is for the folder that it lies in.
LONGEST_PATH = 150
# Debian's NSIS has a stub of 64 bits; that of others is a program of 32 bits, which does the same.
_NATIVE_TARGET = "amd64-unicode"
_DEBIAN_NSIS = "/usr/share/nsis"


def files_of(program: Path) -> list[PurePosixPath]:
    """Return every file of the frozen program, sorted, relative to its folder.

    Raises:
        InstallationError: it is no frozen program for Windows, or a path is too long for Windows.
    """
    files = sorted(
        PurePosixPath(path.relative_to(program).as_posix())
        for path in program.rglob("*")
        if path.is_file()
    )
    if PurePosixPath("fathom.exe") not in files:
        raise InstallationError(f"{program} holds no fathom.exe.", hint="Freeze it on Windows.")
    too_long = [str(path) for path in files if len(str(path)) > LONGEST_PATH]
    if too_long:
        raise InstallationError(f"These paths are too long for Windows: {', '.join(too_long)}.")
    strangers = {path.parts[0] for path in files if len(path.parts) > 1} - {"_internal"}
    if strangers:
        raise InstallationError(
            f"{program} holds folders that an upgrade would not replace: {sorted(strangers)}."
        )
    return files


def _quoted(text: str) -> str:
    # NSIS: $ begins a variable, and $\" is a quotation mark.
    return '"' + text.replace("$", "$$").replace('"', '$\\"') + '"'


def _target(path: PurePosixPath) -> str:
    return _quoted("\0" + str(path).replace("/", "\\")).replace("\0", "$INSTDIR\\")


def listing(program: Path, files: Sequence[PurePosixPath]) -> str:
    """Return the NSIS macros that install exactly these files, and that remove exactly them."""
    lines = ["!macro InstallFiles"]
    folder = None
    for path in files:
        if path.parent != folder:
            folder = path.parent
            place = '"$INSTDIR"' if folder == PurePosixPath() else _target(folder)
            lines.append(f"SetOutPath {place}")
        # What it reads now is a plain path; what it writes later is a string of NSIS.
        lines.append(f'File {_quoted("/oname=" + path.name)} "{program / path}"')
    lines += ["!macroend", "!macro RemoveFiles"]
    lines += [f"Delete {_target(path)}" for path in files]
    folders = {parent for path in files for parent in path.parents} - {PurePosixPath()}
    # The deepest first. A folder in which somebody else left something stays.
    lines += [f"RMDir {_target(path)}" for path in sorted(folders, key=str, reverse=True)]
    return "\n".join([*lines, "!macroend", ""])


def native_target() -> str:
    """Return the name of NSIS' target of 64 bits, or "" when this NSIS has only that of 32."""
    homes = (os.environ.get("NSISDIR", ""), _DEBIAN_NSIS)
    stub = f"Stubs/lzma_solid-{_NATIVE_TARGET}"
    return _NATIVE_TARGET if any((Path(home) / stub).is_file() for home in homes) else ""


def _definitions(version: str, size_kb: int) -> dict[str, str]:
    """Return what the script is told about program and compiler."""
    values = {
        "VERSION": version,
        "VERSION_NUMBERS": ".".join([*version.split("."), "0", "0", "0"][:4]),
        "SIZE_KB": str(size_kb),
    }
    if target := native_target():
        values["TARGET"] = target
    return values


def find_makensis(env: Mapping[str, str]) -> str:
    """Return NSIS' compiler.

    Raises:
        InstallationError: there is none.
    """
    places = [env.get("PATH", ""), r"C:\Program Files (x86)\NSIS", r"C:\Program Files\NSIS"]
    found = shutil.which("makensis", path=os.pathsep.join(places))
    if not found:
        raise InstallationError(
            "makensis was not found.",
            hint="Install NSIS 3.08 or newer; on Debian: apt-get install nsis.",
        )
    return found


def make_installer(program: Path, out: Path, *, version: str = VERSION, sign: str = "") -> Path:
    """Compile the installer of ``program`` into the folder ``out``.

    Args:
        program: a frozen program for Windows: fathom.exe, fathom-cli.exe, _internal.
        out: where the installer goes; made when missing.
        version: the version it installs.
        sign: a command that signs the file whose path it gets as its last argument, or "".

    Raises:
        InstallationError: no program, no NSIS, or NSIS refuses.
    """
    program = program.resolve()
    files = files_of(program)
    size_kb = sum((program / path).stat().st_size for path in files) // 1024 + 1
    out.mkdir(parents=True, exist_ok=True)
    target = out.resolve() / f"fathom-{version}-windows-x86_64.exe"
    makensis = find_makensis(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder) / "files.nsh"
        # With its mark NSIS reads the list as UTF-8 everywhere.
        names.write_text(listing(program, files), encoding="utf-8-sig")
        icon = icons.write_ico(Path(folder) / "fathom.ico")
        values = _definitions(version, size_kb)
        values |= {"FILES": str(names), "OUT": str(target), "ICON": str(icon)}
        if sign:
            values["SIGN"] = sign
        arguments = [f"-D{name}={value}" for name, value in values.items()]
        command = [makensis, "-V2", "-WX", "-INPUTCHARSET", "UTF8", *arguments, str(SCRIPT)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
    if done.returncode:
        raise InstallationError(
            "NSIS could not make the installer.", details=(done.stdout + done.stderr).strip()
        )
    return target


def main() -> int:
    """Make the installer and say where it lies."""
    parser = argparse.ArgumentParser(description="Make the installer for Windows.")
    parser.add_argument("program", type=Path, help="the frozen program")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    parser.add_argument("--sign", default="", help="a command that signs a file")
    options = parser.parse_args()
    try:
        made = make_installer(options.program, options.out, sign=options.sign)
    except InstallationError as error:
        sys.stderr.write(f"{error.one_line()}\n{error.details}\n")
        return 1
    sys.stdout.write(f"{made}  {made.stat().st_size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
