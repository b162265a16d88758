"""Writes down which part each file of the frozen program comes from; called by build.spec.

The program tells of it in its bill of materials: ``models/parts/origins.py`` reads the file.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from app.packaging.contents import LINK, Row
from models.parts.origins import ORIGINS, PROGRAM

_PYTHON = "Python"
# An architecture behind a package's name (``libssl3:amd64``), and the release of a Debian.
_DPKG_LINE = re.compile(r"(?P<package>[a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?: (?P<path>/.*)")


def owners_of_sources(found: Iterable[Distribution]) -> dict[str, str]:
    """Return which package each installed file belongs to, by its path."""
    return {
        str(Path(str(one.locate_file(file))).resolve()): one.name
        for one in found
        for file in one.files or ()
    }


def part_of(row: Row, owners: Mapping[str, str], listed: Iterable[Mapping[str, Any]]) -> str:
    """Return the name of the part that a file comes from; empty when nobody knows.

    Args:
        owners: path here -> package (``owners_of_sources``).
        listed: the parts that are written down (``resources/licences/parts.json``).
    """
    place, source = PurePosixPath(row[0].replace("\\", "/")), str(Path(row[1]).resolve())
    for part in listed:
        if part.get("is_demo") and place.is_relative_to("resources/demo"):
            return str(part["name"])
        # The same rule by which the program finds the part: models/parts/parts.py.
        if len(place.parts) == 1 and any(fnmatchcase(str(place), p) for p in part.get("files", ())):
            return str(part["name"])
    if source in owners:
        return owners[source]
    if place.parts[0] == "resources":
        return PROGRAM
    is_python = place.parts[0].startswith(("python3", "libpython", "base_library", "python"))
    return _PYTHON if is_python or place.suffix == ".pyd" else ""


def debian_package(source: str) -> dict[str, str] | None:
    """Return version and purl of the Debian package that a file is of; None when it is of none."""
    if shutil.which("dpkg-query") is None:
        return None
    real = str(Path(source).resolve())
    # A package names the file as it was before /lib became a link to /usr/lib, or after.
    paths = {real, real.removeprefix("/usr"), f"/usr{real}"}
    found = _told("-S", *sorted(paths))
    match = next((m for line in found.splitlines() if (m := _DPKG_LINE.fullmatch(line))), None)
    if match is None:
        return None
    name = match["package"]
    shown = _told("-W", "-f=${Version} ${Architecture}\n", name).split()
    version, architecture = shown[0], shown[1]
    return {
        "version": version,
        "purl": f"pkg:deb/{_distributor()}/{name}@{quote(version, safe='')}?arch={architecture}",
    }


def _told(*words: str) -> str:
    # It fails when one of several paths is unknown, and has told of the others.
    command = ["dpkg-query", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@functools.cache
def _distributor() -> str:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return "debian"
    match = re.search(r'^ID="?([a-z0-9._-]+)"?$', text, re.M)
    return match[1] if match else "debian"


def origins(
    rows: Iterable[Row],
    owners: Mapping[str, str],
    listed: Iterable[Mapping[str, Any]],
    package_of: Callable[[str], Mapping[str, str] | None] = debian_package,
) -> dict[str, Any]:
    """Return what is written down of a build.

    Args:
        rows: all files; links have no content of their own.
        package_of: the system's package of a file, None for none.
    """
    files: dict[str, str] = {ORIGINS: PROGRAM}
    packages: dict[str, Mapping[str, str]] = {}
    parts = list(listed)
    for row in sorted(row for row in rows if row[2] != LINK):
        part = part_of(row, owners, parts)
        if part:
            files[row[0].replace("\\", "/")] = part
        is_systems = part and str(Path(row[1]).resolve()) not in owners
        is_library = is_systems and part not in (PROGRAM, _PYTHON) and part not in packages
        if is_library and (package := package_of(row[1])) is not None:
            packages[part] = package
    return {"files": files, "packages": packages}


def write(rows: Iterable[Row], folder: Path, licences: Path) -> Row:
    """Write the file, and return it as a row of the program.

    Args:
        folder: for what the build makes.
        licences: where ``parts.json`` lies.

    Raises:
        OSError: it cannot be written.
    """
    listed = json.loads((licences / "parts.json").read_text(encoding="utf-8"))
    found = origins(rows, owners_of_sources(distributions(path=sys.path)), listed)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ORIGINS
    file.write_bytes(json.dumps(found, indent=1, sort_keys=True).encode())
    return ORIGINS, str(file), "DATA"
